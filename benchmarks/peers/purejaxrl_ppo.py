"""PureJaxRL's PPO: environment and learning in one compiled program, CartPole-v1 settings.

luchris429/purejaxrl, purejaxrl/ppo.py at 146b485, is a repository to copy from, not a package: this
is our own program of the same structure and settings, on gymnax's CartPole. Actor and critic of
64-64 with tanh, four environments, 128 steps, four epochs of four minibatches, gamma 0.99, lambda
0.95, clipping at 0.2, entropy 0.01, gradients clipped at 0.5, Adam at 2.5e-4 falling linearly over
500,000 steps. The original compiles all updates into one scan; here a scan holds ten of them, so
that the judge can look in between.

    python benchmarks/peers/purejaxrl_ppo.py --seed 0 [--environments 256]
"""

import argparse
import time
from typing import Any, NamedTuple

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax.linen.initializers import orthogonal
from judge import Judge, RecentReturns, run

NUM_STEPS = 128
NUM_UPDATES = 500_000 // NUM_STEPS // 4
NUM_EPOCHS = NUM_MINIBATCHES = 4
GAMMA, LAMBDA = 0.99, 0.95
CLIP = 0.2
ENTROPY_COEFFICIENT, VALUE_COEFFICIENT = 0.01, 0.5
MAX_GRADIENT_NORM = 0.5
LEARNING_RATE = 2.5e-4
UPDATES_PER_CALL = 10

ENVIRONMENT, PARAMETERS = gymnax.make("CartPole-v1")


class Head(nn.Module):
    """64-64 with tanh and an output layer of its own scale."""

    num_outputs: int
    output_scale: float

    @nn.compact
    def __call__(self, hidden: jax.Array) -> jax.Array:
        """Return [N, num_outputs] for observations [N, 4]."""
        for _ in range(2):
            hidden = nn.tanh(nn.Dense(64, kernel_init=orthogonal(np.sqrt(2)))(hidden))
        return nn.Dense(self.num_outputs, kernel_init=orthogonal(self.output_scale))(hidden)


class ActorCritic(nn.Module):
    """Two networks that share nothing."""

    @nn.compact
    def __call__(self, observations: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return log-probabilities [N, 2] and values [N] for observations [N, 4]."""
        logits = Head(2, 0.01)(observations)
        return nn.log_softmax(logits), Head(1, 1.0)(observations).squeeze(-1)


NETWORK = ActorCritic()


class Transition(NamedTuple):
    """One step of every environment; stacked over a rollout each has [NUM_STEPS, N] in front."""

    observation: jax.Array
    action: jax.Array
    log_prob: jax.Array
    value: jax.Array
    reward: jax.Array
    done: jax.Array


class State(NamedTuple):
    """All that an update starts from."""

    weights: Any
    optimizer: Any
    environment: Any
    observation: jax.Array
    key: jax.Array


def chosen(log_policy: jax.Array, actions: jax.Array) -> jax.Array:
    """Return the log-probabilities [N] of the actions [N]."""
    return jnp.take_along_axis(log_policy, actions[:, None], axis=1)[:, 0]


def step(state: State, _: None) -> tuple[State, Transition]:
    """Act and step every environment once."""
    key, action_key, step_key = jax.random.split(state.key, 3)
    log_policy, value = NETWORK.apply(state.weights, state.observation)
    action = jax.random.categorical(action_key, log_policy)
    observation, environment, reward, terminated, truncated, _ = jax.vmap(
        ENVIRONMENT.step, in_axes=(0, 0, 0, None)
    )(jax.random.split(step_key, len(action)), state.environment, action, PARAMETERS)
    transition = Transition(
        state.observation,
        action,
        chosen(log_policy, action),
        value,
        reward,
        terminated | truncated,
    )
    return State(state.weights, state.optimizer, environment, observation, key), transition


def advantages_of(rollout: Transition, last_value: jax.Array) -> jax.Array:
    """Return generalised advantage estimates [NUM_STEPS, N]."""

    def backward(carry: tuple, transition: Transition) -> tuple[tuple, jax.Array]:
        advantage, next_value = carry
        goes_on = 1.0 - transition.done
        error = transition.reward + GAMMA * next_value * goes_on - transition.value
        advantage = error + GAMMA * LAMBDA * goes_on * advantage
        return (advantage, transition.value), advantage

    start = (jnp.zeros_like(last_value), last_value)
    return jax.lax.scan(backward, start, rollout, reverse=True, unroll=16)[1]


def loss(weights: Any, batch: Transition, advantages: jax.Array, targets: jax.Array) -> jax.Array:
    """Return PPO's clipped loss of a minibatch, with the clipped value loss."""
    log_policy, value = NETWORK.apply(weights, batch.observation)
    clipped_value = batch.value + jnp.clip(value - batch.value, -CLIP, CLIP)
    value_loss = jnp.maximum((value - targets) ** 2, (clipped_value - targets) ** 2)
    ratio = jnp.exp(chosen(log_policy, batch.action) - batch.log_prob)
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    gain = jnp.minimum(ratio * advantages, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * advantages)
    entropy = -(jnp.exp(log_policy) * log_policy).sum(axis=1)
    return (
        VALUE_COEFFICIENT * 0.5 * value_loss.mean()
        - gain.mean()
        - ENTROPY_COEFFICIENT * entropy.mean()
    )


def make_optimizer(num_updates: int) -> optax.GradientTransformation:
    """Return Adam whose learning rate falls with every update, not with every minibatch."""

    def learning_rate(count: jax.Array) -> jax.Array:
        return LEARNING_RATE * (1.0 - (count // (NUM_MINIBATCHES * NUM_EPOCHS)) / num_updates)

    return optax.chain(
        optax.clip_by_global_norm(MAX_GRADIENT_NORM), optax.adam(learning_rate, eps=1e-5)
    )


def make_update(optimizer: optax.GradientTransformation) -> Any:
    """Return the function that samples one batch and learns from it."""

    def minibatch_step(carry: tuple, minibatch: tuple) -> tuple[tuple, None]:
        weights, optimizer_state = carry
        gradient = jax.grad(loss)(weights, *minibatch)
        change, optimizer_state = optimizer.update(gradient, optimizer_state, weights)
        return (optax.apply_updates(weights, change), optimizer_state), None

    def update(state: State, _: None) -> tuple[State, jax.Array]:
        state, rollout = jax.lax.scan(step, state, None, NUM_STEPS)
        advantages = advantages_of(rollout, NETWORK.apply(state.weights, state.observation)[1])
        batch = (rollout, advantages, advantages + rollout.value)
        batch = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)

        def epoch(carry: tuple, key: jax.Array) -> tuple[tuple, None]:
            order = jax.random.permutation(key, len(batch[1])).reshape(NUM_MINIBATCHES, -1)
            minibatches = jax.tree.map(lambda x: x[order], batch)
            return jax.lax.scan(minibatch_step, carry, minibatches)

        key, epoch_key = jax.random.split(state.key)
        (weights, optimizer_state), _ = jax.lax.scan(
            epoch, (state.weights, state.optimizer), jax.random.split(epoch_key, NUM_EPOCHS)
        )
        state = State(weights, optimizer_state, state.environment, state.observation, key)
        return state, rollout.done

    return update


def first_state(seed: int, num_environments: int, optimizer: optax.GradientTransformation) -> State:
    """Return fresh weights and environments."""
    key, weights_key, reset_key = jax.random.split(jax.random.PRNGKey(seed), 3)
    weights = NETWORK.init(weights_key, jnp.zeros((1, 4)))
    observation, environment = jax.vmap(ENVIRONMENT.reset, in_axes=(0, None))(
        jax.random.split(reset_key, num_environments), PARAMETERS
    )
    return State(weights, optimizer.init(weights), environment, observation, key)


class Episodes:
    """Counts the episodes of every environment from where they end: each step is worth 1."""

    def __init__(self, num_environments: int) -> None:
        self.recent = RecentReturns()
        self._started = np.zeros(num_environments, dtype=int)

    def count(self, done: np.ndarray) -> None:
        """Take whether each step [T, N] was the last of its episode."""
        for step_number, lane in zip(*np.nonzero(done), strict=True):
            self.recent.add(float(step_number + 1 - self._started[lane]))
            self._started[lane] = step_number + 1
        self._started -= len(done)


def train(seed: int, judge: Judge) -> None:
    """Train ten updates at a time; compiling them counts as training."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--environments", type=int, default=4)
    num_environments = parser.parse_known_args()[0].environments
    num_updates = NUM_UPDATES
    judge.start()
    optimizer = make_optimizer(num_updates)
    update = make_update(optimizer)
    state = first_state(seed, num_environments, optimizer)
    ten_updates = jax.jit(lambda state: jax.lax.scan(update, state, None, UPDATES_PER_CALL))
    compiled = ten_updates.lower(state).compile()
    judge.compilation_s = time.perf_counter() - judge.started

    greedy = jax.jit(lambda weights, x: NETWORK.apply(weights, x)[0].argmax(axis=1))
    num_steps, episodes = 0, Episodes(num_environments)

    def act(observations: np.ndarray) -> np.ndarray:
        return np.asarray(greedy(state.weights, observations))

    for _ in range(num_updates // UPDATES_PER_CALL):
        state, done = compiled(state)
        episodes.count(np.asarray(done).reshape(-1, num_environments))
        num_steps += UPDATES_PER_CALL * NUM_STEPS * num_environments
        judge.look(num_steps, act, episodes.recent.mean())
    judge.look(num_steps, act, episodes.recent.mean(), last=True)


if __name__ == "__main__":
    run(train, ["jax", "flax", "optax", "gymnax", "gymnasium"])
