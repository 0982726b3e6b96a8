"""Break the package in small ways, one at a time, and ask the tests; prints a score, and what no test noticed.

    uv run --group mutation python benchmarks/mutants.py [-n 150] [--seed 1] [--budget 120] [--only 3 17] [--show]

A mutant is the package with one operator, number, truth value, decorator or handler exchanged (by cosmic-ray), in one
of ROOMS. Each place of the code is taken at most once; places and mutants are chosen by seeded chance. A mutant meets
the tests that ran its statement, quickest first, until one fails (*killed*), they take far too long (*killed*), or none
is left (*survived*). What runs on import meets all tests of its module, and those that read the source.

Statements that no test was seen to run meet those of tests/faults, whose runs have processes of their own.

All happens in a copy of the checkout in a temporary folder. Which test runs which lines is measured once for each file
of tests, and kept in build/mutants. `means_nothing` says what is left out.
"""

import argparse
import ast
import difflib
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "build" / "mutants"
ROOMS = ("model", "planning", "running", "reduction", "store")

TESTS = ("model", "store", "engine", "test_*.py", "faults/test_[dgklop]*.py", "testing", "cli/test_commands.py")
"""Where the tests of the rooms are; those that need a Dask cluster for every test are not among them."""

WITH_PROCESSES = "tests/faults/"
"""Tests whose runs have processes of their own; they are asked about statements that no other test was seen to run."""

READ_THE_SOURCE = "tests/test_rooms.py"

LIBRARIES = (
    "astropy.time",
    "dask.array",
    "distributed",
    "hypothesis",
    "pandas",
    "pyarrow.parquet",
    "pydantic",
    "xarray",
    "zarr",
)
"""Imported once, so that the processes of tests, which are forked, need not; nothing of the package is."""

MEMORY = 12 << 30
"""Bytes of address space of a process of tests, as some mutants know no end."""

TEXTS = ("msg", "found", "allowed", "expected", "problem")
"""Names that the package gives to texts of errors before it raises them."""

type Span = tuple[tuple[int, int], tuple[int, int]]
type Measured = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Mutant:
    """The n-th change that an operator can make in a file, and its place."""

    path: str
    span: Span
    operator: str
    occurrence: int

    @property
    def code(self) -> str:
        """The text of the file with the change."""
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        return str(mutate_code((ROOT / self.path).read_text(), get_operator(self.operator)(), self.occurrence))

    @property
    def compiles(self) -> bool:
        """Whether it is Python at all."""
        try:
            compile(self.code, self.path, "exec")
        except SyntaxError:
            return False
        return True

    @property
    def diff(self) -> str:
        """The change as people read it."""
        both = (ROOT / self.path).read_text().splitlines(), self.code.splitlines()
        return "\n".join(list(difflib.unified_diff(*both, n=1, lineterm=""))[2:])


def means_nothing(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield annotations, texts of errors and faults, `slots` and `__all__`: what may change and nothing is wrong."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
            yield node.returns
        elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            yield node.annotation
        elif isinstance(node, ast.TypeAlias) or (isinstance(node, ast.keyword) and node.arg == "slots"):
            yield node
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield from [*node.exc.args, *node.exc.keywords]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Fault":
            yield from [one for one in node.args if isinstance(one, ast.JoinedStr)]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            yield node
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in TEXTS:
            yield from [one for one in ast.walk(node.value) if isinstance(one, ast.JoinedStr)]


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Yield the mutants of a file; equality is not exchanged with identity, nor names with other names."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    silent: list[Any] = list(means_nothing(ast.parse(path.read_text())))
    left_out = [((one.lineno, one.col_offset), (one.end_lineno, one.end_col_offset)) for one in silent]
    nodes = list(ast_nodes(get_ast(path.read_text())))
    for name in sorted(operator_names()):
        if not name.endswith(("_Is", "_IsNot", "NoOp", "VariableReplacer", "VariableInserter")):
            operator = get_operator(name)()
            spans = [span for node in nodes for span in operator.mutation_positions(node)]
            for occurrence, span in enumerate(spans):
                if not any(low <= span[0] and span[1] <= high for low, high in left_out):
                    yield Mutant(path.relative_to(ROOT).as_posix(), span, name, occurrence)


def sources() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / "ilrs_science" / room).rglob("*.py"))]


def sample(number: int, seed: int) -> list[Mutant]:
    """Return mutants at different places, in an order by seeded chance."""
    places: dict[tuple[str, Span], list[Mutant]] = {}
    for mutant in (one for path in sources() for one in mutants_of(path)):
        places.setdefault((mutant.path, mutant.span), []).append(mutant)
    print(f"{sum(map(len, places.values()))} mutants at {len(places)} places", flush=True)
    chance, found = random.Random(seed), list[Mutant]()
    for place in chance.sample(sorted(places), len(places)):
        if len(found) < number:
            found += [one for one in chance.sample(places[place], len(places[place])) if one.compiles][:1]
    return found


def copy_checkout(folder: Path) -> None:
    """Copy what git knows, or would know, into a folder."""
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True)  # noqa: S607
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())


def ask(checkout: Path, tests: list[str], limit: float, *more: str, **environment: str) -> int | None:
    """Run tests of a copy of the checkout in this order, and return the exit status; None stands for too long."""
    (checkout / "tests.txt").write_text("\n".join(tests))
    path = [str(checkout), str(checkout / "benchmarks")]
    known = {"PYTHONPATH": os.pathsep.join(path), "ILRS_SHARED": str(ROOT / ".." / "shared" / "data")}
    options = ["-n", "0", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "mutants", *more, "@tests.txt"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # libraries are imported already
    child = os.fork()
    if not child:
        os.setsid()
        os.chdir(checkout)
        os.environ.update(known | environment)
        sys.path[:0] = path
        with (checkout.with_name("said.txt")).open("w") as said:
            os.dup2(said.fileno(), 1), os.dup2(said.fileno(), 2)
        try:
            os._exit(pytest.main(["--basetemp", str(checkout.with_name("temporary")), *options]))
        finally:
            os._exit(99)  # the package cannot be imported at all
    until = time.monotonic() + limit
    try:
        while time.monotonic() < until:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)


class Lines:
    """A plugin of pytest that keeps the seconds of each test that passed, and the lines of the rooms that it ran."""

    def __init__(self, kept: str) -> None:
        from coverage import Coverage

        self.kept, self.seconds = Path(kept), dict[str, float]()
        self.coverage = Coverage(data_file=None, include=[f"ilrs_science/{room}/*" for room in ROOMS])
        self.coverage.start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:  # noqa: D102 - pytest's
        self.coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:  # noqa: D102
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + (report.duration if report.passed else 1e9)

    def pytest_sessionfinish(self) -> None:  # noqa: D102
        self.coverage.stop()
        data = self.coverage.get_data()
        kept = {test: {"seconds": took, "lines": {}} for test, took in self.seconds.items() if took < 1e9}
        for path in data.measured_files():
            name = Path(path).relative_to(Path.cwd()).as_posix()
            for line, tests in data.contexts_by_lineno(path).items():
                for test in kept.keys() & tests:
                    kept[test]["lines"].setdefault(name, []).append(line)
        self.kept.write_text(json.dumps(kept))


def pytest_configure(config: Any) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    if kept := os.environ.pop("MUTANTS_LINES", ""):
        config.pluginmanager.register(Lines(kept))


def measure(checkout: Path) -> Measured:
    """Return what each test runs and how long it takes, measuring again what has changed."""
    package = b"".join(path.read_bytes() for path in sources())
    places = [path for pattern in TESTS for path in sorted((ROOT / "tests").glob(pattern))]
    measured: Measured = {}
    for path in [file for one in places for file in (sorted(one.rglob("test_*.py")) if one.is_dir() else [one])]:
        digest = hashlib.sha256(package + path.read_bytes()).hexdigest()
        kept = KEPT / f"{path.stem}-{digest[:16]}.json"
        if not kept.exists():
            KEPT.mkdir(parents=True, exist_ok=True)
            ended = ask(checkout, [path.relative_to(ROOT).as_posix()], 1200, MUTANTS_LINES=str(kept))
            print(f"measured {path.name}: {'too long' if ended is None else f'exit {ended}'}", flush=True)
        measured |= json.loads(kept.read_text()) if kept.exists() else {}
    return measured


@cache
def statement(path: str, line: int) -> range | None:
    """Return the lines that tell who runs the innermost statement at a line; None where everybody does, on import.

    Those are its own without its body, or the body of the function whose decorators, parameters and defaults are meant.
    """
    found: range | None = None
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.stmt | ast.ExceptHandler):
            begin = min(one.lineno for one in [node, *getattr(node, "decorator_list", [])])
            end = (node.end_lineno or 0) + 1
            if begin <= line < end:
                body = node.body[0].lineno if getattr(node, "body", []) else end  # type: ignore[attr-defined]
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    found = range(body, end)
                elif found is not None:
                    found = range(begin, max(body, begin + 1))
    return found


def tests_of(mutant: Mutant, measured: Measured, budget: float) -> list[str]:
    """Return the tests that ran a mutant's statement, quickest first, within so many seconds."""
    lines = statement(mutant.path, mutant.span[0][0])

    def meets(test: str) -> bool:
        ran = measured[test]["lines"].get(mutant.path, [])
        if lines is None:
            return bool(ran) or test.startswith(READ_THE_SOURCE)
        return any(one in lines for one in ran)

    met = [test for test in measured if meets(test)] or [test for test in measured if test.startswith(WITH_PROCESSES)]
    chosen = []
    for test in sorted(met, key=lambda test: float(measured[test]["seconds"])):
        budget -= measured[test]["seconds"]
        if chosen and budget < 0:
            break
        chosen.append(test)
    return chosen


def rewrite(file: Path, text: str) -> None:
    """Write another text; kept bytecode is told apart by whole seconds, so they move on."""
    stamp = file.stat().st_mtime + 2
    file.write_text(text)
    os.utime(file, (stamp, stamp))


def judge(mutant: Mutant, checkout: Path, measured: Measured, budget: float) -> str:
    """Return what the tests say of a mutant."""
    tests = tests_of(mutant, measured, budget)
    if not tests:
        return "survived, as no test runs it"
    file, before = checkout / mutant.path, (ROOT / mutant.path).read_text()
    rewrite(file, mutant.code)
    ended = ask(checkout, tests, 60 + 4 * sum(measured[test]["seconds"] for test in tests), "-x")
    rewrite(file, before)
    verdict = {0: "survived", None: "killed, as it took too long"}.get(ended, "killed")
    return f"{verdict} ({len(tests)} tests)"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("-n", type=int, default=150, help="how many mutants")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--budget", type=float, default=120.0, help="seconds of tests that a mutant meets at most")
    options.add_argument("--only", type=int, nargs="*", help="numbers of the mutants of this sample to try")
    options.add_argument("--show", action="store_true", help="print the mutants, ask no test")
    chosen = options.parse_args()
    # Idle threads of the libraries might make a child hang: what took too long is named, and to be tried again alone.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    mutants = enumerate(sample(chosen.n, chosen.seed), 1)
    tried = {number: one for number, one in mutants if chosen.only is None or number in chosen.only}
    killed = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        checkout = Path(name) / "checkout"
        copy_checkout(checkout)
        for library in () if chosen.show else LIBRARIES:
            import_module(library)
        measured = {} if chosen.show else measure(checkout)
        for number, mutant in tried.items():
            began = time.monotonic()
            verdict = "" if chosen.show else judge(mutant, checkout, measured, chosen.budget)
            killed += verdict.startswith("killed")
            took = time.monotonic() - began
            print(f"{number:3d} {mutant.path}:{mutant.span[0][0]} {verdict}, {took:.0f} s", flush=True)
            if not verdict.startswith("killed"):
                print(mutant.diff, flush=True)
    print(f"{killed} of {len(tried)} killed ({100 * killed / max(len(tried), 1):.0f} %), seed {chosen.seed}")


if __name__ == "__main__":
    main()
