"""The kit in a partner's own tests: one named test a check."""

import os
import subprocess
import sys

import pytest

from ilrs_science.testing import CHECKS

pytest_plugins = ["pytester"]

TEST = """
import pytest
import toy_lab


@pytest.fixture
def instrument():
    return toy_lab.{name}


@pytest.fixture(scope="session")
def granules(tmp_path_factory):
    return toy_lab.simulate(tmp_path_factory.mktemp("raw"))

{more}

def test_conformance(instrument_check, instrument, granules):
    instrument_check(instrument, granules)
"""

REFERENCES = """
@pytest.fixture
def references(tmp_path):
    return [tmp_path]
"""


@pytest.fixture
def run_inside(pytester, site_packages, monkeypatch):
    def run(files, *arguments):
        pytester.makepyfile(**files)
        monkeypatch.setenv("PYTHONPATH", os.fspath(site_packages), prepend=os.pathsep)
        return pytester.runpytest_subprocess("-n0", "-W", "error", "-v", *arguments)

    return run


def test_each_check_is_a_named_test(run_inside):
    result = run_inside({"test_toy": TEST.format(name="toy", more="")})
    result.assert_outcomes(passed=len(CHECKS))
    shown = result.stdout.str()
    assert all(f"test_toy.py::test_conformance[{name}] PASSED" in shown for name in CHECKS)


def test_a_wrong_plugin_fails_the_test_of_its_check_alone(run_inside):
    wrong = TEST.format(name="no_uncertainty", more="")
    without_reference = TEST.format(name="referring", more=REFERENCES)
    files = {"test_wrong": wrong, "test_referring": without_reference}
    result = run_inside(files, "-k", "not executor and (wrong or schema)")
    result.assert_outcomes(passed=len(CHECKS) - 2, failed=2, deselected=len(CHECKS))
    shown = result.stdout.str()
    assert "test_wrong.py::test_conformance[flags_and_uncertainty] FAILED" in shown
    assert "ConformanceError: b has no uncertainty" in shown
    assert "test_referring.py::test_conformance[schema] FAILED" in shown
    assert "a step needs a reference; looked into /" in shown


def test_a_pytest_run_without_conformance_tests_does_not_load_the_kit():
    program = "import sys, ilrs_science.testing.plugin; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert [m for m in done.stdout.split() if m.startswith("ilrs_science.testing.")] == ["ilrs_science.testing.plugin"]
