"""Tables in storage: one Parquet object for each shard of slots, beside the arrays of the cube."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np

from ilrs_science.errors import CubeError
from ilrs_science.model.rows import OWN, Rows
from ilrs_science.store.collection import cubes_at
from ilrs_science.store.cube import COMPLETE, ROWS, Existing, existing
from ilrs_science.store.target import Target, target

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.dataset import Dataset

TABLE = "table"
"""Place of a product whose rows are stored so, and the folder that they lie in."""


def key(row: int, number: int) -> str:
    """Return the key of the rows of a shard, of the site with this index."""
    return f"{TABLE}/{row}/{number}.parquet"


def encoded(rows: Rows, product: Mapping[str, Any]) -> bytes:
    """Return rows as the bytes of a Parquet object; the same ones for equal rows.

    Parameters
    ----------
    product
        Its schema, as `Product.as_json` gives it.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

    wanted = schema(product)
    columns = [_column(rows, one.name, one.type) for one in wanted]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, schema=wanted), sink, compression="zstd", row_group_size=2**20)
    return sink.getvalue()


def open_table(url: str) -> Dataset:
    """Open the table of a cube, or of the cubes of a collection: lazily, as a `pyarrow.dataset.Dataset`.

    Rows come cube by cube, and in each in order of site and time.

    `open_table(url).to_table(columns=[...], filter=...)` reads what is asked for, and `.to_pandas()` of that is a data
    frame. Other programs read the Parquet files in the folder `table` of the cube.

    Raises
    ------
    CubeError
        There is no cube at the URL, or it has cells and no table.
    """
    import pyarrow.dataset as ds  # noqa: PLC0415 - heavy

    cubes = {one: _with_table(one) for one in cubes_at(url)}
    paths = [path for one in cubes for path in _paths(target(one))]
    product = next(iter(cubes.values())).schema["product"]
    filesystem = fsspec.url_to_fs(target(url).url)[0]
    return ds.dataset(paths, schema=schema(product), format="parquet", filesystem=filesystem)


def _with_table(url: str) -> Existing:
    found = existing(target(url))
    if found is None or found.schema["place"] != TABLE:
        what = "no cube" if found is None else "a cube without a table; open it with open_cube"
        raise CubeError(f"{url}: {what}")
    if found.attributes.get("status") != COMPLETE:
        warnings.warn(f"{url}: {found.attributes.get('status', 'unfinished')}", UserWarning, stacklevel=3)
    return found


def _paths(place: Target) -> list[str]:
    """Return the paths of the rows of a cube, as its file system has them, in order."""
    root = fsspec.url_to_fs(place.url)[1].rstrip("/")
    return [f"{root}/{name}" for name in sorted(place.listing(TABLE), key=_in_order) if ROWS.fullmatch(name)]


def schema(product: Mapping[str, Any]) -> pa.Schema:
    """Return the columns of a table with their types; what they are, and in which units, in their metadata."""
    import pyarrow as pa  # noqa: PLC0415 - heavy

    text = pa.dictionary(pa.int32(), pa.string())
    own = {
        "site": (text, {"about": "name of the site"}),
        "time": (pa.timestamp("ns", tz="UTC"), {"about": "UTC, as `time` of the cube"}),
        "tai": (pa.timestamp("ns"), {"about": "TAI, exact"}),
        "granule": (text, {"about": "SHA-256 of the raw file"}),
        "position": (pa.int64(), {"about": "which sample of the raw file, as it is read"}),
        "index": (pa.int32(), {"about": "which of the rows made of that sample at that time"}),
        "quality": (pa.uint32(), {"about": "quality flags", "flags": " ".join(product["flags"])}),
    }
    fields = [pa.field(name, *_described(own[name])) for name in OWN]
    for one in product["variables"]:
        kind = _type(one["dtype"], one["dims"], product)
        about = {"units": one["units"], "about": one["about"]}
        fields.append(pa.field(one["name"], text if one["categories"] else kind, metadata=about))
        if one["uncertainty"]:
            dtype = one["dtype"] if np.dtype(one["dtype"]).kind == "f" else "f4"
            sigma = about | {"about": f"1 sigma random uncertainty of {one['about'] or one['name']}"}
            fields.append(pa.field(f"{one['name']}_uncertainty", _type(dtype, one["dims"], product), metadata=sigma))
    return pa.schema(fields)


def _described(one: tuple[Any, dict[str, str]]) -> tuple[Any, bool, dict[str, str]]:
    return one[0], False, one[1]


def _type(dtype: str, dims: list[str], product: Mapping[str, Any]) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - heavy

    kind = pa.from_numpy_dtype(np.dtype(dtype))
    for name in dims[1:]:
        labels = product["coordinates"][name]
        kind = pa.list_(kind, labels if isinstance(labels, int) else len(labels))
    return kind


def _column(rows: Rows, name: str, kind: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - heavy

    values = rows.columns[name]
    if pa.types.is_dictionary(kind):
        # The words that are there, in order: equal rows have equal bytes, whatever else a part has.
        words, numbers = np.unique(values, return_inverse=True)
        known = [rows.words[name][one] for one in words]
        return pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), pa.array(known, pa.string()))
    if pa.types.is_fixed_size_list(kind):
        flat = pa.array(np.ascontiguousarray(values).reshape(-1), kind.value_type)
        return pa.FixedSizeListArray.from_arrays(flat, type=kind)
    if pa.types.is_timestamp(kind):
        return pa.array(values.astype(np.int64), pa.int64()).cast(kind)
    return pa.array(values, kind)


def _in_order(name: str) -> tuple[int, ...]:
    return tuple(int(one) for one in name.removesuffix(".parquet").split("/")[1:] if one.isdecimal())
