"""Plugins: found by entry point alone, broken ones named, two of one name refused."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ilrs_science as ilrs
from ilrs_science import Instrument, Product, Variable, registry
from ilrs_science.cli import plugins
from ilrs_science.errors import PluginError
from ilrs_science.executors.items import Limits

type Install = Callable[..., Path]

GOOD = """
from ilrs_science import Instrument, Product, Variable
product = Product(Variable("v", ("time",), "f4", "m"))
instrument = Instrument("{name}", files="*.x", read=lambda granule: None, steps=(), product=product{more})
"""


def point(name: str, target: str) -> dict[str, dict[str, str]]:
    return {"ilrs_science.instruments": {name: target}}


def test_listing_plugins_imports_none_of_them(install: Install) -> None:
    install("acme-bomb", {"acme_bomb.py": "raise RuntimeError('imported')"}, point("acme-bomb", "acme_bomb:instrument"))
    listed = {plugin.name: plugin for plugin in ilrs.plugins("instruments")}
    assert listed["acme-bomb"].distribution == "acme-bomb"
    assert listed["acme-bomb"].problem == ""
    assert "acme_bomb" not in sys.modules


def test_importing_the_package_imports_no_instrument_no_cluster_and_no_plots() -> None:
    code = (
        "import sys, ilrs_science; ilrs_science.plugins('instruments');"
        "heavy = ('ilrs_science.instruments', 'distributed', 'matplotlib', 'obspy');"
        "print(sorted(m for m in sys.modules if m.startswith(heavy)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise RuntimeError('no licence')", "cannot be imported: RuntimeError: no licence"),
        ("import a_module_that_is_not_there", "cannot be imported: ModuleNotFoundError: No module named 'a_module"),
        ("def instrument(:", "cannot be imported: SyntaxError"),
        ("", "cannot be imported: AttributeError"),
        ("instrument = 5", "its entry point gives a int, expected an Instrument"),
        (GOOD.format(name="another", more=""), "it calls itself 'another'; entry point and name must agree"),
        (GOOD.format(name="acme-broken", more=", contract=99"), "written for contract 99, this is contract 2"),
    ],
    ids=["raises", "import", "syntax", "attribute", "type", "name", "contract"],
)
def test_a_broken_plugin_is_named_with_its_reason_and_harms_nobody(install: Install, text: str, reason: str) -> None:
    module = f"acme_broken_{abs(hash(text)) % 10**8}"
    install("acme-broken", {f"{module}.py": text}, point("acme-broken", f"{module}:instrument"))
    (plugin,) = (one for one in ilrs.plugins("instruments") if one.name == "acme-broken")
    assert reason in registry.load_problem(plugin)
    with pytest.raises(PluginError, match="acme-broken"):
        registry.instrument("acme-broken")
    assert registry.instrument("fluxgate").name == "fluxgate"
    assert ilrs.inventory(["/nowhere/file.fgm"]).rejected[0].reason.startswith("unreadable")


def test_two_plugins_of_one_name_are_an_error_that_names_both(install: Install) -> None:
    for partner in ("acme", "umbrella"):
        module = f"{partner}_twin"
        install(
            f"{partner}-mag", {f"{module}.py": GOOD.format(name="twin", more="")}, point("twin", f"{module}:instrument")
        )
    with pytest.raises(PluginError, match="2 plugins of this name: acme-mag, umbrella-mag; uninstall all but one"):
        registry.instrument("twin")
    assert [plugin.problem != "" for plugin in ilrs.plugins("instruments") if plugin.name == "twin"] == [True, True]
    assert registry.instrument("fluxgate").name == "fluxgate"


def test_one_distribution_seen_twice_is_one_plugin(install: Install) -> None:
    for _ in range(2):
        install("acme-once", {"acme_once.py": GOOD.format(name="once", more="")}, point("once", "acme_once:instrument"))
    assert registry.instrument("once").name == "once"


@pytest.mark.parametrize("text", ["step = 5", "class step: pass", "import functools; step = functools.partial(print)"])
def test_a_step_is_a_plain_function(install: Install, text: str) -> None:
    module = f"acme_step_{abs(hash(text)) % 10**8}"
    install("acme-step", {f"{module}.py": text}, {"ilrs_science.steps": {"acme_step": f"{module}:step"}})
    with pytest.raises(PluginError, match="expected a function"):
        registry.step("acme_step", registry.instrument("fluxgate"))


def test_a_step_that_nobody_has_is_named_with_those_there_are() -> None:
    with pytest.raises(PluginError, match=r"no step 'despikes'; did you mean despike\? fluxgate has .*to_nanotesla"):
        registry.step("despikes", registry.instrument("fluxgate"))


def test_an_instruments_own_step_goes_before_an_installed_one(install: Install) -> None:
    def despike(ds: object) -> object:
        return ds

    own = Instrument(
        "x", "*", read=lambda granule: None, steps=(despike,), product=Product(Variable("v", ("time",), "f4", "m"))
    )
    assert registry.step("despike", own) is despike
    assert registry.step("flag_range", own).__module__ == "ilrs_science.steps.flag_range"


def test_a_plugin_that_would_end_the_process_when_it_is_imported_is_a_broken_one(install: Install) -> None:
    install("acme-quits", {"acme_quits.py": "import sys; sys.exit(3)"}, point("acme-quits", "acme_quits:instrument"))
    with pytest.raises(
        PluginError, match=r"acme-quits .*cannot be imported: .*importing acme_quits raised SystemExit\(3\)"
    ):
        registry.instrument("acme-quits")
    assert ilrs.inventory(["/nowhere/file.fgm"]).rejected[0].reason.startswith("unreadable")


def test_an_import_that_takes_long_is_told_by_name(
    install: Install, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(registry, "_SLOW", 0.01)
    slow = "import logging, time\nwhile not logging.getLogger('acme').disabled: time.sleep(0.01)\n"
    install(
        "acme-slow",
        {"acme_slow.py": slow + GOOD.format(name="acme-slow", more="")},
        point("acme-slow", "acme_slow:instrument"),
    )
    # The plugin waits until the warning about it has been seen.
    handler = logging.Handler()
    handler.emit = lambda record: setattr(logging.getLogger("acme"), "disabled", True)  # type: ignore[method-assign]
    monkeypatch.setattr(logging.getLogger("acme"), "disabled", False)
    logging.getLogger(registry.__name__).addHandler(handler)
    try:
        assert registry.instrument("acme-slow").name == "acme-slow"
    finally:
        logging.getLogger(registry.__name__).removeHandler(handler)
    assert "importing the instrument 'acme-slow' of acme-slow 1.0 takes more than 0.01 s" in caplog.text


def test_the_command_lists_without_importing_and_tries_each_on_request(
    install: Install, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plugins, "_LONGEST", Limits(seconds=2))
    harms = {"crash": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "hang": "while True: pass", "fine": ""}
    for harm, text in harms.items():
        module = f"acme_{harm}"
        code = f"{text}\n{GOOD.format(name=f'acme-{harm}', more='')}"
        install(f"acme-{harm}", {f"{module}.py": code}, point(f"acme-{harm}", f"{module}:instrument"))
    monkeypatch.setattr(plugins, "_KINDS", ("instruments",))
    plugins.installed(load=False, as_json=True)
    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert {listed[f"acme-{harm}"]["problem"] for harm in harms} == {""}
    plugins.installed(load=True, as_json=True)
    tried = {one["name"]: one["problem"] for one in json.loads(capsys.readouterr().out)}
    assert tried["acme-crash"].startswith("importing it ended the process: crashed (SIGSEGV)")
    assert tried["acme-hang"] == "it is not imported within 2 s"
    assert tried["acme-fine"] == tried["fluxgate"] == ""
