"""Write the page of the contract from the docstrings: `python docs/contract.py`."""
# ruff: noqa: E501 - lines of the page

import ast
import inspect
import textwrap
from pathlib import Path

import ilrs_science as ilrs

PAGE = Path(__file__).parent / "reference" / "contract.md"
HEAD = """# The contract

All that a plugin may say, from the docstrings (this page is written by `docs/contract.py`). How to begin: [your first instrument](../tutorial/first-instrument.md),
[count events](../how-to/count-events.md); how steps are written: [write a step](../how-to/write-a-step.md).

What `read` gives: an `xarray.Dataset` of variables along `time`, each with `units`, and

| in it | what |
|---|---|
| coordinate `tai` or `time` | when each sample was: TAI (int64 or datetime64, ns), or UTC (datetime64); the engine makes the other |
| variable `quality` | flags, if the file has some: unsigned, the common bits below 16, the instrument's own from 16 |
| `attrs["site"]` | the site, if the file says it |
| `attrs["tags"]` | what the file is, for references and `where`, where there is no `index`: `{"kind": "flat", "filter": "R"}` |
| `attrs["rejected"]` | samples that could not be read, by reason: `{"bad checksum": 60}` |
| `attrs["good"]` | of events: when the instrument was good, shape (n, 2), int64 TAI ns; or columns `start`, `stop` and those of `Product(good=...)` |

What a step gets: the same, with `quality`, both times, and `sample`, a number that tells each sample from all others in whatever cut. It gives back a new dataset of as many samples; of a window or a group any number of rows.
"""
EXAMPLES = {
    "Instrument": """import numpy as np
import xarray as xr
from ilrs_science import Granule, Instrument, Product, Variable


def read(granule: Granule) -> xr.Dataset:
    words = np.frombuffer(granule.read_bytes(), [("tai", ">i8"), ("counts", ">i2")])
    return xr.Dataset({"counts": ("time", words["counts"].astype("f4"), {"units": "count"})}, {"tai": ("time", words["tai"])})


def to_volts(ds: xr.Dataset, *, gain: float = 0.1) -> xr.Dataset:
    \"\"\"Multiply. gain: V a count.\"\"\"
    return ds.assign(v=ds.counts * gain, v_uncertainty=xr.full_like(ds.counts, gain / 12**0.5))


product = Product(Variable("v", ("time",), "f4", units="V", about="voltage"))
instrument = Instrument("acme-volt", files="*.volt", read=read, steps=(to_volts,), product=product)""",
    "Product": """from ilrs_science import Product, Variable

flux = Variable("flux", ("time", "sector"), "f4", units="1 / (cm2 s sr eV)")
product = Product(flux, place="mean", bins={"sector": "looks"}, coordinates={"sector": [0.0, 120.0, 240.0, 360.0]})
assert product.coordinates == {"sector": [60.0, 180.0, 300.0]}""",
    "Variable": """from ilrs_science import Variable

mode = Variable("mode", ("time",), "u1", units="1", categories=("survey", "burst"))
azimuth = Variable("azimuth", ("time",), "f4", units="deg", period=360, weight="live")
attitude = Variable("q", ("time", "part"), "f8", units="1", normalised="quaternion", uncertainty=False)
assert mode.is_label and not mode.has_uncertainty""",
    "Series": """import xarray as xr
from ilrs_science import Granule, Series


def read_housekeeping(granule: Granule) -> xr.Dataset:
    ...


def by_temperature(ds: xr.Dataset, *, temperature: Series, slope: float = 1e-3) -> xr.Dataset:
    \"\"\"Take the gain of a warm sensor off. slope: relative, 1/K.\"\"\"
    return ds.assign(b=ds.b / (1 + slope * (temperature.at(ds, "plate") - 20)))


series = {"temperature": Series(read_housekeeping, files="*.hk", limit="60 s")}""",
    "set_flag": """import xarray as xr
from ilrs_science import set_flag

ds = xr.Dataset({"v": ("time", [1.0, 9.0]), "quality": ("time", [0, 0])})
assert set_flag(ds, "saturated", ds.v > 5).quality.values.tolist() == [0, 2]""",
    "step": """import xarray as xr
from ilrs_science import Duration, step


@step(margin="window")
def smooth(ds: xr.Dataset, *, window: Duration = Duration("5 s")) -> xr.Dataset:
    ...""",
}


def text() -> str:
    """Return the page."""
    data = (ilrs.Instrument, ilrs.Product, ilrs.Variable, ilrs.Encoding, ilrs.Granule)
    nouns = (*data, ilrs.Reference, ilrs.Series, ilrs.Site)
    verbs = (ilrs.step, ilrs.set_flag, ilrs.reject, ilrs.exclude, ilrs.scale_live_time)
    return "\n".join([HEAD, *map(_noun, nouns), *map(_verb, verbs)])


def _noun(kind: type) -> str:
    rows = [f"| `{name}` | {about} |" for name, about in (_fields(kind) or _parameters(kind)).items()]
    table = ["| field | what |", "|---|---|", *rows, ""] if rows else []
    about = _plain(inspect.getdoc(kind) or "").split("\nParameters\n", 1)[0].split("\nRaises\n", 1)[0].strip()
    return "\n".join([f"## {kind.__name__}\n", about, "", *table, *_example(kind.__name__)])


def _verb(function: object) -> str:
    name = getattr(function, "__name__", "")
    first, _, rest = _plain(inspect.getdoc(function) or "").partition("\nParameters\n")
    rows = [f"| `{key}` | {about} |" for key, about in _sections(rest.partition("\nRaises\n")[0]).items()]
    signature = f"`{name}{_arguments(function)}`"
    table = ["| parameter | what |", "|---|---|", *rows, ""] if rows else []
    return "\n".join([f"## {name}\n", signature, "", first.strip(), "", *table, *_example(name)])


def _arguments(function: object) -> str:
    parameters = list(inspect.signature(function).parameters.values())  # type: ignore[arg-type]
    free = [one.name for one in parameters if one.kind is not one.KEYWORD_ONLY]
    named = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
    return f"({', '.join([*free, *(['*'] if named else []), *named])})"


def _fields(kind: type) -> dict[str, str]:
    """Return the fields of a dataclass with the texts below them."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    found: dict[str, str] = {}
    name = ""
    for one in definition.body:  # type: ignore[attr-defined]
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            name = one.target.id
        elif name and isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant):
            found[name], name = " ".join(str(one.value.value).split()), ""
    return found


def _parameters(kind: type) -> dict[str, str]:
    return _sections(_plain(inspect.getdoc(kind) or "").partition("\nParameters\n")[2].partition("\nRaises\n")[0])


def _sections(words: str) -> dict[str, str]:
    """Return what a numpydoc section says of each name."""
    found: dict[str, str] = {}
    name = ""
    for line in words.splitlines():
        if line and not line.startswith((" ", "-")):
            name = line.strip()
        elif line.strip() and not line.startswith("-"):
            found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found


def _plain(words: str) -> str:
    return words.replace("|", "or")


def _example(name: str) -> list[str]:
    return ["<!-- run -->", "```python", EXAMPLES[name], "```", ""] if name in EXAMPLES else []


if __name__ == "__main__":
    PAGE.write_text(text())
