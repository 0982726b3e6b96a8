"""What is wrong with the declaration of a product, before any file is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ilrs_science.errors import Fault
from ilrs_science.model.duration import Duration

if TYPE_CHECKING:
    from ilrs_science.model.product import Product

PLACES = ("slot", "mean", "sum", "histogram", "table")
OVERLAPS = ("refuse", "first", "latest")

_RESERVED = frozenset(
    {"time", "tai", "time_bounds", "site", "records", "quality", "count", "count_left_out", "time_offset", "sample"}
    | {"rejected", "bounds"}
)
PLACES_OF_SITES = ("lon", "lat", "height")
"""Coordinates of sites; of a moving platform they are auxiliary coordinates along time instead."""
_OF_ROWS = ("granule", "position", "index", "rows")
"""What the engine makes of each row of a table, besides what every product has."""
_MOST_DIMS = 2
_COUNTED = frozenset({"counts", "counts_variance", "ontime", "exposure"})
"""What the engine makes of events."""


def declaration_faults(product: Product) -> Iterator[Fault]:
    """Yield what is wrong with the declaration itself."""
    if not product.declared and not product.counts_events:
        yield Fault("variables", "there is none", "a product has at least one variable")
    if product.place not in PLACES:
        yield Fault("place", f"found {product.place!r}", f"expected one of {', '.join(PLACES)}")
    yield from _name_faults(product)
    for v in product.declared:
        yield from dims_faults(product, v.name, v.dims)
        if _is_number(v.dtype):
            yield from v.faults()
        else:
            yield Fault(f"{v.name}.dtype", f"found {v.dtype!r}", "expected a float or integer type")
    yield from _bin_faults(product)
    yield from _event_faults(product)
    if product.is_table:
        yield from _table_faults(product)
    yield from _reference_faults(product)


def _reference_faults(product: Product) -> Iterator[Fault]:
    if not product.reference:
        if product.of:
            yield Fault("of", f"found {list(product.of)}", "it belongs to reference='the kind'")
        return
    if not product.reference.isidentifier():
        yield Fault("reference", f"found {product.reference!r}", "the name of the step parameter that takes it")
    if not product.of or product.is_table:
        found = "a table" if product.is_table else "for no instrument"
        yield Fault("reference", f"found {product.reference!r}, {found}", "cells, and of=['an instrument']")
    if product.valid != "until next" and not _is_duration(product.valid):
        yield Fault("valid", f"found {product.valid!r}", "a duration, such as '1 d', or 'until next'")


def _is_duration(text: str) -> bool:
    try:
        return Duration(text) > 0
    except (ValueError, TypeError):
        return False


def _table_faults(product: Product) -> Iterator[Fault]:
    if product.exposures or product.bins:
        found = "exposures" if product.exposures else "bins"
        yield Fault(found, "found some", "the rows of a table are no cells: it has a regular axis and no bins")
    for v in product.declared:
        if v.name in _OF_ROWS:
            yield Fault(repr(v.name), "cannot name a variable of a table", f"the engine makes {', '.join(_OF_ROWS)}")
        if v.place is not None or v.weight or v.period is not None or v.normalised:
            yield Fault(
                f"{v.name}", "says how samples make a cell", "place, weight, period and normalised are of cells"
            )
        if len(v.dims) > _MOST_DIMS - bool(v.categories):
            allowed = "a column has one dimension beside time, at most; one of words has none"
            yield Fault(f"{v.name}.dims", f"found {v.dims}", allowed)


def _name_faults(product: Product) -> Iterator[Fault]:
    names = [n for v in product.declared for n in (v.name, f"{v.name}_uncertainty")[: 1 + v.has_uncertainty]]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield Fault(name, "declared twice", "names are unique")
        if name in PLACES_OF_SITES and not _is_a_track(product, name):
            yield Fault(name, "is where a site lies", f"of what moves: Variable({name!r}, ('time',), coordinate=True)")
        if name in _RESERVED or name in product.coordinates or not name.isidentifier():
            allowed = f"expected one word, and none of {', '.join(sorted({*_RESERVED, *product.coordinates}))}"
            yield Fault(repr(name), "cannot name a variable", allowed)
    yield from _dimension_faults(product)


def _dimension_faults(product: Product) -> Iterator[Fault]:
    taken = _RESERVED | {*PLACES_OF_SITES} | (_COUNTED if product.counts_events else set())
    for name, labels in product.coordinates.items():
        if name in taken or not name.isidentifier():
            allowed = f"expected one word, and none of {', '.join(sorted(taken))}"
            yield Fault(f"coordinates[{name!r}]", "cannot name a dimension", allowed)
        if not isinstance(labels, list) and (type(labels) is not int or labels < 1):
            yield Fault(f"coordinates[{name!r}]", f"found {labels!r}", "a size is a whole number from 1")


def _is_a_track(product: Product, name: str) -> bool:
    """Tell whether a variable is a place along time, as CF has it."""
    return all(v.coordinate and v.dims == ("time",) for v in product.declared if v.name == name)


def _bin_faults(product: Product) -> Iterator[Fault]:
    yield from _place_of_bins_faults(product)
    for name, column in product.bins.items():
        if not str(column).isidentifier() or column in _RESERVED:
            yield Fault(f"bins[{name!r}]", f"found {column!r}", "the name of what the steps deliver as the bin")
        if name not in product.coordinates:
            yield Fault(f"bins[{name!r}]", "has no edges", f"give coordinates={{{name!r}: ...}}, edges or a size")
    for name, edges in product.edges.items():
        if len(edges) < 2 or not (np.diff(edges) > 0).all() or not np.isfinite(edges).all():  # noqa: PLR2004
            yield Fault(f"coordinates[{name!r}]", f"found {edges[:4]}", "finite edges of bins rise, one more than bins")


def _place_of_bins_faults(product: Product) -> Iterator[Fault]:
    if product.bins and (
        product.exposures or product.place == "slot" or any(v.place == "slot" for v in product.declared)
    ):
        yield Fault("bins", f"found {list(product.bins)}", "samples of bins have the place mean, sum or histogram")
    for v in product.declared:
        own = tuple(name for name in v.dims if name in product.bins)
        if v.dims[1 : 1 + len(own)] != own:
            yield Fault(f"{v.name}.dims", f"found {v.dims}", f"bins come right after time: {('time', *own)}")


def _event_faults(product: Product) -> Iterator[Fault]:
    if not product.counts_events:
        for name, said in (("good", product.good), ("weight", product.weight)):
            if said:
                yield Fault(name, f"found {said!r}", "it belongs to place='histogram'")
        return
    if product.declared:
        names = ", ".join(v.name for v in product.declared)
        yield Fault("variables", f"found {names}", "a histogram has counts, ontime and exposure, and no other")
    if not product.bins:
        yield Fault("bins", "there are none", "a histogram has at least one: bins={'energy': 'energy_bin'}")
    if product.exposures:
        yield Fault("exposures", "found True", "events are counted on a regular axis")
    if len(set(product.good)) < len(product.good) or not set(product.good) <= product.bins.keys():
        yield Fault("good", f"found {list(product.good)}", f"dimensions of bins, each once: {', '.join(product.bins)}")
    if product.overlap not in OVERLAPS:
        yield Fault("overlap", f"found {product.overlap!r}", f"expected one of {', '.join(OVERLAPS)}")


def dims_faults(product: Product, name: str, dims: Any) -> Iterator[Fault]:
    """Yield why a variable, or `quality`, cannot have these dimensions."""
    path = f"{name}.dims"
    if not isinstance(dims, tuple) or dims[:1] != ("time",):
        yield Fault(path, f"found {dims!r}", "expected a tuple of names, time first")
        return
    for one in dims[1:]:
        if one not in product.coordinates:
            yield Fault(path, f"{one!r} has no size", f"give coordinates={{{one!r}: ...}}")


def _is_number(dtype: str) -> bool:
    try:
        return np.dtype(dtype).kind in "fiu"
    except TypeError:
        return False
