"""What an annotation asks for: how a value of a foreign caller is read, and the JSON schema that tells of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from busfn.protocol.shapes import kind_of

Schema = dict[str, Any]

MAX_SHOWN = 80
MAX_PATH = 200
MAX_REASONS = 8


class Misfit(Exception):
    """A value that does not fit; its path grows on the way out, so that only failures pay for it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = ""

    def under(self, step: str) -> Misfit:
        """The same, seen from the container."""
        if len(self.path) < MAX_PATH:
            self.path = step + self.path
        return self

    def reasons(self, root: str) -> Iterator[str]:
        """In words, with the whole path."""
        yield f"`{root}{self.path[:MAX_PATH]}`{self.reason}"


class Misfits(Misfit):
    """A value that fits none of several forms."""

    def __init__(self, parts: Sequence[Misfit]) -> None:
        super().__init__("")
        self.parts = parts

    def reasons(self, root: str) -> Iterator[str]:
        for part in self.parts:
            yield from part.reasons(f"{root}{self.path[:MAX_PATH]}")


def explain(misfit: Misfit, root: str) -> str:
    """The message for the caller."""
    return "; or ".join(islice(misfit.reasons(root), MAX_REASONS))


def refusal(value: object, expected: str) -> Misfit:
    """Something else was expected."""
    return Misfit(f" must be {expected}, not {shown(value)}")


def shown(value: object) -> str:
    """A value in a message."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits; nested too deeply
        return f"a {type(value).__name__} too long to show"
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


class Run:
    """One conversion: remembers what a value was refused for, so that nested unions try nothing twice."""

    __slots__ = ("refused",)

    def __init__(self) -> None:
        self.refused: dict[tuple[int, int], Sequence[Misfit]] = {}


class Definitions:
    """Schemas of types that hold themselves, by name, and those of models."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}
        self.open: dict[int, str] = {}
        """Forms that are being described, and their names."""
        self.used: set[int] = set()
        """Those of them that were met again."""

    def free_name(self, wanted: str) -> str:
        """A name that stands for nothing else."""
        taken = {*self.schemas, *self.open.values()}
        numbered = (f"{wanted}{i}" for i in range(2, len(taken) + 3))
        return wanted if wanted not in taken else next(name for name in numbered if name not in taken)

    def close(self, schema: Schema) -> Schema:
        """A whole schema, with what it refers to."""
        return {**schema, "$defs": dict(self.schemas)} if self.schemas else schema


class Form:
    """What one annotation asks for."""

    exact: type | None = None
    """The type of data that has this form as it is, when it is a scalar."""

    def read(self, value: Any, run: Run) -> Any:
        """The value as the annotation wants it; raises `Misfit`."""
        raise NotImplementedError

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        """Of what is accepted, or of what is ``sent``."""
        raise NotImplementedError


class Anything(Form):
    """For annotations that say nothing checkable."""

    def read(self, value: Any, run: Run) -> Any:
        return value

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        return {}


ANYTHING = Anything()


class Named(Form):
    """A type that may hold itself: its form is filled in after it was referred to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.target: Form = ANYTHING

    def read(self, value: Any, run: Run) -> Any:
        return self.target.read(value, run)

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        name = definitions.open.get(id(self))
        if name is not None:
            definitions.used.add(id(self))
            return {"$ref": f"#/$defs/{name}"}
        name = definitions.open[id(self)] = definitions.free_name(self.name)
        schema = self.target.schema(sent, definitions)
        del definitions.open[id(self)]
        if id(self) not in definitions.used:
            return schema
        definitions.used.discard(id(self))
        definitions.schemas[name] = schema
        return {"$ref": f"#/$defs/{name}"}


class Union(Form):
    """One of several forms: the one of the value's own type, else the first that fits."""

    def __init__(self, options: Sequence[Form]) -> None:
        self._options = options
        self._exact = {option.exact: option for option in reversed(options) if option.exact is not None}

    def read(self, value: Any, run: Run) -> Any:
        exact = self._exact.get(kind_of(value))
        if exact is not None:
            return exact.read(value, run)
        key = (id(self), id(value))
        misfits: list[Misfit] = []
        for option in self._options if key not in run.refused else ():
            try:
                return option.read(value, run)
            except Misfit as misfit:
                misfits.append(misfit)
        raise Misfits(run.refused.setdefault(key, misfits))

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        return {"anyOf": [option.schema(sent, definitions) for option in self._options]}
