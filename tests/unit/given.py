"""Which fixed texts the package gives to a function: names of events, codes of reasons.

A text is found where it is written as a constant, in either branch of a conditional expression, in a variable of the
same function, in a ``Literal`` type, and in what a function of the package returns. What cannot be followed is said,
so that no name is overlooked in silence.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "dkrepl"
Function = ast.FunctionDef | ast.AsyncFunctionDef
KEYWORDS = ("code", "name", "reason")


@dataclass
class Given:
    """``unknown``: (file, argument) of what could not be followed, as it is written."""

    texts: set[str] = field(default_factory=set)
    unknown: set[tuple[str, str]] = field(default_factory=set)


@dataclass(frozen=True)
class Where:
    """In which file and function an expression stands."""

    file: str
    function: Function | None


@functools.cache
def package() -> Mapping[str, ast.Module]:
    """Return the syntax tree of every file of the package, by its name in the package."""
    return {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def given(places: Mapping[str, int], files: Mapping[str, ast.Module] | None = None) -> Given:
    """Return what is given to the calls of ``places``: ``receiver.name`` or ``name``, to the number of the argument.

    ``receiver`` is the last name before the dot, without leading underscores; ``*`` is any whose call is a statement.
    """
    files = package() if files is None else files
    reader = _Reader(files)
    for file, tree in files.items():
        for call, function, statement in _calls(tree):
            place = _place(call.func, places, statement)
            if place is not None:
                reader.argument(call, place, Where(file, function))
    return reader.found


def _calls(tree: ast.Module) -> Iterator[tuple[ast.Call, Function | None, bool]]:
    def walk(
        node: ast.AST, function: Function | None, parent: ast.AST
    ) -> Iterator[tuple[ast.Call, Function | None, bool]]:
        if isinstance(node, ast.Call):
            yield node, function, isinstance(parent, ast.Expr)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, node if isinstance(node, Function) else function, node)

    return walk(tree, None, tree)


def _place(called: ast.expr, places: Mapping[str, int], statement: bool) -> int | None:
    if isinstance(called, ast.Name):
        return places.get(called.id)
    if not isinstance(called, ast.Attribute):
        return None
    receiver = ast.unparse(called.value).rpartition(".")[2].lstrip("_")
    anybody = places.get(f"*.{called.attr}") if statement else None
    return places.get(f"{receiver}.{called.attr}", anybody)


class _Reader:
    def __init__(self, files: Mapping[str, ast.Module]) -> None:
        self.found = Given()
        self._returned: dict[str, list[tuple[ast.expr, Where]]] = {}
        self._literals: dict[str, ast.expr] = {}
        for file, tree in files.items():
            for node in ast.walk(tree):
                match node:
                    case ast.FunctionDef(name=name):
                        values = [one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value]
                        self._returned.setdefault(name, []).extend((value, Where(file, node)) for value in values)
                    case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript(value=ast.Name(id="Literal"))):
                        self._literals[name] = node.value

    def argument(self, call: ast.Call, place: int, where: Where) -> None:
        """Add the texts that one argument of a call can be."""
        for index, value in enumerate(call.args):
            if isinstance(value, ast.Starred):
                self._texts(value.value, place - index, where)
                return
            if index == place:
                self._texts(value, None, where)
                return
        named = [keyword.value for keyword in call.keywords if keyword.arg in KEYWORDS]
        for value in named:
            self._texts(value, None, where)
        if not named:
            self._lost(call, where)

    def _texts(self, value: ast.expr, item: int | None, where: Where) -> None:
        """Add the texts that ``value`` can be, or, if it is a tuple, those of its item of this number."""
        match value:
            case ast.Constant(value=str(text)) if item is None:
                self.found.texts.add(text)
            case ast.Constant(value=None):
                pass  # then nothing is given
            case ast.Tuple(elts=parts) if item is not None and item < len(parts):
                self._texts(parts[item], None, where)
            case ast.IfExp(body=one, orelse=other):
                self._texts(one, item, where)
                self._texts(other, item, where)
            case ast.Name():
                self._variable(value, item, where)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in self._returned:
                for result, there in self._returned[name]:
                    self._texts(result, item, there)
            case _:
                self._lost(value, where)

    def _variable(self, variable: ast.Name, item: int | None, where: Where) -> None:
        sources = self._assigned(variable.id, where)
        for source, part in sources:
            if part is None or item is None:
                self._texts(source, item if part is None else part, where)
            else:
                self._lost(source, where)
        known, texts = self._literal(variable.id, where)
        self.found.texts |= texts
        if not known and len(sources) < _bindings(variable.id, where):
            self._lost(variable, where)

    def _assigned(self, name: str, where: Where) -> list[tuple[ast.expr, int | None]]:
        """Return what is assigned to a variable in its function, and which item of it."""
        found: list[tuple[ast.expr, int | None]] = []
        for node in ast.walk(where.function) if where.function is not None else ():
            match node:
                case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                    found.append((value, None))
                case ast.Assign(targets=[ast.Tuple(elts=parts)], value=value):
                    found += [(value, i) for i, one in enumerate(parts) if isinstance(one, ast.Name) and one.id == name]
                case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if target == name:
                    found.append((value, None))
                case ast.NamedExpr(target=ast.Name(id=target), value=value) if target == name:
                    found.append((value, None))
        return found

    def _literal(self, name: str, where: Where) -> tuple[bool, set[str]]:
        """Return whether a parameter or variable is of a ``Literal`` type, and which texts that has."""
        for node in ast.walk(where.function) if where.function is not None else ():
            match node:
                case ast.arg(arg=target, annotation=ast.expr() as kind) if target == name:
                    pass
                case ast.AnnAssign(target=ast.Name(id=target), annotation=kind) if target == name:
                    pass
                case _:
                    continue
            if isinstance(kind, ast.Name):
                kind = self._literals.get(kind.id, kind)
            if isinstance(kind, ast.Subscript) and ast.unparse(kind.value) == "Literal":
                values = [one.value for one in ast.walk(kind.slice) if isinstance(one, ast.Constant)]
                return True, {value for value in values if isinstance(value, str)}
        return False, set()

    def _lost(self, value: ast.expr, where: Where) -> None:
        self.found.unknown.add((where.file, ast.unparse(value)))


def _bindings(name: str, where: Where) -> int:
    """Return how many times a function gives a value to ``name``, a parameter counted once; at least 1."""
    if where.function is None:
        return 1
    count = 0
    for node in ast.walk(where.function):
        stored = isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
        count += stored or (isinstance(node, ast.arg) and node.arg == name)
    return max(1, count)
