import numpy as np
import torch
from torch.distributions import Categorical

from reinforce.learner.loss import surrogate_loss
from reinforce.learner.networks.torch_distributions import Categorical as OurCategorical

torch.manual_seed(0)
LOGITS = torch.randn(6, 3, dtype=torch.float64)
ACTIONS = torch.tensor([0, 1, 2, 2, 1, 0])
ADVANTAGES = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0, -1.0], dtype=torch.float64)


def gradient(**changes):
    arguments = {
        "actions": ACTIONS,
        "advantages": ADVANTAGES,
        "num_episodes": 2,
        "entropy_coefficient": 0.1,
    } | changes
    logits = LOGITS.clone().requires_grad_()
    surrogate_loss(OurCategorical(logits), **arguments).loss.backward()
    return logits.grad


def test_the_value_equals_a_loop_over_the_steps():
    policy = Categorical(logits=LOGITS)
    by_hand = 0.0
    for b in range(6):
        by_hand -= policy.log_prob(ACTIONS)[b] * ADVANTAGES[b] / 2
        by_hand -= 0.1 * policy.entropy()[b] / 2

    result = surrogate_loss(OurCategorical(LOGITS), ACTIONS, ADVANTAGES, 2, 0.1)

    torch.testing.assert_close(result.loss, by_hand)
    torch.testing.assert_close(result.log_probs, policy.log_prob(ACTIONS))
    torch.testing.assert_close(result.entropy_sum, policy.entropy().sum())


def test_the_gradient_is_the_score_times_the_advantage_over_the_episodes():
    # d log softmax(z)[a] / dz = onehot(a) - softmax(z)
    scores = torch.nn.functional.one_hot(ACTIONS, 3) - LOGITS.softmax(dim=1)

    torch.testing.assert_close(gradient(entropy_coefficient=0.0), -scores * ADVANTAGES[:, None] / 2)


def test_the_gradient_equals_finite_differences():
    step = 1e-6
    numeric = torch.zeros_like(LOGITS)
    for index in np.ndindex(*LOGITS.shape):
        for sign in (1, -1):
            logits = LOGITS.clone()
            logits[index] += sign * step
            loss = surrogate_loss(OurCategorical(logits), ACTIONS, ADVANTAGES, 2, 0.1).loss
            numeric[index] += sign * loss / (2 * step)

    torch.testing.assert_close(gradient(), numeric, rtol=1e-6, atol=1e-8)


def test_zero_advantages_without_entropy_give_exactly_no_gradient():
    grad = gradient(advantages=torch.zeros(6, dtype=torch.float64), entropy_coefficient=0.0)

    assert not grad.any()


def test_the_entropy_bonus_pulls_towards_uniform():
    grad = gradient(advantages=torch.zeros(6, dtype=torch.float64), entropy_coefficient=1.0)
    before = Categorical(logits=LOGITS).entropy()
    after = Categorical(logits=LOGITS - 0.1 * grad).entropy()

    assert (after > before).all()
