"""A raw format that a partner's package adds is a format like any other; a broken one harms nobody who does not ask."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ilrs_science as ilrs
from ilrs_science import FormatError, formats, plugins
from ilrs_science.code import code_of
from ilrs_science.registry import instrument

MODULE = """
import numpy as np
import xarray as xr

from ilrs_science.formats import Format
from ilrs_science.formats.format import granule


def recognises(head, path):
    return head.startswith(b"ACME")


def read(path):
    seconds = np.frombuffer(path.read_bytes()[4:], ">i8")
    return xr.Dataset({"count": ("time", np.arange(len(seconds)))}, {"time": seconds * 10**9})


def index(path):
    times = read(path).time.values
    return [granule(path, "acme", count=len(times), span=(int(times[0]), int(times[-1])))]


FORMAT = Format("acme", "an ACME log", "own", recognises, read, index)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "one.log"
    path.write_bytes(b"ACME" + np.arange(1000, 1005, dtype=">i8").tobytes())
    return path


def add(install: Callable[..., Path], text: str = MODULE, name: str = "acme") -> None:
    install("acme-formats", {"acme_format.py": text}, {"ilrs_science.formats": {name: "acme_format:FORMAT"}})


def test_a_contributed_format_is_recognised_read_and_indexed(install: Callable[..., Path], file: Path) -> None:
    with pytest.raises(FormatError, match="no reader recognises it"):
        formats.read(file)
    add(install)
    assert formats.read(file).sizes == {"time": 5}
    assert formats.read(file, format="acme").sizes == {"time": 5}
    (granule,) = ilrs.inventory(str(file)).granules
    assert (granule.format, granule.count, granule.start) == ("acme", 5, 1000 * 10**9)
    assert [(one.name, one.distribution) for one in plugins("formats")] == [("acme", "acme-formats")]
    assert "acme" in formats.FORMATS


def test_the_code_of_a_contributed_format_is_part_of_the_identity_of_what_is_read_with_it(
    install: Callable[..., Path],
) -> None:
    add(install)
    fluxgate = instrument("fluxgate")
    assert code_of(fluxgate, [], ["acme"]).plugin != code_of(fluxgate, [], []).plugin


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        ("raise RuntimeError('no licence')", "acme", "acme_format:FORMAT cannot be imported: RuntimeError: no licence"),
        ("FORMAT = 1", "acme", "acme_format:FORMAT is a int, expected a Format"),
        (MODULE, "other", "acme_format:FORMAT calls itself 'acme'; entry point and name must agree"),
        (MODULE.replace('"acme"', '"fits"'), "fits", "more than one has the name fits; uninstall all but one"),
    ],
)
def test_a_broken_format_is_named_to_who_asks_for_it_and_leaves_the_others_alone(
    install: Callable[..., Path], file: Path, text: str, name: str, reason: str
) -> None:
    add(install, text, name)
    assert formats.FORMATS.problems == {name: reason}
    with pytest.raises(FormatError, match="no reader recognises it") as raised:
        formats.read(file)
    assert f"the format {name} cannot be used: {reason}" in str(raised.value)
    assert formats.FORMATS["fits"].about != "an ACME log"
    if name != "fits":
        with pytest.raises(FormatError) as raised:
            formats.read(file, format=name)
        assert f"no format {name!r}: {reason}; there are fits" in str(raised.value)
