"""Which variables of a CDF lie along which of its times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ilrs_science.errors import FormatError
from ilrs_science.formats.cdf.file import CdfFile, CdfVariable
from ilrs_science.formats.cdf.time import EPOCHS

_VIRTUAL = "virtual: software of its mission computes it from others"


@dataclass
class Plan:
    """Which variables go where, and what is said of the others."""

    along: dict[str, list[CdfVariable]] = field(default_factory=dict)
    """Variables by the name of their time."""
    timeless: list[CdfVariable] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """Why a variable is left out."""
    guessed: dict[str, str] = field(default_factory=dict)
    """Why a variable is where it is, though its attributes do not say so."""


def plan_of(cdf: CdfFile) -> Plan:
    """Return where variables go: along the time that DEPEND_0 names, or the only one with as many records."""
    plan = Plan()
    epochs = {name: one for name, one in cdf.variables.items() if one.varies and one.type in EPOCHS}
    silent = []
    for name, one in cdf.variables.items():
        time = str(one.attributes.get("DEPEND_0", "")).strip()
        if not one.varies and one.records:
            plan.timeless.append(one)
        elif not one.varies:
            plan.skipped[name] = "no value"
        elif not time or time == name:
            silent.append(one)
        elif reason := _misfit(one, time, epochs.get(time)):
            plan.skipped[name] = reason
        else:
            plan.along.setdefault(time, []).append(one)
    used = set(plan.along) or {one.name for one in silent if one.name in epochs}
    for one in silent:
        _place(plan, one, [epochs[name] for name in sorted(used)])
    return plan


def chosen(cdf: CdfFile, path: Path, plan: Plan, variables: Sequence[str] | None, epoch: str | None) -> Plan:
    """Return the part of a plan that was asked for.

    Raises
    ------
    FormatError
        There is no such variable, it cannot be read, or the variables depend on several times.
    """
    for name in [*(variables or ()), *([epoch] if epoch else [])]:
        if name not in cdf.variables:
            raise FormatError(f"{path}: no variable {name}; it has {', '.join(cdf.variables)}")
    if variables is None:
        along = {name: plan.along.get(name, []) for name in cdf.variables if name == epoch}
        return Plan(along, [one for one in plan.timeless if one.name != epoch], plan.skipped, plan.guessed)
    for name in variables:
        if name in plan.skipped:
            raise FormatError(f"{path}: {name}: {plan.skipped[name]}")
    times = {one.name: time for time, some in plan.along.items() for one in [cdf.variables[time], *some]}
    named = {times[name] for name in variables if name in times} | ({epoch} if epoch else set())
    if len(named) > 1:
        raise FormatError(f"{path}: its variables depend on {', '.join(sorted(named))}; name one")
    return Plan(
        {time: [one for one in plan.along.get(time, []) if one.name in variables] for time in named},
        [one for one in plan.timeless if one.name in variables],
        guessed={name: reason for name, reason in plan.guessed.items() if name in variables},
    )


def _misfit(one: CdfVariable, time: str, epoch: CdfVariable | None) -> str:
    """Return why a variable cannot lie along the time that it names, or nothing."""
    if not one.records and _is_virtual(one):
        return _VIRTUAL
    if epoch is None:
        return f"depends on {time}, which is no time variable"
    if not one.records and epoch.records:
        return "no records"
    return "" if one.records == epoch.records else f"{one.records} records, and its time {time} has {epoch.records}"


def _place(plan: Plan, one: CdfVariable, times: Sequence[CdfVariable]) -> None:
    """Put a variable that names no time where it belongs."""
    fitting = [time.name for time in times if time.records == one.records]
    if one in times:
        plan.along.setdefault(one.name, [])
    elif not one.records:
        plan.skipped[one.name] = _VIRTUAL if _is_virtual(one) else "no records"
    elif len(fitting) == 1:
        plan.along.setdefault(fitting[0], []).append(one)
        plan.guessed[one.name] = f"names no time, and is put along {fitting[0]}, the only one of {one.records} records"
    else:
        plan.timeless.append(one)


def _is_virtual(one: CdfVariable) -> bool:
    return str(one.attributes.get("VIRTUAL", "")).strip().lower() == "true"
