"""The meaning of a source: comments and docstrings leave it, anything that is run changes it."""

import ast
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import ilrs_science
from ilrs_science.code.meaning import EVERYTHING, Module, module_of

PACKAGE = Path(ilrs_science.__file__).parent
SOURCES = [
    (PACKAGE / name).read_text()
    for name in ("instruments/fluxgate.py", "reduction/placing.py", "model/step.py", "catalog/indexing.py")
]


def meaning(source: str) -> str:
    return module_of(source.encode(), "acme.mag", package=False).meaning


def statements(source: str) -> list[ast.stmt]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]


def first_line(statement: ast.stmt) -> int:
    decorators = getattr(statement, "decorator_list", [])
    return min(node.lineno for node in [statement, *decorators])


@given(st.sampled_from(SOURCES), st.data(), st.sampled_from(["# a remark", '"""A remark."""', "'one'; 'more'", ""]))
def test_a_comment_a_docstring_or_an_empty_line_anywhere_leaves_the_meaning(
    source: str, data: st.DataObject, remark: str
) -> None:
    lines = source.splitlines()
    places = [one for one in statements(source) if lines[first_line(one) - 1].strip()[:4] not in {"elif", "else"}]
    place = data.draw(st.sampled_from(places))
    lines.insert(first_line(place) - 1, " " * place.col_offset + remark)
    assert meaning("\n".join(lines)) == meaning(source)


def test_format_and_quotes_leave_the_meaning() -> None:
    assert meaning("x = {'a': 1, 'b': (2)}\n") == meaning('x = {\n    "a": 1,  # first\n    "b": 2,\n}\n')


@given(st.sampled_from(SOURCES), st.data())
def test_any_changed_literal_changes_the_meaning(source: str, data: st.DataObject) -> None:
    tree = ast.parse(source)
    remarks = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    literals = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in remarks]
    literal = data.draw(st.sampled_from(literals))
    literal.value = f"{literal.value}x" if isinstance(literal.value, str) else (literal.value or 0, 1)[0] is None or 17
    assert meaning(ast.unparse(tree)) != meaning(source)


@given(st.sampled_from(SOURCES), st.data())
def test_a_statement_taken_out_changes_the_meaning(source: str, data: st.DataObject) -> None:
    tree = ast.parse(source)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Module)]
    body = data.draw(st.sampled_from(bodies))
    running = [one for one in body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
    body[body.index(data.draw(st.sampled_from(running)))] = ast.Pass()
    assert meaning(ast.unparse(tree)) != meaning(source)


def test_what_only_type_checkers_read_neither_counts_nor_is_followed() -> None:
    plain = "from typing import TYPE_CHECKING\nx = 1\n"
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import acme.types\nx = 1\n"
    assert meaning(typed) == meaning(plain)
    assert module_of(typed.encode(), "acme.mag", package=False).needs == frozenset()
    otherwise = "import typing\nif typing.TYPE_CHECKING:\n    import acme.types\nelse:\n    import acme.real\n"
    assert module_of(otherwise.encode(), "acme.mag", package=False).needs == {"acme.real"}


def test_every_kind_of_import_is_found_and_what_is_used_of_it() -> None:
    source = """
import acme.one
import acme.two as two
from . import three
from .four import five as fifth
from ..lab import six
from acme.seven import *
def f(ds):
    from acme.eight import nine
    two.run(three.a.b, fifth, nine(ds))
    return importlib.import_module("acme.ten"), importlib.import_module(f"acme.eleven.{ds}"), acme.twelve.x
"""
    found = module_of(source.encode(), "acme.mag.probe", package=False)
    assert found.needs == {
        "acme.one",
        "acme.two:run",
        "acme.mag:three.a.b",
        f"acme.mag.four:five.{EVERYTHING}",
        "acme.seven:*",
        f"acme.eight:nine.{EVERYTHING}",
        "acme.ten",
        "acme.eleven:**",
        "acme:twelve.x",
    }
    assert found.unused == {"acme.lab:six"}


def test_what_a_package_only_hands_on_is_no_part_of_its_meaning() -> None:
    def package(source: str) -> str:
        return module_of(source.encode(), "acme", package=True).meaning

    assert package("from acme.cam import camera\n__all__ = ['camera']\nX = 1\n") == package("X = 1\n")
    assert package("from acme.cam import camera\nX = camera()\n") != package(
        "from acme.mag import camera\nX = camera()\n"
    )


def test_our_own_lazy_packages_hand_on_what_they_show_to_type_checkers_and_of_others_every_module_counts() -> None:
    def lazy(name: str) -> Module:
        source = f"""
if TYPE_CHECKING:
    from {name}.model.axis import Axis
def __getattr__(name):
    return getattr(import_module(f"{{__name__}}.{{HOME[name]}}"), name)
"""
        return module_of(source.encode(), name, package=True)

    ours = lazy("ilrs_science")
    assert ours.exports == {"Axis": ("ilrs_science.model.axis:Axis",)}
    assert ours.needs == frozenset()
    assert lazy("acme").needs == {"acme:**"}


def test_a_source_that_is_no_python_counts_by_its_bytes() -> None:
    assert meaning("print 'of another time'\n") != meaning("print 'of another time' # and more\n")
