"""The partners' code: what counts of a distribution, of what it requires, and of what is in none."""

import ast
import hashlib
import importlib
import json
import linecache
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from ilrs_science import Instrument, Product, Variable, registry
from ilrs_science.code import code_of
from ilrs_science.code.kept import search_path

type Install = Callable[..., Path]

DECLARED = """
from ilrs_science import Instrument, Product, Variable
instrument = Instrument(
    "acme", files="*.x", read=read, steps=(scale,), product=Product(Variable("v", ("time",), "f4", "m"))
)
"""
FILES = {
    "acme/__init__.py": "",
    "acme/mag.py": "from acme.scales import scale\ndef read(granule):\n    return granule\n" + DECLARED,
    "acme/scales.py": "from . import tables\ndef scale(ds, *, factor: float = 2.0):\n    return ds * tables.GAIN\n",
    "acme/tables.py": "GAIN = 3\n",
    "acme/camera.py": "EXPOSURE = 1\n",
    "acme/gains.json": "{}",
    "acme/data/flat.npz": "binary",
    "acme/_kernel.so": "compiled",
    "acme/tests/expected.json": "{}",
    "acme/docs/page.md": "text",
    "acme/.cache/kept.json": "{}",
    "acme/__pycache__/mag.pyc": "",
}
POINTS = {"ilrs_science.instruments": {"acme": "acme.mag:instrument"}}


@pytest.fixture(autouse=True)
def acme() -> Iterator[None]:
    """Forget the modules of the partners of each test."""
    yield
    for name in [name for name in sys.modules if name.partition(".")[0].startswith("acme")]:
        del sys.modules[name]


def write_record(folder: Path) -> None:
    """Add what an installer adds: the list of all files."""
    (info,) = folder.glob("*.dist-info")
    files = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in files))


def require(folder: Path, *requirements: str) -> None:
    (info,) = folder.glob("*.dist-info")
    with (info / "METADATA").open("a") as metadata:
        metadata.writelines(f"Requires-Dist: {one}\n" for one in requirements)


def make_editable(folder: Path, project: Path) -> None:
    (info,) = folder.glob("*.dist-info")
    (info / "direct_url.json").write_text(json.dumps({"url": project.as_uri(), "dir_info": {"editable": True}}))
    (info / "RECORD").write_text("__editable__.acme.pth,,\n")


def plugin_of(*steps: Any, read: Any = None) -> str:
    own = registry.instrument("acme") if read is None else with_read(read)
    return code_of(own, steps or own.steps).plugin


def with_read(read: Any, *steps: Any, **more: Any) -> Instrument:
    return Instrument("x", "*", read, steps, Product(Variable("v", ("time",), "f4", "m")), **more)


EDITS = {
    "the module of a function": ("acme/mag.py", "X = 1\n", True),
    "a module that it imports": ("acme/scales.py", "X = 1\n", True),
    "a module that this imports": ("acme/tables.py", "X = 1\n", True),
    "the package around it": ("acme/__init__.py", "X = 1\n", True),
    "a table": ("acme/gains.json", " ", True),
    "data": ("acme/data/flat.npz", "x", True),
    "compiled code": ("acme/_kernel.so", "x", True),
    "a comment": ("acme/mag.py", "# remark\n", False),
    "a docstring": ("acme/tables.py", "'''Of tables.'''\n", False),
    "a module that nobody imports": ("acme/camera.py", "X = 1\n", False),
    "a test": ("acme/tests/expected.json", " ", False),
    "a page": ("acme/docs/page.md", " ", False),
    "a hidden folder": ("acme/.cache/kept.json", " ", False),
    "compiled Python": ("acme/__pycache__/mag.pyc", "x", False),
}


@pytest.mark.parametrize("how", ["by a list of files", "without one", "editable"])
@pytest.mark.parametrize("edit", EDITS)
def test_what_counts_of_a_partners_distribution(install: Install, tmp_path: Path, edit: str, how: str) -> None:
    folder = install("acme-mag", FILES, POINTS)
    if how == "by a list of files":
        write_record(folder)
    elif how == "editable":
        make_editable(folder, folder)
    before = plugin_of()
    assert before == plugin_of() != ""
    path, text, counts = EDITS[edit]
    with (folder / path).open("a") as file:
        file.write(text)
    assert (plugin_of() != before) is counts


def test_a_file_that_is_listed_and_gone_changes_the_code(install: Install) -> None:
    folder = install("acme-mag", FILES, POINTS)
    write_record(folder)
    before = plugin_of()
    (folder / "acme/gains.json").unlink()
    assert plugin_of() != before


def test_a_package_that_hands_on_two_instruments_ties_neither_to_the_other(install: Install) -> None:
    facade = "from acme.camera import EXPOSURE\nfrom acme.mag import instrument\n"
    folder = install("acme-mag", FILES | {"acme/__init__.py": facade}, POINTS)
    before = plugin_of()
    (folder / "acme/camera.py").write_text("EXPOSURE = 2\n")
    assert plugin_of() == before
    (folder / "acme/__init__.py").write_text(facade + "from acme import camera\n")
    assert plugin_of() != before  # a module is imported for what it does


def test_a_function_that_is_asked_for_at_the_package_counts_where_it_is_defined(install: Install) -> None:
    more = {
        "acme/__init__.py": "from acme.tables import GAIN as GAIN_OF_ALL\n",
        "acme/scales.py": "import acme\ndef scale(ds):\n    return ds * acme.GAIN_OF_ALL\n",
    }
    folder = install("acme-mag", FILES | more, POINTS)
    before = plugin_of()
    (folder / "acme/tables.py").write_text("GAIN = 4\n")
    assert plugin_of() != before


def test_partners_that_share_a_namespace_are_told_apart(install: Install) -> None:
    files = {"acme_space/mag/" + name.removeprefix("acme/"): text for name, text in FILES.items()}
    files = {name: text.replace("from acme.", "from acme_space.mag.") for name, text in files.items()}
    folder = install("acme-mag", files, {"ilrs_science.instruments": {"acme": "acme_space.mag.mag:instrument"}})
    other = install("acme-cam", {"acme_space/cam/__init__.py": "X = 1\n"}, {})
    before = plugin_of()
    (other / "acme_space/cam/__init__.py").write_text("X = 2\n")
    assert plugin_of() == before
    (folder / "acme_space/mag/gains.json").write_text("[]")
    data = plugin_of()
    (folder / "acme_space/mag/tables.py").write_text("GAIN = 4\n")
    assert len({before, data, plugin_of()}) == 3


def test_a_step_of_a_third_package_counts_with_all_its_files(install: Install) -> None:
    install("acme-mag", FILES, POINTS)
    third = {"acme_third/__init__.py": "def smooth(ds):\n    return ds\n", "acme_third/window.csv": "1"}
    folder = install("acme-third", third, {"ilrs_science.steps": {"smooth": "acme_third:smooth"}})
    alone = plugin_of()
    smooth = registry.step("smooth", registry.instrument("acme"))
    before = plugin_of(smooth)
    (folder / "acme_third/window.csv").write_text("2")
    assert len({alone, before, plugin_of(smooth)}) == 3
    assert plugin_of() == alone


def test_versions_of_what_it_requires_count_beyond_our_own_stack(install: Install) -> None:
    requirements = ["numpy>=1", "acme_tables", "acme-absent; python_version < '3'", "acme-extra; extra == 'more'"]
    require(install("acme-mag", FILES, POINTS), *requirements)
    without = plugin_of()
    require(install("acme-tables", {}, {}), "Acme.Deep[fast]")
    first = plugin_of()
    require(install("acme-deep", {}, {}), "acme-fast; extra == 'fast'", "acme-mag")
    deep = plugin_of()
    install("acme-fast", {}, {}, version="2.0")
    assert len({without, first, deep, plugin_of()}) == 4
    last = plugin_of()
    install("acme-fast", {}, {}, version="2.1")
    install("acme-extra", {}, {}, version="2.1")
    assert plugin_of() != last


def test_a_requirement_that_is_installed_editable_counts_by_its_sources(install: Install, tmp_path: Path) -> None:
    require(install("acme-mag", FILES, POINTS), "acme-tables")
    project = tmp_path / "project"
    (project / "src/acme_tables").mkdir(parents=True)
    (project / "src/acme_tables/__init__.py").write_text("X = 1\n")
    (project / "src/acme_tables/flat.bin").write_text("1")
    make_editable(install("acme-tables", {}, {}), project)
    before = plugin_of()
    (project / "src/acme_tables/__init__.py").write_text("X = 1  # remark\n")
    (project / "README.md").write_text("text")
    assert plugin_of() == before
    (project / "src/acme_tables/flat.bin").write_text("2")
    data = plugin_of()
    (project / "src/acme_tables/__init__.py").write_text("X = 2\n")
    assert len({before, data, plugin_of()}) == 3


def test_a_library_that_is_imported_and_not_declared_counts_by_its_version(install: Install) -> None:
    files = FILES | {"acme/tables.py": "import acme_library\nGAIN = acme_library.GAIN\n"}
    install("acme-mag", files, POINTS)
    library = {"acme_library.py": "GAIN = 1\n"}
    write_record(install("acme-library", library, {}, version="1.0"))
    before = plugin_of()
    folder = install("acme-library", library, {}, version="1.1")
    write_record(folder)
    sys.modules.pop("acme_library", None)
    assert plugin_of() != before


def test_a_module_of_no_distribution_counts_with_those_beside_it(install: Install) -> None:
    files = {
        "acme_loose.py": "import acme_beside\ndef read(granule):\n    return acme_beside.X\n",
        "acme_beside.py": "X = 1\n",
        "acme_else.py": "X = 1\n",
    }
    folder = install("unrelated", files, {})
    read = importlib.import_module("acme_loose").read
    before = plugin_of(read=read)
    (folder / "acme_else.py").write_text("X = 2\n")
    assert plugin_of(read=read) == before
    (folder / "acme_beside.py").write_text("X = 2\n")
    assert plugin_of(read=read) != before


def test_a_module_that_is_edited_and_reloaded_has_another_code(install: Install) -> None:
    folder = install("unrelated", {"acme_loose.py": "def read(granule):\n    return 1\n"}, {})
    module = importlib.import_module("acme_loose")
    found = []
    for number in (1, 2, 3, 2):
        (folder / "acme_loose.py").write_text(f"def read(granule):\n    return {number}\n")
        importlib.invalidate_caches()
        found.append(plugin_of(read=importlib.reload(module).read))
    assert len(set(found)) == 3
    assert found[1] == found[3]


def typed(source: str, cell: int, **known: Any) -> Any:
    """Run a cell of a notebook, as a kernel does it, and return its function `f`."""
    name = f"/tmp/ipykernel_1/{cell}.py"  # noqa: S108 - only a name, as kernels give it
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    scope = {"__name__": "__main__", **known}
    exec(compile(source, name, "exec"), scope)  # noqa: S102 - what a kernel does
    return scope["f"]


def test_a_function_typed_in_a_notebook_counts_by_its_meaning() -> None:
    first = plugin_of(read=typed("def f(granule):\n    return 2\n", 1))
    assert first == plugin_of(read=typed("def f(granule):\n    '''Two.'''\n    return 2  # two\n", 2))
    assert first != plugin_of(read=typed("def f(granule):\n    return 3\n", 3))


def test_a_function_typed_in_a_notebook_counts_with_what_it_names_there(install: Install) -> None:
    install("unrelated", {"acme_loose.py": "X = 1\n"}, {})
    source = "def f(granule):\n    return g(granule) * gain\n"
    doubled, tripled = typed("def f(x):\n    return 2 * x\n", 5), typed("def f(x):\n    return 3 * x\n", 6)
    module = importlib.import_module("acme_loose")
    found = [typed(source, 4, g=g, gain=gain) for g, gain in ((doubled, 1), (tripled, 1), (doubled, 2), (module, 1))]
    assert len({plugin_of(read=f) for f in found}) == 4
    assert plugin_of(read=typed(source, 4, g=doubled, gain=1, unrelated=5)) == plugin_of(read=found[0])


def test_a_function_without_any_source_counts_by_its_code() -> None:
    def run(source: str) -> Any:
        scope: dict[str, Any] = {"__name__": "__main__"}
        exec(source, scope)  # noqa: S102 - a function of no file at all
        return scope["f"]

    assert plugin_of(read=run("f = lambda granule: 2")) == plugin_of(read=run("\n\nf = lambda granule: 2"))
    assert plugin_of(read=run("f = lambda granule: 2")) != plugin_of(read=run("f = lambda granule: 3"))


@pytest.mark.parametrize("wraps_it", ["@functools.wraps(function)", ""])
@pytest.mark.parametrize("edited", ["acme_wrapper.py", "acme_wrapped.py"])
def test_of_a_decorated_function_both_modules_count(install: Install, wraps_it: str, edited: str) -> None:
    files = {
        "acme_wrapper.py": f"import functools\ndef timed(function):\n    {wraps_it}\n"
        "    def inner(granule):\n        return function(granule)\n    return inner\n",
        "acme_wrapped.py": "def read(granule):\n    return 1\n",
    }
    folder = install("unrelated", files, {})
    wrapper, wrapped = importlib.import_module("acme_wrapper"), importlib.import_module("acme_wrapped")
    read = wrapper.timed(wrapped.read)
    before = plugin_of(read=read)
    with (folder / edited).open("a") as file:
        file.write("X = 1\n")
    assert plugin_of(read=read) != before


def test_what_a_factory_puts_into_a_function_counts(install: Install) -> None:
    source = (
        "def make(gain, *, offset=0):\n    def read(granule, *, start=offset):\n        return gain\n    return read\n"
    )
    install("unrelated", {"acme_factory.py": source}, {})
    make = importlib.import_module("acme_factory").make
    made = [make(1), make(2), make((1, {"a": 2})), make((1, {"a": 3})), make(1, offset=1)]
    assert len({plugin_of(read=read) for read in made}) == len(made)
    assert plugin_of(read=make(1)) == plugin_of(read=make(1))


def test_an_index_counts_and_a_simulator_does_not() -> None:
    def function(text: str) -> Any:
        return typed(f"def f(granule):\n    return {text}\n", int(hashlib.sha256(text.encode()).hexdigest()[:6], 16))

    plain = code_of(with_read(function("0")), ()).plugin
    assert code_of(with_read(function("0"), index=function("1")), ()).plugin != plain
    assert code_of(with_read(function("0"), simulate=function("1")), ()).plugin == plain


class Reader:
    def read(self, granule: object) -> object:
        return granule

    def __call__(self, granule: object) -> object:
        return granule


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (partial(print, 1), "functools.partial of <built-in function print>, whose code"),
        (Reader().read, "a method of <.*Reader object"),
        (Reader(), "<.*Reader object at .*>, a Reader"),
        (print, "<built-in function print>, a builtin_function_or_method"),
        ("read", "'read', a str"),
    ],
    ids=["partial", "method", "object", "built in", "text"],
)
def test_what_makes_data_must_be_plain_functions(found: Any, said: str) -> None:
    def plain(granule: object) -> object:
        return granule

    for part, declare in {
        "read": lambda: with_read(found),
        "index": lambda: with_read(plain, index=found),
        r"steps\[1\]": lambda: with_read(plain, plain, found),
    }.items():
        with pytest.raises(TypeError, match=f"instrument x: {part} is {said}.*; expected a plain function"):
            declare()
    assert isinstance(with_read(lambda granule: granule).read, FunctionType)
    assert with_read(wraps(plain)(lambda granule: granule)).index is None


def test_nothing_changed_is_told_within_milliseconds(install: Install) -> None:
    folder = install("acme-mag", FILES, POINTS)
    write_record(folder)
    instrument = registry.instrument("acme")
    code_of(instrument, instrument.steps)
    time.sleep(0.2)  # a file that has just been written is read again
    code_of(instrument, instrument.steps)
    took = []
    for _ in range(20):
        began = time.process_time()
        code_of(instrument, instrument.steps)
        took.append(time.process_time() - began)
    assert min(took) < 0.02, took


def test_a_file_that_comes_to_a_folder_of_the_path_installs_nothing(install: Install) -> None:
    folder = install("acme-mag", FILES, POINTS)
    before = search_path()
    (folder / "notes.txt").write_text("text")
    assert search_path() == before
    (folder / "acme_cam-1.0.dist-info").mkdir()
    assert search_path() != before


def test_the_code_is_the_same_in_every_process(install: Install) -> None:
    folder = install("acme-mag", FILES, POINTS)
    write_record(folder)
    script = (
        "from ilrs_science import registry\nfrom ilrs_science.code import code_of\nfrom dataclasses import astuple\n"
        "found = registry.instrument('acme')\nprint(repr(astuple(code_of(found, found.steps))))\n"
    )
    import subprocess  # noqa: PLC0415

    env = os.environ | {"PYTHONPATH": str(folder), "PYTHONHASHSEED": "7"}
    out = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    own = registry.instrument("acme")
    here = code_of(own, own.steps)
    assert ast.literal_eval(out.stdout) == (here.ours, here.plugin)
