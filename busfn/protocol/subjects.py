"""Subjects: the one place that knows how the bus is laid out."""

from __future__ import annotations

from dataclasses import dataclass

from busfn.errors import ProtocolError
from busfn.protocol.border import MAX_INDEX, CallId, parse_call_id, parse_number
from busfn.protocol.names import is_app_token, is_function_name, validate_name

PREFIX = "busfn"
QUEUE_GROUP = "busfn"
"""Queue group of all who serve a function."""

CHILD_DOT = "="
"""Stands for a dot in an id that is one token; it is in no name of ours."""
_LATER = "@"
"""Stands before the app where calls wait for their time; no name has it."""
_AFTER = {
    "fn": 0, "ovf": 0, "ctl": 0, "wake": 1, "job": 1, "log": 1, "draw": 1, "dead": 2, "delayed": 2, "res": 2, "live": 2,
}  # fmt: skip
"""How many tokens come after the function in a subject of each kind."""
_KINDS = frozenset({*_AFTER, "blob"})


@dataclass(frozen=True, slots=True)
class Address:
    """A subject, taken apart."""

    kind: str
    app: str
    function: str
    rest: tuple[str, ...]
    """Tokens after the function: call id, index."""

    @property
    def call(self) -> CallId:
        """The call's id. Raises `ProtocolError` when it is none."""
        return parse_call_id("the call's id", self.rest[0] if self.rest else "")

    @property
    def index(self) -> int:
        """The place of an input, the last token. Raises `ProtocolError` when it is no number."""
        return parse_number("the input's index", self.rest[-1] if self.rest else "", MAX_INDEX)


@dataclass(frozen=True, slots=True)
class Subjects:
    """All subjects of one environment."""

    env: str = "main"

    def __post_init__(self) -> None:
        validate_name(self.env, "environment")

    def _make(self, kind: str, *tokens: str) -> str:
        return ".".join((PREFIX, self.env, kind, *tokens))

    def function(self, app: str, function: str) -> str:
        """Interactive calls; no stream may ever capture it."""
        return self._make("fn", app, function)

    def overflow(self, app: str, function: str) -> str:
        """Calls handed on."""
        return self._make("ovf", app, function)

    def job(self, app: str, function: str, call: str) -> str:
        """Queued inputs of one call."""
        return self._make("job", app, function, call)

    def jobs(self, app: str, function: str) -> str:
        """Queued inputs of a function."""
        return self._make("job", app, function, "*")

    def delayed(self, app: str, function: str, call: str, due: int | str) -> str:
        """Inputs of a call that are put off until ``due`` (unix milliseconds); may hold wildcards."""
        return self._make("delayed", app, function, call, str(due))

    def delayed_of(self, app: str) -> str:
        """Inputs of an app that are put off."""
        return self._make("delayed", app, ">")

    def delayed_overflow(self, app: str, function: str, due: int | str) -> str:
        """Interactive calls that are put off until ``due``: those that are tried again after a pause."""
        return self._make("ovf", _LATER, app, function, str(due))

    @property
    def all_delayed_overflow(self) -> str:
        """Every interactive call that is put off."""
        return self._make("ovf", _LATER, ">")

    @property
    def delays(self) -> tuple[str, str]:
        """Headers of what is put off, durable and interactive, as it is stored; the last token is when it is due."""
        return self.all_of("delay"), self._make("wake", _LATER, ">")

    def jobs_of(self, app: str) -> str:
        """Queued inputs of an app."""
        return self._make("job", app, ">")

    def log(self, app: str, function: str, call: str) -> str:
        """What a call's body prints; the call is ``-`` for what is printed while none runs."""
        return self._make("log", app, function, call)

    def logs(self, app: str) -> str:
        """What an app's bodies print."""
        return self._make("log", app, ">")

    def state(self, app: str, function: str, call: str) -> str:
        """How a line looks that is drawn again and again, as progress bars are; not kept."""
        return self._make("draw", app, function, call)

    def states(self, app: str) -> str:
        """The states of all lines of an app that are drawn again."""
        return self._make("draw", app, ">")

    def stored_logs(self, app: str) -> str:
        """Headers of what an app's bodies print, once it is stored."""
        return self._make("tail", app, ">")

    def report(self, host: str) -> str:
        """What a host says of its workers, again and again; ``*`` for all hosts."""
        return self._make("hb", host)

    def command(self, host: str) -> str:
        """What a controller wants of a host; ``all`` reaches all of them."""
        return self._make("host", host)

    def question(self, what: str, about: str) -> str:
        """What whoever serves an app is asked: its ``stats``; the ``fleet``; by its workers, to ``cover`` for them."""
        return self._make("ask", what, about)

    @property
    def registry(self) -> str:
        """Told when the registry has changed."""
        return self._make("registry")

    def wakes(self, app: str, function: str) -> tuple[str, str]:
        """Headers of what is queued for a function, interactive and durable, as it is stored."""
        return self._make("wake", app, function), self._make("wake", app, function, "*")

    def cover(self, app: str, function: str) -> str:
        """Told to a function's workers while somebody takes its calls for them."""
        return self._make("cover", app, function)

    def down(self, app: str, function: str) -> str:
        """Told to those who wait for calls of a function, each second while its workers do not start."""
        return self._make("down", app, function)

    def control(self, app: str, function: str) -> str:
        return self._make("ctl", app, function)

    def result(self, app: str, function: str, call: str, index: int) -> str:
        """A durable call's result."""
        return self._make("res", app, function, call, str(index))

    def cancelled(self, app: str, function: str, call: str) -> str:
        """Set when a durable call was cancelled."""
        return self._make("res", app, function, call, "cancelled")

    def size(self, app: str, function: str, call: str) -> str:
        """How many inputs a durable call has, when it is not one."""
        return self._make("res", app, function, call, "size")

    def stored(self, app: str, function: str, call: str) -> str:
        """All that is stored of a durable call itself: results, size, whether it was cancelled."""
        return self._make("res", app, function, call, "*")

    def child(self, app: str, function: str, call: str, index: int | str, child: str) -> str:
        """Noted when an input of a call has spawned another call, whose whole id is ``child``; may hold wildcards."""
        return self._make("res", app, function, call, "child", str(index), child.replace(".", CHILD_DOT))

    def results(self, app: str = "*") -> str:
        """Everything that is stored of durable calls."""
        return self._make("res", app, ">")

    def live(self, app: str, function: str, call: str) -> str:
        """What becomes known of a durable call, pushed."""
        return self._make("live", app, function, call, "*")

    def waits(self, app: str, function: str, call: str) -> str:
        """Asks bodies that wait for a durable call which functions wait for its result with them."""
        return self._make("live", app, function, call, "waits")

    def withdrawn(self, app: str, function: str, call: str) -> str:
        """A cancelled call has left the queue: pushed, not stored."""
        return self._make("live", app, function, call, "cancelled")

    def dead(self, app: str, function: str, call: str, index: int | str) -> str:
        """An input that used up its attempts; ``index`` may be a wildcard."""
        return self._make("dead", app, function, call, str(index))

    def all_of(self, kind: str) -> str:
        """Every subject of a kind."""
        return self._make(kind, ">")

    @property
    def blob_prefix(self) -> str:
        return self._make("blob")

    @property
    def table(self) -> str:
        """Name of the registry's table."""
        return f"BUSFN_{self.env}_APPS"

    def stream(self, kind: str) -> str:
        """Name of a stream: JOBS, DELAYED, OVF, RES, BLOB, LOGS or DEAD."""
        return f"BUSFN_{self.env}_{kind}"

    def consumer(self, app: str, function: str) -> str:
        """Name of a function's consumer; ``=`` is legal there and in no name of ours, so nothing collides."""
        return f"{app}={function.replace('.', '=')}"

    def parse(self, subject: str) -> Address:
        """Take a subject apart. Raises `ProtocolError` when it is none of ours."""
        tokens = subject.split(".")
        if tokens[:2] != [PREFIX, self.env] or len(tokens) < 5 or tokens[2] not in _KINDS:
            raise ProtocolError(f"{subject[:200]!r} is no subject of environment {self.env!r}")
        kind, app, *rest = tokens[2:]
        if kind == "blob":
            return Address(kind, app, "", tuple(rest))
        if later := app == _LATER:
            app, *rest = rest
        width = _function_width(kind, len(rest), _AFTER[kind] + later)
        function = ".".join(rest[:width])
        if not is_app_token(app) or not is_function_name(function):
            raise ProtocolError(f"{subject[:200]!r} has no names of an app and a function")
        return Address(kind, app, function, tuple(rest[width:]))


def _function_width(kind: str, tokens: int, after: int) -> int:
    """How many tokens the function's name has: what follows it has a fixed length."""
    if kind in ("res", "live") and tokens > after + 2:  # a note on a child has two tokens more
        after += 2
    width = tokens - after
    if width not in (1, 2):
        raise ProtocolError(f"a {kind!r} subject with {tokens} tokens after the app")
    return width
