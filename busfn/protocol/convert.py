"""Checks and converts what a foreign caller sent to what a function's annotations ask for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from busfn.protocol.bad_call import BadCall
from busfn.protocol.forms.build import Builder, unpacked_of
from busfn.protocol.forms.form import ANYTHING, Form, Misfit, Run, explain
from busfn.protocol.forms.hints import parameters_of

Arguments = tuple[tuple[Any, ...], dict[str, Any]]

_BY_PLACE, _REST, _MORE = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
)


@dataclass(frozen=True, slots=True)
class Interface:
    """What a function takes and gives, by its annotations. An annotation that cannot be evaluated leaves its parameter
    unchecked, and the others alone."""

    signature: inspect.Signature
    forms: Mapping[str, Form]
    """Of each parameter; for ``*rest`` and ``**more`` of one of them, unless it is in ``whole``."""
    whole: frozenset[str]
    """Parameters like ``**more: Unpack[...]``: the form is that of all of them together."""
    result: Form

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Interface:
        """Looks at a function; takes a fraction of a millisecond."""
        signature, hints = parameters_of(function)
        builder, whole, forms = Builder(), set[str](), dict[str, Form]()
        for name, parameter in signature.parameters.items():
            hint = hints.get(name, Any)
            if parameter.kind in (_REST, _MORE) and (unpacked := unpacked_of(hint)) is not None:
                hint = unpacked
                whole.add(name)
            forms[name] = builder.form(hint)
        return cls(signature, forms, frozenset(whole), builder.form(hints.get("return", Any)))

    def convert(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments:
        """Arguments as the function wants them. Raises `BadCall` with the path, what was expected and what came."""
        bound, run = self._bound(args, kwargs), Run()
        for name, value in bound.arguments.items():
            try:
                bound.arguments[name] = self._converted(name, value, run)
            except Misfit as misfit:
                named_itself = self.signature.parameters[name].kind is _MORE and name not in self.whole
                raise BadCall(explain(misfit, "" if named_itself else name)) from None
            except RecursionError:
                raise BadCall(f"`{name}` is nested too deeply") from None
        return bound.args, bound.kwargs

    def _bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        kwargs = dict(kwargs)
        try:
            bound = self.signature.bind(*self._placed(args, kwargs), **kwargs)
        except TypeError as error:
            raise BadCall(f"the arguments do not fit: {error}") from None
        for name in self.whole:  # something of it may be required
            bound.arguments.setdefault(name, {} if self.signature.parameters[name].kind is _MORE else ())
        return bound

    def _placed(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """With parameters that have only places, when they were given by their names, as the schema names them; these
        are taken out of ``kwargs``."""
        placed = list(args)
        if not kwargs:
            return placed
        parameters = self.signature.parameters.values()
        catches = any(one.kind is _MORE for one in parameters)
        for one in [one for one in parameters if one.kind is _BY_PLACE][len(placed) :]:
            if one.name not in kwargs or (catches and one.default is not one.empty):  # then it is one of `**more`
                break
            placed.append(kwargs.pop(one.name))
        return placed

    def _converted(self, name: str, value: Any, run: Run) -> Any:
        form = self.forms[name]
        if form is ANYTHING:
            return value
        kind = self.signature.parameters[name].kind
        if name in self.whole or kind not in (_REST, _MORE):
            return form.read(value, run)
        if kind is _REST:
            return tuple(_under(form, one, f"[{i}]", run) for i, one in enumerate(value))
        return {key: _under(form, one, key, run) for key, one in value.items()}


def _under(form: Form, value: Any, step: str, run: Run) -> Any:
    try:
        return form.read(value, run)
    except Misfit as misfit:
        raise misfit.under(step) from None
