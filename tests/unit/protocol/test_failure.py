from __future__ import annotations

import asyncio
import collections
import dataclasses
import errno
import linecache
import pickle
import sys
import traceback
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn import errors
from busfn.errors import ProtocolError, RemoteError
from busfn.protocol.bad_call import BadCall
from busfn.protocol.codecs import MSGPACK, Codecs
from busfn.protocol.codecs.msgpack import pack
from busfn.protocol.exceptions import capture as capturing
from busfn.protocol.exceptions import rebuild as rebuilding
from busfn.protocol.exceptions.failure import (
    MAX_EXCEPTIONS,
    MAX_FRAMES,
    MAX_LINKED,
    MAX_MESSAGE,
    MAX_TEXT,
    PLAIN,
    Failure,
)
from busfn.protocol.exceptions.frames import MOST_FILES
from busfn.protocol.failure import decode_failure, encode_failure, error_code

SIGNED, UNSIGNED = Codecs(b"k" * 32), Codecs()


def capture(error: BaseException, skip, worker: str = "") -> Failure:
    return capturing.capture(error, skip=skip, pack=UNSIGNED.pack_parts, worker=worker)


def rebuild(failure: Failure) -> BaseException:
    return rebuilding.rebuild(failure, lambda one: UNSIGNED.unpack_parts(one, "s"))


def made_of(*args: object, **state: object) -> dict:
    """The fields of a failure for arguments and attributes."""
    return {"codec": PLAIN, "parts": pack([list(args), state])}


def nothing(file: str) -> bool:
    return False


def travel(error: BaseException, codecs: Codecs = UNSIGNED) -> BaseException:
    payload = encode_failure(codecs, error, scope="s", skip=nothing, worker="w1")
    return decode_failure(codecs, payload, scope="s")


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


class Strict(Exception):
    """Its initializer takes other arguments than it passes on."""

    made = 0

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        Strict.made += 1
        self.code = code
        self.reason = reason


class Reducing(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code

    def __reduce__(self):
        return Reducing, (self.code, "again")


class BrokenReduce(Exception):
    def __reduce__(self):
        raise RuntimeError("no")


class New(Exception):
    def __new__(cls, *args):
        if len(args) != 1:
            raise TypeError("exactly one")
        return super().__new__(cls, *args, "added")


class FileTrouble(OSError):
    def __init__(self, path: str) -> None:
        super().__init__(errno.ENOENT, "gone", path)
        self.path = path


class WithStr(Exception):
    def __str__(self):
        return f"<{self.args[0]}>"


class MutedStr(Exception):
    def __str__(self):
        raise RuntimeError("mute")


class Note(str):
    pass


class OddStr(Exception):
    def __str__(self):
        return Note("odd")


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int


@dataclasses.dataclass
class Data(Exception):
    code: int
    text: str = "t"


class OwnGroup(ExceptionGroup):
    def __init__(self, message, members):
        self.count = len(members)

    def derive(self, members):
        return OwnGroup(self.message, members)


class Outer:
    class Inner(Exception):
        pass


class Fork:
    """Not plain, but pickles."""

    def __eq__(self, other):
        return isinstance(other, Fork)

    __hash__ = None


# The same class with the same parts


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad", 1, None, (1, {2})),
        ValueError(),
        KeyError("k"),
        KeyError(("a", 1)),
        IndexError("i"),
        OSError(errno.ENOENT, "no such", "name.txt"),
        OSError(errno.ENOENT, "no such", "name.txt", None, "other.txt"),
        OSError(errno.EACCES, "denied"),
        OSError("only text"),
        FileNotFoundError("only text"),
        BlockingIOError(errno.EAGAIN, "full", 5),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        UnicodeDecodeError("utf-8", b"\xff\xfe", 0, 1, "bad start"),
        UnicodeEncodeError("ascii", "\u00e9", 0, 1, "not ascii"),
        SyntaxError("bad", ("f.py", 3, 1, "x y")),
        ImportError("cannot", name="mod", path="/p"),
        ModuleNotFoundError("gone", name="mod"),
        NameError("n", name="n"),
        AttributeError("a", name="attr"),
        TimeoutError("late"),
        ZeroDivisionError("division by zero"),
        RecursionError("deep"),
        AssertionError(),
        errors.FunctionTimeoutError("late"),
        errors.NotFoundError("no app"),
        BadCall("no"),
        Outer.Inner("nested"),
        WithStr("x"),
        New("x"),
        Frozen(3),
        Data(4, "x"),
        FileTrouble("/tmp/x"),
        Reducing(1, "why"),
        BrokenReduce("x"),
        Strict(7, reason="r"),
    ],
    ids=lambda error: f"{type(error).__name__}-{str(error)[:20]}",
)
def test_an_exception_comes_back_as_it_was(error):
    back = travel(raised(error))
    assert type(back) is type(error)
    assert back.args == error.args
    assert str(back) == str(error)
    assert vars(back) == vars(error)
    for name in ("errno", "strerror", "filename", "filename2", "encoding", "object", "start", "end", "reason", "name"):
        if name not in vars(error):
            assert getattr(back, name, None) == getattr(error, name, None)


def test_an_initializer_written_in_python_is_not_run_again():
    error = raised(Strict(7, reason="r"))
    made = Strict.made
    back = travel(error)
    assert Strict.made == made
    assert (back.code, back.reason) == (7, "r")


def test_attributes_come_back():
    error = ValueError("x")
    error.detail = {"rows": [1, (2, 3)]}
    assert travel(error).detail == {"rows": [1, (2, 3)]}


def test_notes_come_back_in_order_and_are_printed():
    error = ValueError("x")
    error.add_note("first")
    error.add_note("second")
    back = travel(error)
    assert back.__notes__ == ["first", "second"]
    assert traceback.format_exception(back)[-3:] == ["ValueError: x\n", "first\n", "second\n"]
    back.add_note("here")
    assert back.__notes__[-1] == "here"


@pytest.mark.parametrize("notes", [5, "text", None, [Note("sub"), 5, MutedStr()], {"a": 1}])
def test_odd_notes_do_no_harm(notes):
    error = ValueError("x")
    error.__notes__ = notes
    back = travel(error)
    assert type(back) is ValueError
    assert all(type(note) is str for note in getattr(back, "__notes__", []))


def test_a_cause_comes_back():
    try:
        try:
            raise KeyError("k")
        except KeyError as cause:
            raise ValueError("v") from cause
    except ValueError as error:
        back = travel(error)
    assert type(back.__cause__) is KeyError
    assert back.__cause__.args == ("k",)
    assert back.__suppress_context__
    assert "direct cause of the following" in "".join(traceback.format_exception(back))


def test_a_context_comes_back():
    try:
        try:
            raise KeyError("k")
        except KeyError:
            raise ValueError("v")  # noqa: B904
    except ValueError as error:
        back = travel(error)
    assert back.__cause__ is None
    assert type(back.__context__) is KeyError
    assert "During handling of the above exception" in "".join(traceback.format_exception(back))


def test_from_none_hides_the_context_there_too():
    try:
        try:
            raise KeyError("k")
        except KeyError:
            raise ValueError("v") from None
    except ValueError as error:
        back = travel(error)
    assert back.__suppress_context__
    assert "KeyError" not in "".join(traceback.format_exception(back))


def test_a_frozen_dataclass_gets_cause_and_notes_although_it_refuses_assignment():
    error = Frozen(3)
    BaseException.__setattr__(error, "__cause__", ValueError("v"))
    BaseException.__setattr__(error, "__notes__", ["n"])
    back = travel(error)
    assert (type(back), back.code, type(back.__cause__), back.__notes__) == (Frozen, 3, ValueError, ["n"])


def test_groups_come_back_with_their_members_and_theirs():
    error = raised(
        ExceptionGroup("all", [ValueError(1), ExceptionGroup("some", [raised(KeyError("k")), OSError(2, "x")])])
    )
    error.add_note("n")
    error.detail = 5
    back = travel(error)
    assert (type(back), back.message, back.__notes__, back.detail) == (ExceptionGroup, "all", ["n"], 5)
    assert [type(member) for member in back.exceptions] == [ValueError, ExceptionGroup]
    inner = back.exceptions[1].exceptions
    assert [type(member) for member in inner] == [KeyError, FileNotFoundError]
    assert inner[0].__traceback__.tb_lineno == error.exceptions[1].exceptions[0].__traceback__.tb_lineno
    matched, rest = back.split(KeyError)
    assert matched is not None
    assert rest is not None


def test_a_group_class_of_ones_own_comes_back_without_its_initializer():
    back = travel(OwnGroup("all", [ValueError(1)]))
    assert type(back) is OwnGroup
    assert (back.message, back.count, [str(one) for one in back.exceptions]) == ("all", 1, ["1"])


def test_a_group_with_a_member_that_must_not_be_raised_here():
    back = travel(BaseExceptionGroup("all", [ValueError(1), SystemExit(3)]))
    assert isinstance(back, Exception)
    assert [type(member) for member in back.exceptions] == [ValueError, RemoteError]


arguments = st.lists(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.tuples(st.dates()),
    max_size=4,
)


@given(arguments, st.dictionaries(st.text(max_size=5), st.integers(), max_size=3), st.lists(st.text(), max_size=3))
def test_any_plain_arguments_attributes_and_notes_come_back(args, state, notes):
    error = LookupError(*args)
    vars(error).update({name: value for name, value in state.items() if name != "__notes__"})
    for note in notes:
        error.add_note(note)
    back = travel(error)
    assert type(back) is LookupError
    assert back.args == tuple(args)
    assert getattr(back, "__notes__", []) == [note.encode("utf-8", "backslashreplace").decode() for note in notes]
    assert {name: value for name, value in vars(back).items() if name != "__notes__"} == {
        name: value for name, value in state.items() if name != "__notes__"
    }


def test_what_is_not_plain_is_pickled_when_there_is_a_key():
    error = ValueError(Fork())
    payload = encode_failure(SIGNED, error, scope="s", skip=nothing)
    assert payload.content_type == MSGPACK
    back = decode_failure(SIGNED, payload, scope="s")
    assert (type(back), back.args) == (ValueError, (Fork(),))


# What becomes a RemoteError


def remote(error: BaseException, codecs: Codecs = UNSIGNED) -> str:
    back = travel(error, codecs)
    assert type(back) is RemoteError
    return str(back)


def test_what_cannot_be_carried_is_told_as_text():
    text = remote(raised(ValueError("count", collections.deque([1, 2]))))
    assert text.startswith("ValueError: ('count', deque([1, 2]))\n\nThe remote traceback:\nTraceback (most recent call")
    assert f'File "{__file__}"' in text
    assert "raise error" in text


class Unreadable:
    def __repr__(self):
        raise RuntimeError("no")

    def __reduce__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize("codecs", [SIGNED, UNSIGNED], ids=["key", "no key"])
def test_arguments_that_can_neither_travel_nor_be_shown(codecs):
    assert "ValueError: <the ValueError's text failed with RuntimeError>" in remote(ValueError(Unreadable()), codecs)


def test_an_exception_whose_text_fails_still_says_what_it_is():
    assert remote(MutedStr("x")).startswith("MutedStr: <the MutedStr's text failed with RuntimeError>")


def test_an_exception_whose_text_is_no_exact_text():
    back = travel(OddStr("x"))
    assert (type(back), str(back)) == (OddStr, "odd")


def test_a_class_made_in_a_function_is_told_as_text():
    class Local(Exception):
        pass

    text = remote(raised(Local("here")))
    assert "Local: here" in text
    assert "test_a_class_made_in_a_function_is_told_as_text.<locals>.Local" in text


def test_a_class_of_a_module_that_is_not_here_is_told_as_text(monkeypatch):
    module = types.ModuleType("busfn_other_side")
    exec("class Trouble(Exception): pass", module.__dict__)
    monkeypatch.setitem(sys.modules, "busfn_other_side", module)
    error = raised(module.Trouble("far away"))
    payload = encode_failure(UNSIGNED, error, scope="s", skip=nothing)
    monkeypatch.delitem(sys.modules, "busfn_other_side")
    back = decode_failure(UNSIGNED, payload, scope="s")
    assert type(back) is RemoteError
    assert str(back).startswith("Trouble: far away\n\nThe remote traceback:\nTraceback")
    assert str(back).endswith("busfn_other_side.Trouble: far away")


def test_nothing_is_imported_for_a_class(tmp_path, monkeypatch):
    (tmp_path / "busfn_trap.py").write_text("raise SystemExit('imported')\nclass Trouble(Exception): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    back = rebuild(Failure(type="busfn_trap:Trouble", message="m", text="t"))
    assert type(back) is RemoteError
    assert "busfn_trap" not in sys.modules


def test_a_modules_own_getattr_is_not_asked(monkeypatch):
    module = types.ModuleType("busfn_lazy")
    exec("asked = []\ndef __getattr__(name):\n    asked.append(name)\n    raise RuntimeError(name)", module.__dict__)
    monkeypatch.setitem(sys.modules, "busfn_lazy", module)
    assert type(rebuild(Failure(type="busfn_lazy:Trouble", message="m", text="t"))) is RemoteError
    assert module.asked == []


@pytest.mark.parametrize(
    "name",
    [
        "", ":", "builtins:", "builtins:int", "builtins:print", "builtins:ValueError.args", "ValueError", "sys:modules",
        "builtins:BaseException", "os:system", "os:path.join", "tests:no", "busfn.errors:RemoteError.__init__",
        ":" * 50,
        "builtins:ValueError.__class__", "a" * 100_000, "\ud800:\udfff", "collections:OrderedDict",
    ],
)  # fmt: skip
def test_what_is_no_exception_class_is_told_as_text(name):
    assert type(rebuild(Failure(type=name, message="m", text="t"))) is RemoteError


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
        errors.InputCancellation("x"),
        StopIteration(5),
        StopAsyncIteration(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_would_end_the_caller_instead_of_telling_it_is_told_as_text(error):
    assert type(error).__name__ in remote(raised(error))


def test_sys_exit_in_a_body_is_explained():
    assert remote(raised(SystemExit(3))).startswith("the body called sys.exit: SystemExit: 3")


@pytest.mark.parametrize(
    "failure",
    [
        Failure(type="builtins:UnicodeDecodeError", message="m", text="t", **made_of("too few")),
        Failure(type="builtins:UnicodeDecodeError", message="m", text="t", **made_of(1, 2, 3, 4, 5)),
        Failure(type="builtins:OSError", message="m", text="t", **made_of([], {}, 1, 2, 3, 4)),
        Failure(type="builtins:ExceptionGroup", message="m", text="t", **made_of("m")),
        Failure(type="builtins:ExceptionGroup", message="m", text="t"),
        Failure(type="builtins:ValueError", message="m", text="t"),
    ],
)
def test_parts_that_do_not_fit_the_class_are_told_as_text(failure):
    back = rebuild(failure)
    assert isinstance(back, RemoteError | OSError)
    if not failure.type.endswith("OSError"):
        assert type(back) is RemoteError


def test_a_member_that_cannot_be_carried_leaves_the_others_alone():
    back = travel(ExceptionGroup("all", [raised(ValueError("one")), raised(KeyError(Fork()))]))
    assert [type(member) for member in back.exceptions] == [ValueError, RemoteError]
    assert "KeyError: <" in str(back.exceptions[1])


def test_the_members_of_a_group_that_cannot_be_rebuilt_are_told_too():
    group = ExceptionGroup("all", [raised(ValueError("one")), raised(KeyError("two"))])
    group.held = Fork()
    text = remote(group)
    assert "ExceptionGroup: all (2 sub-exceptions)" in text
    assert "Exception 1 of the group:\nTraceback (most recent call last):" in text
    assert "ValueError: one" in text
    assert "Exception 2 of the group:" in text


def test_a_remote_error_keeps_cause_notes_and_frames():
    error = ValueError(Fork())
    error.__cause__ = KeyError("k")
    error.add_note("n")
    back = travel(raised(error))
    assert type(back) is RemoteError
    assert type(back.__cause__) is KeyError or "KeyError" in str(back.__cause__)
    assert back.__notes__ == ["n"]
    assert back.__traceback__ is not None


# Bounds


def test_a_huge_message_is_cut_and_says_so():
    failure = capture(ValueError("x" * (MAX_MESSAGE + 1000)), skip=nothing)
    assert failure.message == "x" * MAX_MESSAGE + "... (1000 characters cut)"
    failure = capture(ValueError("x" * 2 * MAX_TEXT), skip=nothing)
    assert len(failure.text) < MAX_TEXT + 100


def test_a_remote_error_with_huge_arguments_is_cut():
    text = remote(ValueError("x" * 3 * MAX_TEXT, Fork()))
    assert len(text) < MAX_MESSAGE + MAX_TEXT + 1000


def test_huge_notes_are_cut():
    error = ValueError("x")
    error.add_note("n" * 10 * MAX_MESSAGE)
    assert len(capture(error, skip=nothing).notes[0]) < MAX_MESSAGE + 100


def test_a_message_that_is_no_unicode_survives():
    assert capture(ValueError("\ud800"), skip=nothing).message == "\\ud800"


def test_a_long_chain_of_causes_is_cut():
    error = ValueError(0)
    for i in range(1, 100):
        following = ValueError(i)
        following.__cause__ = error
        error = following
    back, length = travel(error), 0
    while back is not None:
        back, length = back.__cause__, length + 1
    assert length == MAX_LINKED + 1


def test_a_circle_of_contexts_ends():
    one, other = ValueError(1), ValueError(2)
    one.__context__, other.__context__ = other, one
    back = travel(one)
    assert (back.args, back.__context__.args, back.__context__.__context__) == ((1,), (2,), None)


def test_members_that_point_back_at_their_group_do_not_multiply():
    members = [ValueError(i) for i in range(10)]
    group = ExceptionGroup("all", members)
    for member in members:
        member.__context__ = group
    back = travel(group)
    assert [member.args for member in back.exceptions] == [(i,) for i in range(10)]


def test_members_that_share_large_chains_stay_within_the_bound():
    def tree(depth: int) -> ExceptionGroup:
        below = [tree(depth - 1)] * 8 if depth else [ValueError("leaf")]
        return ExceptionGroup("all", below)

    def size(failure: Failure | None) -> int:
        return 1 + sum(map(size, failure.group)) + size(failure.cause) + size(failure.context) if failure else 0

    assert size(capture(tree(8), skip=nothing)) <= MAX_EXCEPTIONS


def test_a_group_of_too_many_says_so_instead_of_losing_some_silently():
    text = remote(ExceptionGroup("all", [ValueError(i) for i in range(MAX_EXCEPTIONS + 50)]))
    assert f"all ({MAX_EXCEPTIONS + 50} sub-exceptions)" in text
    assert "ValueError: 7" in text


# Tracebacks


def inner(value: int) -> float:
    other = value - 1
    return 1 / other


def outer() -> float:
    return inner(1) + inner(
        2,
    )


def fail() -> ZeroDivisionError:
    try:
        outer()
    except ZeroDivisionError as error:
        return error
    raise AssertionError


def test_a_rebuilt_traceback_is_printed_with_file_line_function_and_source():
    error = fail()
    back = travel(error)
    first = outer.__code__.co_firstlineno
    assert traceback.format_exception(back) == [
        "Traceback (most recent call last):\n",
        f'  File "{__file__}", line {fail.__code__.co_firstlineno + 2}, in fail\n    outer()\n',
        f'  File "{__file__}", line {first + 1}, in outer\n    return inner(1) + inner(\n',
        f'  File "{__file__}", line {inner.__code__.co_firstlineno + 2}, in inner\n    return 1 / other\n',
        "ZeroDivisionError: division by zero\n",
    ]


def test_local_frames_come_before_remote_ones():
    back = travel(fail())
    try:
        raise back
    except ZeroDivisionError as error:
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert names == ["test_local_frames_come_before_remote_ones", "fail", "outer", "inner"]


def printed(frames: list) -> str:
    failure = Failure(type="builtins:ValueError", message="m", text="t", frames=frames, **made_of("m"))
    return "".join(traceback.format_exception(rebuild(failure)))


@pytest.mark.parametrize("line", [1, 2, 127, 128, 255, 256, 4097, 99_999])
def test_frames_of_files_that_are_not_here_show_their_source(line):
    file = f"/far/away/body{line}.py"
    assert printed([[file, line, "body", "return 1 / 0"]]) == (
        f'Traceback (most recent call last):\n  File "{file}", line {line}, in body\n    return 1 / 0\nValueError: m\n'
    )


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_lines_of_one_file_are_remembered_together(one, other):
    file = "/far/away/together.py"
    printed([[file, one, "f", f"line {one}"]])
    text = printed([[file, other, "f", f"line {other}"]])
    assert f"    line {other}\n" in text
    assert linecache.getline(file, one) == f"line {one}\n"


def test_a_file_that_is_here_keeps_its_own_lines():
    before = linecache.getlines(__file__)[:]
    printed([[__file__, 3, "f", "something else"], [__file__, 99_000, "f", "behind its end"]])
    assert linecache.getlines(__file__) == before


def test_what_is_remembered_of_files_is_bounded():
    for i in range(MOST_FILES + 20):
        printed([[f"/far/away/many{i}.py", 1, "f", "x"]])
    kept = [file for file in linecache.cache if file.startswith("/far/away/")]
    assert len(kept) <= MOST_FILES
    assert "/far/away/many0.py" not in kept


@pytest.mark.parametrize(
    "file", ["/dev/zero", "/dev/stdin", "/proc/self/mem", "../../dev/zero", "", "/usr/bin/tool", "a\0b"]
)
def test_files_that_are_no_source_are_never_opened(file):
    # printing a traceback reads its files, and some of these never end
    shown = file.replace("\0", "\\0")
    assert f'File "<{shown}>", line 3, in f\n    source\n' in printed([[file, 3, "f", "source"]])


def test_frames_without_a_file_show_their_source_too():
    assert 'File "<string>", line 2, in <module>\n    1 / 0\n' in printed([["<string>", 2, "<module>", "1 / 0"]])


@pytest.mark.parametrize(
    "frame",
    [
        None, 5, "text", [], ["f.py", 1, "f"], ["f.py", 1, "f", "x", "y"], ["f.py", 0, "f", "x"],
        ["f.py", -1, "f", "x"],
        ["f.py", "1", "f", "x"], ["f.py", 1.0, "f", "x"], ["f.py", 10**9, "f", "x"], [b"f.py", 1, "f", "x"],
        [None, 1, "f", "x"], ["f.py", 1, None, "x"], ["f.py", 1, "f", None], {"file": "f.py"},
    ],
    ids=repr,
)  # fmt: skip
def test_frames_that_make_no_sense_are_left_out(frame):
    assert printed([frame]) == "ValueError: m\n"
    assert "line 7, in good" in printed([frame, ["/far/away/good.py", 7, "good", "x"], frame])


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "f" * 10_000, "<lambda>", "a\nb"])
def test_odd_names_of_functions_and_files_can_be_printed(name):
    printed([[name, 1, name, name], [f"{name}.py", 1, name, name]]).encode()


def deep(depth: int) -> None:
    if depth:
        deep(depth - 1)
    raise ValueError("deep")


def test_of_very_deep_tracebacks_the_innermost_frames_are_kept():
    try:
        deep(500)
    except ValueError as error:
        failure = capture(error, skip=nothing)
    assert len(failure.frames) == MAX_FRAMES
    assert len(traceback.extract_tb(rebuild(failure).__traceback__)) == MAX_FRAMES
    assert "raise ValueError" in failure.frames[-1][3]


def test_frames_of_the_framework_are_left_out():
    failure = capture(fail(), skip=lambda file: file == __file__)
    assert failure.frames == []
    assert failure.text == "ZeroDivisionError: division by zero"
    assert rebuild(failure).__traceback__ is None


def test_the_text_of_a_failure_is_what_python_prints():
    error = fail()
    assert capture(error, skip=nothing).text == "".join(traceback.format_exception(error)).rstrip("\n")


def test_a_rebuilt_exception_can_be_pickled_and_shown_again():
    back = travel(fail())
    assert pickle.loads(pickle.dumps(back)).args == back.args
    assert type(travel(back)) is ZeroDivisionError
    assert [frame.name for frame in traceback.extract_tb(travel(back).__traceback__)] == ["fail", "outer", "inner"]


# As a value


def test_a_failure_is_read_as_it_was_written():
    failure = capture(raised(ExceptionGroup("g", [fail()])), skip=nothing, worker="w")
    assert Failure.from_value(failure.to_value()) == failure
    assert failure.worker == "w"
    assert encode_failure(UNSIGNED, fail(), scope="s", skip=nothing).content_type == MSGPACK


GOOD = {"type": "builtins:ValueError", "message": "m", "text": "t"}


def test_a_failure_needs_little():
    assert Failure.from_value(GOOD) == Failure(type="builtins:ValueError", message="m", text="t")


def test_unknown_parts_of_a_failure_are_left_to_newer_peers():
    assert Failure.from_value(GOOD | {"new": 1}) == Failure.from_value(GOOD)


def chain(link: str, depth: int) -> dict:
    value: dict = dict(GOOD)
    for _ in range(depth):
        value = GOOD | {link: [value] if link == "group" else value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "text",
        {},
        {"type": "x"},
        GOOD | {"type": 1},
        GOOD | {"message": None},
        GOOD | {"parts": []},
        GOOD | {"codec": None},
        GOOD | {"notes": "n"},
        GOOD | {"frames": {}},
        GOOD | {"group": {}},
        GOOD | {"group": [1]},
        GOOD | {"cause": 1},
        GOOD | {"context": []},
        GOOD | {"signature": b"x"},
        GOOD | {"suppress_context": None},
        GOOD | {"worker": 1},
    ],
    ids=lambda value: str(len(value)) if isinstance(value, dict) else type(value).__name__,
)
def test_a_bad_failure_is_refused(value):
    with pytest.raises(ProtocolError, match="a failure"):
        Failure.from_value(value)


@pytest.mark.parametrize("link", ["cause", "context", "group"])
def test_of_very_long_chains_the_beginning_is_read(link):
    failure, length = Failure.from_value(chain(link, 500)), 0
    while failure is not None:
        following = getattr(failure, link)
        failure, length = (following[0] if following else None) if link == "group" else following, length + 1
    assert length == MAX_LINKED + 1


@pytest.mark.parametrize(
    "parts",
    [
        {"notes": [1, None, 10**5000, {}]},
        made_of(__notes__=5),
        {"codec": PLAIN, "parts": pack([[], {1: 2, None: 3}])},
        made_of(args=1, __class__=2, __traceback__=3, __cause__=4, __suppress_context__=5),
        made_of(name=5) | {"type": "builtins:ImportError"},
        {"frames": [1, [1], None]},
        made_of([], {}, 10**5000),
        made_of(1) | {"type": "builtins:ExceptionGroup", "group": [GOOD]},
    ],
    ids=["notes", "state notes", "state keys", "state slots", "state member", "frames", "args", "group"],
)  # fmt: skip
def test_parts_that_make_no_sense_still_make_an_exception(parts):
    back = rebuild(Failure.from_value(GOOD | parts))
    assert isinstance(back, Exception)
    back.add_note("from here")
    assert "from here" in "".join(traceback.format_exception(back))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadCall("x"), 400),
        (ProtocolError("x"), 400),
        (errors.NotFoundError("x"), 404),
        (errors.FunctionTimeoutError("x"), 408),
        (errors.RequestSizeError("x"), 413),
        (errors.QueueFull("x"), 429),
        (errors.InternalFailure("x"), 503),
        (errors.ServiceError("x"), 503),
        (errors.NoResponders("x"), 503),
        (ValueError("x"), 500),
        (SystemExit(1), 500),
    ],
)
def test_codes_in_the_manner_of_http(error, code):
    assert error_code(error) == code
