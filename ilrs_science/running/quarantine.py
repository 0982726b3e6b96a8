"""A part that a worker did not survive: tried again alone, in a process of its own, until the culprit has a name.

What twice, alone, crashes or passes our limits is rejected by name; any other death of a process is an outage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ilrs_science.executors.child import Quarantine
from ilrs_science.executors.items import Ended, Limits
from ilrs_science.reduction.worker import failed, reduce_ticket, try_ticket
from ilrs_science.store import tables

quarantine = Quarantine()
"""Of this process."""

type Ticket = Mapping[str, Any]


def reduce_suspicious(suspicious: Mapping[str, Any]) -> dict[str, Any]:
    """Do a part that may crash, hang or eat the memory; from JSON to JSON, and wherever the data are at hand.

    Parameters
    ----------
    suspicious
        A `ticket`, and the `limits` of seconds and memory.

    Returns
    -------
    The record of the part: done, with the granules that are to blame rejected, or failed with the reason.
    """
    ticket, limits = suspicious["ticket"], Limits(**suspicious["limits"])
    rejected: dict[int, str] = {}
    while True:
        ended = quarantine.tried(reduce_ticket, {**ticket, "rejected": rejected}, limits)
        if ended.value is not None:
            return dict(ended.value)
        if ended.cause == "killed":
            return _failed(ticket, ended, "outage")
        culprits = _culprits(ticket, ended, rejected, limits)
        if not culprits:
            return _failed(ticket, ended, "fault")
        rejected |= culprits


def _culprits(ticket: Ticket, ended: Ended[Ticket, Any], rejected: Mapping[int, str], limits: Limits) -> dict[int, str]:
    """Return the granules that are to blame, by number, each with the reason.

    Files are read, and steps over whole granules are run, one by one. Other steps have the samples of several in hand:
    each of these is tried with none of the others. If all of them do it, it is the step's own fault, and no granule is
    rejected (ADR 0004).
    """
    suspects = [number for number in ended.stage.sources if number not in rejected]
    if ended.stage.one_by_one:
        return dict.fromkeys(suspects, ended.reason)
    others = "another one is being tried"
    found = {}
    for number in suspects:
        but = {one: others for one in range(_granules(ticket)) if one != number}
        tried = quarantine.call(try_ticket, {**ticket, "rejected": but}, limits)
        if tried.cause in ("crash", "limit"):
            found[number] = tried.reason
    return found if len(found) < len(suspects) else {}


def _granules(ticket: Ticket) -> int:
    return sum(end - begin for begin, end in ticket["granules"])


def _failed(ticket: Ticket, ended: Ended[Ticket, Any], failure: Any) -> dict[str, Any]:
    part = tables.part_of(ticket)
    names = ", ".join(part.granules[number].url for number in ended.stage.sources)
    reason = f"{ended.reason}{f', with {names} in hand' if names else ''}"
    return failed(part, reason, failure).as_json()
