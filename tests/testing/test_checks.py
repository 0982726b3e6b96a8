"""Each check catches the plugin that is wrong in its way, and says what is wrong."""

from dataclasses import replace

import pytest

from ilrs_science.testing import CHECKS, ConformanceError, check_instrument
from ilrs_science.testing.case import prepare

# Starting processes takes seconds, so this check runs only where it matters.
QUICK = [name for name in CHECKS if name != "same_on_every_executor"]
RUNS = {"memory", "every_sample_counted"}
CHAIN = {
    "input_untouched",
    "repeatable",
    "no_outside_access",
    "block_boundaries",
    "edge_blocks",
    "flags_and_uncertainty",
}
REFUSED = {"schema", "edge_blocks"} | RUNS
"""Checks that fail too where the engine refuses values."""
PLANNED = {"pickles", "schema"} | CHAIN | RUNS

WRONG = [
    ("closure", "pickles", "step inner: cannot be pickled", set()),
    ("short_index", "index", "lie outside the declared span", set()),
    ("miscounting_index", "index", "the index declares 121 samples; read gives 120", set()),
    ("looking_beside", "files_beside", "read opens a file that is not declared beside it (declared: nothing)", set()),
    ("no_raw_units", "units", "raw variable counts has no units", set()),
    ("odd_units", "units", "'nanoteslas, roughly', which astropy cannot parse", set()),
    ("no_annotation", "signatures", "factor has no annotation", PLANNED),
    ("adding", "input_untouched", "step adds_in_place changed the variables (extra came or went)", set()),
    ("marking", "input_untouched", "step marks_in_place changed the attributes of counts", set()),
    ("writing", "input_untouched", "step writes_in_place mutates its input", {"schema"} | CHAIN | RUNS),
    ("rolling_dice", "repeatable", "read gave two results", {"files_beside"}),
    ("file_reader", "no_outside_access", "step reads_a_table reaches outside: open", set()),
    ("networker", "no_outside_access", "step asks_the_network reaches outside: socket", set()),
    ("launcher", "no_outside_access", "step starts_a_program reaches outside: subprocess.Popen", set()),
    ("whole_block_mean", "block_boundaries", "the steps declare that they look 0 s to either side", set()),
    ("short_margin", "block_boundaries", "the steps declare that they look 1 s to either side", set()),
    ("double", "schema", "b.dtype: found float64; expected float32", {"edge_blocks"} | RUNS),
    ("dropping", "schema", "step drop_half returned 60 samples along time; expected 120", CHAIN | RUNS),
    ("empty_block", "edge_blocks", "an empty block", set()),
    ("hiding_nan", "edge_blocks", "a block of NaN: b is 0 without a flag in 360 values", set()),
    ("negative", "flags_and_uncertainty", "b_uncertainty is -0.05 in 360 good values", REFUSED),
    ("certain", "flags_and_uncertainty", "b_uncertainty is 0 in 360 good values; expected more than 0", REFUSED),
    ("stray_bit", "flags_and_uncertainty", "quality has bits 0x8000 that the product does not declare", REFUSED),
    ("no_uncertainty", "flags_and_uncertainty", "b has no uncertainty; deliver b_uncertainty", set()),
    ("undelivered", "flags_and_uncertainty", "the steps deliver no b_uncertainty", {"schema", "edge_blocks"} | RUNS),
    ("greedy", "memory", "memory=8 allows", set()),
    ("shifted", "every_sample_counted", "none of 240 samples was placed (240 outside the axis)", set()),
]


def faults_of(instrument, raw_files, checks=QUICK, **more):
    found = {}
    with prepare(instrument, raw_files, **more) as case:
        for name in checks:
            try:
                CHECKS[name](case)
            except Exception as error:  # noqa: BLE001 - as the kit does it
                found[name] = str(error)
    return found


@pytest.mark.parametrize("wrong", WRONG, ids=[row[0] for row in WRONG])
def test_a_wrong_plugin_is_caught_by_its_check_and_named(toy_lab, raw_files, wrong):
    name, check, words, others = wrong
    faults = faults_of(getattr(toy_lab, name), raw_files)
    assert words in faults[check]
    assert set(faults) - {check} <= others, faults


def test_every_check_has_a_wrong_plugin():
    assert {row[1] for row in WRONG} | {"found", "same_on_every_executor"} == set(CHECKS)


def test_the_right_plugin_passes(toy_lab, raw_files):
    assert faults_of(toy_lab.toy, raw_files) == {}  # test_plugin.py runs the check that is left out here


def test_a_declared_file_beside_the_granule_is_right(toy_lab, raw_files):
    assert faults_of(toy_lab.looking_rightly, raw_files, ["index", "files_beside", "repeatable"]) == {}


def test_frames_and_steps_over_whole_granules_pass(toy_lab, raw_files):
    assert faults_of(toy_lab.camera, raw_files) == {}


def test_an_uncertainty_that_nobody_knows_is_right(toy_lab, raw_files):
    assert faults_of(toy_lab.honest, raw_files) == {}


def test_a_result_that_depends_on_the_process_is_caught(toy_lab, raw_files):
    faults = faults_of(toy_lab.process_dependent, raw_files, CHECKS)
    assert set(faults) == {"same_on_every_executor"}
    assert "executor 'processes' makes another cube than a serial run" in faults["same_on_every_executor"]


@pytest.mark.parametrize("name", ["whole_block_mean", "short_margin"])
def test_cutting_the_axis_shows_in_real_runs_too(toy_lab, raw_files, name):
    faults = faults_of(getattr(toy_lab, name), raw_files, ["same_on_every_executor"])
    assert "a run in 5 parts with executor 'serial' makes another cube" in faults["same_on_every_executor"]


def test_another_object_under_its_name_is_caught(toy_lab, raw_files):
    faults = faults_of(replace(toy_lab.toy), raw_files)
    assert set(faults) == {"found"}
    assert "the entry point toy finds another object, toy_lab:toy" in faults["found"]


def test_a_plugin_without_entry_point_is_told_so(toy_lab, raw_files):
    faults = faults_of(replace(toy_lab.toy, name="toy-nowhere"), raw_files)
    assert "no instrument 'toy-nowhere' is installed" in faults["found"]


def test_a_missing_reference_is_said_plainly(toy_lab, raw_files, tmp_path):
    with pytest.raises(ConformanceError) as caught:
        check_instrument(toy_lab.referring, raw_files, references=[tmp_path])
    assert "steps.calibrate.matrix at base" in str(caught.value)
    assert f"a step needs a reference; looked into {tmp_path}; give the right folders as references=" in str(
        caught.value
    )
    assert str(caught.value).count("a step needs a reference") == 1  # one fault of many checks is told once


def test_steps_of_other_packages_can_be_checked_with_parameters(toy_lab, raw_files):
    steps = ["to_nanotesla", {"despike": {"window": "10 s"}}, {"flag_range": {"variable": "b", "maximum": 50.0}}]
    assert faults_of(toy_lab.toy, raw_files, steps=steps) == {}


def test_no_raw_files_is_an_error(toy_lab):
    with pytest.raises(ConformanceError, match="found no raw files"):
        check_instrument(toy_lab.toy, [])


def test_a_report_reads_well_and_becomes_json(toy_lab, raw_files, tmp_path):
    gone = tmp_path / "base-9.toy"
    report = check_instrument(toy_lab.toy, [gone], raise_on_failure=False)
    assert not report.ok
    assert "found" not in report.failed
    assert f"opening {gone}: cannot be read (FileNotFoundError" in str(report)
    assert report.as_json()["results"][0] == {"check": "found", "ok": True, "detail": ""}
