"""Forms of lists, tuples and mappings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from busfn.errors import ProtocolError
from busfn.protocol.codecs.collisions import check_collisions
from busfn.protocol.forms.form import ANYTHING, Definitions, Form, Misfit, Run, Schema, refusal, shown
from busfn.protocol.shapes import is_dict, is_mapping

_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,4000})", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,400})(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?", re.ASCII)
_WORDS = {"true": True, "false": False, "null": None}
_LISTS = (list, tuple, set, frozenset)
_HASHED = (set, frozenset)


class Items(Form):
    """Any number of items of one form; ``make`` is what they are put into."""

    def __init__(self, make: Callable[[list[Any]], Any], item: Form) -> None:
        self._make = make
        self._item = item

    def read(self, value: Any, run: Run) -> Any:
        if not isinstance(value, _LISTS) and not isinstance(value, self._made_of()):
            raise refusal(value, "a list")
        items = list(cast("Iterable[Any]", value))
        if self._item is not ANYTHING:
            items = self._converted(items, run)
        try:
            if any(self._make is kind for kind in _HASHED):
                check_collisions(items)
            return self._make(items)
        except (TypeError, ProtocolError) as error:  # unhashable, or too many with one hash
            raise Misfit(f": {error}") from None

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        item = self._item.schema(sent, definitions)
        return {"type": "array", "items": item} if item else {"type": "array"}

    def _made_of(self) -> tuple[type, ...]:
        return (self._make,) if isinstance(self._make, type) else ()

    def _converted(self, items: list[Any], run: Run) -> list[Any]:
        exact, read = self._item.exact, self._item.read
        if exact is not None and set(map(type, items)) <= {exact}:
            return items
        made: list[Any] = []
        try:
            made.extend(read(item, run) for item in items)
        except Misfit as misfit:
            raise misfit.under(f"[{len(made)}]") from None
        return made


def unmade(items: list[Any]) -> Any:
    """For what no list can become."""
    raise Misfit(" must be a generator, which cannot be sent by callers of other kinds")


class Tuple(Form):
    """Items of different forms: some at the beginning, any number in the middle, some at the end."""

    def __init__(self, first: Sequence[Form], middle: Form | None = None, last: Sequence[Form] = ()) -> None:
        self._first, self._middle, self._last = first, middle, last

    def read(self, value: Any, run: Run) -> Any:
        fixed = len(self._first) + len(self._last)
        if not isinstance(value, list | tuple):
            raise refusal(value, "a list")
        items = cast("Sequence[Any]", value)
        if len(items) < fixed or (self._middle is None and len(items) > fixed):
            raise refusal(items, f"a list of {fixed}" if self._middle is None else f"a list of {fixed} or more")
        middle = [self._middle or ANYTHING] * (len(items) - fixed)
        return tuple(_read_each(items, [*self._first, *middle, *self._last], run))

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        if not self._first and not self._last:
            if self._middle is None:
                return {"type": "array", "maxItems": 0}
            return Items(tuple, self._middle).schema(sent, definitions)
        least = len(self._first) + len(self._last)
        schema: Schema = {"type": "array", "minItems": least}
        if self._first:
            schema["prefixItems"] = [form.schema(sent, definitions) for form in self._first]
        if not self._last:
            schema["items"] = self._middle.schema(sent, definitions) if self._middle else False
        return schema


class NamedTuple(Form):
    """A class made with `typing.NamedTuple`, as a list; those with defaults may be left out at its end."""

    def __init__(self, kind: Any, forms: Sequence[Form]) -> None:
        self._kind = kind
        self._forms = forms
        self._least = len(forms) - len(kind._field_defaults)

    def read(self, value: Any, run: Run) -> Any:
        if isinstance(value, self._kind):
            return value
        if not isinstance(value, list | tuple):
            raise refusal(value, f"a list ({self._kind.__name__})")
        items = cast("Sequence[Any]", value)
        if not self._least <= len(items) <= len(self._forms):
            names = ", ".join(self._kind._fields)
            raise refusal(items, f"a list of {len(self._forms)} ({self._kind.__name__}: {names})")
        steps = [f".{name}" for name in self._kind._fields]
        return self._kind(*_read_each(items, self._forms[: len(items)], run, steps))

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        if not self._forms:
            return {"type": "array", "title": self._kind.__name__, "maxItems": 0}
        items = [form.schema(sent, definitions) for form in self._forms]
        least = len(items) if sent else self._least
        return {"type": "array", "title": self._kind.__name__, "prefixItems": items, "items": False, "minItems": least}


def _read_each(items: Sequence[Any], forms: Sequence[Form], run: Run, steps: Sequence[str] = ()) -> list[Any]:
    made: list[Any] = []
    try:
        made.extend(form.read(item, run) for item, form in zip(items, forms, strict=True))
    except Misfit as misfit:
        raise misfit.under(steps[len(made)] if steps else f"[{len(made)}]") from None
    return made


class Entries(Form):
    """A mapping; keys of JSON objects are text, and are read as what the annotation wants."""

    def __init__(self, make: Callable[[dict[Any, Any]], Any], key: Form, item: Form) -> None:
        self._make = make
        self._key = key
        self._item = item

    def read(self, value: Any, run: Run) -> Any:
        if not is_mapping(value):
            raise refusal(value, "an object")
        keys = [self._read_key(key, run) for key in value]
        try:
            check_collisions(keys)
        except ProtocolError as error:
            raise Misfit(f": {error}") from None
        items = (self._read_item(key, item, run) for key, item in value.items())
        made = dict(zip(keys, items, strict=True))
        if len(made) != len(value):
            raise Misfit(" must be an object whose keys differ, also after they are read")
        return self._make(made)

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        item = self._item.schema(sent, definitions)
        return {"type": "object", "additionalProperties": item} if item else {"type": "object"}

    def _read_item(self, key: Any, item: Any, run: Run) -> Any:
        try:
            return self._item.read(item, run)
        except Misfit as misfit:
            raise misfit.under(f"[{shown(key)}]") from None

    def _read_key(self, key: Any, run: Run) -> Any:
        try:
            return self._hashable(key, run)
        except Misfit as misfit:
            raise misfit.under(" key") from None

    def _hashable(self, key: Any, run: Run) -> Any:
        try:
            made = self._key.read(key, run)
        except Misfit:
            if not isinstance(key, str) or (read := _from_key(key)) is key:
                raise
            made = self._key.read(read, run)
        try:
            hash(made)
        except TypeError as error:
            raise Misfit(f": {error}") from None
        return made


def _from_key(text: str) -> Any:
    """What JSON would read, where it allows only text; the text itself when it is just that."""
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


class Fields(Form):
    """A TypedDict: these keys, and others as they are."""

    def __init__(self, name: str, forms: Mapping[str, Form], required: frozenset[str]) -> None:
        self._name = name
        self._forms = forms
        self._required = required

    def read(self, value: Any, run: Run) -> Any:
        if not is_dict(value):
            raise refusal(value, f"an object ({self._name})")
        for name in sorted(self._required):
            if name not in value:
                raise Misfit(" is missing").under(f".{name}")
        return {key: self._read(key, item, run) for key, item in value.items()}

    def _read(self, key: Any, item: Any, run: Run) -> Any:
        if not isinstance(key, str):
            raise Misfit(f" must have keys of text, not {shown(key)}")
        try:
            return self._forms.get(key, ANYTHING).read(item, run)
        except Misfit as misfit:
            raise misfit.under(f".{key}") from None

    def properties(self, sent: bool, definitions: Definitions) -> dict[str, Schema]:
        """The schema of each key."""
        return {name: form.schema(sent, definitions) for name, form in self._forms.items()}

    @property
    def required(self) -> list[str]:
        """Keys that must be there."""
        return [name for name in self._forms if name in self._required]

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        properties = self.properties(sent, definitions)
        return {"type": "object", "title": self._name, "properties": properties, "required": self.required}
