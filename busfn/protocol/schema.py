"""JSON schemas of functions, for discovery: of what callers without our SDK may send, and of what they are sent."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from busfn.protocol.convert import Interface
from busfn.protocol.forms.build import form_of
from busfn.protocol.forms.containers import Fields
from busfn.protocol.forms.form import Definitions, Named, Schema


@dataclass(frozen=True, slots=True)
class Description:
    """What discovery says of a function."""

    summary: str
    parameters: Schema
    result: Schema


def describe(function: Callable[..., Any]) -> Description:
    """The function's schemas and the first line of its docstring."""
    doc, interface = inspect.getdoc(function) or "", Interface.of(function)
    definitions = Definitions()
    result = definitions.close(interface.result.schema(True, definitions))
    return Description(doc.partition("\n")[0], parameters_schema(interface), result)


def parameters_schema(interface: Interface) -> Schema:
    """An object schema of a function's parameters. Those of ``*rest`` have no names: they come as an array only."""
    definitions, required = Definitions(), list[str]()
    properties: dict[str, Schema] = {}
    extra: Schema | bool = False
    for name, parameter in interface.signature.parameters.items():
        form = interface.forms[name]
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            continue
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            fields = form.target if isinstance(form, Named) else form
            if name in interface.whole and isinstance(fields, Fields):
                properties |= fields.properties(False, definitions)
                required.extend(fields.required)
            else:
                extra = form.schema(False, definitions) or True
            continue
        properties[name] = form.schema(False, definitions)
        if parameter.default is inspect.Parameter.empty:
            required.append(name)
        elif _is_json(parameter.default):
            properties[name] = {**properties[name], "default": parameter.default}
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": extra}
    return definitions.close(schema)


def _is_json(default: object) -> bool:
    return isinstance(default, int | str | None) or (isinstance(default, float) and math.isfinite(default))


def schema_of(hint: Any, *, sent: bool = False) -> Schema:
    """The JSON schema of an annotation; ``{}`` when it says nothing that JSON schema can say."""
    definitions = Definitions()
    return definitions.close(form_of(hint).schema(sent, definitions))
