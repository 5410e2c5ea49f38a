"""What is said of losses: one sentence at once, then all that came meanwhile in one more."""

import pytest
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayTaskError, RuntimeEnvSetupError

from reinforce.cluster.backends.ray.incidents import (
    Incident,
    Incidents,
    cause_of,
    fails_to_start,
)
from reinforce.workers.tickets import Purpose, draw_tickets

FIRST, SECOND = draw_tickets(0, Purpose.TRAINING, 12, 64, 32)


def test_the_first_loss_is_told_at_once_and_only_once():
    losses = Incidents()
    losses.add(Incident.WORKER, "the node is gone", FIRST)

    assert losses.sentence(100.0) == (
        "a worker was lost (the node is gone); ticket training 12:0 is played again, and the "
        "result is the same"
    )
    assert losses.sentence(200.0) is None


def test_a_worker_without_a_ticket_costs_nothing():
    losses = Incidents()
    losses.add(Incident.WORKER, "it did not start in time", None)

    assert losses.sentence(0.0) == (
        "a worker was lost (it did not start in time); the run continues, and its result is the "
        "same"
    )


def test_what_comes_within_five_seconds_is_told_together_afterwards():
    losses = Incidents()
    losses.add(Incident.EPISODE, "KeyError: 'map'", FIRST)
    losses.sentence(100.0)
    for cause, ticket in (("the node is gone", FIRST), ("died", SECOND), ("died", FIRST)):
        losses.add(Incident.WORKER, cause, ticket)
    losses.add(Incident.EPISODE, "KeyError: 'map'", SECOND)

    assert losses.sentence(104.9) is None
    assert losses.sentence(105.1) == (
        "3 workers were lost (2 x died; the node is gone), an environment failed (KeyError: "
        "'map'); 2 tickets are played again, in new environments; if the second "
        "attempt succeeds, the environment is not determined by its seed, and results may differ "
        "between runs"
    )


def test_when_the_run_is_over_nothing_waits_for_its_time():
    losses = Incidents()
    for ticket in (FIRST, SECOND):
        losses.add(Incident.WORKER, "died", ticket)
        assert losses.sentence(100.0, at_once=True)


def test_a_hundred_losses_are_one_sentence_that_fits_a_few_lines():
    losses = Incidents()
    for number in range(100):
        losses.add(Incident.EPISODE, f"KeyError: {number}", FIRST)

    sentence = losses.sentence(0.0)

    assert sentence.startswith("environments failed 100 times (KeyError: 0; KeyError: 1; ")
    assert len(sentence) < 300


@pytest.mark.parametrize(
    ("error", "is_alive", "cause"),
    [
        (ActorDiedError(), True, "the process was killed, or crashed, or memory ran out"),
        (ActorDiedError(), False, "the node is gone"),
        (OutOfMemoryError("..."), True, "Ray ended it because its node ran out of memory"),
        (
            RayTaskError("play", "Traceback ...", ValueError("wheel\nand more")),
            True,
            "ValueError: wheel",
        ),
    ],
)
def test_causes_are_named_without_the_words_of_ray(error, is_alive, cause):
    assert cause_of(error, has_node=is_alive) == cause


def test_a_runtime_environment_that_fails_is_a_start_that_fails_with_its_last_line():
    error = RuntimeEnvSetupError("Traceback ...\nOSError: the package my_envs is not to be had\n")

    assert fails_to_start(error)
    assert cause_of(error) == "it did not start: OSError: the package my_envs is not to be had"
    assert not fails_to_start(ActorDiedError())
