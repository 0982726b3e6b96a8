"""What a step function says about itself beyond its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import xarray as xr

from ilrs_science.errors import PluginError
from ilrs_science.model.reference import Reference
from ilrs_science.model.site import Site

type StepFunction = Callable[..., xr.Dataset]

_MARGIN = "__ilrs_margin__"
_SCOPE = "__ilrs_scope__"


def step[F: Callable[..., xr.Dataset]](
    *, margin: str | None = None, scope: Literal["block", "granule"] = "block"
) -> Callable[[F], F]:
    """Declare that a step needs neighbours, or whole granules.

    A step without this decorator is pointwise in time: it may be handed any block of samples.

    Parameters
    ----------
    margin
        How far the step looks to either side, or how far it may shift times: a duration (`"5 s"`) or the name of one of
        its parameters that is a `Duration`.
    scope
        `"granule"` hands the step one whole granule at a time; such steps come before all others.
    """

    def declare(function: F) -> F:
        setattr(function, _MARGIN, margin)
        setattr(function, _SCOPE, scope)
        return function

    return declare


def declared_margin(function: StepFunction) -> str | None:
    """Return the margin that `step` declared, or None."""
    margin: str | None = getattr(function, _MARGIN, None)
    return margin


def declared_scope(function: StepFunction) -> str:
    """Return the scope that `step` declared: `"block"` or `"granule"`."""
    scope: str = getattr(function, _SCOPE, "block")
    return scope


@dataclass(frozen=True)
class StepParameter:
    """One keyword-only parameter of a step."""

    name: str
    annotation: Any
    """Its type, as annotated."""
    default: Any
    """Its default, or `inspect.Parameter.empty`."""
    role: Literal["value", "reference", "site"]
    """Who fills it: YAML (`value`), or the engine."""

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is inspect.Parameter.empty


def step_parameters(function: StepFunction) -> dict[str, StepParameter]:
    """Return the parameters of a step by name, its schema.

    Raises
    ------
    PluginError
        The signature is not `step(ds, *, parameters)`, or a parameter carries no annotation.
    """
    name = getattr(function, "__name__", repr(function))
    try:
        signature = inspect.signature(function, eval_str=True)
    except (TypeError, ValueError, NameError) as error:
        raise PluginError(f"step {name}: its signature cannot be read ({error})") from error
    first, rest = list(signature.parameters.values())[:1], list(signature.parameters.values())[1:]
    if not first or first[0].kind not in (first[0].POSITIONAL_ONLY, first[0].POSITIONAL_OR_KEYWORD):
        raise PluginError(f"step {name}{signature}: expected step(ds, *, parameters)")
    found: dict[str, StepParameter] = {}
    for parameter in rest:
        if parameter.kind is not parameter.KEYWORD_ONLY:
            raise PluginError(f"step {name}{signature}: {parameter.name} must be keyword-only, after a bare *")
        if parameter.annotation is parameter.empty:
            raise PluginError(f"step {name}{signature}: {parameter.name} has no annotation")
        role = _role(parameter.annotation)
        found[parameter.name] = StepParameter(parameter.name, parameter.annotation, parameter.default, role)
    return found


def _role(annotation: Any) -> Literal["value", "reference", "site"]:
    if annotation in (Reference, Reference | None):
        return "reference"
    return "site" if annotation == Site else "value"
