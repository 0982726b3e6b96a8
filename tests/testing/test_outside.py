import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ilrs_science.testing.outside import noting_outside_access


def test_files_sockets_and_programs_are_noted(tmp_path):
    path = tmp_path / "table.csv"
    with noting_outside_access() as noted:
        path.write_text("1")
        os.listdir(tmp_path)  # noqa: PTH208 - the call itself is what is tested
        socket.socket().close()
        subprocess.run([sys.executable, "-c", ""], check=True)
    assert f"open {path}" in noted
    assert {"open", "os.listdir", "socket.__new__", "subprocess.Popen"} <= {one.split()[0] for one in noted}


def test_imports_are_allowed():
    sys.modules.pop("this_is_not_loaded", None)
    with noting_outside_access() as noted:
        sys.modules.pop("colorsys", None)
        import colorsys  # noqa: F401, PLC0415
    assert noted == []


def test_nothing_is_noted_outside(tmp_path):
    with noting_outside_access() as noted:
        pass
    Path(tmp_path, "later.txt").write_text("1")
    assert noted == []


def test_it_is_switched_off_after_an_error(tmp_path):
    def fail():
        with noting_outside_access() as noted:
            seen.append(noted)
            raise ValueError

    seen = []
    with pytest.raises(ValueError):  # noqa: PT011 - no message to match
        fail()
    (tmp_path / "later.txt").write_text("1")
    assert seen == [[]]
