"""Forms of classes with fields: dataclasses, attrs, and models of pydantic."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from busfn.protocol.forms.form import Definitions, Form, Misfit, Run, Schema, refusal
from busfn.protocol.shapes import is_dict, is_list


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record."""

    name: str
    """The key in the object, and the initializer's parameter."""
    form: Form
    required: bool = True


class Record(Form):
    """A class that is made with an object's entries."""

    def __init__(self, kind: Any, accepted: Sequence[Field], sent: Sequence[Field]) -> None:
        self._kind = kind
        self._accepted = {field.name: field for field in accepted}
        self._sent = sent

    def read(self, value: Any, run: Run) -> Any:
        if isinstance(value, self._kind):
            return value
        if not is_dict(value):
            raise refusal(cast(object, value), f"an object ({self._kind.__name__})")
        converted = {name: self._read(name, item, run) for name, item in value.items()}
        for name, field in self._accepted.items():
            if field.required and name not in converted:
                raise Misfit(" is missing").under(f".{name}")
        try:
            return self._kind(**converted)
        except Exception as error:  # checks in its initializer may raise anything
            raise Misfit(f": {error}") from None

    def _read(self, name: Any, item: Any, run: Run) -> Any:
        field = self._accepted.get(name) if isinstance(name, str) else None
        if field is None:
            raise refusal(name, f"a field of {self._kind.__name__} ({', '.join(sorted(self._accepted))})")
        try:
            return field.form.read(item, run)
        except Misfit as misfit:
            raise misfit.under(f".{name}") from None

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        fields = self._sent if sent else list(self._accepted.values())
        return {
            "type": "object",
            "title": self._kind.__name__,
            "properties": {field.name: field.form.schema(sent, definitions) for field in fields},
            "required": [field.name for field in fields if sent or field.required],
            "additionalProperties": False,
        }


class Model(Form):
    """What pydantic knows: models, its dataclasses and its own types. Its rules hold for what is accepted."""

    def __init__(self, hint: Any, kind: type) -> None:
        self._hint = hint
        self._kind = kind

    @cached_property
    def _adapter(self) -> Any:
        return sys.modules["pydantic"].TypeAdapter(self._hint)

    def read(self, value: Any, run: Run) -> Any:
        if isinstance(value, self._kind):
            return value
        try:
            return self._adapter.validate_python(value)
        except Exception as error:  # a ValidationError; validators may raise anything
            raise Misfit(f": {error}") from None

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        try:
            schema = self._adapter.json_schema(mode="serialization" if sent else "validation", by_alias=True)
        except Exception:  # a model may hold what has no schema; it is no reason not to serve the function
            return {}
        return _moved(schema, definitions)


_REFERENCE = re.compile(r"#/\$defs/([^/]+)")


def _moved(schema: Schema, definitions: Definitions) -> Schema:
    """The schema with its own definitions among those of the whole."""
    own: dict[str, Schema] = schema.pop("$defs", {})
    names: dict[str, str] = {}
    for name, one in own.items():
        known = definitions.schemas.get(name)
        names[name] = name if known == one else definitions.free_name(name)
        definitions.schemas.setdefault(names[name], one)
    if all(name == new for name, new in names.items()):
        return schema
    for name, new in names.items():
        definitions.schemas[new] = cast(Schema, _renamed(own[name], names))
    return cast(Schema, _renamed(schema, names))


def _renamed(schema: object, names: Mapping[str, str]) -> object:
    if is_dict(schema):
        return {
            key: _reference(item, names) if key == "$ref" else _renamed(item, names) for key, item in schema.items()
        }
    return [_renamed(item, names) for item in schema] if is_list(schema) else schema


def _reference(item: object, names: Mapping[str, str]) -> object:
    found = _REFERENCE.fullmatch(item) if isinstance(item, str) else None
    return f"#/$defs/{names.get(found[1], found[1])}" if found else _renamed(item, names)


def is_pydantic(kind: type) -> bool:
    """Whether pydantic reads and writes it."""
    return hasattr(kind, "__get_pydantic_core_schema__") or hasattr(kind, "__pydantic_validator__")


__all__ = ["Field", "Model", "Record", "is_pydantic"]
