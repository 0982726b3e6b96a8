"""`ilrs new-instrument`: a partner's package from the templates beside this file."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from ilrs_science.cli.guarding import print_json
from ilrs_science.cli.terminal import CONSOLE
from ilrs_science.errors import IlrsError

_TEMPLATE = Path(__file__).parent / "template"
KINDS = ("field", "events")
"""The kinds of instrument that there is a template for."""
_NAMES = {
    "python-version.txt": ".python-version"
}  # a dotted name in the template would steer the tools of this package


def new_package(name: str, folder: Path, like: str, *, as_json: bool) -> None:
    """Write a package and tell what to do with it."""
    files = write_package(name, folder, like)
    if as_json:
        print_json({"folder": str(folder), "files": files})
        return
    CONSOLE.print(f"wrote {len(files)} files in {folder}:")
    for file in files:
        CONSOLE.print(f"  {file}", highlight=False)
    CONSOLE.print(f"next:\n  cd {folder}\n  uv run pytest\n  uv run ilrs instruments {name}", highlight=False)


def write_package(name: str, folder: Path, like: str = "field") -> list[str]:
    """Write a package for an instrument and return its files, relative to the folder.

    Parameters
    ----------
    name, folder
        Of the instrument, and where to write.
    like
        Which kind of instrument it resembles: `field`, samples one after the other, or `events`, photons to be counted.

    Raises
    ------
    IlrsError
        The name cannot be one of a package, the folder is not empty, or there is no such kind.
    """
    if like not in KINDS:
        raise IlrsError(f"no template like {like!r}; there are {', '.join(KINDS)}")
    module = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or keyword.iskeyword(module):
        raise IlrsError(f"{name!r} cannot name a package; use lower-case words with hyphens, as in acme-mag")
    if module in ("ilrs", "ilrs_science"):
        raise IlrsError(f"{name!r} is this package's own name; choose another")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise IlrsError(f"{folder} exists and is not empty; choose another folder")
    files = []
    for root, source in sorted(_sources(like), key=lambda pair: pair[1].relative_to(pair[0])):
        relative = source.relative_to(root).as_posix().replace("acme_mag", module)
        target = folder / _NAMES.get(relative, relative)
        text = source.read_text(encoding="utf-8").replace("acme_mag", module).replace("acme-mag", name)
        if relative == "pyproject.toml":
            text += _where_this_package_is()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        files.append(target.relative_to(folder).as_posix())
    return files


def _sources(like: str) -> Iterator[tuple[Path, Path]]:
    """Yield the files of a template, each with the folder that its path counts from."""
    for root in (_TEMPLATE / "every", _TEMPLATE / like):
        yield from ((root, path) for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc")


def _where_this_package_is() -> str:
    """Return the lines that let uv find this package where it was installed from a folder and not from an index."""
    recorded = distribution("ilrs-science").read_text("direct_url.json")
    url = json.loads(recorded)["url"] if recorded else ""
    if not url.startswith("file:"):
        return ""
    path = json.dumps(url2pathname(urlparse(url).path))
    return f"""
# ilrs-science as installed here; remove these lines to take it from the package index.
[tool.uv.sources]
ilrs-science = {{ path = {path}, editable = true }}
"""
