"""Steps with their parameters: checked against the signature before anything runs, then given to the function."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from ilrs_science import registry
from ilrs_science.errors import Fault, PluginError
from ilrs_science.model.duration import Duration
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import StepCall
from ilrs_science.model.step import StepFunction, StepParameter, declared_margin, declared_scope, step_parameters
from ilrs_science.pipeline import Pipeline


def bind_steps(pipeline: Pipeline, instrument: Instrument, faults: list[Fault]) -> list[StepCall]:
    """Return the steps of the pipeline, or of the instrument, as calls; faults grow by what is wrong."""
    chosen = pipeline.chosen_steps
    wanted = chosen if chosen is not None else [(function.__name__, {}) for function in instrument.steps]
    calls = []
    blocks_began = False
    for number, (name, given) in enumerate(wanted):
        where = f"steps[{number}].{name}"
        try:
            function = registry.step(name, instrument)
        except PluginError as error:
            faults.append(Fault(f"steps[{number}]", f"found {name!r}", str(error)))
            continue
        if declared_scope(function) == "granule" and blocks_began:
            faults.append(Fault(where, "needs whole granules", "such steps come before all others"))
        blocks_began |= declared_scope(function) != "granule"
        # An entry point may name a function otherwise than it names itself; the registry knows the entry point.
        calls.append(replace(bind_step(function, given, where, faults), name=name))
    return calls


def bind_step(function: StepFunction, given: Mapping[str, Any], where: str, faults: list[Fault]) -> StepCall:
    """Check the parameters of a step against its signature and return the call, defaults filled in.

    Parameters
    ----------
    function
        The step.
    given
        Its parameters, as YAML has them.
    where
        Path of the step in the pipeline, for faults.
    faults
        Grows by what is wrong.
    """
    name = function.__name__
    try:
        parameters = step_parameters(function)
        adapters = {key: _adapter(name, one) for key, one in parameters.items() if one.role == "value"}
    except PluginError as error:
        faults.append(Fault(where, str(error), "mend the plugin"))
        return StepCall(name)
    own = {key: one for key, one in parameters.items() if one.role == "value"}
    allowed = f"it has {', '.join(own) or 'none'}"
    faults += [Fault(where, f"{name} has no parameter {key!r}", allowed) for key in given if key not in own]
    values: dict[str, Any] = {}
    stored: dict[str, Any] = {}
    for key, parameter in own.items():
        if key not in given and parameter.required:
            faults.append(Fault(f"{where}.{key}", "is missing", f"{name} needs it"))
            continue
        found = given.get(key, parameter.default)
        try:
            values[key] = adapters[key].validate_python(found)
            stored[key] = adapters[key].dump_python(values[key], mode="json")
        except ValidationError as error:
            faults += [
                Fault(f"{where}.{key}", f"found {found!r}", str(one["msg"])) for one in error.errors(include_url=False)
            ]
    return StepCall(
        name,
        stored,
        _margin(function, values, where, faults),
        {key: {} for key, one in parameters.items() if one.role == "reference"},
    )


def call_parameters(function: StepFunction, call: StepCall) -> dict[str, Any]:
    """Return the values of a call's own parameters, as the function wants them."""
    parameters = step_parameters(function)
    return {
        key: TypeAdapter(parameters[key].annotation).validate_python(value) for key, value in call.parameters.items()
    }


def _adapter(name: str, parameter: StepParameter) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(parameter.annotation)
    except PydanticUserError as error:
        raise PluginError(f"step {name}: YAML cannot give {parameter.name}: {parameter.annotation!r}") from error


def _margin(function: StepFunction, values: Mapping[str, Any], where: str, faults: list[Fault]) -> int:
    declared = declared_margin(function)
    if declared is None:
        return 0
    if declared in inspect.signature(function).parameters:
        value = values.get(declared)
        if value is None or isinstance(value, Duration):
            return int(value or 0)
        faults.append(
            Fault(where, f"margin {declared!r} of {function.__name__} is no Duration", "annotate it as Duration")
        )
        return 0
    try:
        return Duration(declared)
    except ValueError as error:
        faults.append(Fault(where, f"margin of {function.__name__}", str(error)))
        return 0
