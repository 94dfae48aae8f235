"""Errors as the command line shows them: the user's frames, never ours."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import busfn
import busfn_cli
from busfn.errors import InvalidError, ServiceError
from busfn_cli.tracebacks import describe


def caught(action: Callable[[], object]) -> BaseException:
    try:
        action()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def compiled(code: str, file: str) -> Callable[[], None]:
    """Code that seems to come from a file."""
    program = compile(code, file, "exec")
    return lambda: exec(program, {})


def inside(package: object, name: str) -> str:
    return os.path.join(os.path.dirname(os.path.abspath(package.__file__)), name)  # type: ignore[attr-defined]


def raises_from_ours(error: BaseException) -> BaseException:
    """An error that has frames of ours only."""
    error.__traceback__ = None
    program = compile("raise error", inside(busfn, "anything.py"), "exec")
    raised = caught(lambda: exec(program, {"error": error}))
    traceback = raised.__traceback__
    while traceback is not None and traceback.tb_frame.f_code is not program:
        traceback = traceback.tb_next
    return raised.with_traceback(traceback)


def test_an_error_of_ours_without_user_code_is_its_message_alone():
    assert describe(raises_from_ours(InvalidError("this is\nwrong"))) == "Error: this is\nwrong"
    assert describe(raises_from_ours(ServiceError("gone"))) == "Error: gone"


def test_another_error_without_user_code_keeps_its_class():
    assert describe(raises_from_ours(ValueError("what"))) == "Error: ValueError: what"


@pytest.mark.parametrize("package", [busfn, busfn_cli])
def test_our_frames_are_left_out(package):
    ours = inside(package, "anything.py")

    def users() -> None:
        compiled("1 / 0", ours)()

    text = describe(caught(users))
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("\nZeroDivisionError: division by zero")
    assert f'File "{__file__}"' in text
    assert "in users" in text
    assert ours not in text


def test_a_users_file_whose_path_looks_like_ours_stays(tmp_path: Path):
    file = str(tmp_path / "busfn" / "mine.py")
    assert f'File "{file}", line 1' in describe(caught(compiled("1 / 0", file)))


@pytest.mark.parametrize("explicit", [True, False])
def test_what_led_to_an_error_of_ours_inside_busfn_is_not_shown(explicit):
    low = raises_from_ours(OSError("refused"))
    error = raises_from_ours(ServiceError("no server: refused"))
    error.__cause__, error.__context__ = (low if explicit else None), low
    assert describe(error) == "Error: no server: refused"

    def users() -> None:
        raise error

    text = describe(caught(users))
    assert "in users" in text
    assert "OSError" not in text


def test_users_code_that_led_to_an_error_of_ours_is_shown():
    def users() -> None:
        {}["missing"]

    error = raises_from_ours(ServiceError("cannot be pickled"))
    error.__cause__ = caught(users)
    text = describe(error)
    assert "in users" in text
    assert "KeyError: 'missing'" in text
    assert text.endswith("ServiceError: cannot be pickled")


def test_a_message_that_contains_a_traceback_is_still_a_message():
    message = 'it failed to start:\nTraceback (most recent call last):\n  File "a.py", line 1\nKeyError: 1'
    assert describe(raises_from_ours(ServiceError(message))) == f"Error: {message}"


def test_causes_and_contexts_are_shown_without_our_frames():
    cause = raises_from_ours(ServiceError("the first"))

    def users() -> None:
        raise RuntimeError("the second") from cause

    text = describe(caught(users))
    assert "ServiceError: the first" in text
    assert "direct cause" in text
    assert text.endswith("RuntimeError: the second")
    assert inside(busfn, "") not in text


def test_notes_are_shown():
    def users() -> None:
        error = ValueError("what")
        error.add_note("a word of advice")
        raise error

    assert describe(caught(users)).endswith("ValueError: what\na word of advice")


def test_groups_are_shown_with_their_members():
    def users() -> None:
        raise ExceptionGroup("several", [raises_from_ours(ValueError("one")), KeyError("two")])

    text = describe(caught(users))
    assert "ValueError: one" in text
    assert "KeyError: 'two'" in text
    assert inside(busfn, "") not in text


def test_a_syntax_error_shows_the_line(tmp_path: Path):
    file = tmp_path / "a.py"
    error = caught(lambda: compile("x = = 1\n", str(file), "exec"))
    error.__traceback__ = None
    text = describe(error)
    assert text.startswith(f'File "{file}", line 1')
    assert "x = = 1" in text
    assert text.endswith("SyntaxError: invalid syntax")


def test_an_error_that_caused_itself_is_shown_once():
    def users() -> None:
        error = ServiceError("round")
        raise error from error

    assert describe(caught(users)).count("ServiceError: round") == 1


def test_what_a_data_class_of_ours_refuses_is_a_line() -> None:
    code = "import dataclasses, busfn.spec\ndataclasses.replace(busfn.spec.Scaling(), min_containers=-1)"
    error = caught(compiled(code, inside(busfn, "anything.py")))
    assert error.__traceback__ is not None
    assert error.__traceback__.tb_next is not None
    error.__traceback__ = error.__traceback__.tb_next.tb_next  # without the frames of this file
    assert describe(error) == "Error: `min_containers` must be at least 0, not -1"
