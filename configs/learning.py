"""What learning is: policy and learner sections."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from configs.section import Section

Baseline = Literal["none", "leave_one_out", "time"]
AdvantageScale = Literal["none", "episode", "batch", "running"]
Activation = Literal["tanh", "relu"]


class PolicyConfig(Section):
    """The network that maps observations to a distribution over actions."""

    section: ClassVar[str] = "policy"

    kind: Literal["mlp"] = Field(
        "mlp", description="mlp: fully connected layers over the flat observation."
    )
    hidden_sizes: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field(
        (64, 64), description="Units of each hidden layer, each >= 1. Empty: a linear policy."
    )
    activation: Activation = Field(
        "tanh", description="After each hidden layer. tanh keeps small policies smooth."
    )


class LearnerConfig(Section):
    """The REINFORCE update: gradient = (1/episodes) sum over steps of grad log pi * advantage."""

    section: ClassVar[str] = "learner"

    episodes_per_update: int = Field(
        64,
        ge=1,
        description="Episodes in one batch, >= 1; the batch is fixed before it is sampled. More "
        "episodes, less variance.",
    )
    discount: float = Field(
        0.99,
        ge=0,
        le=1,
        description="Gamma per step, in [0, 1]. Below 1 it buys less variance for some bias.",
    )
    baseline: Baseline = Field(
        "time",
        description="Subtracted from the reward-to-go without bias. leave_one_out: mean return of "
        "the other episodes. time: mean reward-to-go of the other episodes at the same step. Both "
        "need episodes_per_update >= 2.",
    )
    advantage_scale: AdvantageScale = Field(
        "running",
        description="Divides the advantages. batch: by the batch's own deviation (bias of order "
        "1/episodes). running: by that of earlier batches (unbiased direction). episode: "
        "standardises each episode as the article does (biased; for comparison).",
    )
    entropy_coefficient: float = Field(
        0.0,
        ge=0,
        description="Weight of the policy's entropy (nats per step) in the objective, >= 0. Keeps "
        "exploration alive.",
    )
    max_gradient_norm: float | None = Field(
        None,
        gt=0,
        description="Longer gradients are scaled down to this global norm, > 0: a fuse. It biases "
        "when it acts; learner/clipped_fraction counts it. None: off.",
    )
    optimizer: Literal["adam"] = Field("adam", description="Adam, betas 0.9 and 0.999, eps 1e-8.")
    learning_rate: float = Field(
        0.01,
        gt=0,
        description="Step size of the optimizer, > 0: about how far Adam moves a weight.",
    )
    micro_batch_steps: int = Field(
        4096,
        ge=1,
        description="Steps per forward and backward pass, >= 1. Bounds memory and keeps data "
        "in cache; the gradient is the same up to rounding.",
    )
