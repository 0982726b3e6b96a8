"""What the source of one module means, and what it takes from others; the module is parsed, never imported."""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

EVERYTHING = "*"
"""As the last name of a need: the package with all that it hands on."""
EVERY_MODULE = "**"
"""As the last name of a need: every module below the package."""

OURS = "ilrs_science"
"""Our own package."""
TABLE_OF_FORMATS = "ilrs_science.formats"
"""The package that lists the raw formats: a format of the list counts for those who use it, not for the list."""

_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
"""Where statements stand in others."""
_FILE_NAME = re.compile(r"[\w-]+(\.[A-Za-z]\w*)+")
_ACCESSOR = "ilrs_science.analysis.accessor"
"""What `dataset.ilrs` means, wherever it is written."""


@dataclass(frozen=True)
class Module:
    """What is known of a module from its source."""

    meaning: str
    """SHA-256 of its tree without comments, format, docstrings, and what only passes on to others."""
    needs: frozenset[str] = frozenset()
    """What its code uses, as `package.module:function.attribute`."""
    unused: frozenset[str] = frozenset()
    """What it imports and does not use: for its effect, or to hand it on."""
    exports: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What the names that it imports stand for."""
    files: frozenset[str] = frozenset()
    """Texts in it that may name a file beside it."""


def module_of(source: bytes, name: str, *, package: bool) -> Module:
    """Return what the source of a module means and needs.

    Parameters
    ----------
    source
        Its bytes, in whatever encoding they declare.
    name
        Its dotted name, from which relative imports count.
    package
        Whether it is the `__init__.py` of a package: what that imports and does not use itself belongs to those who
        ask for it there.
    """
    try:
        tree = _Bare(lazy=package and _is_ours(name)).visit(ast.parse(source))
        return _described(tree, name, package)
    except (SyntaxError, ValueError, RecursionError):
        # No Python of today; then every byte counts.
        return Module(hashlib.sha256(source).hexdigest())


def further(need: str, attributes: str) -> str:
    """Return what attributes of something needed stand for."""
    return f"{need}{'.' if ':' in need else ':'}{attributes}" if attributes else need


def meaning_of(source: str) -> str:
    """Return the SHA-256 of the meaning of a piece of source.

    Raises
    ------
    SyntaxError
        It is no whole piece of Python.
    """
    return _digest(_Bare().visit(ast.parse(source)))


def _described(tree: ast.Module, name: str, package: bool) -> Module:
    here = name if package else name.rpartition(".")[0]
    nodes = list(ast.walk(tree))
    bindings, needs = _bindings(nodes, here)
    if name == TABLE_OF_FORMATS:
        tree.body = [one for one in tree.body if not _is_list_of_modules(one, bindings)]
        nodes = list(ast.walk(tree))
    chains = list(_chains(nodes))
    used = {first for first, _ in chains}
    needs |= {further(target, rest) for first, rest in chains for target in bindings.get(first, ())}
    needs |= {*_dynamic(tree, nodes, here), *_accessor(nodes)}
    unused = {target for bound in bindings.keys() - used for target in bindings[bound]}
    files = frozenset(_file_names(nodes))
    if package:
        tree = _WithoutHandedOn(used).visit(tree)
    return Module(_digest(tree), _beyond_python(needs), frozenset(unused), bindings, files)


def _beyond_python(needs: Iterable[str]) -> frozenset[str]:
    """Return what is needed without what comes with Python itself."""
    return frozenset(need for need in needs if re.split("[.:]", need)[0] not in sys.stdlib_module_names)


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] == OURS


def _digest(tree: ast.AST) -> str:
    return hashlib.sha256(ast.unparse(tree).encode("utf-8", "surrogatepass")).hexdigest()


class _Bare(ast.NodeTransformer):
    """Takes out what does nothing when it runs: docstrings, and what only type checkers read.

    It goes from statement to statement: none stands within an expression.

    Parameters
    ----------
    lazy
        What only type checkers read is what the package hands on at the first use, and stays.
    """

    def __init__(self, *, lazy: bool = False) -> None:
        self.lazy = lazy

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if _is_text(node.value) else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.AST] | None:
        test = node.test
        word = test.id if isinstance(test, ast.Name) else getattr(test, "attr", "")
        visited = self.generic_visit(node)
        if word != "TYPE_CHECKING":
            return visited
        return [*(node.body if self.lazy else ()), *node.orelse]

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for name in _BLOCKS:
            if block := getattr(node, name, None):
                visited = [self.visit(one) for one in block]
                setattr(node, name, [one for some in visited for one in _listed(some)])
        if getattr(node, "body", None) == [] and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node


def _listed(visited: ast.AST | list[ast.AST] | None) -> list[ast.AST]:
    return visited if isinstance(visited, list) else [visited] if visited else []


class _WithoutHandedOn(ast.NodeTransformer):
    """Takes out of a package's `__init__.py` what it imports for others only."""

    def __init__(self, used: set[str]) -> None:
        self.used = used

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        kept = self.used | {"*"}
        if node.module != "__future__":
            node.names = [one for one in node.names if (one.asname or one.name) in kept]
        return node if node.names else None

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        return None if [getattr(target, "id", "") for target in node.targets] == ["__all__"] else node


def _bindings(nodes: Iterable[ast.AST], here: str) -> tuple[dict[str, tuple[str, ...]], set[str]]:
    """Return what each imported name stands for, and what is imported without a name of its own."""
    bindings: dict[str, tuple[str, ...]] = {}
    nameless = set()
    for node in nodes:
        for bound, target in _imported(node, here):
            if bound:
                bindings[bound] = (*bindings.get(bound, ()), target)
            else:
                nameless.add(target)
    return bindings, nameless


def _imported(node: ast.AST, here: str) -> Iterator[tuple[str, str]]:
    """Give every name that a statement imports with what it stands for."""
    if isinstance(node, ast.Import):
        for one in node.names:
            top = one.name.partition(".")[0]
            yield (one.asname, one.name) if one.asname else (top, top)
            if top != one.name and not one.asname:
                yield "", one.name
    elif isinstance(node, ast.ImportFrom):
        origin = _absolute("." * node.level + (node.module or ""), here)
        for one in node.names:
            yield "" if one.name == EVERYTHING else one.asname or one.name, f"{origin}:{one.name}"


def _absolute(name: str, here: str) -> str:
    """Return the dotted name of what a module of the package `here` calls `name`, maybe with leading dots."""
    bare = name.lstrip(".")
    level = len(name) - len(bare)
    if not level:
        return bare
    parts = here.split(".")
    return ".".join([*parts[: len(parts) - level + 1], *([bare] if bare else [])])


def _chains(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
    """Give every use of a name with the attributes that are taken of it: `a.b.c` as a and b.c, `a` as a and all."""
    inner: set[int] = set()
    for node in nodes:
        if isinstance(node, ast.Attribute | ast.Name) and id(node) not in inner:
            attributes: list[str] = []
            base: ast.expr = node
            while isinstance(base, ast.Attribute):
                attributes.insert(0, base.attr)
                base = base.value
                inner.add(id(base))
            if isinstance(base, ast.Name) and isinstance(base.ctx, ast.Load):
                yield base.id, ".".join(attributes) or EVERYTHING


def _accessor(nodes: Iterable[ast.AST]) -> set[str]:
    found = any(isinstance(node, ast.Attribute) and node.attr == "ilrs" for node in nodes)
    return {_ACCESSOR} if found else set()


def _dynamic(tree: ast.Module, nodes: Iterable[ast.AST], here: str) -> Iterator[str]:
    """Give what is imported by a name that is put together at run time, as far as the source tells it."""
    # We import libraries by their names, and our own modules by statements, if only for type checkers (ADR 0018).
    if not _is_ours(here) and any(_binds(statement, "__getattr__") for statement in tree.body):
        yield f"{here}:{EVERY_MODULE}"
    for node in nodes:
        if isinstance(node, ast.Call) and node.args and _called(node) in {"import_module", "__import__"}:
            yield from _put_together(node.args[0], here)


def _put_together(name: ast.expr, here: str) -> Iterator[str]:
    text, whole = _beginning(name)
    if whole:
        yield _absolute(text, here)
    elif text or not _is_ours(here):
        yield f"{_absolute(text.rpartition('.')[0] or '.', here)}:{EVERY_MODULE}"


def _beginning(node: ast.expr) -> tuple[str, bool]:
    """Return the text that an expression begins with, and whether that is all of it."""
    if _is_text(node):
        return str(node.value), True  # type: ignore[attr-defined]
    first = node.values[0] if isinstance(node, ast.JoinedStr) and node.values else node
    return (str(first.value), False) if _is_text(first) else ("", False)  # type: ignore[attr-defined]


def _file_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    texts = (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return (text for text in texts if _FILE_NAME.fullmatch(text) and not text.endswith(".py"))


def _called(node: ast.Call) -> str:
    return str(getattr(node.func, "attr", getattr(node.func, "id", "")))


def _binds(statement: ast.stmt, name: str) -> bool:
    if isinstance(statement, ast.Assign):
        return any(getattr(node, "id", "") == name for target in statement.targets for node in ast.walk(target))
    return isinstance(statement, ast.FunctionDef) and statement.name == name


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_list_of_modules(statement: ast.stmt, known: Iterable[str]) -> bool:
    """Tell whether a statement does nothing but list imported modules."""
    value = statement.value if isinstance(statement, ast.Assign) else None
    names = [getattr(one, "id", "") for one in value.elts] if isinstance(value, ast.Tuple) else []
    return bool(names) and set(names) <= set(known)
