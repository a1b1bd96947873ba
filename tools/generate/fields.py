"""Tables of the fields of a structure: key, type, unit, meaning, as the structure itself says them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import inspect

from dkrepl.api.quantities import UNIT
from tools.generate import markdown


def fields_table(
    kind: type[msgspec.Struct],
    headings: Mapping[type[msgspec.Struct], str],
    *,
    inherited: bool = True,
    defaults: bool = False,
) -> str:
    """Return the table of a structure's fields, those of its base only if ``inherited``.

    ``headings``: the heading under which another structure is explained. ``defaults``: with a column for the default.
    """
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    base: Any = kind.__mro__[1]
    known = () if inherited else base.__struct_encode_fields__
    shown = [field for field in info.fields if field.encode_name not in known]
    rows = [_row(field, headings) for field in shown]
    header: tuple[str, ...] = ("key", "type", "unit", "meaning")
    if not defaults:
        return markdown.table(header, rows)
    with_default = [(*row, _default(field)) for row, field in zip(rows, shown, strict=True)]
    return markdown.table((*header, "default"), with_default)


def nested(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """Yield the structures in the fields of a structure, outer ones first."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        for inner in _structs(field.type):
            yield inner
            yield from nested(inner)


def _row(field: inspect.Field, headings: Mapping[type[msgspec.Struct], str]) -> tuple[str, str, str, str]:
    name, unit = _type(field.type, headings)
    description = next((extra["description"] for extra in _extras(field.type) if "description" in extra), "")
    assert description, f"{field.name} has no description"
    return f"`{field.encode_name}`", name, unit, description


def _default(field: inspect.Field) -> str:
    return "required" if field.required else f"`{msgspec.json.encode(field.default).decode()}`"


def _extras(found: inspect.Type) -> Iterator[dict[str, Any]]:
    while isinstance(found, inspect.Metadata):
        yield found.extra_json_schema or {}
        found = found.type


def _structs(found: inspect.Type) -> Iterator[type[msgspec.Struct]]:
    match found:
        case inspect.Metadata():
            yield from _structs(found.type)
        case inspect.UnionType():
            for one in found.types:
                yield from _structs(one)
        case inspect.ListType() | inspect.VarTupleType():
            yield from _structs(found.item_type)
        case inspect.StructType():
            yield found.cls


def _type(found: inspect.Type, headings: Mapping[type[msgspec.Struct], str]) -> tuple[str, str]:
    """Return the name of a type, and the unit of what it counts."""
    match found:
        case inspect.Metadata():
            name, unit = _type(found.type, headings)
            return name, next((extra[UNIT] for extra in _extras(found) if UNIT in extra), unit)
        case inspect.UnionType():
            parts = sorted((_type(one, headings) for one in found.types), key=lambda part: part[0] == "null")
            return " or ".join(name for name, _ in parts), next((unit for _, unit in parts if unit), "")
        case inspect.ListType() | inspect.VarTupleType():
            return f"array of {_type(found.item_type, headings)[0]}", ""
        case inspect.DictType():
            return f"object of {_type(found.value_type, headings)[0]}", ""
        case inspect.StructType():
            heading = headings.get(found.cls)
            return (f"[object]({markdown.anchor(heading)})" if heading else "object"), ""
        case inspect.LiteralType():
            return " or ".join(f"`{value}`" for value in found.values), ""
        case _:
            return _PLAIN[type(found)], ""


_PLAIN: dict[type, str] = {
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.StrType: "string",
    inspect.BoolType: "boolean",
    inspect.NoneType: "null",
}
