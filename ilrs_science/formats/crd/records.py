"""Records of Consolidated Laser Ranging Data (CRD) and of their predictions (CPF): what fields they have.

Layouts and units are those of "Consolidated Laser Ranging Data Format (CRD)", versions 1.01 (27 October 2009) and 2.01
(19 September 2019), and of the sample code by R. L. Ricklefs that comes with them. A record is a tag and fields with
blanks between; version 1 has the same fields in the same order and lacks the last ones of some records.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

EPOCH_EVENTS = (
    "ground_receive spacecraft_bounce ground_transmit spacecraft_receive spacecraft_transmit "
    "ground_transmit_and_spacecraft_receive spacecraft_transmit_and_ground_receive"
)
"""Meanings of the epoch events 0 to 6."""
REFLECTORS = {
    "apollo11": "apollo-11-reflector",
    "apollo14": "apollo-14-reflector",
    "apollo15": "apollo-15",
    "luna17": "lunokhod-1",
    "luna21": "lunokhod-2",
}
"""Names in the catalogue of sites of the reflectors on the Moon, by those of the ILRS."""
_FIELD = re.compile(r"(\w+)(?:\(([^)]*)\))?(!?)")


@dataclass(frozen=True)
class Field:
    """A field of a record."""

    name: str
    unit: str
    """Unit of a number, empty where it has none."""
    text: bool
    """Whether it is text."""
    needed: bool
    """Whether a record without this number is worth nothing."""


@dataclass(frozen=True)
class Record:
    """A kind of record that becomes a table."""

    name: str
    required: int
    """Fields that no record lacks."""
    fields: tuple[Field, ...]

    @property
    def timed(self) -> bool:
        """Tell whether it has a time of day."""
        return any(field.name == "seconds_of_day" for field in self.fields)


def record(name: str, required: int, layout: str) -> Record:
    """Return a record from its layout: `name`, `name(unit)` or `name(text)`; `!` marks a number that is needed."""
    fields = (_FIELD.fullmatch(one) for one in layout.split())
    return Record(name, required, tuple(Field(f[1], f[2] or "", f[2] == "text", bool(f[3])) for f in fields if f))


_EPOCH = "seconds_of_day(s)!"
_SYSTEM = "system_configuration(text)"
_SHAPE = "{0}rms(ps) {0}skew {0}kurtosis {0}peak_minus_mean(ps)"
_CALIBRATION = (
    f"{_EPOCH} type_of_data {_SYSTEM} points_recorded points_used target_distance(m) system_delay(ps) delay_shift(ps) "
    f"{_SHAPE.format('')} calibration_type shift_type detector_channel span return_rate(%)"
)
_SENSORS = " ".join(
    f"{quantity}_{what}(text)"
    for quantity in ("pressure", "temperature", "humidity")
    for what in ("manufacturer", "model", "serial_number")
)

HEADERS = {
    "H1": record("format", 2, "format(text) version production_year production_month production_day production_hour"),
    "H2": record("station", 2, "station(text) station_id(text) system_number occupancy time_scale network(text)"),
    "H3": record(
        "target",
        2,
        "target(text) target_id(text) sic(text) norad(text) spacecraft_time_scale target_class target_location",
    ),
    "H4": record(
        "session",
        7,
        "data_type start_year start_month start_day start_hour start_minute start_second "
        "stop_year stop_month stop_day stop_hour stop_minute stop_second data_release "
        "refraction_applied centre_of_mass_applied receive_amplitude_applied station_delay_applied "
        "spacecraft_delay_applied range_type data_quality",
    ),
    "H5": record(
        "prediction",
        5,
        "prediction_type prediction_year_of_century prediction_date(text) prediction_provider(text) "
        "prediction_sequence_number",
    ),
}
"""Header records, by tag."""

CONFIGURATION = {
    "C0": record("system", 3, f"detail wavelength(nm) {_SYSTEM} components(text)"),
    "C1": record(
        "laser",
        2,
        "detail identifier(text) type(text) wavelength(nm) fire_rate(Hz) pulse_energy(mJ) pulse_width(ps) "
        "beam_divergence(arcsec) pulses_in_semitrain",
    ),
    "C2": record(
        "detector",
        2,
        "detail identifier(text) type(text) wavelength(nm) quantum_efficiency(%) voltage(V) dark_count(kHz) "
        "output_pulse_type(text) output_pulse_width(ps) spectral_filter(nm) spectral_filter_transmission(%) "
        "spatial_filter(arcsec) signal_processing(text) amplifier_gain amplifier_bandwidth(kHz) amplifier_in_use",
    ),
    "C3": record(
        "timing",
        2,
        "detail identifier(text) time_source(text) frequency_source(text) timer(text) timer_serial_number(text) "
        "epoch_delay_correction(us)",
    ),
    "C4": record(
        "transponder",
        2,
        "detail identifier(text) station_utc_offset(ns) station_oscillator_drift transponder_utc_offset(ns) "
        "transponder_oscillator_drift transponder_clock_reference_time(s) station_clock_applied "
        "spacecraft_clock_applied spacecraft_time_simplified",
    ),
    "C5": record(
        "software",
        2,
        "detail identifier(text) tracking(text) tracking_versions(text) processing(text) processing_versions(text)",
    ),
    "C6": record("meteorological_sensors", 2, f"detail identifier(text) {_SENSORS}"),
    "C7": record(
        "calibration_target",
        2,
        "detail identifier(text) target(text) surveyed_distance(m) survey_error(mm) other_fixed_delays(m) "
        "pulse_energy(mJ) processing(text) processing_version(text)",
    ),
}
"""Configuration records, by tag."""

DATA = {
    "10": record(
        "full_rate",
        4,
        f"{_EPOCH} time_of_flight(s)! {_SYSTEM} epoch_event filter_flag detector_channel stop_number "
        "receive_amplitude transmit_amplitude",
    ),
    "11": record(
        "normal_points",
        4,
        f"{_EPOCH} time_of_flight(s)! {_SYSTEM} epoch_event window_length(s) raw_ranges {_SHAPE.format('bin_')} "
        "return_rate(%) detector_channel signal_to_noise",
    ),
    "12": record(
        "range_supplement",
        2,
        f"{_EPOCH} {_SYSTEM} refraction_correction(ps) centre_of_mass_correction(m) neutral_density time_bias(s) "
        "range_rate",
    ),
    "20": record("meteorology", 4, f"{_EPOCH} pressure(hPa) temperature(K) relative_humidity(%) origin"),
    "21": record(
        "meteorology_supplement",
        3,
        f"{_EPOCH} wind_speed(m/s) wind_direction(deg) weather(text) visibility(km) sky_clarity seeing(arcsec) "
        "cloud_cover(%) sky_temperature(K)",
    ),
    "30": record(
        "pointing",
        3,
        f"{_EPOCH} azimuth(deg) elevation(deg) direction angle_origin refraction_corrected azimuth_rate(deg/s) "
        "elevation_rate(deg/s)",
    ),
    "40": record("calibration", 3, _CALIBRATION),
    "41": record("calibration_details", 3, _CALIBRATION),
    "42": record(
        "calibration_shots",
        3,
        f"{_EPOCH} time_of_flight(s)! {_SYSTEM} calibration_target(text) other_delays(m) type_of_data "
        "calibration_type filter_flag detector_channel stop_number span receive_amplitude transmit_amplitude",
    ),
    "50": record("statistics", 2, f"{_SYSTEM} {_SHAPE.format('')} quality"),
    "60": record("compatibility", 2, f"{_SYSTEM} system_change system_configuration_indicator"),
}
"""Data records, by tag."""

CPF_POSITION = record("ephemeris", 7, "direction mjd! seconds_of_day(s)! leap_second x(m)! y(m)! z(m)!")
"""Record 10 of a prediction."""
CPF_ATTACHED = {
    "20": record("velocity", 4, "direction x(m/s)! y(m/s)! z(m/s)!"),
    "30": record("aberration", 5, "direction x(m)! y(m)! z(m)! relativistic_correction(ns)!"),
    "40": record("oscillator", 1, "oscillator_relativity!"),
}
"""Records of a prediction that belong to the position before them, by tag."""
CPF_BRANCHES = {
    "50": record("offset", 6, "direction mjd! seconds_of_day(s)! x(m)! y(m)! z(m)!"),
    "60": record("rotation", 6, "mjd! seconds_of_day(s)! angle_1(deg)! angle_2(deg)! angle_3(deg)! sidereal_time(h)!"),
    "70": record("earth_orientation", 5, "mjd! seconds_of_day(s)! x(arcsec)! y(arcsec)! ut1_less_utc(s)!"),
}
"""Records of a prediction with a time of their own, by tag."""
