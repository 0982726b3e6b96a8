"""What a step function says about itself beyond its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import xarray as xr

from ilrs_science.errors import PluginError
from ilrs_science.model.duration import Duration
from ilrs_science.model.reference import Reference
from ilrs_science.model.series import Series
from ilrs_science.model.site import Site

type StepFunction = Callable[..., xr.Dataset]

_NEIGHBOURS = "__ilrs_neighbours__"
_RESOURCES = "__ilrs_resources__"
_MOST_WINDOWS = 1000


@dataclass(frozen=True)
class Neighbours:
    """Which samples around one a step has to see, as `step` declared it.

    Times are durations, or names of parameters of the step that are a `Duration`.
    """

    margin: str | int = ""
    window: str = ""
    overlap: str = ""
    group: str = ""
    limit: str = ""

    @property
    def makes_rows(self) -> bool:
        """Whether the step is called once for each window or group, and may give another number of rows."""
        return bool(self.window or self.group)


def step[F: Callable[..., xr.Dataset]](  # noqa: PLR0913 - one call declares one step
    *,
    margin: str | int = "",
    window: str = "",
    overlap: str = "",
    group: str = "",
    limit: str = "",
    resources: Mapping[str, float] | None = None,
) -> Callable[[F], F]:
    """Declare that a step needs neighbours, one of `margin`, `window` and `group`, or resources of a cluster.

    A step without this decorator is pointwise in time: it may be handed any block of samples. Times are durations
    (`"5 s"`), or the name of one of the step's parameters that is a `Duration`.

    A step with `window` or `group` is called once for each, and may give back another number of rows, each with its
    `tai` within the window or group: a spectrum of many voltages, one vector a spin. Rows without `quality` get all
    flags of the samples that the step was given. References are those of its first sample.

    Parameters
    ----------
    margin
        How far the step looks to either side, or how far it may shift times. A number means so many samples to either
        side, over gaps of at most `limit` divided by that number; a longer gap is an edge of the data.
    window
        Length of the windows that the step is called with, one by one. They begin at multiples of `window` less
        `overlap` from the TAI epoch (1970-01-01 TAI); one without a sample is left out.
    overlap
        How much of a window the next one has, too. Of what the step makes of a window, the first and the last half of
        the overlap are left to the neighbours.
    group
        The variable along `time` that is equal over a group: the number of a spin, say. A gap longer than `limit` ends
        a group, too.
    limit
        The longest that a group may last, from its first to its last sample. The samples of a longer one are rejected
        by name.
    resources
        What a worker of a Dask cluster must have, by name, and how much of it a part takes: `{"GPU": 1}`. Workers say
        so when they are started, `dask worker ... --resources "GPU=1"`. Without a cluster it means nothing.

    Raises
    ------
    PluginError
        The words do not go together.
    """
    declared = Neighbours(margin, window, overlap, group, limit)
    if problem := _problem(declared) or _problem_of_resources(resources or {}):
        raise PluginError(f"@step: {problem}")

    def declare(function: F) -> F:
        setattr(function, _NEIGHBOURS, declared)
        setattr(function, _RESOURCES, dict(resources or {}))
        return function

    return declare


def _problem(declared: Neighbours) -> str:
    """Return what is wrong with a declaration, or nothing."""
    samples = isinstance(declared.margin, int)
    given = [name for name in ("margin", "window", "group") if getattr(declared, name) != ""]
    if len(given) > 1:
        return f"found {' and '.join(given)}; a step declares one of margin, window and group"
    if samples and (isinstance(declared.margin, bool) or int(declared.margin) < 1):
        return f"found margin={declared.margin!r}; expected a duration, a parameter, or a number of samples from 1"
    if declared.overlap and not declared.window:
        return "found overlap without window"
    if bool(declared.limit) != bool(samples or declared.group):
        return "limit goes with a group or a margin in samples, and these need one: no part could tell how far to read"
    return ""


def _problem_of_resources(resources: Mapping[str, float]) -> str:
    odd = {name: one for name, one in resources.items() if not one > 0}
    return f"found resources {odd}; expected names, each with an amount above 0" if odd else ""


def resources_of(functions: Iterable[StepFunction]) -> dict[str, float]:
    """Return what a worker must have for a chain of steps: of each resource the most that one of them takes."""
    found: dict[str, float] = {}
    for function in functions:
        for name, amount in getattr(function, _RESOURCES, {}).items():
            found[name] = max(amount, found.get(name, amount))
    return found


def neighbours(function: StepFunction) -> Neighbours:
    """Return what `step` declared of a function, or that it needs none."""
    return getattr(function, _NEIGHBOURS, Neighbours())


@dataclass(frozen=True)
class Reach:
    """How far a step looks with given parameters, ns."""

    margin: int = 0
    """To either side, at least."""
    samples: int = 0
    """To either side."""
    window: int = 0
    overlap: int = 0
    limit: int = 0

    @property
    def hop(self) -> int:
        """From the beginning of one window to that of the next."""
        return self.window - self.overlap

    @property
    def around(self) -> int:
        """How far around a result samples must be known, for it to be the same wherever the axis is cut.

        Of a group twice its limit, so that one which lasts longer is seen to do so from everywhere within it.
        """
        if self.window:
            return self.window - self.overlap // 2
        return max(self.margin, self.limit if self.samples else 2 * self.limit)


def reach(function: StepFunction, parameters: Mapping[str, Any]) -> Reach:
    """Return how far a step looks.

    Parameters
    ----------
    parameters
        Values of its own parameters, as the function wants them.

    Raises
    ------
    PluginError
        What it declares is no duration, nor a parameter that is one.
    """
    declared = neighbours(function)

    def length(name: Literal["margin", "window", "overlap", "limit"]) -> int:
        word = getattr(declared, name)
        if word == "" or isinstance(word, int):
            return 0
        if word in inspect.signature(function).parameters:
            value = parameters.get(word)
            if value is None or isinstance(value, Duration):
                return int(value or 0)
            raise PluginError(f"{name} {word!r} of {function.__name__} is no Duration; annotate it as Duration")
        try:
            return Duration(word)
        except ValueError as error:
            raise PluginError(f"{name} of {function.__name__}: {error}") from error

    samples = declared.margin if isinstance(declared.margin, int) else 0
    found = Reach(length("margin"), samples, length("window"), length("overlap"), length("limit"))
    if declared.window and not 0 <= found.overlap < found.window:
        raise PluginError(
            f"found a window of {Duration(found.window)} with an overlap of "
            f"{Duration(found.overlap)}; a window is longer than its overlap"
        )
    if declared.window and found.window > _MOST_WINDOWS * found.hop:
        raise PluginError(
            f"found a window of {Duration(found.window)} every {Duration(found.hop)}; "
            f"a sample is in at most {_MOST_WINDOWS} windows"
        )
    if declared.limit and not found.limit:
        raise PluginError("found a limit of 0 s; expected a longer one")
    return found


@dataclass(frozen=True)
class StepParameter:
    """One keyword-only parameter of a step."""

    name: str
    annotation: Any
    """Its type, as annotated."""
    default: Any
    """Its default, or `inspect.Parameter.empty`."""
    role: Literal["value", "reference", "series", "site"]
    """Who fills it: YAML (`value`), or the engine."""

    @property
    def is_pair(self) -> bool:
        """Whether it is the reference before and the one after."""
        return bool(self.annotation == tuple[Reference, Reference])

    @property
    def required(self) -> bool:
        """Whether it has to be given: there is no default, and it is no reference or series that may be absent."""
        optional = self.annotation in (Reference | None, Series | None)
        return self.default is inspect.Parameter.empty and not optional


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


def _role(annotation: Any) -> Literal["value", "reference", "series", "site"]:
    if annotation in (Reference, Reference | None, tuple[Reference, Reference]):
        return "reference"
    if annotation in (Series, Series | None):
        return "series"
    return "site" if annotation == Site else "value"
