"""Where and how a run executes: workers, cluster, checkpoint and tracking sections."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from reinforce.configs.quoting import shown
from reinforce.configs.section import MAX_TEXT, Role, Section


class WorkersConfig(Section):
    """Who samples. Only the speed depends on num_workers."""

    section: ClassVar[str] = "workers"
    role: ClassVar[Role] = Role.SPEED

    num_workers: Annotated[int, Field(ge=1, le=10_000)] | Literal["auto"] = Field(
        "auto",
        description="Rollout workers, >= 1. auto: as many as the CPUs at hand allow, following the "
        "nodes of a cluster as they come and go. It changes the speed and nothing else.",
    )
    min_workers: int = Field(
        1,
        ge=1,
        le=10_000,
        description="With num_workers auto, at least so many, >= 1, even if there is no room yet: "
        "an autoscaler sees them wait.",
    )
    max_workers: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="With num_workers auto, at most so many, >= 1. None: no limit.",
    )
    envs_per_worker: Annotated[int, Role.RESULT] = Field(
        16,
        ge=1,
        le=65536,
        description="Lanes: environments that one worker steps together with one call of the "
        "policy, >= 1. Another number gives other, equally good episodes.",
    )
    episodes_per_ticket: Annotated[int, Role.FIXED] = Field(
        16,
        ge=1,
        description="Episodes of one ticket, the unit of work, >= 1. A ticket should take tens "
        "of milliseconds or more.",
    )
    ticket_timeout_s: float = Field(
        600.0,
        gt=0,
        description="Seconds after which, at the latest, a worker that has not returned its ticket "
        "is replaced and the ticket is played again, > 0; earlier if tickets usually take a small "
        "part of that. On Ray; inline, nobody is there to replace it.",
    )
    max_ticket_attempts: int = Field(
        3,
        ge=1,
        description="Starts of one ticket before the run ends with its error, >= 1.",
    )
    show_output: bool = Field(
        default=True,
        description="On Ray, show what environments print and log in the workers, each line with "
        "worker and ticket; false: it stays in Ray's log files.",
    )


class ClusterConfig(Section):
    """Where it runs."""

    section: ClassVar[str] = "cluster"
    role: ClassVar[Role] = Role.SPEED

    backend: Literal["ray", "inline"] = Field(
        "ray",
        description="ray: learner and workers are Ray actors. inline: everything in this process, "
        "without Ray; the results are the same.",
    )
    address: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_TEXT,
        description="Ray cluster to join: HOST:PORT, or 'auto' on a node of it. None: start a "
        "local Ray and stop it at the end.",
    )
    lookahead: Annotated[int, Role.FIXED] = Field(
        0,
        ge=0,
        le=1,
        description="Updates that sampling runs ahead of learning, 0 or 1. 0: episodes are played "
        "with the current weights. 1: always with those before, so that workers sample while the "
        "learner learns; corrected by learner.importance_correction.",
    )
    cpus_per_worker: float = Field(
        1.0, gt=0, description="CPUs that Ray reserves for each rollout worker, > 0."
    )

    priority: float = Field(
        1.0,
        gt=0,
        le=1e6,
        description="Weight of the run where several share a cluster, > 0: with num_workers auto, "
        "runs of 2 and 1 take two thirds and one third of its CPUs, and each at least "
        "workers.min_workers. It changes the speed and nothing else.",
    )
    room_timeout_s: float | None = Field(
        None,
        gt=0,
        description="Seconds that a run waits for CPUs or a GPU that others have taken before it "
        "ends, > 0. None: as long as it takes; the wait is reported.",
    )

    @property
    def is_this_machine(self) -> bool:
        """Whether all of it is here: in this process, or on a local Ray."""
        return self.backend == "inline" or self.address is None


Count = Annotated[int, Field(ge=1)]


class CheckpointConfig(Section):
    """What survives an interruption."""

    section: ClassVar[str] = "checkpoint"
    role: ClassVar[Role] = Role.SPEED

    every_s: float = Field(
        60.0,
        gt=0,
        description="Seconds between checkpoints, > 0. One is always written at the end and when "
        "the run is interrupted.",
    )
    keep: Count | tuple[Count, Count] = Field(
        3,
        description="Newest checkpoints that are kept, >= 1; the best one is kept besides. Two "
        "numbers: how many, and the updates between those that are kept for good.",
    )
    directory: Annotated[str | None, Role.RECORD] = Field(
        None,
        min_length=1,
        max_length=MAX_TEXT,
        description="Folder, or URL such as s3://bucket/folder, that receives a folder of "
        "checkpoints per run. None: in the run directory, which must then outlive the machine.",
    )

    @field_validator("directory")
    @classmethod
    def _is_found_from_anywhere(cls, directory: str | None) -> str | None:
        if directory and "://" in directory and directory.rstrip("/").endswith(":"):
            raise ValueError(
                f"checkpoint.directory = {shown(directory)} names no place; a URL is such as "
                "s3://bucket/folder"
            )
        is_path = directory is not None and "://" not in directory
        return str(Path(directory).absolute()) if directory and is_path else directory


class WandbConfig(Section):
    """Where Weights & Biases shows a run."""

    section: ClassVar[str] = "tracking.wandb"

    project: str = Field(min_length=1, max_length=128, description="Name of the project.")
    entity: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="User or team that it belongs to. None: $WANDB_ENTITY, or the account's own.",
    )


class TrackingConfig(Section):
    """What follows the run directory: an MLflow store, and others beside it."""

    section: ClassVar[str] = "tracking"
    role: ClassVar[Role] = Role.RECORD

    enabled: Annotated[bool, Role.SPEED] = Field(
        default=True, description="Send the run to MLflow; false: MLflow is not imported."
    )
    uri: str | None = Field(
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
        description="Name under which MLflow's model registry gets the best policy as a new "
        "version with the alias champion: up to 256 characters, none of which is '/', ':' or a "
        "quote. None: it is not registered.",
    )
    tensorboard: Annotated[bool, Role.SPEED] = Field(
        default=False,
        description="Write TensorBoard's event files, too, in the folder tensorboard of the run "
        "directory; needs the extra tensorboard.",
    )
    wandb: Annotated[WandbConfig | None, Role.SPEED] = Field(
        None,
        description="Send the metrics to a project of Weights & Biases, too, such as {project: "
        "mine}; needs the extra wandb. None: to none.",
    )
