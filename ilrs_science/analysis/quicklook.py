"""Pictures of a cube, to see in a second whether it is right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.analysis.counting import rate
from ilrs_science.errors import CubeError, IlrsError
from ilrs_science.model.quality import MISSING, flags_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POINTS = 4000  # more do not show in a picture of this width
_COLOURS = 20  # of tab20; flags beyond take them again

_OF_EVERY_CUBE = ("quality", "time_bounds", "time_offset", "count", "count_left_out")


def quicklook(cube: xr.Dataset, variable: str | None = None) -> Figure:
    """Draw the primary variable of a cube: time series by site, or frames.

    Parameters
    ----------
    cube
        An open cube.
    variable
        Name of the variable; by default the first that carries an uncertainty, of events their rate over all bins, of a
        table the number of its rows.

    Raises
    ------
    CubeError
        The cube has no such variable.
    IlrsError
        matplotlib is not installed.
    """
    cube = _with_rate(cube) if variable is None else cube
    name = variable or _primary(cube)
    if name not in cube:
        raise CubeError(f"no variable {name!r} to draw; the cube has {', '.join(map(str, cube.data_vars))}")
    array = cube[name]
    images = [d for d in array.dims if d not in ("time", "site")]
    if len(images) == 2 and "site" not in array.dims:  # noqa: PLR2004 - two dimensions make an image
        return _frames(cube, name)
    return _series(cube, name)


def _primary(cube: xr.Dataset) -> str:
    """Return the first variable that carries an uncertainty, or else the first that is of this product alone."""
    own = [str(n) for n in cube.data_vars if n not in _OF_EVERY_CUBE and not str(n).endswith("_uncertainty")]
    return next((n for n in own if f"{n}_uncertainty" in cube), next(iter(own), ""))


def _with_rate(cube: xr.Dataset) -> xr.Dataset:
    """Return the rate of events over all bins, of a cube that has some; any other as it is."""
    if "counts" not in cube or "exposure" not in cube or cube["counts"].attrs.get("cell_methods") != "time: sum":
        return cube
    bins = [str(one) for one in cube["counts"].dims if one not in ("time", "site")]
    return rate(cube, over=bins).assign(quality=cube["quality"])


def save_quicklook(cube: xr.Dataset, path: Path, variable: str | None = None) -> Path:
    """Write the picture of a cube as PNG and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        quicklook(cube, variable).savefig(path, dpi=110)
    except ValueError as error:
        raise IlrsError(f"{path}: {error}") from error  # an ending that is no picture
    return path


def _series(cube: xr.Dataset, name: str) -> Figure:
    """Draw one panel a site: components as lines, gaps shaded, other flags as ticks below."""
    sites = [str(one) for one in cube["site"].values]
    figure, axes = _panels(len(sites), 1, (11, 1.2 + 2.3 * len(sites)), sharex=True)
    for panel, site in zip(axes.ravel(), sites, strict=True):
        one = cube[[name, "quality"]].sel(site=site).load()
        utc = cube["time"].values
        quality = _per_time(one["quality"])
        missing = (quality & MISSING).astype(bool)
        values = one[name].transpose("time", ...).values.reshape(len(utc), -1)
        values = np.where((quality == 0)[:, None], values, np.nan)
        keep = slice(None, None, max(1, len(utc) // _POINTS))
        labels = _component_labels(one[name])
        for number, label in enumerate(labels):
            panel.plot(utc[keep], values[keep, number], lw=0.8, label=label)
        _shade(panel, utc, missing)
        flagged = (quality != 0) & ~missing
        panel.plot(
            utc[flagged],
            np.zeros(int(flagged.sum())),
            "|",
            color="crimson",
            ms=9,
            transform=panel.get_xaxis_transform(),
        )
        panel.set_title(f"{site}: {missing.mean():.1%} missing, {int(flagged.sum())} flagged", loc="left", fontsize=9)
        panel.set_ylabel(f"{name} [{cube[name].attrs.get('units', '')}]")
        panel.margins(x=0)
    if any(labels):
        axes.ravel()[0].legend(loc="upper right", ncols=3, fontsize=8)
    _time_axis(axes.ravel()[-1])
    figure.suptitle(f"{cube.attrs.get('title', name)}  (grey: no data, red: flagged and not drawn)", fontsize=10)
    return figure


def _frames(cube: xr.Dataset, name: str) -> Figure:
    """Draw up to five frames over their quality flags."""
    count = min(5, cube.sizes["time"])
    chosen = np.unique(np.linspace(0, cube.sizes["time"] - 1, count).astype(int))
    figure, axes = _panels(2, len(chosen), (2.6 * len(chosen) + 1.2, 7.2))
    part = cube[[name, "quality"]].isel(time=chosen).load()
    good = part[name].where(part["quality"] == 0).values
    finite = good[np.isfinite(good)]
    low, high = np.percentile(finite, [2, 98]) if finite.size else (0.0, 1.0)
    texts = np.datetime_as_string(cube["time"].values[chosen], "s")
    picture: Any = None
    flags = part["quality"].values
    raised = _raised(flags_of(cube["quality"]), flags)
    for column, text in enumerate(texts):
        picture = axes[0, column].imshow(good[column], origin="lower", vmin=low, vmax=high, cmap="inferno")
        axes[0, column].set_title(text.replace("T", "\n"), fontsize=8)
        axes[1, column].imshow(
            _highest(raised, flags[column]),
            origin="lower",
            vmin=0,
            vmax=_COLOURS,
            cmap="tab20",
            interpolation="nearest",
        )
        for row in (0, 1):
            axes[row, column].set_xticks([])
            axes[row, column].set_yticks([])
    axes[0, 0].set_ylabel(f"{name}, good pixels")
    axes[1, 0].set_ylabel("highest flag")
    figure.colorbar(picture, ax=axes.ravel().tolist(), label=str(cube[name].attrs.get("units", "")), shrink=0.6)
    _flag_legend(figure, list(raised))
    figure.suptitle(str(cube.attrs.get("title", name)))
    return figure


def _panels(rows: int, columns: int, size: tuple[float, float], *, sharex: bool = False) -> tuple[Figure, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure as NewFigure  # noqa: PLC0415
    except ImportError as error:
        raise IlrsError("pictures need matplotlib; pip install 'ilrs-science[plots]'") from error
    figure = NewFigure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)  # no window system, no global state of pyplot
    return figure, figure.subplots(rows, columns, squeeze=False, sharex=sharex)


def _raised(known: dict[str, int], flags: NDArray[np.unsignedinteger]) -> dict[str, int]:
    """Return the flags that are raised anywhere, by meaning."""
    anywhere = int(np.bitwise_or.reduce(flags, axis=None))
    return {name: mask for name, mask in known.items() if anywhere & mask}


def _highest(raised: dict[str, int], flags: NDArray[np.unsignedinteger]) -> NDArray[np.float64]:
    """Return the colour of the last flag of each pixel, NaN where there is none."""
    colours = np.full(flags.shape, np.nan)
    for number, mask in enumerate(raised.values()):
        colours[(flags & flags.dtype.type(mask)) != 0] = number % _COLOURS
    return colours


def _flag_legend(figure: Figure, raised: list[str]) -> None:
    from matplotlib import colormaps  # noqa: PLC0415
    from matplotlib.patches import Patch  # noqa: PLC0415

    colours = colormaps["tab20"]
    patches = [Patch(color=colours(number % _COLOURS), label=text) for number, text in enumerate(raised)]
    if patches:
        figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), fontsize=8)


def _per_time(quality: xr.DataArray) -> NDArray[np.uint32]:
    values = quality.transpose("time", ...).values.reshape(quality.sizes["time"], -1)
    raised: NDArray[np.uint32] = np.bitwise_or.reduce(values, axis=1)
    return raised


def _component_labels(array: xr.DataArray) -> list[str]:
    others = [d for d in array.dims if d != "time"]
    if not others:
        return [""]
    return [str(one) for one in array[others[0]].values] if len(others) == 1 and others[0] in array.coords else [""]


def _shade(panel: Any, utc: Any, missing: Any) -> None:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], missing, [False]]).astype(int)))
    for begin, end in edges.reshape(-1, 2):
        panel.axvspan(utc[begin], utc[min(end, len(utc) - 1)], color="0.85", lw=0)


def _time_axis(panel: Any) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415

    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    panel.xaxis.set_major_locator(locator)
    panel.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    panel.set_xlabel("UTC")
