"""Whatever an exception is, holds or does: it arrives, within bounds, and nothing is raised on the way."""

from __future__ import annotations

import dataclasses
import random
import sys
import threading
import time
import traceback
import tracemalloc
import types
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busfn.errors import ProtocolError, RemoteError
from busfn.protocol.codecs import MSGPACK, Codecs, Payload
from busfn.protocol.codecs.msgpack import pack
from busfn.protocol.codecs.pickle import dumps, loads
from busfn.protocol.exceptions.failure import MAX_EXCEPTIONS, MAX_NOTES, PLAIN, Failure
from busfn.protocol.failure import decode_failure, encode_failure, summary

SIGNED, UNSIGNED = Codecs(b"k" * 32), Codecs()
MiB = 1 << 20


def travel(error: BaseException, codecs: Codecs = SIGNED) -> BaseException:
    payload = encode_failure(codecs, error, scope="s", skip=lambda file: False, worker="w1")
    assert payload.content_type == MSGPACK
    return decode_failure(codecs, payload, scope="s")


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


class HttpFault(Exception):
    def __init__(self, *, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class Slotted(Exception):
    __slots__ = ("__private", "code", "unset")

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code
        self.__private = code + 1

    def private(self) -> int:
        return self.__private


class Below(Slotted):
    __slots__ = ("more",)


class Locked(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class Reducing(Exception):
    """Its own `__reduce__` leaves out what cannot be pickled."""

    def __init__(self, pool: object, text: str) -> None:
        super().__init__(text)
        self.pool = pool

    def __reduce__(self):
        return Reducing, (None, *self.args)


class Poison:
    """Pickles, and fails to be unpickled."""

    def __reduce__(self):
        return int, ("no number",)


class Holder:
    """Pickles only by value of its attributes."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


# The same class, or a `RemoteError` that tells all


def test_failure_with_failure_keeps_text_and_traceback():
    back = travel(raised(RuntimeError("order 17 could not be paid", HttpFault(status=402))))
    assert type(back) is RuntimeError
    assert back.args[0] == "order 17 could not be paid"
    assert (type(back.args[1]), back.args[1].status, str(back.args[1])) == (HttpFault, 402, "status 402")
    assert "in raised" in "".join(traceback.format_exception(back))


def test_slots_come_back_like_attributes():
    error = Below(7)
    error.more = [1]
    error.free = "x"
    back = travel(raised(error))
    assert (type(back), back.code, back.private(), back.more, back.free) == (Below, 7, 8, [1], "x")
    assert not hasattr(back, "unset")


def test_what_cannot_be_rebuilt_beside_is_told_and_the_rest_kept():
    back = travel(raised(RuntimeError("order 17", Locked("no way"), [HttpFault(status=1), {"k": Locked("deep")}])))
    assert type(back) is RuntimeError
    assert (type(back.args[1]), str(back.args[1])[:14]) == (RemoteError, "Locked: no way")
    assert [type(back.args[2][0]), type(back.args[2][1]["k"])] == [HttpFault, RemoteError]


@pytest.mark.parametrize("held", [Poison(), [Poison()], threading.Lock(), sys._getframe()], ids=type)
def test_an_argument_that_cannot_be_carried_or_read_costs_only_the_class(held):
    error = RuntimeError("order 17", held)
    error.add_note("a note")
    error.__cause__ = KeyError("the cause")
    back = travel(raised(error))
    assert type(back) is RemoteError
    assert str(back).startswith("RuntimeError: ('order 17', ")
    assert "in raised" in str(back)
    assert back.__notes__ == ["a note"]
    assert type(back.__cause__) is KeyError


def test_an_attribute_that_cannot_be_read_costs_only_the_class():
    error = ValueError("order 17")
    error.held = Poison()
    assert str(travel(raised(error))).startswith("ValueError: order 17\n")


def test_causes_and_members_are_judged_one_by_one():
    group = ExceptionGroup("all", [ValueError(1), raised(Locked("l")), ExceptionGroup("in", [ValueError(Poison())])])
    group.__cause__ = HttpFault(status=5)
    back = travel(group)
    assert [type(one) for one in back.exceptions] == [ValueError, RemoteError, ExceptionGroup]
    assert type(back.exceptions[2].exceptions[0]) is RemoteError
    assert back.__cause__.status == 5


def test_a_class_that_pickles_itself_is_asked_when_nothing_else_works():
    back = travel(raised(Reducing(threading.Lock(), "text")))
    assert (type(back), back.pool, str(back)) == (Reducing, None, "text")


def test_pydantics_errors_come_back():
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Person", age=(int, ...))
    with pytest.raises(pydantic.ValidationError) as caught:
        model(age="old")
    back = travel(caught.value)
    assert isinstance(back, (pydantic.ValidationError, RemoteError))
    assert "valid integer" in str(back)


def test_a_class_that_only_the_body_knows_comes_by_value():
    class Local(KeyError):
        code = 5

    back = travel(raised(Local("x")))
    assert (type(back).__name__, back.code, back.args) == ("Local", 5, ("x",))
    assert isinstance(back, KeyError)


def test_a_class_that_takes_the_place_of_a_builtin_is_not_mixed_up_with_it():
    fake = type("ValueError", (Exception,), {"__module__": "builtins"})
    assert type(travel(fake("x"), UNSIGNED)) is RemoteError
    assert str(travel(fake("x"), UNSIGNED)).startswith("ValueError: x")


def test_a_parts_signature_is_checked():
    payload = encode_failure(SIGNED, ValueError(HttpFault(status=1)), scope="s", skip=lambda file: False)
    for codecs, scope in ((Codecs(b"x" * 32), "s"), (UNSIGNED, "s"), (SIGNED, "other")):
        back = decode_failure(codecs, payload, scope=scope)
        assert type(back) is RemoteError
        assert str(back).startswith("ValueError: status 1")


def test_parts_that_are_pickled_are_no_result():
    error = ValueError(HttpFault(status=1))
    (payload,) = [encode_failure(SIGNED, error, scope="s", skip=lambda file: False)]
    failure = Failure.from_value(SIGNED.decode(payload, scope="s"))
    stolen = Payload(content_type="application/vnd.busfn.pickle", body=failure.parts, signature=failure.signature)
    with pytest.raises(ProtocolError, match="signature"):
        SIGNED.decode(stolen, scope="s")


def test_exceptions_that_are_values_arrive_wherever_they_are():
    value = {
        "gathered": [HttpFault(status=402), Locked("l"), ValueError(Poison())],
        "held": Holder(HttpFault(status=1)),
    }
    value["again"] = value["gathered"][0]
    payload = SIGNED.encode(value, scope="s")
    back = SIGNED.decode(payload, scope="s")
    assert [type(one) for one in back["gathered"]] == [HttpFault, RemoteError, RemoteError]
    assert back["gathered"][0].status == 402
    assert back["held"].error.status == 1
    assert back["again"] is back["gathered"][0]


def test_what_ends_programs_may_be_a_value():
    back = loads(dumps([SystemExit(3), KeyboardInterrupt(), StopIteration(5)]))
    assert [type(one) for one in back] == [SystemExit, KeyboardInterrupt, StopIteration]
    assert back[2].value == 5


def test_a_script_s_own_exceptions_are_named_as_workers_import_them(monkeypatch):
    module = types.ModuleType("busfn_script")
    exec("class Trouble(Exception): pass", module.__dict__)
    module.Trouble.__module__ = "__main__"
    monkeypatch.setitem(sys.modules, "busfn_script", module)
    back = loads(dumps(module.Trouble("x"), main_module="busfn_script"))
    assert type(back) is module.Trouble


# Nothing an exception does makes it not arrive


def recurse(*things: object) -> str:
    return [recurse(*things)][0]  # as `return recurse()` it eats all memory with Python 3.13.0


def fails(error: type[BaseException]) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise error("on purpose")

    return fail


HOOKS = ["__str__", "__repr__", "__reduce__", "__reduce_ex__", "__getattribute__", "__setattr__", "__getstate__",
         "__setstate__", "__eq__", "__hash__", "__bool__", "__init_subclass__", "__dir__", "__len__"]  # fmt: skip
PROPERTIES = ["__notes__", "__dict__", "__cause__", "__context__", "__traceback__", "__suppress_context__", "args",
              "__class__", "with_traceback", "name", "exceptions"]  # fmt: skip
FAULTS = [ValueError, SystemExit, GeneratorExit, MemoryError, KeyboardInterrupt, RecursionError]


@pytest.mark.parametrize("codecs", [SIGNED, UNSIGNED], ids=["key", "no key"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", HOOKS + PROPERTIES)
def test_a_class_that_raises_wherever_it_is_asked_arrives(name, fault, codecs):
    hook = property(fails(fault)) if name in PROPERTIES else fails(fault)
    error = raised(type("Hostile", (Exception,), {name: hook})("the text"))
    back = travel(error, codecs)
    assert isinstance(back, Exception)
    assert "Hostile" in f"{type(back).__name__} {back}"
    assert "Hostile" in summary(error)


@pytest.mark.parametrize("name", ["__str__", "__reduce__", "__getattribute__", "__repr__"])
def test_a_class_that_recurses_without_end_arrives(name):
    hostile = type("Hostile", (Exception,), {})
    error = raised(hostile("the text"))
    setattr(hostile, name, recurse)
    assert "Hostile" in f"{type(travel(error)).__name__} {travel(error)}"


def looped() -> BaseException:
    error = ValueError("loop")
    error.__cause__ = KeyError("k")
    error.__cause__.__cause__ = error
    error.args = ("loop", error, [error])
    error.itself = error
    return error


def nested_args() -> BaseException:
    error: BaseException = ValueError("x")
    for i in range(300):
        error = ValueError(i, error)
    return error


def siblings() -> BaseException:
    errors = [ValueError(i) for i in range(30)]
    for error in errors:
        error.siblings = errors
    return errors[0]


def deep_value() -> BaseException:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return ValueError("deep", value)


def deep_stack() -> BaseException:
    try:
        recurse()
    except RecursionError as error:
        return error
    raise AssertionError


def with_notes() -> BaseException:
    error = ValueError("x")
    for i in range(10_000):
        error.add_note(f"note {i}")
    return error


def odd_syntax_error() -> BaseException:
    return SyntaxError("bad", ("f.py", 1, 1, "x", 1, 10**9))


def chained(link: str) -> BaseException:
    error: BaseException = ValueError(0)
    for i in range(50_000):
        following = ValueError(i)
        setattr(following, link, error)
        error = following
    return error


def wide_group() -> BaseException:
    return ExceptionGroup("wide", [ValueError("x" * 1000, i) for i in range(5000)])


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    held: Any


SHAPES: list[Callable[[], BaseException]] = [
    looped, nested_args, siblings, deep_value, deep_stack, with_notes, odd_syntax_error, wide_group,
    lambda: chained("__cause__"), lambda: chained("__context__"),
    lambda: ValueError("\ud800\udfff\0\x1b[2J"), lambda: ValueError("x" * 20_000_000),
    lambda: ValueError(b"x" * 20_000_000), lambda: ValueError("x", list(range(1_000_000))),
    lambda: ValueError(10**5000), lambda: KeyError(object()), lambda: Frozen(threading.Lock()),
    lambda: UnicodeDecodeError("utf-8", b"\xff" * 1_000_000, 0, 1, "bad"),
    lambda: type("X" * 10_000, (Exception,), {})(),
    lambda: ImportError("x", name="antigravity"), lambda: AttributeError("x", name="a", obj=threading.Lock()),
    lambda: OSError(2, "x" * 1_000_000, "f" * 1_000_000), lambda: ValueError({1: {2: {(3, 4): {5}}}}),
]  # fmt: skip


@pytest.mark.parametrize("codecs", [SIGNED, UNSIGNED], ids=["key", "no key"])
@pytest.mark.parametrize("make", SHAPES, ids=range(len(SHAPES)))
def test_an_exception_of_any_shape_arrives_within_bounds(make, codecs):
    error = raised(make())
    begun = time.monotonic()
    payload = encode_failure(codecs, error, scope="s", skip=lambda file: False)
    assert len(payload.body) < 8 * MiB
    back = decode_failure(codecs, payload, scope="s")
    assert isinstance(back, Exception)
    assert type(error).__name__[:100] in f"{type(back).__name__} {back}"
    "".join(traceback.format_exception(back))
    assert len(summary(error)) < 70_000
    summary(error).encode()
    assert time.monotonic() - begun < 30


def test_ten_thousand_notes_are_cut_with_a_mark():
    back = travel(with_notes())
    assert len(back.__notes__) == MAX_NOTES + 1
    assert back.__notes__[-1] == f"... ({10_000 - MAX_NOTES} notes cut)"


def test_members_that_are_left_out_are_counted():
    assert f"({5000 - MAX_EXCEPTIONS + 1} exceptions of the group are left out)" in str(travel(wide_group()))


def test_encoding_with_hardly_any_stack_left():
    def at_depth(depth: int) -> Payload:
        if depth:
            return at_depth(depth - 1)
        return encode_failure(SIGNED, ValueError(HttpFault(status=1)), scope="s", skip=lambda file: False)

    limit = sys.getrecursionlimit() - len(traceback.extract_stack())
    arrived = 0
    for left in range(20, 200, 7):
        try:
            payload = at_depth(limit - left)
        except RecursionError:  # not even the least could be said
            continue
        arrived += 1
        assert "ValueError" in repr(decode_failure(SIGNED, payload, scope="s"))
    assert arrived > 10


texts = st.text(max_size=20) | st.sampled_from(["\ud800", "\0", "\n" * 10, "x" * 5000])
held = st.recursive(
    st.none()
    | st.integers()
    | texts
    | st.binary(max_size=9)
    | st.sampled_from([HttpFault(status=3), Poison(), object()]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3) | st.tuples(inner),
    max_leaves=8,
)
kinds = st.sampled_from([ValueError, OSError, HttpFault, Slotted, Locked, Frozen, KeyError, SyntaxError, SystemExit])


@st.composite
def exceptions(draw: st.DrawFn, depth: int = 3) -> BaseException:
    if depth and draw(st.booleans()):
        members = draw(st.lists(exceptions(depth - 1), min_size=1, max_size=3))
        error: BaseException = BaseExceptionGroup(draw(texts), members)
    else:
        kind = draw(kinds)
        error = kind.__new__(kind)
        BaseException.args.__set__(error, tuple(draw(st.lists(held, max_size=3))))
    vars(error).update(draw(st.dictionaries(texts, held, max_size=2)))
    vars(error)["__notes__"] = draw(st.lists(texts, max_size=2) | held)
    for link in ("__cause__", "__context__"):
        if depth and draw(st.booleans()):
            BaseException.__setattr__(error, link, draw(exceptions(depth - 1)))
    return raised(error) if draw(st.booleans()) else error


@settings(max_examples=60, deadline=None)
@given(exceptions(), st.sampled_from([SIGNED, UNSIGNED]))
def test_any_exception_arrives(error, codecs):
    back = travel(error, codecs)
    assert isinstance(back, Exception)
    assert type(back) in (type(error), RemoteError, ExceptionGroup)
    if type(back) is RemoteError:
        assert type(error).__name__ in str(back)
    "".join(traceback.format_exception(back))


# Reading what strangers send


def cost(value: object) -> tuple[int, int]:
    """Bytes of a failure, and the memory that reading, raising and printing it takes at most."""
    payload = Payload(content_type=MSGPACK, body=pack(value))
    tracemalloc.start()
    try:
        back = decode_failure(SIGNED, payload, scope="s")
        kept = raised(back)
        "".join(traceback.format_exception(kept)).encode()
        peak = tracemalloc.get_traced_memory()[1]
    except ProtocolError:
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return len(payload.body), peak


BASE = {"type": "builtins:ValueError", "message": "m", "text": "t"}


def tree(depth: int) -> dict[str, Any]:
    return BASE | ({"group": [tree(depth - 1)] * 2} if depth else {})


HOSTILE: dict[str, Any] = {
    "frames far down in many files": BASE | {"frames": [[f"{i}.py", 99_999, "f", "x"] for i in range(200)]},
    "many frames": BASE | {"frames": [["a.py", i + 1, "f", "x"] for i in range(400)]},
    "frames everywhere": BASE | {"group": [BASE | {"frames": [["a.py", 99_999, "f", "x"]] * 40}] * 8},
    "a tree": tree(6),
    "many members": BASE | {"group": [BASE] * 100},
    "a group of groups": BASE | {"type": "builtins:ExceptionGroup", "codec": PLAIN, "parts": pack([["m"], {}]),
                                 "group": [BASE] * 60},
    "notes": BASE | {"notes": [""] * 3000},
    "odd notes": BASE | {"notes": [{}] * 3000},
    "arguments": BASE | {"codec": PLAIN, "parts": pack([[[]] * 3000, {}])},
    "attributes": BASE | {"codec": PLAIN, "parts": pack([[], {str(i): {} for i in range(500)}])},
    "a syntax error far to the right": BASE | {"type": "builtins:SyntaxError", "codec": PLAIN,
        "parts": pack([["m", ["f.py", 1, 1, "x", 1, 10**9]], {}])},
    "its attributes": BASE | {"type": "builtins:SyntaxError", "codec": PLAIN,
        "parts": pack([["m", ["f.py", 1, 1, "x", 1, 2]], {"end_offset": 10**9}])},
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_small_failure_unpacks_to_little(name):
    size, peak = cost(HOSTILE[name])
    assert size < 16_000
    assert peak < 4 * MiB, f"{size} bytes cost {peak}"


@pytest.mark.parametrize("factor", [100, 1000])
def test_a_large_failure_unpacks_to_a_bounded_amount(factor):
    frames = [[f"{i % 900}.py", 99_000 + i % 900, "f" * 2000, "x" * 2000] for i in range(factor)]
    size, peak = cost(BASE | {"group": [BASE | {"frames": frames, "text": "x" * 10_000 * factor}] * 3})
    assert peak < 4 * size + 16 * MiB


def test_printing_an_import_error_imports_nothing(tmp_path, monkeypatch):
    (tmp_path / "busfn_bait.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for parts in ([["m"], {"name": "busfn_bait", "name_from": "x"}], [["m"], {"name_from": "x", "name": "busfn_bait"}]):
        value = BASE | {"type": "builtins:ImportError", "codec": PLAIN, "parts": pack(parts)}
        back = decode_failure(SIGNED, Payload(content_type=MSGPACK, body=pack(value)), scope="s")
        assert back.name == "busfn_bait"
        assert "ImportError: m" in "".join(traceback.format_exception(back))
        assert "busfn_bait" not in sys.modules


KINDS = ["builtins:SyntaxError", "builtins:ExceptionGroup", "builtins:OSError", "x:y", ":"]
FILES = ["a.py", "/dev/zero", "\0"]
PARTS = [b"", b"\xc1", pack([[1], {}]), pack([["m", [1, 2]], {"args": 5}]), pack({"make": 1})]


def odd(source: random.Random, depth: int = 4) -> Any:
    """A failure whose parts are odd, at random."""
    parts: dict[str, Callable[[], Any]] = {
        "type": lambda: source.choice(KINDS),
        "message": lambda: "x" * source.choice([0, 1, 500]),
        "text": lambda: source.choice(["", "\ud800", "t" * 300]),
        "frames": lambda: [[source.choice(FILES), source.choice([1, 99_999, 10**12]), "f", "s"]] * 9,
        "notes": lambda: [source.choice(["n", 5, None])] * source.choice([1, 300]),
        "codec": lambda: source.choice([PLAIN, "pickle", "", "other"]),
        "parts": lambda: source.choice(PARTS),
        "signature": lambda: "0" * 64,
        "cause": lambda: odd(source, depth - 1) if depth else None,
        "context": lambda: odd(source, depth - 1) if depth else None,
        "group": lambda: [odd(source, depth - 1) for _ in range(source.randrange(4))] if depth else [],
        "suppress_context": lambda: True,
    }
    return BASE | {name: make() for name, make in parts.items() if source.random() < 0.5}


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1 << 60))
def test_hostile_structures_become_exceptions_and_cost_little(seed):
    value = odd(random.Random(seed))
    size, peak = cost(value)
    assert peak < 40 * size + 4 * MiB
