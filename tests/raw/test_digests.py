"""A file that is as it was is hashed once; one that changed is hashed again, and so is one that could have."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from ilrs_science import Granule
from ilrs_science.raw import digests, sha256_of


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the files whose bytes were hashed so far."""
    seen: list[str] = []
    whole, stream = hashlib.sha256, hashlib.file_digest
    monkeypatch.setattr(digests.hashlib, "sha256", lambda data: seen.append("bytes") or whole(data))
    monkeypatch.setattr(digests.hashlib, "file_digest", lambda *given: seen.append("file") or stream(*given))
    return seen


def settled(path: Path, data: bytes) -> Path:
    """Write a file, and wait until a further change would show in its times."""
    path.write_bytes(data)
    while time.time_ns() - path.stat().st_ctime_ns < digests._TICK or path.stat().st_ctime_ns % 10**9 == 0:
        time.sleep(0.01)
    return path


def test_a_file_is_hashed_once_whoever_reads_it(tmp_path: Path, hashed: list[str]) -> None:
    path = settled(tmp_path / "a", b"one")
    assert Granule(str(path)).read_bytes() == b"one"
    digest = sha256_of(path)
    with Granule(str(path), sha256=digest).local() as here:
        assert here == path
    assert digest == hashlib.new("sha256", b"one").hexdigest()
    assert hashed == ["bytes"]


def test_other_bytes_of_the_same_length_and_time_are_hashed_again(tmp_path: Path) -> None:
    path = settled(tmp_path / "a", b"one")
    before, stamp = sha256_of(path), path.stat().st_mtime_ns
    settled(path, b"two")
    os.utime(path, ns=(stamp, stamp))
    assert sha256_of(path) != before
    other = settled(tmp_path / "b", b"one")
    other.replace(path)
    assert sha256_of(path) == before


def test_a_file_written_a_moment_ago_is_not_trusted(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    now = path.stat().st_ctime_ns
    monkeypatch.setattr(digests.time, "time_ns", lambda: now + 1)
    sha256_of(path)
    sha256_of(path)
    assert hashed == ["file", "file"]


def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashed: list[str]) -> None:
    monkeypatch.setattr(digests, "_MOST", 2)
    paths = [settled(tmp_path / name, name.encode()) for name in "abc"]
    for path in [*paths, *paths[1:], paths[0]]:
        sha256_of(path)
    assert len(hashed) == 4  # the third made the first forgotten
    assert len(digests._KNOWN) == 2
