"""One bad granule, however bad, is named in the same run, and all others get done (law 13).

What is not about planning in processes plans here, and starts only the processes that do the parts.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from ilrs_toys import raw
from ilrs_toys.campaign import Campaign, assert_same_bytes

import ilrs_science as ilrs
from ilrs_science.errors import LimitError
from ilrs_science.executors import local
from ilrs_science.executors.items import Limits
from ilrs_science.running.executing import Slow

pytestmark = pytest.mark.usefixtures("toys")

SAYS = {
    "exit": "SystemExit(3), which would have ended the process",
    "interrupt": "KeyboardInterrupt(), which would have ended the process",
    "harm": "Harm('no Exception'), which would have ended the process",
    "strange": "StrangeError: strange",
    "os-exit": "ended its process with status 7 in reading",
    "segfault": "crashed (SIGSEGV) in reading",
    "abort": "crashed (SIGABRT) in reading",
    "hang": "took longer than 15 s in reading",
    "memory": "took more than 900 MiB of memory in reading",
}
SOFT = ["exit", "interrupt", "harm", "strange"]
LIMITS = Limits(seconds=15, memory=900 * 2**20)
"""The time is what a loaded machine takes to import a plugin and read a small file, many times over."""


class Evil(Campaign):
    """A file for every four slots: good ones between those that do what they are named after."""

    def fill(self, harms: list[str], instead: str = "") -> dict[str, str]:
        """Write the files, and return the bad ones with what is said of them."""
        bad = {}
        for number in range(2 * len(harms)):
            harm = f"-{instead or harms[number // 2]}" if number % 2 else ""
            path = self.write(f"{number:02d}{harm}.evil", "a", range(4 * number, 4 * number + 4))
            if harm:
                bad[path] = SAYS.get(harm[1:], "")
        return bad

    def pipeline(self, harms: list[str], **more: Any) -> dict[str, Any]:
        given = {"instrument": "toy-evil", "sites": ["a"], "raw": str(self.folder / "raw" / "*.evil")}
        return super().pipeline(8 * len(harms), **(given | more))


@pytest.fixture
def evil(tmp_path: Path) -> Evil:
    return Evil(tmp_path)


@pytest.fixture(scope="module")
def client(toys: Path) -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=":0",
            scheduler_kwargs={"dashboard": False},
            memory_limit=0,
        ) as cluster,
        Client(cluster, set_as_default=False) as made,
    ):
        yield made


def straight(tmp_path: Path, harms: list[str]) -> Path:
    """Return the cube over the same files with ordinary errors in the place of the harms."""
    plain = Evil(tmp_path / "plain")
    plain.fill(harms, instead="error")
    assert ilrs.run(plain.pipeline(harms), executor="serial").exit_code == 3
    return plain.folder / "cube.zarr"


@pytest.mark.parametrize(("executor", "harms"), [("serial", SOFT[:1] + SOFT[2:]), ("threads", SOFT)])
def test_what_would_end_a_process_by_python_is_the_reason_of_its_granule(
    evil: Evil, tmp_path: Path, executor: Any, harms: list[str]
) -> None:
    bad = evil.fill(harms)
    report = ilrs.run(evil.pipeline(harms), executor=executor)
    assert report.exit_code == 3
    assert_says(report.rejected, bad)
    assert_same_bytes(straight(tmp_path, harms), evil.folder / "cube.zarr")


def assert_says(rejected: dict[str, str], expected: dict[str, str]) -> None:
    assert rejected.keys() == expected.keys()
    for url, said in expected.items():
        assert said in rejected[url]


def test_processes_that_crash_hang_or_eat_memory_cost_their_granule_and_nothing_else(
    evil: Evil, tmp_path: Path
) -> None:
    harms, told = list(SAYS), list[Slow]()
    bad = evil.fill(harms)
    plan = ilrs.plan(evil.pipeline(harms))
    report = ilrs.run(plan, executor="processes", workers=2, limits=LIMITS, slow=told.append)
    assert_says(report.rejected, bad)
    assert report.exit_code == 3
    assert_same_bytes(straight(tmp_path, harms), evil.folder / "cube.zarr")
    assert any(str(one).endswith("tried alone, as its worker did not survive it, 0 s") for one in told)
    assert ilrs.run(evil.pipeline(harms), executor="serial").did_nothing


@pytest.mark.xdist_group("dask")
def test_workers_of_a_cluster_that_crash_or_hang_cost_their_granule_and_nothing_else(
    evil: Evil, tmp_path: Path, client: Client
) -> None:
    harms = ["exit", "segfault", "hang"]
    bad = evil.fill(harms)
    report = ilrs.run(evil.pipeline(harms), cluster=client, limits=LIMITS)
    assert_says(report.rejected, bad)
    assert report.exit_code == 3
    assert_same_bytes(straight(tmp_path, harms), evil.folder / "cube.zarr")


def test_of_several_granules_in_a_step_the_one_that_crashes_it_is_rejected(evil: Evil) -> None:
    for number in range(4):
        words = [raw.BREAKS_STEPS if number == 2 else raw.GOOD]
        evil.write(f"{number}.evil", "a", [number], words)
    steps = [{"harms": {"how": "segfault"}}, "to_units"]
    plan = ilrs.plan(evil.pipeline([""], steps=steps))
    report = ilrs.run(plan, executor="processes", workers=1)
    assert report.exit_code == 3
    assert_says(report.rejected, {str(evil.folder / "raw" / "2.evil"): "crashed (SIGSEGV) in step harms"})
    assert report.counts.placed == 3


def test_a_step_that_crashes_on_every_granule_fails_its_part_by_name_and_rejects_nothing(evil: Evil) -> None:
    evil.write("0.evil", "a", range(4), [raw.BREAKS_STEPS] * 4)
    evil.write("1.evil", "a", range(4, 8))
    steps = [{"harms": {"how": "abort"}}, "to_units"]
    plan = ilrs.plan(evil.pipeline([""], steps=steps))
    report = ilrs.run(plan, executor="processes", workers=1)
    assert (report.exit_code, report.rejected) == (1, {})
    assert [one.reason for one in report.failed] == [
        f"crashed (SIGABRT) in step harms, with {evil.folder}/raw/0.evil in hand"
    ]
    assert report.counts.placed == 4


def test_workers_that_cannot_start_are_an_outage_and_no_fault_of_a_file(
    evil: Evil, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil.fill(["error"])
    plan = ilrs.plan(evil.pipeline(["error"]))
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    report = ilrs.run(plan, executor="processes", workers=1)
    assert (report.exit_code, report.rejected) == (75, {})
    said = "a worker process could not start: it ended its process with status 1"
    assert {one.reason for one in report.failed} == {said}
    monkeypatch.undo()
    found = ilrs.inventory(evil.pipeline([])["raw"], instruments="toy-evil", executor="processes")
    assert len(found.granules) == 2


def test_a_part_that_hangs_in_threads_ends_the_run_by_name(evil: Evil, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_GRACE", 0.1)
    evil.fill(["hang"])
    with pytest.raises(LimitError, match=r"a worker is at reading for more than 0\.5 s; threads cannot be stopped"):
        ilrs.run(evil.pipeline(["hang"]), limits=Limits(seconds=0.5))


def test_files_that_crash_their_reader_are_named_when_processes_index_them_and_the_others_are_indexed(
    evil: Evil, tmp_path: Path
) -> None:
    harms = ["segfault", "os-exit", "exit"]
    bad = evil.fill(harms)
    pipeline = evil.pipeline(harms, instrument="toy-evil-unindexed")
    report = ilrs.run(pipeline, executor="processes", workers=2)
    assert report.exit_code == 3
    assert report.rejected.keys() == bad.keys()
    said = [reason.partition(" in ")[0] for reason in report.rejected.values()]
    assert said[:2] == ["crashed (SIGSEGV)", "ended its process with status 7"]
    assert report.counts.placed == 12


def test_a_first_file_that_crashes_its_reader_does_not_crash_the_plan(evil: Evil) -> None:
    bad = evil.write("0-segfault.evil", "a", range(4))
    evil.write("1.evil", "a", range(4, 8))
    report = ilrs.run(evil.pipeline([""]), executor="processes", workers=1)
    assert report.exit_code == 3
    assert_says(report.rejected, {bad: "crashed (SIGSEGV) in reading"})
