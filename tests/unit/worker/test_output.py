from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from inputs import running

from busfn.context import CurrentInput
from busfn_services.marks import NOBODY, MarkedOutput, Owner, Piece
from busfn_services.worker.output import MarkedStream, MarkedWriter

TOKEN = "ab" * 16
ONE, TWO = CurrentInput("c1", 0, ()), CurrentInput("c2", 5, ())
FIRST, SECOND = Owner("c1", 0), Owner("c2", 5)


class Pipe:
    """A worker's stream, with the supervisor's side of it."""

    def __init__(self) -> None:
        self.end, self.fd = os.pipe()
        self.writer = MarkedWriter(self.fd, "<stdout>", TOKEN)
        self.stream = MarkedStream(self.writer, encoding="utf-8", newline="\n")
        self._marks = MarkedOutput(TOKEN)

    def raw(self) -> bytes:
        os.set_blocking(self.end, False)
        try:
            return os.read(self.end, 1 << 20)
        except BlockingIOError:
            return b""

    def read(self) -> list[Piece]:
        """What has arrived and is finished."""
        return self._marks.feed(self.raw())


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.stream.detach()
    os.close(made.end)
    os.close(made.fd)


def test_a_mark_is_written_once_an_input_prints_and_not_again(pipe):
    print("import", file=pipe.stream)
    assert pipe.raw() == b"import\n"
    with running(ONE):
        assert pipe.raw() == b""
        print("a", file=pipe.stream)
        print("b", file=pipe.stream)
    assert pipe.raw().count(TOKEN.encode()) == 1
    with running(TWO):
        pass
    assert pipe.raw() == b""


def test_lines_belong_to_the_input_that_printed_them(pipe):
    with running(ONE):
        print("one", file=pipe.stream)
    with running(TWO):
        print("two", 2, file=pipe.stream)
    print("nobody", file=pipe.stream)
    assert pipe.read() == [Piece(FIRST, b"one\n"), Piece(SECOND, b"two 2\n"), Piece(NOBODY, b"nobody\n")]


def test_an_unfinished_line_is_not_mixed_with_the_next_input(pipe):
    with running(ONE):
        print("half", end="", file=pipe.stream)
    with running(TWO):
        print("whole", file=pipe.stream)
    assert pipe.read() == [Piece(FIRST, b"half"), Piece(SECOND, b"whole\n")]


def test_a_report_is_in_its_own_name_and_what_follows_is_marked_again(pipe):
    failed = Owner("c1", 0, answered=True)
    with running(ONE):
        print("one", file=pipe.stream)
        print("half", end="", file=pipe.stream)
    pipe.writer.report(failed, b"ValueError\n")
    with running(ONE):
        print("again", file=pipe.stream)
    assert pipe.read() == [Piece(FIRST, b"one\nhalf"), Piece(failed, b"ValueError\n"), Piece(FIRST, b"again\n")]


def test_a_thread_belongs_to_the_input_that_runs(pipe):
    pipe.writer.source = SimpleNamespace(current=TWO)
    thread = threading.Thread(target=print, args=("thread",), kwargs={"file": pipe.stream})
    thread.start()
    thread.join()
    assert pipe.read() == [Piece(SECOND, b"thread\n")]


def test_what_bypasses_python_belongs_to_the_last_mark(pipe):
    with running(ONE):
        print("python", file=pipe.stream)
        subprocess.run([sys.executable, "-c", "print('child')"], stdout=pipe.stream, check=True)
        os.write(pipe.fd, b"descriptor\n")
        pipe.stream.buffer.write(b"\xff\0buffer\n")
    assert pipe.read() == [Piece(FIRST, b"python\nchild\ndescriptor\n\xff\0buffer\n")]


def test_text_that_cannot_be_encoded_and_what_is_no_text_are_errors_where_they_are_printed(pipe):
    with pytest.raises(UnicodeEncodeError):
        print("\ud800", file=pipe.stream)
    with pytest.raises(TypeError):
        pipe.stream.write(b"bytes")
    pipe.stream.reconfigure(errors="backslashreplace")
    print("\ud800", file=pipe.stream)
    assert pipe.raw() == b"\\ud800\n"


def test_a_flush_sends_an_unfinished_line(pipe):
    with running(ONE):
        print("50 %", end="\r", file=pipe.stream, flush=True)
    assert pipe.raw().endswith(b"\n50 %\r")


def test_threads_that_print_at_once_keep_lines_and_owners_apart(pipe):
    def shout(current: CurrentInput) -> None:
        with running(current):
            for n in range(200):
                pipe.stream.write(f"{current.call} {n}\n")

    threads = [threading.Thread(target=shout, args=(current,)) for current in (ONE, TWO)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found: dict[Owner, list[bytes]] = {}
    for piece in pipe.read():
        found.setdefault(piece.owner, []).extend(piece.text.splitlines())
    assert found == {owner: [f"{owner.call} {n}".encode() for n in range(200)] for owner in (FIRST, SECOND)}


def test_a_pipe_that_a_child_made_non_blocking_takes_everything(pipe):
    os.set_blocking(pipe.fd, False)
    text = "x" * 300_000
    thread = threading.Thread(target=print, args=(text,), kwargs={"file": pipe.stream})
    thread.start()
    got = b""
    while len(got) < len(text) + 1:
        got += os.read(pipe.end, 1 << 16)
    thread.join()
    assert got == text.encode() + b"\n"
