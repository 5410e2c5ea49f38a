"""How the policy learns: the sections policy and learner."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from reinforce.configs.plain_values import as_plain
from reinforce.configs.section import MAX_EPISODES, MAX_TEXT, Role, Section

Baseline = Literal["none", "leave_one_out", "time", "linear", "value"]
ReturnKind = Literal["reward_to_go", "total"]
Truncation = Literal["as_termination", "bootstrap"]
ImportanceCorrection = Literal["none", "per_step", "per_decision"]
OptimizerKind = Literal["adam", "adamw", "rmsprop", "sgd"]
AdvantageScale = Literal["none", "episode", "batch", "running"]
Activation = Literal["tanh", "relu"]
Channels = Literal["first", "last"]
Device = Literal["cpu", "cuda"]
Precision = Literal["float32", "bfloat16"]
Episodes = Annotated[int, Field(ge=2, le=MAX_EPISODES)]
Rate = Annotated[float, Field(gt=0, le=1000)]
Coefficient = Annotated[float, Field(ge=0, le=1e6)]
Scheduled = float | tuple[float, float]
"""A constant, or (start, end) of a linear schedule."""

GRADIENT_GROUPS = 8
"""Groups of a batch's episodes: their gradients are added in order, whoever computed them, and
compared for the signal-to-noise ratio."""

SHAPE_OF_VALUES = ("baseline", "value_horizon_steps", "value_memory")
"""Settings of the learner that decide what a fitted baseline consists of."""


class PolicyConfig(Section):
    """The network that maps observations to a distribution over actions."""

    section: ClassVar[str] = "policy"
    role: ClassVar[Role] = Role.FIXED

    kind: str = Field(
        "mlp",
        max_length=MAX_TEXT,
        pattern=r"^(mlp|cnn|gru|[\w.]+:\w+)$",
        description="mlp: fully connected layers over the flat observation. cnn: convolutions for "
        "each image, joined with the rest. gru: with a memory of the episode. 'module:Class': "
        "your own torch Module (page Policies of the docs).",
    )
    hidden_sizes: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field(
        (64, 64),
        description="Units of each hidden layer, each >= 1. Empty: a linear policy. In gru, the "
        "last one is the memory.",
    )
    activation: Activation = Field(
        "tanh", description="Function after each hidden layer. tanh keeps small policies smooth."
    )
    normalize_observations: bool = Field(
        default=False,
        description="Shift and scale measurements by their mean and deviation over all steps so "
        "far. The learner computes these; each version of the weights carries its own.",
    )
    channels: Channels | None = Field(
        None,
        description="Where convolutions find the channels of an image: first, as in (channels, "
        "height, width), or last. None: the shape decides; ambiguous shapes are refused "
        "(page Environments of the docs).",
    )
    arguments: Annotated[dict[str, Any], as_plain("policy.arguments")] = Field(
        default_factory=dict,
        description="Keyword arguments of your own module:Class, as a YAML mapping.",
    )


class LearnerConfig(Section):
    """The REINFORCE update: gradient = (1/episodes) sum over steps of grad log pi * advantage."""

    section: ClassVar[str] = "learner"

    episodes_per_update: Annotated[int, Field(ge=1, le=MAX_EPISODES)] | Literal["auto"] = Field(
        64,
        description="Episodes per batch, 1 to 1,000,000; the batch is fixed before it is sampled. "
        "More episodes mean less variance. auto: grows within episodes_bounds until "
        "learner/gradient_snr reaches gradient_snr_target.",
    )
    episodes_bounds: tuple[Episodes, Episodes] = Field(
        (16, 1024),
        description="Smallest and largest batch of episodes_per_update auto, in episodes, 2 to "
        "1,000,000.",
    )
    gradient_snr_target: float = Field(
        1.0,
        gt=0,
        description="Signal-to-noise ratio of the policy gradient that episodes_per_update auto "
        "aims at, > 0: squared length over variance, without the entropy bonus. At 1, half of the "
        "update is noise.",
    )
    return_kind: ReturnKind = Field(
        "reward_to_go",
        description="The rewards that an action is credited with. reward_to_go: those from its "
        "step on. total: those of the whole episode, also unbiased but with more variance.",
    )
    discount: float = Field(
        0.99,
        ge=0,
        le=1,
        description="Gamma per step, in [0, 1]. Below 1 it lowers the variance and adds some bias.",
    )
    discount_state_weight: bool = Field(
        default=False,
        description="Weight step t by gamma^t: exact for the discounted objective, but late steps "
        "hardly count. false: gamma lowers the variance for the undiscounted objective.",
    )
    truncation: Truncation = Field(
        "as_termination",
        description="How to treat an episode cut by a time limit. as_termination: its return ends "
        "there, which is unbiased if the limit is part of the task. bootstrap: the value function "
        "continues it, for discounts below 1.",
    )
    baseline: Baseline = Field(
        "time",
        description="Subtracted to lower the variance, without bias while gae_lambda is 1. "
        "leave_one_out: mean return of the other episodes. time: their mean from the same step "
        "on. linear: least squares on time and observation, fitted on the previous batch. value: "
        "a network, fitted after use. The first two need episodes_per_update >= 2.",
    )
    gae_lambda: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Lambda of generalised advantage estimation, in [0, 1]; needs baseline value. "
        "1: no bias. Below 1 it trusts the value function more: less variance, more bias.",
    )
    value_learning_rate: float = Field(
        0.003, gt=0, description="Learning rate of Adam for the value function, > 0."
    )
    value_horizon_steps: int | None = Field(
        None,
        ge=1,
        description="Show the value function the time, too, as the step of the episode divided by "
        "this number, >= 1. Best set to the time limit, near which little is left to earn. None: "
        "it sees only the observation.",
    )
    value_memory: bool = Field(
        default=False,
        description="Give the value function a memory of its own, as policy.kind gru has, so that "
        "it sees the episode so far. false: it sees only the observation of the step, even "
        "if the policy remembers more.",
    )
    advantage_scale: AdvantageScale = Field(
        "running",
        description="What the advantages are divided by. batch: the batch's own root mean square "
        "(bias of order 1/episodes). running: that of earlier batches, except for the first one "
        "(keeps the expected direction). episode: standardises each episode as the article does "
        "(biased; for comparison).",
    )
    importance_correction: ImportanceCorrection = Field(
        "per_decision",
        description="With cluster.lookahead 1, how episodes of the previous version are weighted. "
        "per_decision: exactly. per_step: by the ratio of the step's own action (biased). none: "
        "not at all (biased).",
    )
    importance_cap: float | None = Field(
        None,
        ge=1,
        description="Upper limit of importance weights, >= 1: less variance, some bias. None: no "
        "limit.",
    )
    importance_self_normalize: bool = Field(
        default=False,
        description="Divide importance weights by their mean at the same step: less variance, bias "
        "that vanishes with the number of episodes.",
    )
    entropy_coefficient: Coefficient | tuple[Coefficient, Coefficient] = Field(
        0.0,
        description="Weight of a bonus for the policy's entropy (nats per step) in the visited "
        "states, >= 0, added to the scaled advantages. Keeps exploration alive. Two numbers: "
        "start and end of a linear schedule.",
    )
    entropy_reward: Coefficient | tuple[Coefficient, Coefficient] = Field(
        0.0,
        description="Alpha of the maximum-entropy objective, >= 0, in units of the reward per "
        "nat: each step also earns -alpha log pi(a|s), so actions are credited with the entropy "
        "of the states they lead to. Two numbers: start and end of a linear schedule.",
    )
    max_gradient_norm: float | None = Field(
        None,
        gt=0,
        description="Longer gradients are scaled down to this global norm, > 0. A safeguard, "
        "biased when it acts; learner/clipped_fraction counts how often. None: off.",
    )
    max_kl: float | None = Field(
        None,
        ge=1e-6,
        description="Limit on the mean KL divergence of a step over the states of its batch, in "
        "nats, >= 1e-6, such as 0.02. A longer step is shortened to fit, so the learning rate may "
        "be large. learner/step_fraction shows the fraction taken. None: off.",
    )
    optimizer: OptimizerKind = Field(
        "adam",
        description="adam, adamw (weight decay 0.01), rmsprop or sgd, as defined by Torch.",
    )
    learning_rate: Rate | tuple[Rate, Rate] = Field(
        0.01,
        description="Learning rate of the optimizer, > 0: about how far Adam moves a weight per "
        "update. Two numbers: start and end of a linear schedule.",
    )
    schedule_updates: int | None = Field(
        None,
        ge=1,
        description="Updates over which two-number settings move from start to end, >= 1.",
    )
    micro_batch_steps: int = Field(
        4096,
        ge=1,
        description="Steps per forward and backward pass, >= 1. Bounds memory and keeps data "
        "in cache; the gradient is the same up to rounding.",
    )
    num_learners: Annotated[int, Role.SPEED] = Field(
        1,
        ge=1,
        le=GRADIENT_GROUPS,
        description="Processes on Ray that share the gradient of a batch, 1 to 8; best 1, 2, 4 or "
        "8. It changes only the speed, and pays for large networks and batches. With cuda each "
        "takes a GPU. Inline there is one.",
    )
    device: Device = Field(
        "cpu",
        description="Where the learner computes. cuda: the GPU, worth it for images and large "
        "networks. Set it yourself: it is not detected, because its weights differ in the last "
        "bits. Workers always use the CPU.",
    )
    precision: Precision = Field(
        "float32",
        description="Precision in which the policy's network is differentiated. bfloat16: faster "
        "on GPUs, with rounding errors in each log-probability and so in the gradient "
        "(page Policies of the docs has figures). Weights, loss and optimizer stay float32.",
    )
    compile: bool = Field(
        default=False,
        description="Compile kernels for the policy's network with torch.compile. For GPUs and "
        "large networks: it takes tens of seconds at the start.",
    )

    @property
    def gpus(self) -> int:
        """GPUs of each learner."""
        return int(self.device == "cuda")
