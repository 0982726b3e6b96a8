"""The page for operators names how many faults are tried; this holds it to that."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_names_the_number_of_faults_that_are_tried() -> None:
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:randomly", "--collect-only", "-q", "tests/faults"]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = re.findall(r"^tests/faults/(test_\w+\.py)::", out, re.MULTILINE)
    page = (ROOT / "docs" / "explanation" / "reliability.md").read_text()
    told = {name: int(count) for name, count in re.findall(r"^\| `(test_\w+\.py)` \| (\d+) \|", page, re.MULTILINE)}
    assert told == {name: count for name, count in Counter(files).items() if name != Path(__file__).name}
