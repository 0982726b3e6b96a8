"""Do the workers have what the plan needs? Asked before the first task, answered for all workers at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ilrs_science import registry
from ilrs_science.code import code_of
from ilrs_science.errors import Fault, PlanError, PluginError
from ilrs_science.model.part import digest

if TYPE_CHECKING:
    from distributed import Client


def describe_plugins(instrument: str, steps: Sequence[str]) -> dict[str, str]:
    """Return what this process has of an instrument and its steps: version and code digest, or a problem."""
    try:
        found = registry.instrument(instrument)
        code = code_of(found, [registry.step(name, found) for name in steps])
    except PluginError as error:
        return {"problem": str(error)}
    distribution, version = registry.distribution_of("instruments", instrument)
    return {"plugin": f"{distribution} {version}", "code": digest(asdict(code))}


def check_workers(client: Client, instrument: str, steps: Sequence[str]) -> None:
    """Compare every worker with this process.

    Raises
    ------
    PlanError
        A worker lacks the plugin, or has other code; each such worker is named.
    """
    here = describe_plugins(instrument, steps)
    client.wait_for_workers(1, timeout=60)
    answers: dict[str, Any] = client.run(describe_plugins, instrument, list(steps), on_error="return")
    faults = []
    for worker, answer in answers.items():
        if isinstance(answer, BaseException):
            faults.append(Fault(f"worker {worker}", f"{type(answer).__name__}: {answer}", "install ilrs-science there"))
        elif "problem" in answer:
            faults.append(
                Fault(f"worker {worker}", answer["problem"], f"install {here.get('plugin', instrument)} there")
            )
        elif answer != here:
            allowed = f"expected the code of {here.get('plugin')} with digest {here.get('code', '')[:12]}"
            faults.append(Fault(f"worker {worker}", f"has {answer['plugin']}, digest {answer['code'][:12]}", allowed))
    if faults:
        raise PlanError(faults)
