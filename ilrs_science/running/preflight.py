"""Do the workers have what the plan needs? Asked before the first task, answered for all workers at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ilrs_science import registry
from ilrs_science.code import code_of
from ilrs_science.errors import Fault, PlanError, PluginError
from ilrs_science.executors.dask import lacking, on_every_worker
from ilrs_science.planning.planned import Plan

if TYPE_CHECKING:
    from distributed import Client


def describe_plugins(instrument: str, steps: Sequence[str], formats: Sequence[str]) -> dict[str, str]:
    """Return what this process has of an instrument and its steps: version and digests of code, or a problem."""
    try:
        found = registry.instrument(instrument)
        code = code_of(found, [registry.step(name, found) for name in steps], formats)
    except PluginError as error:
        return {"problem": str(error)}
    distribution, version = registry.distribution_of("instruments", instrument)
    return {"plugin": f"{distribution} {version}", "code": f"{code.ours[:12]} and {code.plugin[:12]}"}


def check_workers(client: Client, made: Plan, patience: float) -> None:
    """Compare every worker with this process.

    Parameters
    ----------
    patience
        Seconds to wait for the first worker, which may be in the queue of a batch system.

    Raises
    ------
    ClusterLostError
        None has come.
    PlanError
        A worker lacks the plugin, or has other code; each such worker is named. Or no worker has what a step needs.
    """
    asked = (made.instrument.name, [step.name for step in made.steps], sorted(name for name in made.task.code if name))
    here = describe_plugins(*asked)
    answers: dict[str, Any] = on_every_worker(client, partial(describe_plugins, *asked), patience)
    faults = []
    for worker, answer in answers.items():
        where, plugin = f"worker {worker}", here.get("plugin", made.instrument.name)
        if isinstance(answer, BaseException):
            faults.append(Fault(where, f"{type(answer).__name__}: {answer}", "install ilrs-science there"))
        elif "problem" in answer:
            faults.append(Fault(where, answer["problem"], f"install {plugin} there"))
        elif answer != here:
            found = f"has {answer['plugin']}, digests {answer['code']}"
            faults.append(Fault(where, found, f"expected the code of {plugin} with digests {here.get('code', '')}"))
    for name, most in lacking(client, made.resources).items():
        needed = made.resources[name]
        found = f"no worker has {needed:g} of it; the most that one has is {most:g}"
        faults.append(Fault(f"resources.{name}", found, f'start workers with --resources "{name}={needed:g}"'))
    if faults:
        raise PlanError(faults)
