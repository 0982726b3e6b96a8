from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import spiceypy
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.geometry import Clock
from ilrs_science.geometry.sclk import read_sclk
from ilrs_science.geometry.time import SECOND

J2000 = 946_728_000 * SECOND
LEAP_SECONDS = r"""KPL/LSK
\begindata
DELTET/DELTA_T_A = 32.184
DELTET/K = 1.657D-3
DELTET/EB = 1.671D-2
DELTET/M = ( 6.239996D0 1.99096871D-7 )
DELTET/DELTA_AT = ( 10, @1972-JAN-1, 37, @2017-JAN-1 )
\begintext
"""
CLOCK = r"""KPL/SCLK
A clock with two partitions; this is text: SCLK_DATA_TYPE_77 = ( 3 ), SCLK01_MODULI_99 = ( 1 )
\begindata
  SCLK_KERNEL_ID             = ( @2026-01-01/00:00 )
  SCLK_DATA_TYPE_77          = ( 1 )
  SCLK01_TIME_SYSTEM_77      = ( 1 )
  SCLK01_N_FIELDS_77         = ( 2 )
  SCLK01_MODULI_77           = ( 4294967296 256 )
  SCLK01_OFFSETS_77          = ( 0 0 )
  SCLK01_OUTPUT_DELIM_77     = ( 1 )
  SCLK_PARTITION_START_77    = ( 0.0D0 2560 )
  SCLK_PARTITION_END_77      = ( 2.56D5 1.28E7 )
\begintext
  SCLK_DATA_TYPE_88          = ( 1 )
\begindata
  SCLK01_COEFFICIENTS_77     = ( 0 100.25D0 1.0D0,
                                 2.56D4, 200.5, 1.00002D0 )
  SCLK01_COEFFICIENTS_77    += ( 2.56D5 5.0000D3 9.9998D-1 )
\begintext
  SCLK01_COEFFICIENTS_77    += ( 0 0 0 )
"""
LAST = 256_000 + 12_800_000 - 2560
MISSION = """
  0              6.5000000012345678E+08  1.0000000000
  2097152000000  6.8200000000000000E+08  1.0000020000
  4194304000000  7.1400006400000000E+08  0.9999980000
"""


def kernel(coefficients: str, system: int = 1) -> str:
    """Return the kernel of clock -77: one partition, 65536 ticks a count."""
    return rf"""KPL/SCLK
\begindata
SCLK_DATA_TYPE_77       = ( 1 )
SCLK01_TIME_SYSTEM_77   = ( {system} )
SCLK01_N_FIELDS_77      = ( 2 )
SCLK01_MODULI_77        = ( 4294967296 65536 )
SCLK01_OFFSETS_77       = ( 0 0 )
SCLK01_OUTPUT_DELIM_77  = ( 1 )
SCLK_PARTITION_START_77 = ( 0 )
SCLK_PARTITION_END_77   = ( 2.8147497671065E+14 )
SCLK01_COEFFICIENTS_77  = ( {coefficients} )
SCLK_KERNEL_ID          = ( @2026-01-01 )
\begintext
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "clock.tsc"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.fixture
def spice(tmp_path: Path) -> Iterator[None]:
    spiceypy.kclear()
    (tmp_path / "leap.tls").write_text(LEAP_SECONDS)
    spiceypy.furnsh(str(tmp_path / "leap.tls"))
    yield
    spiceypy.kclear()


def tai_of_spice(ticks: int) -> Fraction:
    """Return TAI in nanoseconds since 1970."""
    return Fraction(spiceypy.unitim(spiceypy.sct2e(-77, float(ticks)), "ET", "TAI")) * SECOND + J2000


@pytest.mark.usefixtures("spice")
@pytest.mark.parametrize("system", [1, 2])
def test_small_numbers_are_those_of_spice_to_the_nanosecond(tmp_path: Path, system: int) -> None:
    path = write(tmp_path, CLOCK.replace("TIME_SYSTEM_77      = ( 1 )", f"TIME_SYSTEM_77 = ( {system} )"))
    spiceypy.furnsh(str(path))
    clock = Clock.from_sclk(path)
    ticks = np.random.default_rng(7).integers(0, LAST, 400)
    for tick in (*ticks.tolist(), 0, 25_599, 25_600, 255_999, 256_000, 256_001, LAST):
        assert abs(int(clock.to_tai(tick)) - tai_of_spice(tick)) <= 1
    assert clock.scale == ("et" if system == 1 else "tt")


@pytest.mark.usefixtures("spice")
@pytest.mark.parametrize("system", [1, 2])
def test_a_mission_of_years_is_that_of_spice_within_its_doubles_where_one_line_is_not(
    tmp_path: Path, system: int
) -> None:
    path = write(tmp_path, kernel(MISSION, system))
    spiceypy.furnsh(str(path))
    clock = Clock.from_sclk(path)
    ticks = np.random.default_rng(8).integers(0, 63 * 10**11, 400)
    expected = [tai_of_spice(tick) for tick in ticks.tolist()]
    # SPICE rounds up to three times to a double, whose spacing is 119 ns at 7e8 s.
    assert max(abs(int(a) - b) for a, b in zip(clock.to_tai(ticks), expected, strict=True)) <= 180
    slope, start = np.polyfit(ticks / 1e12, [float(e) for e in expected], 1)
    assert np.abs(slope * ticks / 1e12 + start - np.array(expected, float)).max() > SECOND


@pytest.mark.usefixtures("spice")
def test_partitions_count_on_as_in_spice(tmp_path: Path) -> None:
    path = write(tmp_path, CLOCK)
    spiceypy.furnsh(str(path))
    clock = Clock.from_sclk(path)
    starts, stops = spiceypy.scpart(-77)
    assert np.array_equal(clock.partitions, np.stack([starts, stops], axis=-1))
    for text, counts in [
        *(("1/0.000", 0), ("1/7.255", 2047), ("1/999.255", 255_999)),
        *(("2/10.000", 2560), ("2/11.005", 2821), ("2/50000.000", 12_800_000)),
    ]:
        ticks = int(spiceypy.scencd(-77, text))
        assert clock.continuous(counts, clock.to_tai(ticks)) == ticks
    for outside in (-1, LAST + 1):
        with pytest.raises(IlrsError, match=rf"tick {outside} is outside the correlation of the clock, 0 to {LAST}"):
            clock.to_tai(outside)
        with pytest.raises(spiceypy.utils.exceptions.SpiceyError, match="SCLKDP"):
            spiceypy.sct2e(-77, float(outside))


def test_only_what_stands_between_data_markers_counts(tmp_path: Path) -> None:
    found = read_sclk(write(tmp_path, CLOCK))
    assert found.ticks.tolist() == [0, 25_600, 256_000]
    assert (found.times - J2000).tolist() == [100_250_000_000, 200_500_000_000, 5_000_000_000_000]
    assert found.seconds_per_count.tolist() == [1.0, 1.00002, 0.99998]
    assert (found.ticks_per_count, found.is_tdb) == (256, True)
    assert read_sclk(write(tmp_path, CLOCK), -77).ticks.tolist() == found.ticks.tolist()


@pytest.mark.parametrize(
    "text",
    [
        CLOCK.replace("\n", "\r\n"),
        "\n  " + CLOCK,
        CLOCK.replace("\\begindata", "   \\BEGINDATA  "),
        CLOCK.replace("5.0000D3", "5.0000d+03").replace("2.56D4", "25600.").replace("2.56D5 ", "+2.56e5, "),
        CLOCK.replace(" )", ")").replace("( ", "(").replace(" = ", "=").replace(" += ", "+="),
        CLOCK.replace("  SCLK01_TIME_SYSTEM_77      = ( 1 )\n", ""),
        CLOCK.replace("SCLK_DATA_TYPE_77          = ( 1 )", "SCLK_DATA_TYPE_77 = 1"),
        CLOCK.replace("KPL/SCLK\n", "KPL/SCLK\nT\xebxt\n"),
        CLOCK.replace(
            "  SCLK01_COEFFICIENTS_77     =", "  SCLK01_COEFFICIENTS_77 = ( 1 2 3 )\n SCLK01_COEFFICIENTS_77 ="
        ),
    ],
)
def test_the_same_kernel_may_be_written_in_many_ways(tmp_path: Path, text: str) -> None:
    expected, found = (Clock.from_sclk(write(tmp_path, one)) for one in (CLOCK, text))
    ticks = np.arange(0, LAST, 9973)
    assert np.array_equal(found.to_tai(ticks), expected.to_tai(ticks))


def test_of_several_clocks_one_has_to_be_chosen(tmp_path: Path) -> None:
    path = write(tmp_path, CLOCK + CLOCK.replace("KPL/SCLK", "").replace("_77", "_78").replace("200.5", "200.75"))
    with pytest.raises(FormatError, match=r"the kernel has \[-77, -78\]"):
        Clock.from_sclk(path)
    with pytest.raises(FormatError, match=r"clock -79 is not to be had"):
        Clock.from_sclk(path, -79)
    first, second = (Clock.from_sclk(path, number).to_tai(25_600) for number in (-77, -78))
    assert second - first == SECOND // 4


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("KPL/SCLK", "KPL/LSK", "expected KPL/SCLK"),
        ("SCLK_DATA_TYPE_77          = ( 1 )", "SCLK_DATA_TYPE_77 = ( 3 )", "clock of type 3; expected 1"),
        ("TIME_SYSTEM_77      = ( 1 )", "TIME_SYSTEM_77 = ( 3 )", "time system 3"),
        ("1.00002D0", "one", "is not numbers"),
        ("1.00002D0", "", "8 coefficients; expected threes"),
        ("1.00002D0", "NaN", "expected at least 3"),
        ("1.00002D0", "Infinity", "expected at least 3"),
        ("2.56D4", "1E24", r"a number beyond 2\^62"),
        ("4294967296 256", "4294967296 0", "a modulus below 1"),
        ("( 0.0D0 2560 )", "( 0.0D0 )", "1 starts and 2 ends"),
        ("SCLK_PARTITION_END_77", "SCLK_PARTITION_END_78", "SCLK_PARTITION_END_77 has 0 values"),
        ("SCLK01_MODULI_77", "MODULI_77", "SCLK01_MODULI_77 has 0 values"),
        ("SCLK01_COEFFICIENTS_77", "SCLK01_COEFFICIENTS_7", "has 0 values; expected at least 3"),
        ("SCLK_DATA_TYPE_77", "SCLK_DATA_TYPE_X7", "the kernel has none"),
        ("\\begindata", "\\begintext", "the kernel has none"),
    ],
)
def test_what_is_wrong_in_a_kernel_is_said(tmp_path: Path, before: str, after: str, problem: str) -> None:
    assert before in CLOCK
    with pytest.raises(FormatError, match=rf"clock\.tsc: .*{problem}"):
        Clock.from_sclk(write(tmp_path, CLOCK.replace(before, after)))


def test_what_is_no_file_is_a_format_error_too(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.tsc", str(tmp_path / "none.tsc")):
        with pytest.raises(FormatError, match="cannot be read"):
            Clock.from_sclk(path)


def is_a_clock(path: Path) -> bool:
    try:
        clock = Clock.from_sclk(path)
    except IlrsError:
        return False
    return bool(len(clock.ticks))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, len(CLOCK) - 1), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(0, 3 * len(CLOCK)),
)
@example([(0, ord("K"))], 10**6)
def test_a_kernel_with_wrong_bytes_or_cut_short_is_a_clock_or_an_error(
    tmp_path: Path, changes: list[tuple[int, int]], length: int
) -> None:
    raw = bytearray(CLOCK, "latin-1")
    for at, byte in changes:
        raw[at] = byte
    is_a_clock(write(tmp_path, bytes(raw[:length])))


WORDS = st.sampled_from(
    [
        *("=", "+=", "(", ")", "'", "@", ",", "\n", "\\begindata", "\\begintext", "SCLK_DATA_TYPE_77 =", "NaN", "-"),
        *("SCLK01_COEFFICIENTS_77 =", "SCLK01_MODULI_77 +=", "SCLK_PARTITION_END_77 = (", "1", "3", "1D300", "-5.5E-3"),
    ]
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.binary(max_size=200) | st.lists(WORDS, max_size=20).map(lambda words: " ".join(words).encode()), st.booleans()
)
def test_any_bytes_are_a_clock_or_an_error(tmp_path: Path, raw: bytes, marked: bool) -> None:
    start = b"KPL/SCLK\n\\begindata\n" if marked else b""
    assert not is_a_clock(write(tmp_path, start + raw))
    is_a_clock(write(tmp_path, CLOCK.encode() + start[9:] + raw))
