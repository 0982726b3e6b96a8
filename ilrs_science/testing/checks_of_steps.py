"""Checks of the chain of steps alone, on samples in memory."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from ilrs_science import references
from ilrs_science.catalog import sample_times
from ilrs_science.model.good import GOOD
from ilrs_science.model.step import StepFunction
from ilrs_science.reduction.chain import check_samples
from ilrs_science.reduction.lineage import Made
from ilrs_science.reduction.reading import as_read
from ilrs_science.testing.case import Case, Reading, blaming, region_of
from ilrs_science.testing.checks_of_values import check_owned_up
from ilrs_science.testing.comparison import difference
from ilrs_science.testing.outside import noting_outside_access
from ilrs_science.testing.report import ConformanceError


def input_untouched(case: Case) -> None:
    """Check that no step changes what it is given: values, coordinates, attributes."""
    faults: list[str] = []

    def guard(function: StepFunction) -> StepFunction:
        @functools.wraps(function)
        def guarded(ds: xr.Dataset, **parameters: Any) -> xr.Dataset:
            before = ds.copy(deep=True)
            out = function(ds, **parameters)
            faults.extend(f"step {function.__name__} changed {change} of its input" for change in _changes(before, ds))
            return out

        return guarded

    _run_wrapped(case, guard)
    if faults:
        raise ConformanceError("; ".join(dict.fromkeys(faults)) + "; a step returns new values, as with ds.assign(...)")


def repeatable(case: Case) -> None:
    """Check that reading and calibrating the same file again gives the same bits."""
    for reading, first in zip(case.readings, case.datasets, strict=True):
        again = as_read(case.instrument, reading.granule)
        if words := difference(first, again):
            raise ConformanceError(f"read gave two results for {reading.granule.url}: {words}; expected the same bits")
        if words := difference(case.whole(reading), case.whole(reading)):
            raise ConformanceError(f"the steps gave two results for the same samples: {words}; expected the same bits")


def no_outside_access(case: Case) -> None:
    """Check that steps open no file, reach no network and start no program, once their modules are imported."""
    for reading in case.readings:
        case.whole(reading)
    faults: list[str] = []

    def watch(function: StepFunction) -> StepFunction:
        @functools.wraps(function)
        def watched(ds: xr.Dataset, **parameters: Any) -> xr.Dataset:
            with noting_outside_access() as noted:
                out = function(ds, **parameters)
            faults.extend(f"step {function.__name__} reaches outside: {one}" for one in noted)
            return out

        return watched

    _run_wrapped(case, watch)
    if faults:
        allowed = "a step works on its samples alone; what it needs to know comes as a Reference"
        raise ConformanceError("; ".join(dict.fromkeys(faults)) + f"; {allowed}")


def block_boundaries(case: Case) -> None:
    """Check that a result does not depend on where the samples were cut, given what the steps say of neighbours."""
    product = case.instrument.product
    names = [*(variable.name for variable in product.values), *product.columns, "quality", "tai", "time"]
    for reading in case.readings:
        block = case.block(reading)
        times = sample_times(block)
        whole = case.whole(reading)
        for first, last in _cuts(len(times)):
            here = replace(reading, part=region_of(reading.part, times[first:last], reading.site.name))
            axis, margin = here.part.axis, here.part.margin
            near = (times >= axis.start - margin) & (times < axis.stop + margin)
            what = f"samples {first} to {last - 1} of {len(times)}"
            cut = _inside(case.calibrate(here, block.isel(time=near), what).ds, here)
            expected = _inside(whole, here)
            if not cut.sizes["time"] and not expected.sizes["time"]:
                continue  # no window or group has a row here, and nobody knows what variables one would have
            if words := difference(expected, cut, names):
                raise ConformanceError(
                    f"{what} alone give another result than with all others: {words}; the steps declare that they look "
                    f"{reading.part.margin / 1e9:g} s to either side; say how far with @step(margin=...)"
                )


def _inside(rows: xr.Dataset, here: Reading) -> xr.Dataset:
    """Return the rows in the region of a part."""
    return rows.isel(time=here.part.axis.slots(sample_times(rows), here.site.name) >= 0)


def schema(case: Case) -> None:
    """Check that samples are as declared before and after the steps."""
    for reading, ds in zip(case.readings, case.datasets, strict=True):
        loose = [str(name) for name, one in ds.data_vars.items() if "time" not in one.dims]
        if loose:
            raise ConformanceError(f"read gives variables without time: {', '.join(loose)}; repeat them along time")
        if "quality" in ds and ds["quality"].dtype.kind != "u":
            raise ConformanceError(f"read gives quality as {ds['quality'].dtype}; expected an unsigned integer type")
        block = case.block(reading)
        _check_outcome(case, reading, block, case.calibrate(reading, block, "the whole granule"))


def edge_blocks(case: Case) -> None:
    """Check that the steps survive empty, one-sample, not-a-number and extreme blocks, and own up to bad values."""
    for reading in case.readings:
        with _quiet():
            block = case.block(reading)
            for count, what in ((0, "an empty block"), (1, "a block of one sample")):
                few = block.isel(time=slice(0, count))
                with blaming(what):
                    _check_outcome(case, reading, few, case.calibrate(reading, few, what))
            for what, fill in _EXTREMES.items():
                filled = _filled(reading.ds, fill)
                if filled is None:
                    continue
                extreme = replace(reading, ds=filled)
                with blaming(what):
                    block = case.block(extreme)
                    out = case.calibrate(extreme, block, what)
                    _check_shape(case, extreme, block, out)
                if what == _NOT_A_NUMBER:
                    check_owned_up(case, case.whole(reading), out.ds, what)


def _run_wrapped(case: Case, wrap: Callable[[StepFunction], StepFunction]) -> None:
    wrapped = case.with_steps(wrap)
    for reading in case.readings:
        for call in reading.part.steps:
            for by_site in call.references.values():
                for reference in by_site.get(reading.site.name, ()):
                    references.load(reference, case.instrument.load.get(reference.kind))
        case.calibrate(reading, case.block(reading), "the whole granule", instrument=wrapped)


def _changes(before: xr.Dataset, after: xr.Dataset) -> Iterator[str]:
    good = [one.attrs.get(GOOD, xr.Dataset()) for one in (before, after)]
    before, after = (one.assign_attrs({GOOD: None}) for one in (before, after))
    if not before[[]].identical(after[[]]) or not good[0].identical(good[1]):
        yield "the attributes"
    for name in sorted({*map(str, before.variables), *map(str, after.variables)}):
        if name not in before.variables or name not in after.variables:
            yield f"the variables ({name} came or went)"
        elif difference(before, after, [name]):
            yield f"the values of {name}"
        elif not before[[name]].identical(after[[name]]):
            yield f"the attributes of {name}"


def _cuts(count: int) -> list[tuple[int, int]]:
    """Return blocks [first, last) of samples: halves, thirds, an uneven tiling, and single samples."""
    tilings = [[0, count // 2, count], [0, count // 3, 2 * count // 3, count], [0, 1, 8, count - 3, count]]
    tiles = {(a, b) for edges in tilings for a, b in pairwise(edges) if 0 <= a < b <= count}
    singles = {(k, k + 1) for k in (0, 1, count // 3, count // 2, count - 2, count - 1) if 0 <= k < count}
    return sorted(tiles | singles)


def _check_outcome(case: Case, reading: Reading, block: xr.Dataset, made: Made) -> None:
    """Raise unless calibrated samples fit the product in form and value, are as many as before, and have times."""
    if made.complete:
        check_samples(case.instrument, made.ds, _carried(case, reading))
    _check_shape(case, reading, block, made)


def _carried(case: Case, reading: Reading) -> set[str]:
    """Return the units of what `read` and references gave: xarray carries them along, right or wrong."""
    used = [
        references.load(one, case.instrument.load.get(one.kind)).payload
        for call in reading.part.steps
        for by_site in call.references.values()
        for one in by_site.get(reading.site.name, ())
    ]
    given = [one for ds in (reading.ds, *used) if ds is not None for one in ds.variables.values()]
    return {str(one.attrs["units"]) for one in given if "units" in one.attrs}


def _check_shape(case: Case, reading: Reading, block: xr.Dataset, made: Made) -> None:
    """Raise unless calibrated samples fit the product in form, are as many as before, and still have times.

    What impossible input makes of the values the engine refuses by name.
    """
    if not made.complete:
        return
    out = made.ds
    if faults := case.instrument.product.check(out):
        raise ConformanceError("; ".join(map(str, faults)))
    if len(sample_times(out)) != block.sizes["time"] and not case.makes_rows:
        raise ConformanceError(
            f"{block.sizes['time']} samples became {len(sample_times(out))}; steps flag, they do not drop"
        )
    if out["quality"].dtype != reading.ds["quality"].dtype:
        raise ConformanceError(
            f"quality became {out['quality'].dtype}; expected {reading.ds['quality'].dtype} throughout"
        )


_NOT_A_NUMBER = "a block of NaN"


def _lowest(dtype: np.dtype[Any]) -> float | int:
    return float(np.finfo(dtype).min) if dtype.kind == "f" else int(np.iinfo(dtype).min)


def _highest(dtype: np.dtype[Any]) -> float | int:
    return float(np.finfo(dtype).max) if dtype.kind == "f" else int(np.iinfo(dtype).max)


def _nan(dtype: np.dtype[Any]) -> float | None:
    return float("nan") if dtype.kind == "f" else None


def _infinite(dtype: np.dtype[Any]) -> float | None:
    return float("inf") if dtype.kind == "f" else None


_EXTREMES: dict[str, Callable[[np.dtype[Any]], float | int | None]] = {
    _NOT_A_NUMBER: _nan,
    "a block of infinite values": _infinite,
    "a block of the lowest values": _lowest,
    "a block of the highest values": _highest,
}


def _filled(ds: xr.Dataset, fill: Callable[[np.dtype[Any]], float | int | None]) -> xr.Dataset | None:
    """Return samples with every measured number at one value of its type; None if there is none."""
    new = {
        name: one.copy(data=np.full(one.shape, value, one.dtype))
        for name, one in ds.data_vars.items()
        if name != "quality" and _is_measured(one) and (value := fill(one.dtype)) is not None
    }
    return ds.assign(new) if new else None


def _is_measured(array: xr.DataArray) -> bool:
    """Tell whether a variable of `read` may have any number: not a mode word or the like, of which it knows all."""
    named = {"flag_values", "flag_masks", "flag_meanings"} & array.attrs.keys()
    words = array.dtype.kind in "iu" and array.attrs.get("units", "1") in ("", "1")
    return array.dtype.kind in "fiu" and not named and not words


@contextmanager
def _quiet() -> Iterator[None]:
    """Let extreme values overflow: what counts is what comes out."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield
