"""Tickets and reports on their way between driver and worker, as lists of plain values.

Ray's pickler is written in Python and runs for each object; plain values pass it by. It took a
sixth of the driver's main thread (docs/decisions/0119-what-a-ticket-costs-the-driver.md).
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from reinforce.workers.rollout_worker import RolloutReport
from reinforce.workers.tickets import Purpose, Ticket

_REPORTED = [field.name for field in fields(RolloutReport) if field.name != "ticket"]


def plain_ticket(ticket: Ticket) -> list[Any]:
    """Return what ``ticket_from_plain`` makes the ticket from."""
    return [
        int(ticket.purpose),
        ticket.update,
        ticket.index,
        list(ticket.episode_seeds),
        ticket.greedy,
    ]


def ticket_from_plain(values: list[Any]) -> Ticket:
    """Return the ticket that became these values."""
    purpose, update, index, episode_seeds, greedy = values
    return Ticket(Purpose(purpose), update, index, tuple(episode_seeds), greedy)


def plain_report(report: RolloutReport) -> list[Any]:
    """Return what ``report_from_plain`` makes the report from, which knows the ticket."""
    return [_plain(getattr(report, name)) for name in _REPORTED]


def report_from_plain(ticket: Ticket, values: list[Any]) -> RolloutReport:
    """Return the report on a ticket that became these values; every number has its bits again."""
    return RolloutReport(ticket, *map(_restored, values))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, str):  # an environment may have put half a character into its ``info``
        return value.encode("utf-8", "backslashreplace").decode()
    return {name: _plain(v) for name, v in value.items()} if isinstance(value, Mapping) else value


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return np.array(value)
    return {name: _restored(v) for name, v in value.items()} if isinstance(value, dict) else value
