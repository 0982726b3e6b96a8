"""Steps with their parameters: checked against the signature before anything runs, then given to the function."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from ilrs_science import registry
from ilrs_science.errors import Fault, PluginError
from ilrs_science.model.axis import Axis
from ilrs_science.model.duration import Duration
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import StepCall
from ilrs_science.model.step import StepFunction, StepParameter, neighbours, reach, step_parameters
from ilrs_science.planning.pipeline import Pipeline
from ilrs_science.yaml_text import faults_of, plain_faults, shown

AT = "at"
"""The key of a step under which parameters stand that are others at a site."""
_FURTHEST = Duration("366 d")


def bind_steps(pipeline: Pipeline, instrument: Instrument) -> tuple[list[StepCall], list[Fault]]:
    """Return the steps of the pipeline, or of the instrument, as calls, and everything that is wrong with them."""
    chosen = pipeline.chosen_steps
    wanted = chosen if chosen is not None else [(function.__name__, {}) for function in instrument.steps]
    calls: list[StepCall] = []
    faults: list[Fault] = []
    for number, (name, given) in enumerate(wanted):
        where = f"steps[{number}].{name}"
        try:
            function = registry.step(name, instrument)
        except PluginError as error:
            faults.append(Fault(f"steps[{number}]", shown(name), str(error)))
            continue
        if neighbours(function).makes_rows and instrument.product.exposures:
            faults.append(
                Fault(where, "makes rows of its own", "the axis of exposures has the instants of their files")
            )
        call, wrong = bind_step(function, given, where)
        # An entry point may name a function otherwise than it names itself; the registry knows the entry point.
        calls.append(replace(call, name=name))
        faults += wrong
    return calls, [*faults, *_reach_faults(calls)]


def bind_step(function: StepFunction, given: Mapping[str, Any], where: str) -> tuple[StepCall, list[Fault]]:
    """Check the parameters of a step against its signature.

    Parameters
    ----------
    function
        The step.
    given
        Its parameters, as YAML has them.
    where
        Path of the step in the pipeline, for faults.

    Returns
    -------
    The call, defaults filled in, and everything that is wrong with it.
    """
    name = function.__name__
    try:
        parameters = step_parameters(function)
        own = [_Own(one, _adapter(name, one)) for one in parameters.values() if one.role == "value"]
    except PluginError as error:
        return StepCall(name), [Fault(where, str(error), "mend the plugin")]
    common = {key: value for key, value in given.items() if key != AT or AT in parameters}
    values = _values(name, own, common, where)
    margin, wrong = _margin(function, values.as_wanted, where)
    call = replace(_without_values(name, parameters), parameters=values.as_stored, margin=margin)
    faults = [*values.faults, *wrong]
    # What is wrong with the common ones would be told again of every site.
    return (call, faults) if faults or AT not in given or AT in parameters else _at_sites(function, given, call, where)


def _without_values(name: str, parameters: Mapping[str, StepParameter]) -> StepCall:
    """Return a call whose parameters and references are still to be filled in."""
    references: dict[str, Any] = {key: {} for key, one in parameters.items() if one.role == "reference"}
    return StepCall(name, references=references, pairs=tuple(key for key in references if parameters[key].is_pair))


def _at_sites(
    function: StepFunction, given: Mapping[str, Any], call: StepCall, where: str
) -> tuple[StepCall, list[Fault]]:
    """Return a call with the parameters that are others at some sites; it looks as far as it does at any of them."""
    by_site = given[AT]
    if not isinstance(by_site, dict) or not all(isinstance(one, dict) and AT not in one for one in by_site.values()):
        return call, [Fault(f"{where}.{AT}", shown(by_site), "expected sites, each with parameters: {haworth: {...}}")]
    common = _only(given, given.keys() - {AT})
    bound = {site: bind_step(function, common | own, f"{where}.{AT}.{site}") for site, own in by_site.items()}
    at = {str(site): _only(one.parameters, by_site[site]) for site, (one, _) in bound.items()}
    furthest = max([call.margin, *(one.margin for one, _ in bound.values())])
    return replace(call, at=at, margin=furthest), [fault for _, faults in bound.values() for fault in faults]


def _only(parameters: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in parameters.items() if key in keys}


def unknown_sites(calls: Sequence[StepCall], sites: Sequence[str]) -> list[Fault]:
    """Return the sites that steps have parameters for and the campaign does not have."""
    return [
        Fault(f"steps[{number}].{call.name}.{AT}", f"{site!r} is no site of it", f"it has {', '.join(sites) or 'none'}")
        for number, call in enumerate(calls)
        for site in call.at
        if site not in sites
    ]


@dataclass(frozen=True)
class _Own:
    """A parameter that YAML gives, and what holds a value against its type."""

    parameter: StepParameter
    adapter: TypeAdapter[Any]


@dataclass(frozen=True)
class _Values:
    """Values of parameters, given or by default, and everything that is wrong with what was given."""

    as_wanted: dict[str, Any]
    """As the function wants them."""
    as_stored: dict[str, Any]
    """The same as JSON."""
    faults: list[Fault]


def _values(name: str, own: Sequence[_Own], given: Mapping[str, Any], where: str) -> _Values:
    keys = [one.parameter.name for one in own]
    faults = [_unknown(name, key, keys, where) for key in given if key not in keys]
    as_wanted: dict[str, Any] = {}
    as_stored: dict[str, Any] = {}
    for key, one in zip(keys, own, strict=True):
        if key not in given and one.parameter.required:
            faults.append(Fault(f"{where}.{key}", "is missing", f"{name} needs it"))
            continue
        found = given.get(key, one.parameter.default)
        wanted, stored, wrong = _fitted(one.adapter, found, f"{where}.{key}", default=key not in given)
        faults += wrong
        if not wrong:
            as_wanted[key], as_stored[key] = wanted, stored
    return _Values(as_wanted, as_stored, faults)


def _unknown(name: str, key: str, own: Sequence[str], where: str) -> Fault:
    near = get_close_matches(key, own, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return Fault(f"{where}.{key}", f"{name} has no parameter {key!r}", f"{hint}it has {', '.join(own) or 'none'}")


def _adapter(name: str, parameter: StepParameter) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(parameter.annotation)
    except PydanticUserError as error:
        raise PluginError(f"step {name}: YAML cannot give {parameter.name}: {parameter.annotation!r}") from error


def _fitted(adapter: TypeAdapter[Any], found: Any, where: str, *, default: bool) -> tuple[Any, Any, list[Fault]]:
    """Return a parameter as the function wants it, the same as JSON, and what is wrong with it."""
    if not default and (faults := plain_faults(found, where)):
        return None, None, faults
    try:
        value = adapter.validate_python(found)
        written = adapter.dump_python(value, mode="json")
    except ValidationError as error:
        return None, None, faults_of(error, found, where)
    except (PydanticSerializationError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # A validator of the plugin's own; pydantic turns only some of what it raises into errors.
        return None, None, [Fault(where, shown(found), f"it cannot be used ({type(error).__name__}: {error})")]
    if not default and _is_of_another_kind(found, value):
        return None, None, [Fault(where, shown(found), "text, numbers, and true or false do not stand for each other")]
    return value, written, []


def _is_of_another_kind(found: Any, value: Any) -> bool:
    """Tell whether pydantic read text as a number, or yes as 1: nobody who writes that means it."""
    if isinstance(found, dict | list | tuple):
        return _holds_another_kind(found, value)
    if isinstance(value, bool) or isinstance(found, bool):
        return isinstance(value, bool) != isinstance(found, bool)
    return isinstance(value, int | float) and not isinstance(value, Duration) and isinstance(found, str)


def _holds_another_kind(found: Any, value: Any) -> bool:
    """Tell the same of what lies in a collection; in a set nothing has a place."""
    if isinstance(found, dict) and isinstance(value, Mapping):
        return _holds_another_kind([*found, *found.values()], [*value, *value.values()])
    if isinstance(value, set | frozenset):
        return any(all(_is_of_another_kind(one, other) for other in value) for one in found)
    if isinstance(value, list | tuple):
        return any(_is_of_another_kind(one, other) for one, other in zip(found, value, strict=False))
    return False


def _margin(function: StepFunction, values: Mapping[str, Any], where: str) -> tuple[int, list[Fault]]:
    """Return how much more than its region a part has to read to either side for a step, ns."""
    try:
        return reach(function, values).around, []
    except PluginError as error:
        return 0, [Fault(where, str(error), "mend the declaration of the step, or the parameter")]


def edge_warnings(calls: Sequence[StepCall], instrument: Instrument, axis: Axis) -> list[Fault]:
    """Return the steps whose windows or groups may be longer than the axis: all that they make is near an edge."""
    length = axis.stop - axis.start
    return [
        Fault(
            f"steps[{number}].{call.name}",
            f"looks {Duration(call.margin)} to either side of an axis of {Duration(length)}",
            "every result is near an edge of the data",
        )
        for number, call in enumerate(calls)
        if neighbours(registry.step(call.name, instrument)).makes_rows and call.margin >= length
    ]


def _reach_faults(calls: Sequence[StepCall]) -> list[Fault]:
    """Return what is wrong with how far the chain looks, to either side of every part."""
    reach = sum(call.margin for call in calls)
    if reach <= _FURTHEST:
        return []
    number = max(range(len(calls)), key=lambda one: calls[one].margin)
    found = f"the chain looks {Duration(calls[number].margin)} and more to either side of a sample"
    return [Fault(f"steps[{number}].{calls[number].name}", found, f"at most {_FURTHEST} in all")]
