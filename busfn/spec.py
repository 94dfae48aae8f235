"""What is known about a function, as values: validated when made, and carried between processes as plain dicts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, cast

from busfn.errors import InvalidError
from busfn.protocol.records import Count, Path, Text, Token, from_plain

if TYPE_CHECKING:
    import datetime as dt

    Moment = dt.datetime | dt.date | float

DEFAULT_TIMEOUT = 300.0
"""Seconds an attempt may run."""
DEFAULT_SCALEDOWN_WINDOW = 60.0
"""Seconds a worker may idle before it is stopped."""
MAX_CONTAINERS = 10_000
"""Workers that any of the numbers in `Scaling` may ask for."""
MAX_DELAY = 365 * 86_400.0
"""Seconds that any time in options may be."""
MAX_RETRIES = 1_000_000
LOST_LIMIT = 3
"""How often an input may take its worker down before busfn gives up on it."""
MAX_CODE = 64 << 20
"""Characters of a pickled function."""

CLOUD_OPTIONS = frozenset((
    "image", "gpu", "cpu", "memory", "volumes", "region", "cloud", "proxy", "mounts", "network_file_systems",
    "ephemeral_disk", "nonpreemptible", "i6pn", "enable_memory_snapshot", "block_network",
))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """How many worker processes a function may have."""

    min_containers: int = 0
    """Workers kept even when idle."""
    max_containers: int | None = None
    """Hard cap; None means as many as the machine has cores, not counting workers that wait for nested calls."""
    buffer_containers: int = 0
    """Idle workers kept beyond the need while the function is active."""
    scaledown_window: float = DEFAULT_SCALEDOWN_WINDOW
    """Seconds a worker may idle before it is stopped."""
    target_inputs: int = 1
    """Inputs per worker that the autoscaler aims at."""

    def __post_init__(self) -> None:
        _whole_number("target_inputs", self.target_inputs, least=1)
        _whole_number("min_containers", self.min_containers, least=0, most=MAX_CONTAINERS)
        _whole_number("buffer_containers", self.buffer_containers, least=0, most=MAX_CONTAINERS)
        _seconds("scaledown_window", self.scaledown_window)
        if self.max_containers is None:
            return
        _whole_number("max_containers", self.max_containers, least=1)
        if self.min_containers > self.max_containers:
            raise InvalidError(
                f"`min_containers` ({self.min_containers}) is greater than `max_containers` ({self.max_containers})"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often, and after which pauses, a failed input is tried again."""

    max_retries: int
    """Tries after the first one; 0 to a million."""
    backoff_coefficient: float = 2.0
    """Each pause is so many times the one before; 1 to 10."""
    initial_delay: float = 1.0
    """Seconds before the first retry; 0 to 60."""
    max_delay: float = 60.0
    """Seconds that no pause exceeds; up to a day."""

    def __post_init__(self) -> None:
        _whole_number("max_retries", self.max_retries, least=0, most=MAX_RETRIES)
        _between("backoff_coefficient", self.backoff_coefficient, 1, 10)
        _between("initial_delay", self.initial_delay, 0, 60)
        _between("max_delay", self.max_delay, 0, 86_400)

    def delay(self, attempt: int) -> float | None:
        """Seconds to wait after this failed attempt (the first is 1), or None when it was the last."""
        if attempt > self.max_retries:
            return None
        exponent = min(attempt - 1, 64)
        return min(self.max_delay, self.initial_delay * self.backoff_coefficient**exponent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """When, and how often at most, a spawned call is started."""

    delay: float = 0.0
    """Seconds to wait."""
    at: Moment | None = None
    """Not before this moment: a datetime (without a zone it is local time), a date (its first moment in local time), or
    unix seconds."""
    idempotency_key: str = ""
    """Calls of one function with the same key are one call, for as long as its result is kept."""

    def __post_init__(self) -> None:
        _between("delay", self.delay, 0, MAX_DELAY)
        if self.at is not None and self.delay:
            raise InvalidError("give either `delay` or `at`")
        if self.at is not None:
            _unix(self.at)

    def check(self, now: float) -> Start:
        """The start, or `InvalidError` when it is more than a year after ``now`` (unix seconds)."""
        if self.at is not None and _unix(self.at) - now > MAX_DELAY:
            raise InvalidError(f"`at` is more than {MAX_DELAY / 86_400:.0f} days ahead: {_shorten(self.at)}")
        return self

    def not_before(self, now: float) -> int:
        """Unix milliseconds before which it must not run; 0 for at once. ``now`` in unix seconds."""
        if self.at is not None:
            return max(0, int(_unix(self.at) * 1000))
        return int((now + self.delay) * 1000) if self.delay else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The keyword arguments of ``@app.function``, as written there; see `FunctionSpec` for what becomes of them."""

    name: str | None = None
    is_generator: bool | None = None
    """Forces generator treatment of a function that returns a generator; None looks at the function."""
    timeout: float = DEFAULT_TIMEOUT
    """Seconds an attempt may run, queueing not included."""
    startup_timeout: float | None = None
    """Seconds a worker may take to import the code; None means ``timeout``."""
    single_use_containers: bool = False
    """Every input gets a fresh worker process."""
    serialized: bool = False
    """The function is sent to workers as a pickle, signed, instead of being imported by them: for closures."""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Environment variables of the workers."""
    retries: Retries | None = None
    """What happens to inputs that fail; None gives up at once. A number means so many retries, one second apart."""
    scaling: Scaling = field(default_factory=Scaling)

    def __post_init__(self) -> None:
        _seconds("timeout", self.timeout)
        if self.startup_timeout is not None:
            _seconds("startup_timeout", self.startup_timeout)
        if self.is_generator is not None:
            _flag("is_generator", self.is_generator)
        _flag("single_use_containers", self.single_use_containers)
        _flag("serialized", self.serialized)
        _texts("env", self.env)

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Options:
        """Options from keyword arguments; an unknown one is an `InvalidError` with a hint."""
        scaling_names = {f.name for f in fields(Scaling)}
        known = {f.name for f in fields(cls)} - {"scaling"} | scaling_names
        for name in given:
            if name not in known:
                raise InvalidError(_unknown_option(name, known))
        scaling = Scaling(**{k: v for k, v in given.items() if k in scaling_names})
        rest = {k: v for k, v in given.items() if k not in scaling_names}
        rest["env"] = {} if rest.get("env") is None else _without_none("env", rest["env"])
        rest["retries"] = _retries(rest.get("retries"))
        return cls(scaling=scaling, **rest)


class FunctionOptions(TypedDict, total=False):
    """What ``@app.function`` takes, for type checkers: the fields of `Options` and `Scaling`."""

    name: str | None
    is_generator: bool | None
    timeout: float
    startup_timeout: float | None
    single_use_containers: bool
    serialized: bool
    env: Mapping[str, str | None] | None
    retries: int | Retries | None
    min_containers: int
    max_containers: int | None
    buffer_containers: int
    scaledown_window: float
    target_inputs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSpec:
    """All that a supervisor, a worker or a caller needs to know about a function."""

    app: Token
    name: Path
    source: Mapping[str, str]
    """Where the code is: `busfn.refs.Source` as a dict."""
    qualname: str
    """Path of the function inside its module, for people."""
    origin: str = ""
    """The app's name in the code; it may be served under another one. Empty in specs of an older busfn: as served."""
    code: Annotated[str, Text(MAX_CODE)] = ""
    """The function as a pickle, base64, for a source of the kind ``pickle``; empty when the bundle holds it."""
    signature: str = ""
    """Of the pickle, by the key that workers have."""
    version: Count = 0
    """Of the deployment it belongs to; 0 for an app that is only run."""
    is_generator: bool = False
    timeout: float = DEFAULT_TIMEOUT
    startup_timeout: float = DEFAULT_TIMEOUT
    single_use_containers: bool = False
    retries: Retries | None = None
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    scaling: Scaling = field(default_factory=Scaling)

    @property
    def label(self) -> str:
        """``app.function``, as it is written in messages, logs and call paths."""
        return f"{self.app}.{self.name}"

    def to_dict(self) -> dict[str, Any]:
        """A plain dict that JSON and msgpack can carry."""
        return {**asdict(self), "source": dict(self.source), "env": dict(self.env)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FunctionSpec:
        """Reads what `to_dict` wrote; fields of a newer busfn are ignored. Raises `ProtocolError`."""
        return from_plain(cls, data, "the description of a function")


def _retries(value: object) -> Retries | None:
    if value is None or isinstance(value, Retries):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Retries(max_retries=value, backoff_coefficient=1.0, initial_delay=1.0)
    raise InvalidError(f"`retries` takes a number or busfn.Retries, not {value!r}")


def _between(name: str, value: object, low: float, high: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidError(f"`{name}` must be a number from {low} to {high}, not {value!r}")


def _unknown_option(name: str, known: set[str]) -> str:
    if name in CLOUD_OPTIONS:
        return f"unknown option `{name}`: busfn runs workers as processes of your own machines, so there is no `{name}`"
    import difflib  # for a mistake only

    close = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean `{close[0]}`?" if close else f"; the options are {', '.join(sorted(known))}"
    return f"unknown option `{name}`{hint}"


def _whole_number(name: str, value: object, *, least: int, most: int | None = None) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidError(f"`{name}` takes a whole number, not {value!r}")
    if value < least:
        raise InvalidError(f"`{name}` must be at least {least}, not {value}")
    if most is not None and value > most:
        raise InvalidError(f"`{name}` must be at most {most}, not {value}")


def _seconds(name: str, value: object) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidError(f"`{name}` takes a number of seconds, not {value!r}")
    if not 0 < value <= MAX_DELAY:
        raise InvalidError(
            f"`{name}` must be more than 0 seconds and at most {MAX_DELAY / 86_400:.0f} days, not {value}"
        )


def _flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise InvalidError(f"`{name}` takes True or False, not {value!r}")


def _texts(name: str, given: Mapping[Any, Any]) -> None:
    for key, value in given.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidError(f"`{name}` maps names to texts, but has {key!r}: {value!r}")


def _without_none(name: str, given: object) -> dict[object, object]:
    if not isinstance(given, Mapping):
        raise InvalidError(f"`{name}` takes a mapping of names to texts, not {type(given).__name__}")
    return {key: value for key, value in cast("Mapping[object, object]", given).items() if value is not None}


AT_ONCE = Start()
"""The start of all calls that nothing else is said of."""


def _unix(at: object) -> float:
    """A moment in unix seconds, or `InvalidError` that says what can be given."""
    import datetime as dt  # which defining functions does not need

    if isinstance(at, dt.date) and not isinstance(at, dt.datetime):
        at = dt.datetime.combine(at, dt.time.min)
    try:
        if isinstance(at, dt.datetime):
            return at.timestamp()
        if isinstance(at, int | float) and not isinstance(at, bool) and math.isfinite(at):
            return float(at)
    except (OverflowError, ValueError, OSError):  # years that the system's clock cannot tell
        raise InvalidError(f"`at` is too far away: {at!r}") from None
    raise InvalidError(
        f"`at` is a datetime, a date or a number of unix seconds, as in `time.time() + 60`, not {_shorten(at)}"
    )


def _shorten(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:60] + '...'}"
