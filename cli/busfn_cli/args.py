"""A function's parameters as options of the command line. Pure: the options are typer's, the types are ours.

Every parameter becomes ``--name``, but for those with a default of a kind that no text can say. Only what was given is
passed on, so the function's own defaults hold.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import typer

from busfn.errors import ExecutionError, InvalidError
from busfn_cli.values import Parser, parser_of

_COLLECTIONS: tuple[Any, ...] = (list, tuple, set, frozenset)
_SECTION = re.compile(r"^\s*(Args|Arguments|Parameters)\s*:?\s*$")
_ENTRY = re.compile(r"^(?P<indent>\s+)\*{0,2}(?P<name>\w+)\s*(\([^)]*\))?\s*:\s*(?P<text>.*)$")
_FIELD = re.compile(r"^\s*:param(?:\s+[^:]+)?\s+(?P<name>\w+)\s*:\s*(?P<text>.*)$")


@dataclass(frozen=True, slots=True)
class Interface:
    """What a function can be given on the command line."""

    signature: inspect.Signature
    """For typer: an option for every parameter, under names of ours: typer and click use some for themselves."""
    names: Mapping[str, str]
    """The function's own names for them."""
    help: str
    takes_rest: bool
    """It has nothing but ``*args``, which get all that is on the command line as it is."""


def interface_of(function: Callable[..., Any]) -> Interface:
    """The options of a function.

    Raises `InvalidError` for a parameter that has no form on a command line, `ExecutionError` for annotations that
    cannot be evaluated.
    """
    text, described = split_docstring(inspect.getdoc(function) or "")
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
        if len(parameters) > 1:
            raise InvalidError(f"{_name(function)}: `*args` gets all of the command line, so it must stand alone")
        return Interface(inspect.Signature(), {}, text, takes_rest=True)
    hints = _hints(function)
    named = [p for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
    flags = flags_of([p.name for p in named])
    options: list[inspect.Parameter] = []
    names: dict[str, str] = {}
    fixed: list[str] = []
    for parameter in named:
        info = _option(parameter, _meant(parameter, hints), flags, described.get(parameter.name))
        if info is None:
            fixed.append(parameter.name)
            continue
        annotation, option = info
        names[f"p{len(names)}"] = parameter.name
        options.append(_keyword(f"p{len(options)}", annotation, option))
    return Interface(inspect.Signature(options), names, _help(text, fixed), takes_rest=False)


def flags_of(names: Sequence[str]) -> dict[str, str]:
    """What an option is called, without its dashes: `dry_run` is `dry-run`, and `_x` and `class_` leave out their outer
    underscores unless another parameter is called so. `help` is taken."""
    plain = {name: name.replace("_", "-") for name in names if name == name.strip("_") and name != "help"}
    flags: dict[str, str] = dict(plain)
    for name in names:
        if name in flags:
            continue
        flag = name.strip("_").replace("_", "-")
        used = {"help", *flags.values(), *(other.strip("_").replace("_", "-") for other in names if other != name)}
        if not flag or flag in used:
            flag = name
        while flag in {"help", *flags.values()}:
            flag += "_"
        flags[name] = flag
    return flags


def _help(text: str, fixed: Sequence[str]) -> str:
    """The description, with the parameters that keep their defaults."""
    if not fixed:
        return text
    note = f"No text can say a value of {', '.join(f'`{name}`' for name in fixed)}: the default is used."
    return f"{text}\n\n{note}" if text else note


def bind(function: Callable[..., Any], values: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments for the function from typer's values; what was not given is left to the function's defaults."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    hints = _hints(function)
    for parameter in inspect.signature(function).parameters.values():
        value = values.get(parameter.name)
        given = value is not None and value != []
        if given:
            value = _as_meant(_meant(parameter, hints), value)
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            args.append(value if given else parameter.default)
        elif given:
            kwargs[parameter.name] = value
    return tuple(args), kwargs


def split_docstring(doc: str) -> tuple[str, dict[str, str]]:
    """The description, and what the docstring says of each parameter (``Args:`` sections and ``:param x:`` fields)."""
    text: list[str] = []
    described: dict[str, str] = {}
    inside = False
    for line in doc.splitlines():
        field, entry = _FIELD.match(line), _ENTRY.match(line)
        inside = inside and (not line.strip() or line.startswith(" "))
        if field:
            described[field["name"]] = field["text"]
        elif _SECTION.match(line):
            inside = True
        elif inside and entry:
            described[entry["name"]] = entry["text"]
        elif not inside:
            text.append(line)
    return "\n".join(text).strip(), described


def _option(
    parameter: inspect.Parameter, hint: Any, flags: Mapping[str, str], described: str | None
) -> tuple[Any, Any] | None:
    """typer's annotation and option; None for a parameter that keeps its default because no text can say another."""
    required = parameter.default is inspect.Parameter.empty
    flag = flags[parameter.name]
    shown = "" if required or parameter.default is None else f"[default: {_shown(parameter.default)}]"
    settings: dict[str, Any] = {"help": "  ".join(filter(None, (described, shown))) or None, "show_default": False}
    value = ... if required else None
    if hint is bool and f"no-{flag}" not in flags.values():
        return bool | None, typer.Option(value, f"--{flag}/--no-{flag}", **settings)
    item = _list_item(hint)
    parser = parser_of(hint if item is None else item)
    if parser is not None:
        info = typer.Option(value, f"--{flag}", parser=_refusing(parser), metavar=parser.shown, **settings)
        return list[str] | None if item is not None else str | None, info
    if not required:
        return None
    raise InvalidError(
        f"parameter `{parameter.name}` has the annotation {_type_name(hint)}, which has no form on a command line"
    )


def _keyword(name: str, annotation: Any, info: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=info, annotation=annotation)


def _refusing(parser: Parser) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            return parser.parse(text)
        except (ValueError, ArithmeticError):
            raise typer.BadParameter(f"{text!r} is not {parser.expected}.") from None

    return parse


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception as error:  # evaluating annotations runs the user's expressions
        raise ExecutionError(
            f"no command line can be made for {_name(function)}, because its annotations cannot be evaluated: {error}"
        ) from None


def _meant(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Any:
    """The type of a parameter's values: what the annotation says, else what the default is."""
    if parameter.name in hints:
        return _without_none(hints[parameter.name])
    default = parameter.default
    if default is inspect.Parameter.empty or default is None:
        return str
    kind = cast(Any, type(default))
    if kind not in _COLLECTIONS:
        return kind
    types_of_items = {type(item) for item in cast("Iterable[object]", default)}
    item: Any = types_of_items.pop() if len(types_of_items) == 1 else str
    return tuple[item, ...] if kind is tuple else kind[item]


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint
    rest = [arg for arg in typing.get_args(hint) if arg is not type(None)]
    return rest[0] if len(rest) == 1 else hint


def _list_item(hint: Any) -> Any:
    """The type of a list's items, str for a bare list, None for what is no list."""
    kind, args = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind not in _COLLECTIONS or not args:
        return str if kind in _COLLECTIONS else None
    if kind is tuple and args[1:] != (Ellipsis,):
        return None
    return args[0]


def _as_meant(hint: Any, value: Any) -> Any:
    """typer collects repeated options in a list, whatever they are meant to be."""
    kind: Any = typing.get_origin(hint) or hint
    return kind(value) if kind in _COLLECTIONS else value


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    value = getattr(default, "value", default)
    return str(value)


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", repr(function))
