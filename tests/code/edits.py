"""Run in a copy of the package: tell for each edit, given as JSON, which identities it changes."""

import json
import sys
from pathlib import Path

import ilrs_science
from ilrs_science import Instrument, Product, Variable, registry
from ilrs_science.code import code_of

PACKAGE = Path(ilrs_science.__file__).parent


def of(name: str, read: object) -> Instrument:
    return Instrument(name, "*", read=read, steps=(), product=Product(Variable("v", ("time",), "f4", "m")))


def loose(name: str, source: str) -> Instrument:
    """Return an instrument whose reader lies in a module of its own, of no distribution."""
    path = PACKAGE.parent / f"{name}.py"
    path.write_text(source)
    return of(name, __import__(name).read)


fluxgate = registry.instrument("fluxgate")
any_format = loose(
    "any_format", "from ilrs_science import formats\ndef read(granule): return formats.read(granule.url)"
)
one_format = loose(
    "one_format", "from ilrs_science.formats import read_cdf\ndef read(granule): return read_cdf(granule.url)"
)
scales = loose("scales", "from ilrs_science.geometry.scales import convert\ndef read(granule): return convert(granule)")
accessor = loose("accessor", "def read(granule): return granule.ilrs.utc")
by_name = {
    "fluxgate": lambda: code_of(fluxgate, fluxgate.steps),
    "fluxgate+cdf": lambda: code_of(fluxgate, fluxgate.steps, ["cdf", ""]),
    "any": lambda: code_of(any_format, ()),
    "any+pds3": lambda: code_of(any_format, (), ["pds3"]),
    "read_cdf": lambda: code_of(one_format, ()),
    "scales": lambda: code_of(scales, ()),
    "accessor": lambda: code_of(accessor, ()),
}


def all_codes() -> dict[str, str]:
    return {name: code().ours for name, code in by_name.items()}


answers = []
before = all_codes()
for file, old, new in json.loads(sys.stdin.read()):
    path = PACKAGE / file
    content = path.read_bytes()
    assert old.encode() in content, (file, old)
    path.write_bytes(content.replace(old.encode(), new.encode(), 1) if old else content + new.encode())
    after = all_codes()
    path.write_bytes(content)
    answers.append(sorted(name for name in before if before[name] != after[name]))
sys.stdout.write(json.dumps(answers))
