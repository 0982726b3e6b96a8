"""What lies outside the bytes of a raw file is an outage, whoever meets it and wherever the file lies."""

import gzip
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest

from ilrs_science import FormatError, Granule, formats
from ilrs_science.errors import OutageError, StepError, is_outage
from ilrs_science.raw import fetching

ABSENT = {("label-lost", ""): 500, ("hiding", ""): 403, ("label-forbidden", "a.xml"): 403}
"""What some archives answer for a file, or any file, that they do not show."""


class Archive(http.server.BaseHTTPRequestHandler):
    """Serves files as text; the first piece of a path is what goes wrong."""

    protocol_version = "HTTP/1.1"
    gets: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        type(self).gets.append(self.path)
        _, answer, name = self.path.split("/", 2)
        if answer.isdecimal():
            self.send_error(int(answer))
        elif name not in ("a.toy", "a.tab"):
            self.send_error(ABSENT.get((answer, name), ABSENT.get((answer, ""), 404)))
        else:
            self.send_response(200)
            self.send_header("Content-Length", "9")
            self.end_headers()
            self.wfile.write(b"a cut" if answer == "cut" else b"all of it")
            self.close_connection = answer == "cut"

    def do_HEAD(self) -> None:
        self.send_error(500)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(fetching, "_PAUSE", 0.001)
    Archive.gets = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Archive) as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{one.server_port}"
        one.shutdown()
        thread.join()


def read_bytes(url: str) -> object:
    return Granule(url).read_bytes()


def local(url: str) -> object:
    with Granule(url).local() as path:
        return path


def companion(url: str) -> object:
    return Granule("a", beside={"LOC": Granule(url)}).beside["LOC"].read_bytes()


def beside_local(url: str) -> object:
    fsspec.filesystem("memory").pipe("/raw/whole", b"whole")
    with Granule("memory://raw/whole", beside={"LOC": Granule(url)}).local() as path:
        return path


def by_format(url: str) -> object:
    return formats.read(url)


DOORS = [read_bytes, local, companion, beside_local, by_format]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("path", "said", "tried"),
    [
        ("403/a.toy", "403", 1),
        ("404/a.toy", "is not there", 1),
        ("500/a.toy", "could not be fetched in 4 attempts", 4),
        ("cut/a.toy", "could not be fetched in 4 attempts", 4),
    ],
)
def test_a_server_that_fails_is_an_outage_through_every_door(
    server: str, door, path: str, said: str, tried: int
) -> None:
    with pytest.raises(OutageError, match=said) as caught:
        door(f"{server}/{path}")
    assert f"{server}/{path}" in str(caught.value)
    assert caught.value.__cause__ is not None
    assert len(Archive.gets) == tried


def test_a_server_that_does_not_answer_is_an_outage(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_PAUSE", 0.001)
    for door in DOORS:
        with pytest.raises(OutageError, match="could not be fetched"):
            door("http://127.0.0.1:1/a.toy")


def test_a_label_that_cannot_be_fetched_is_an_outage_and_an_absent_one_is_none(server: str) -> None:
    assert Granule(f"{server}/well/a.tab").read_bytes() == b"all of it"
    with pytest.raises(OutageError, match=r"a.xml: could not be fetched"):
        Granule(f"{server}/label-lost/a.tab").read_bytes()
    with pytest.raises(OutageError, match=r"a.xml: cannot be read .*403"):
        Granule(f"{server}/label-forbidden/a.tab").read_bytes()


def test_an_archive_that_forbids_what_it_does_not_have_has_no_label(server: str) -> None:
    assert Granule(f"{server}/hiding/a.tab").read_bytes() == b"all of it"


@pytest.mark.parametrize("door", DOORS[:4])
def test_a_local_file_that_went_away_or_is_none_is_an_outage(tmp_path: Path, door) -> None:
    with pytest.raises(OutageError, match=r"gone.toy: cannot be read \(FileNotFoundError"):
        door(str(tmp_path / "gone.toy"))
    with pytest.raises(OutageError, match="IsADirectoryError"):
        door(str(tmp_path))


def test_a_file_or_companion_with_other_bytes_than_indexed_is_an_outage(tmp_path: Path) -> None:
    for name in ("a.toy", "a.loc"):
        (tmp_path / name).write_bytes(b"one")
    digest = hashlib.sha256(b"one").hexdigest()
    loc = Granule(str(tmp_path / "a.loc"), sha256=digest)
    granule = Granule(str(tmp_path / "a.toy"), sha256=digest, beside={"LOC": loc})
    with granule.local() as path:
        assert path == tmp_path / "a.toy"
    (tmp_path / "a.loc").write_bytes(b"other")
    said = f"a.loc: changed since it was indexed with digest {digest}; plan again"
    with pytest.raises(OutageError, match=said), granule.local():
        pass
    with pytest.raises(OutageError, match=said):
        granule.beside["LOC"].read_bytes()
    assert granule.read_bytes() == b"one"


def test_a_remote_or_packed_granule_lies_with_its_companions_in_one_folder(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/one-door/a.toy.gz": gzip.compress(b"plain"), "/one-door/a.loc": b"place"})
    for name in ("a.toy.gz", "a.loc"):
        (tmp_path / name).write_bytes(memory.cat(f"/one-door/{name}"))
    for folder in ("memory://one-door", str(tmp_path)):
        granule = Granule(f"{folder}/a.toy.gz", beside={"LOC": Granule(f"{folder}/a.loc")})
        assert granule.read_bytes() == b"plain"
        with granule.local() as path:
            assert (path.name, path.read_bytes()) == ("a.toy", b"plain")
            assert path.with_name("a.loc").read_bytes() == b"place"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.loc", "a.toy.gz"]


def test_gzip_under_another_name_is_the_business_of_its_reader(tmp_path: Path) -> None:
    path = tmp_path / "a.toy"
    path.write_bytes(gzip.compress(b"plain"))
    assert Granule(str(path)).read_bytes() == path.read_bytes()
    with Granule(str(path)).local() as here:
        assert here == path


def test_damaged_bytes_are_no_outage(tmp_path: Path) -> None:
    path = tmp_path / "a.toy.gz"
    path.write_bytes(gzip.compress(b"plain")[:-9])
    for call in (Granule(str(path)).read_bytes, Granule(str(path)).local().__enter__):
        with pytest.raises(FormatError, match="cut short") as caught:
            call()
        assert not is_outage(caught.value)


def raised_from(cause: BaseException) -> StepError:
    error = StepError("what a reader made of it")
    error.__cause__ = ValueError("in between")
    error.__cause__.__context__ = cause
    return error


@pytest.mark.parametrize("cause", [OutageError("x"), MemoryError(), OSError(5, "Input/output error")])
def test_an_error_that_wraps_an_outage_is_one(cause: BaseException) -> None:
    assert is_outage(cause)
    assert is_outage(raised_from(cause))


@pytest.mark.parametrize("cause", [FormatError("x"), OSError("not a gzipped file"), OSError(22, "Invalid argument")])
def test_an_error_about_bytes_is_none(cause: BaseException) -> None:
    assert not is_outage(cause)
    assert not is_outage(raised_from(cause))


def test_errors_that_were_raised_from_each_other_come_to_an_end() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__context__, other.__context__ = other, one
    assert not is_outage(one)
