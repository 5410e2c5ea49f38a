"""What travels as plain values arrives as it was, and such values are what Ray need not pickle."""

from dataclasses import fields

import msgpack
import numpy as np
import pytest

from reinforce.cluster.backends.ray.plain_values import (
    plain_report,
    plain_ticket,
    report_from_plain,
    ticket_from_plain,
)
from reinforce.workers.rollout_worker import RolloutReport
from reinforce.workers.tickets import Purpose, Ticket


def sent(values):
    """The values on the other side; a TypeError if Ray would have to pickle one."""
    return msgpack.loads(msgpack.dumps(values, use_bin_type=True, strict_types=True))


@pytest.mark.parametrize("purpose", Purpose)
def test_a_ticket_arrives_as_it_was(purpose):
    ticket = Ticket(purpose, 3, 7, (2**64 - 1, 0, 2**63), greedy=True)

    assert ticket_from_plain(sent(plain_ticket(ticket))) == ticket


def test_every_number_of_a_report_arrives_with_its_bits_and_its_type():
    ticket = Ticket(Purpose.TRAINING, 0, 0, (1, 2))
    report = RolloutReport(
        ticket=ticket,
        policy_version=5,
        episode_returns=np.array([1 / 3, -np.inf]),
        episode_lengths=np.array([2**62, 1]),
        episode_log_probs=np.array([-0.0, 5e-324]),
        truncated=np.array([True, False]),
        num_cut=1,
        num_unknown=0,
        trajectories_sha256="ab" * 32,
        rollout_s=0.1,
        episode_metrics={"score": np.array([np.nan, 2.0])},
        metric_faults={"name": "str half a character: \ud83d"},
    )

    arrived = report_from_plain(ticket, sent(plain_report(report)))

    for field in fields(RolloutReport):
        before, after = getattr(report, field.name), getattr(arrived, field.name)
        if isinstance(before, np.ndarray):
            assert (after.dtype, after.tobytes()) == (before.dtype, before.tobytes())
        elif field.name == "episode_metrics":
            assert after["score"].tobytes() == before["score"].tobytes()
        elif field.name == "metric_faults":
            assert after == {"name": "str half a character: \\ud83d"}
        else:
            assert (type(after), after) == (type(before), before)
