"""Where and how a run executes: workers, cluster, checkpoint and tracking sections."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from reinforce.configs.quoting import shown
from reinforce.configs.section import MAX_TEXT, Role, Section


class WorkersConfig(Section):
    """The workers that sample. Only the speed depends on num_workers."""

    section: ClassVar[str] = "workers"
    role: ClassVar[Role] = Role.SPEED

    num_workers: Annotated[int, Field(ge=1, le=10_000)] | Literal["auto"] = Field(
        "auto",
        description="Rollout workers, >= 1. auto: as many as the available CPUs allow, following "
        "the nodes of a cluster as they come and go. It changes only the speed.",
    )
    min_workers: int = Field(
        1,
        ge=1,
        le=10_000,
        description="Lower bound with num_workers auto, >= 1. It applies even without room, so "
        "that an autoscaler sees workers wait.",
    )
    max_workers: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Upper bound with num_workers auto, >= 1. None: no limit.",
    )
    envs_per_worker: Annotated[int, Role.RESULT] = Field(
        16,
        ge=1,
        le=65536,
        description="Lanes: environments that one worker steps together with one call of the "
        "policy, >= 1. A different number gives different but equally good episodes.",
    )
    episodes_per_ticket: Annotated[int, Role.FIXED] = Field(
        16,
        ge=1,
        description="Episodes per ticket, the unit of work, >= 1. A ticket should take tens of "
        "milliseconds or more.",
    )
    ticket_timeout_s: float = Field(
        600.0,
        gt=0,
        description="Seconds after which a worker that has not returned its ticket is replaced "
        "and the ticket is played again, > 0; sooner if tickets usually take much less. Only on "
        "Ray: inline, nothing can replace it.",
    )
    max_ticket_attempts: int = Field(
        3,
        ge=1,
        description="Attempts at one ticket before the run ends with its error, >= 1.",
    )
    show_output: bool = Field(
        default=True,
        description="On Ray, show what environments print and log in the workers, each line with "
        "its worker and ticket. false: it stays in Ray's log files.",
    )


class ClusterConfig(Section):
    """Where the run executes."""

    section: ClassVar[str] = "cluster"
    role: ClassVar[Role] = Role.SPEED

    backend: Literal["ray", "inline"] = Field(
        "ray",
        description="ray: learner and workers are Ray actors. inline: everything runs in this "
        "process, without Ray, with the same results.",
    )
    address: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_TEXT,
        description="Ray cluster to join: HOST:PORT, or 'auto' on one of its nodes. None: start a "
        "local Ray and stop it at the end.",
    )
    lookahead: Annotated[int, Role.FIXED] = Field(
        0,
        ge=0,
        le=1,
        description="Updates that sampling runs ahead of learning, 0 or 1. 0: episodes are played "
        "with the current weights. 1: always with the previous ones, so that workers sample while "
        "the learner learns; learner.importance_correction corrects for it.",
    )
    cpus_per_worker: float = Field(
        1.0, gt=0, description="CPUs that Ray reserves for each rollout worker, > 0."
    )

    priority: float = Field(
        1.0,
        gt=0,
        le=1e6,
        description="The run's weight when several share a cluster, > 0: with num_workers auto, "
        "runs of 2 and 1 take two thirds and one third of its CPUs, but each at least "
        "workers.min_workers. It changes only the speed.",
    )
    room_timeout_s: float | None = Field(
        None,
        gt=0,
        description="Seconds to wait for CPUs or a GPU that others use before the run ends, > 0. "
        "None: wait as long as it takes. The wait is reported.",
    )

    @property
    def is_this_machine(self) -> bool:
        """Whether everything runs on this machine: in this process, or on a local Ray."""
        return self.backend == "inline" or self.address is None


Count = Annotated[int, Field(ge=1)]


class CheckpointConfig(Section):
    """Checkpoints, from which an interrupted run continues."""

    section: ClassVar[str] = "checkpoint"
    role: ClassVar[Role] = Role.SPEED

    every_s: float = Field(
        60.0,
        gt=0,
        description=(
            "Seconds between checkpoints, > 0. One is also written at the end and on interruption."
        ),
    )
    keep: Count | tuple[Count, Count] = Field(
        3,
        description="Number of newest checkpoints to keep, >= 1; the best one is kept, too. Two "
        "numbers: how many, and the updates between those kept for good.",
    )
    directory: Annotated[str | None, Role.RECORD] = Field(
        None,
        min_length=1,
        max_length=MAX_TEXT,
        description="Folder, or URL such as s3://bucket/folder, that receives one folder of "
        "checkpoints per run. None: the run directory, which must then outlive the machine.",
    )

    @field_validator("directory")
    @classmethod
    def _is_found_from_anywhere(cls, directory: str | None) -> str | None:
        if directory and "://" in directory and directory.rstrip("/").endswith(":"):
            raise ValueError(
                f"checkpoint.directory = {shown(directory)} names no place; write a URL such as "
                "s3://bucket/folder"
            )
        is_path = directory is not None and "://" not in directory
        return str(Path(directory).absolute()) if directory and is_path else directory


class WandbConfig(Section):
    """The place of a run in Weights & Biases."""

    section: ClassVar[str] = "tracking.wandb"

    project: str = Field(min_length=1, max_length=128, description="Name of the project.")
    entity: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="User or team that owns it. None: $WANDB_ENTITY, or else your account.",
    )


class TrackingConfig(Section):
    """Where runs are sent: MLflow, and other trackers."""

    section: ClassVar[str] = "tracking"
    role: ClassVar[Role] = Role.RECORD

    enabled: Annotated[bool, Role.SPEED] = Field(
        default=True, description="Send the run to MLflow; false: MLflow is not imported."
    )
    uri: Annotated[str | None, Role.SPEED] = Field(
        None,
        min_length=1,
        max_length=MAX_TEXT,
        description="MLflow tracking URI. None: $MLFLOW_TRACKING_URI, or else the SQLite store "
        "mlflow.db in the current directory, which `reinforce ui` shows.",
    )
    experiment: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_TEXT,
        description="Name of the MLflow experiment. None: $MLFLOW_EXPERIMENT_NAME, or else "
        "$MLFLOW_EXPERIMENT_ID, or else reinforce.",
    )
    register_as: str | None = Field(
        None,
        pattern=r"^[^/:'\"`]{1,256}$",
        description="Name in MLflow's model registry under which the best policy becomes a new "
        "version with the alias champion: up to 256 characters without '/', ':' or quotes. None: "
        "not registered.",
    )
    tensorboard: Annotated[bool, Role.SPEED] = Field(
        default=False,
        description="Also write event files for TensorBoard, to the folder tensorboard of the run "
        "directory; needs the extra tensorboard.",
    )
    wandb: Annotated[WandbConfig | None, Role.SPEED] = Field(
        None,
        description="Also send the metrics to a project of Weights & Biases, such as "
        "{project: mine}; needs the extra wandb. None: send nothing.",
    )
