"""A user's policies, as docs/policies.md describes them, and some that are not policies."""

import threading

import torch
from torch import Tensor, nn


class Attentive(nn.Module):
    """Each named part of the observation is embedded, and the embeddings are added."""

    def __init__(
        self, observation_shapes: dict[str, tuple[int, ...]], num_outputs: int, width: int = 16
    ) -> None:
        super().__init__()
        sizes = {
            name: int(torch.tensor(shape).prod()) for name, shape in observation_shapes.items()
        }
        self.names = list(sizes)
        self.embeddings = nn.ModuleList(nn.Linear(size, width) for size in sizes.values())
        self.last = nn.Linear(width, num_outputs)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        parts = zip(self.names, self.embeddings, strict=True)
        sums = sum(layer(observations[name].float().flatten(1) / 9) for name, layer in parts)
        return self.last(torch.tanh(sums))


class Counter(nn.Module):
    """Recurrent: adds up what it sees."""

    def __init__(self, observation_shapes: dict[str, tuple[int, ...]], num_outputs: int) -> None:
        super().__init__()
        (shape,) = observation_shapes.values()
        self.state_size = shape[0]
        self.last = nn.Linear(self.state_size, num_outputs)

    def forward(self, observations: dict[str, Tensor], episode_lengths) -> Tensor:
        (seen,) = observations.values()
        episodes = torch.split(seen, episode_lengths.tolist())
        return self.last(torch.cat([episode.cumsum(dim=0) for episode in episodes]))

    def step(self, observations: dict[str, Tensor], states: Tensor) -> tuple[Tensor, Tensor]:
        (seen,) = observations.values()
        return self.last(states + seen), states + seen


class Projecting(nn.Module):
    """Looks at fixed random features, which are no parameters."""

    def __init__(self, observation_shapes: dict[str, tuple[int, ...]], num_outputs: int) -> None:
        super().__init__()
        (shape,) = observation_shapes.values()
        self.register_buffer("directions", torch.randn(shape[0], 16))
        self.last = nn.Linear(16, num_outputs)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        (seen,) = observations.values()
        return self.last(torch.tanh(seen @ self.directions))


class Twinned(nn.Module):
    """Two parameters whose gradients are one and the same tensor."""

    def __init__(self, observation_shapes: dict[str, tuple[int, ...]], num_outputs: int) -> None:
        super().__init__()
        (shape,) = observation_shapes.values()
        self.first, self.second = (nn.Parameter(torch.randn(num_outputs)) for _ in range(2))
        self.last = nn.Linear(shape[0], num_outputs)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        (seen,) = observations.values()
        return self.last(seen) + (self.first + self.second)


class Branching(Attentive):
    """Decides by what it sees how it goes on."""

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        outputs = super().forward(observations)
        return outputs if outputs.sum() < 1e6 else -outputs


class Rare(Attentive):
    """Uses a function that ONNX does not know."""

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        return super().forward({x: torch.special.bessel_j0(y) for x, y in observations.items()})


class Dropping(Attentive):
    """Random."""

    def __init__(self, observation_shapes, num_outputs):
        super().__init__(observation_shapes, num_outputs)
        self.drop = nn.Dropout(0.1)


class DroppingInside(Attentive):
    """Random by what a library's layer does unless it is told otherwise."""

    def __init__(self, observation_shapes, num_outputs):
        super().__init__(observation_shapes, num_outputs)
        self.blocks = nn.Sequential(nn.TransformerEncoderLayer(16, 2))


class DroppingBetween(Attentive):
    """Random without a layer of its own for it."""

    def __init__(self, observation_shapes, num_outputs):
        super().__init__(observation_shapes, num_outputs)
        self.memory = nn.LSTM(16, 16, 2, dropout=0.1)


class Lazy(nn.Module):
    """Finds out by the first observation how many inputs it has."""

    def __init__(self, observation_shapes, num_outputs):
        super().__init__()
        self.last = nn.LazyLinear(num_outputs)


class Unsound(nn.Module):
    """Forgets to call what makes it a module."""

    def __init__(self, observation_shapes, num_outputs):
        self.last = None


class Unsized(Attentive):
    """Says how much it remembers in words."""

    state_size = "much"


class Asserting(nn.Module):
    """Checks its arguments and says nothing."""

    def __init__(self, observation_shapes, num_outputs):
        assert num_outputs > 9


class Locking(Attentive):
    """Holds what cannot be copied."""

    def __init__(self, observation_shapes, num_outputs):
        super().__init__(observation_shapes, num_outputs)
        self.lock = threading.Lock()


class Normalizing(Attentive):
    """Depends on the rest of the batch."""

    def __init__(self, observation_shapes, num_outputs):
        super().__init__(observation_shapes, num_outputs)
        self.norm = nn.BatchNorm1d(16)


class Mixing(Attentive):
    """Depends on the rest of the batch, by hand."""

    def forward(self, observations):
        outputs = super().forward(observations)
        return outputs - outputs.mean(dim=0)


class MixingLater(Mixing):
    """The same, unseen at first: its last layer begins with zeros."""

    def __init__(self, observation_shapes, num_outputs):
        super().__init__(observation_shapes, num_outputs)
        nn.init.zeros_(self.last.weight)


class DroppingLater(Attentive):
    """Random, by hand, and unseen at first."""

    def __init__(self, observation_shapes, num_outputs):
        super().__init__(observation_shapes, num_outputs)
        nn.init.zeros_(self.last.weight)

    def forward(self, observations):
        hidden = {name: nn.functional.dropout(x, 0.5) for name, x in observations.items()}
        return super().forward(hidden)


class Forgetful(Counter):
    """Forgets in step what it saw before."""

    def step(self, observations, states):
        return super().step(observations, torch.zeros_like(states))


class Shuffling(Attentive):
    """Has a buffer of whole numbers, drawn at random or from a fixed seed."""

    def __init__(self, observation_shapes, num_outputs, *, is_seeded=False):
        super().__init__(observation_shapes, num_outputs)
        generator = torch.Generator().manual_seed(0) if is_seeded else None
        self.register_buffer("order", torch.randperm(num_outputs * 50, generator=generator))


class Precise(Attentive):
    """Has numbers that lose their digits on the way: a parameter or a buffer."""

    def __init__(self, observation_shapes, num_outputs, what, dtype="float64"):
        super().__init__(observation_shapes, num_outputs)
        numbers = torch.ones(2, dtype=getattr(torch, dtype))
        if what == "parameter":
            self.fine = nn.Parameter(numbers)
        else:
            self.register_buffer("fine", numbers)


class TooFew(Attentive):
    """Ignores how many outputs are wanted."""

    def __init__(self, observation_shapes, num_outputs):
        super().__init__(observation_shapes, num_outputs + 1)


class Paired(Attentive):
    """Returns values beside the logits."""

    def forward(self, observations):
        outputs = super().forward(observations)
        return outputs, outputs[:, :1]


class Detached(Attentive):
    """Cuts its outputs off from its parameters."""

    def forward(self, observations):
        return super().forward(observations).detach()


class Zeroed(Attentive):
    """Has a gradient, of zeros."""

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        return super().forward(observations) * 0.0


class Ungraded(Counter):
    """The same, in a recurrent one and by the other way."""

    @torch.no_grad()
    def forward(self, observations, episode_lengths):
        return super().forward(observations, episode_lengths)


class Overwriting(Attentive):
    """Acts, and overwrites what its gradient needs."""

    def forward(self, observations):
        outputs = torch.exp(super().forward(observations))
        outputs += 1.0
        return outputs


class Unlearnable(nn.Module):
    """Has no parameters."""

    def __init__(self, observation_shapes, num_outputs):
        super().__init__()


class NoModule:
    """Is no torch Module."""

    def __init__(self, observation_shapes, num_outputs):
        pass
