"""Raw files come from this machine, from archives, from servers and from memory, and are the same everywhere."""

import gzip
import hashlib
import http.server
import io
import os
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from ilrs_science import FormatError, Granule, formats, inventory
from ilrs_science.errors import OutageError
from ilrs_science.formats import opening
from ilrs_science.raw import fetching, packing
from ilrs_science.simulate.gras import lpr_pair

CEF = """FILE_NAME = "made.cef"
FILE_FORMAT_VERSION = "CEF-2.0"
START_VARIABLE = time_tags
  VALUE_TYPE = ISO_TIME
END_VARIABLE = time_tags
START_VARIABLE = density
  VALUE_TYPE = FLOAT
  UNITS = "cm-3"
END_VARIABLE = density
DATA_UNTIL = "END"
2031-01-01T00:00:00Z, 1.5
2031-01-01T00:00:04Z, 2.5
END
"""
DIGEST = hashlib.sha256(CEF.encode()).hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "made.cef"
    path.write_text(CEF)
    return path


def densities(source: opening.Source, **options: str) -> list[float]:
    return formats.read(source, **options)["density"].to_numpy().tolist()


def test_a_path_as_text_a_path_bytes_and_an_open_file_are_read_alike(file: Path) -> None:
    with file.open("rb") as opened:
        for source in (str(file), file, CEF.encode(), bytearray(CEF.encode()), opened, io.BytesIO(CEF.encode())):
            assert densities(source) == [1.5, 2.5]
    assert formats.read_cef(str(file)).identical(formats.read_cef(file))


def test_gzip_is_recognised_by_its_bytes_and_may_have_several_members(tmp_path: Path) -> None:
    half = len(CEF) // 2
    packed = tmp_path / "made.data"
    packed.write_bytes(gzip.compress(CEF[:half].encode()) + gzip.compress(CEF[half:].encode()) + bytes(512))
    assert densities(packed) == [1.5, 2.5]
    (granule,) = formats.index(packed)
    assert (granule.url, granule.size, granule.count) == (str(packed), packed.stat().st_size, 2)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda data: data[:-20], "cut short"),
        (lambda data: data[:40] + b"\xff" * 8 + data[48:], "damaged gzip|cut short"),
        (lambda data: data + b"what is this?", "damaged gzip"),
        (lambda _: gzip.compress(bytes(2 * packing.SMALL)), "holds more than"),
    ],
)
def test_damaged_gzip_and_bombs_are_refused_by_name(tmp_path: Path, spoil, reason: str) -> None:
    path = tmp_path / "packed.cef.gz"
    path.write_bytes(spoil(gzip.compress(CEF.encode(), mtime=0)))
    with pytest.raises(FormatError, match=rf"packed\.cef\.gz.*({reason})"):
        formats.read(path)


def test_an_archive_of_one_file_is_that_file_and_of_several_names_them(tmp_path: Path) -> None:
    path = tmp_path / "raw.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("site/a.cef", CEF)
    assert densities(path) == [1.5, 2.5]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("site/b.cef.gz", gzip.compress(CEF.replace("2.5", "3.5").encode()))
        archive.writestr("notes.txt", "hello")
    with pytest.raises(FormatError, match=r"3 files \(notes.txt, site/a.cef, site/b.cef.gz\); name one: zip://NAME::"):
        formats.read(path)
    assert densities(f"zip://site/b.cef.gz::{path}") == [1.5, 3.5]
    assert [one.url for one in formats.index(path)] == [
        f"zip://site/a.cef::{path}",
        f"zip://site/b.cef.gz::{path}",
    ]


def test_an_archive_without_any_data_says_why(tmp_path: Path) -> None:
    path = tmp_path / "raw.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(FormatError, match=r"raw.zip: no file in it is taken: .*notes.txt.*no reader recognises it"):
        formats.index(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(FormatError, match=r"raw.zip: damaged zip archive"):
        formats.index(path)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SMALL", 2**16)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.cef", bytes(2**24))
    with pytest.raises(FormatError, match=r"declares 16777216 bytes in an archive of"):
        formats.read(f"zip://zeros.cef::{path}")


@pytest.mark.parametrize("name", ["../../made.cef", "/made.cef", "a.cef::/etc/passwd", "a.cef::http://host/b"])
def test_a_member_whose_name_leads_out_of_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "escape.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), CEF)
    with pytest.raises(FormatError, match=r"escape.zip: a file in it is named .* which leads out of the archive"):
        formats.index(path)


def test_a_member_with_a_bad_checksum_is_damage_and_not_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "raw.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.cef", CEF)
    path.write_bytes(path.read_bytes().replace(b"cm-3", b"cm-2"))
    with pytest.raises(FormatError, match=r"damaged, or locked, in its archive"):
        formats.read(path)


def test_bytes_of_another_digest_are_refused(file: Path) -> None:
    assert densities(file, sha256=DIGEST.upper()) == [1.5, 2.5]
    with pytest.raises(FormatError, match=rf"made.cef: has the SHA-256 digest {DIGEST}; expected 00"):
        formats.read(file, sha256="00" * 32)


def test_what_no_reader_recognises_and_what_is_no_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"\x01\x02\x03")
    with pytest.raises(
        FormatError, match=r"a.bin: no reader recognises it, it begins with b'\\x01\\x02\\x03'; there are"
    ):
        formats.read(path)
    with pytest.raises(FormatError, match=r"no format 'cfe'; there are .*cef"):
        formats.read(path, format="cfe")
    with pytest.raises(FileNotFoundError):
        formats.read(tmp_path / "absent.cef")


def test_two_readers_that_both_recognise_a_file_are_an_error_that_names_both(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = formats.Format("rival", "claims everything", "own", lambda *_: True, formats.read_cef, lambda _: [])
    monkeypatch.setitem(formats.FORMATS.own, "rival", rival)
    for call in (formats.read, formats.index):
        with pytest.raises(FormatError, match=r"made.cef: ambiguous: the readers cef and rival both claim it"):
            call(file)
    assert densities(file, format="cef") == [1.5, 2.5]


class Server(http.server.BaseHTTPRequestHandler):
    """Breaks the first connections, and then serves one file."""

    protocol_version = "HTTP/1.1"
    broken = 0
    gets = 0

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        type(self).gets += 1
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        data = CEF.encode()
        if not self.path.startswith("/raw/made.cef"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body and type(self).broken > 0:
            type(self).broken -= 1
            self.wfile.write(data[:50])
            self.close_connection = True
        elif body:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    Server.broken = Server.gets = 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def test_a_broken_connection_is_tried_again_and_the_digest_is_checked(
    server: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_PAUSE", 0.01)
    url = f"http://127.0.0.1:{server.server_port}/raw/made.cef"
    Server.broken = 2
    assert densities(url, sha256=DIGEST) == [1.5, 2.5]
    assert Server.gets == 3
    (granule,) = formats.index(url)
    assert (granule.url, granule.size) == (url, len(CEF))
    with pytest.raises(FormatError, match=rf"{url}: has the SHA-256 digest"):
        formats.read(url, sha256="00" * 32)


def test_a_server_that_stays_broken_and_a_file_that_is_not_there_are_named(
    server: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_PAUSE", 0.01)
    url = f"http://127.0.0.1:{server.server_port}/raw/made.cef"
    Server.broken = 99
    with pytest.raises(OutageError, match=rf"{url}: could not be fetched in 4 attempts"):
        formats.read(url)
    with pytest.raises(OutageError, match=r"absent.cef: is not there"):
        formats.read(url.replace("made", "absent"))


def test_https_is_read_with_the_certificates_of_the_machine(
    server: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    program = (
        "from ilrs_science import formats\n"
        f"print(formats.read('https://localhost:{server.server_port}/raw/made.cef')['density'].values.tolist())"
    )
    environment = {**os.environ, "SSL_CERT_FILE": str(tmp_path / "authority.pem")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.strip() == "[1.5, 2.5]", done.stderr


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - heavy

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    one = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    one.start()
    host, port = one.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    import s3fs  # noqa: PLC0415 - heavy

    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().makedirs("ilrs-raw", exist_ok=True)  # moto keeps it for the process
    yield "s3://ilrs-raw"
    s3fs.S3FileSystem.clear_instance_cache()
    one.stop()


def test_a_bucket_is_read_and_indexed(bucket: str) -> None:
    import fsspec  # noqa: PLC0415 - as above

    for name, data in {"a/one.cef": CEF.encode(), "b/two.cef.gz": gzip.compress(CEF.encode())}.items():
        with fsspec.open(f"{bucket}/{name}", "wb") as out:
            out.write(data)
    assert densities(f"{bucket}/a/one.cef", sha256=DIGEST) == [1.5, 2.5]
    (granule,) = formats.index(f"{bucket}/b/two.cef.gz")
    assert (granule.url, granule.count) == (f"{bucket}/b/two.cef.gz", 2)


def test_what_a_bucket_does_not_have_or_does_not_give_is_an_outage(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs  # noqa: PLC0415 - as above

    monkeypatch.setattr(fetching, "_PAUSE", 0.01)
    s3fs.S3FileSystem().pipe(f"{bucket}/a/one.tab", b"one")
    assert Granule(f"{bucket}/a/one.tab").read_bytes() == b"one"
    for name in ("a/absent.cef", "../no-bucket/a.cef"):
        with pytest.raises(OutageError, match="is not there"):
            Granule(f"{bucket}/{name}".replace("ilrs-raw/../", "")).read_bytes()
    (rejection,) = inventory(f"{bucket}/b/*.cef").rejected
    assert (rejection.url, rejection.outage) == (f"{bucket}/b/*.cef", False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    (rejection,) = inventory(f"{bucket}/a/*.tab").rejected
    assert rejection.outage


def test_the_label_beside_remote_data_comes_along_packed_or_not(tmp_path: Path) -> None:
    import fsspec  # noqa: PLC0415 - as above

    pair = lpr_pair(tmp_path)
    memory = fsspec.filesystem("memory")
    memory.pipe(f"/radar/{pair.label.name}", pair.label.read_bytes())
    memory.pipe(f"/radar/{pair.data.name}", pair.data.read_bytes())
    memory.pipe(f"/radar/{pair.data.name}.gz", gzip.compress(pair.data.read_bytes()))
    for suffix in ("", ".gz"):
        (granule,) = formats.index(f"memory://radar/{pair.data.name}{suffix}")
        assert (granule.instrument, granule.url) == ("LPR-2B", f"memory://radar/{pair.data.name}{suffix}")
        assert formats.read(f"memory://radar/{pair.data.name}{suffix}").equals(formats.read(pair.data))
    memory.rm("/radar", recursive=True)
