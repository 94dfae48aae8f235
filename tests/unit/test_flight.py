from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn_services.flight import RECORD_SIZE, RECORDS, TABLE_SIZE, Entry, FlightTable, Kind

ROOM = 940
"""Bytes of token and reply that surely fit."""
counts = st.integers(0, 2**32 - 1)
moments = st.floats(0, 1e9)
texts = st.text(max_size=40)
entries = st.builds(
    Entry,
    kind=st.sampled_from(Kind),
    foreign=st.booleans(),
    call=st.from_regex(r"[0-9a-zA-Z]{1,32}", fullmatch=True),
    first=counts,
    crashes=counts,
    sequence=st.integers(0, 2**64 - 1),
    token=texts,
    reply=texts,
    cursor=counts,
    upto=counts,
    end=counts,
    started=moments,
    running=st.booleans(),
    accepted=moments,
)
slots = st.integers(0, RECORDS - 1)
ENTRY = Entry(
    kind=Kind.JOB, foreign=False, call="c" * 32, first=3, crashes=1, sequence=9, token="$JS.ACK.x", reply="_INBOX.y",
    cursor=2, upto=4, end=8, started=1.5, accepted=1.25,
)  # fmt: skip


@pytest.fixture
def fd() -> Iterator[int]:
    number = FlightTable.create_file()
    yield number
    os.close(number)


@pytest.fixture
def both(fd: int) -> Iterator[tuple[FlightTable, FlightTable]]:
    """The worker's table and its supervisor's."""
    worker, supervisor = FlightTable(fd), FlightTable(fd)
    yield worker, supervisor
    worker.close()
    supervisor.close()


def test_a_new_table_is_empty(both):
    for table in both:
        assert list(table.entries()) == []
        assert table.waiting == 0


def test_the_file_has_no_name_and_the_size_of_a_table(fd):
    status = os.fstat(fd)
    assert (status.st_nlink, status.st_size) == (0, TABLE_SIZE)


@given(st.dictionaries(slots, entries, max_size=8))
def test_what_one_process_fills_in_the_other_reads(records):
    fd = FlightTable.create_file()
    worker, supervisor = FlightTable(fd), FlightTable(fd)
    os.close(fd)
    for slot, entry in records.items():
        worker.fill(slot, entry)
    assert list(supervisor.entries()) == sorted(records.items(), key=lambda item: item[0])
    for slot in records:
        worker.clear(slot)
    assert list(supervisor.entries()) == []
    worker.close()
    supervisor.close()


def test_two_tables_share_nothing(both):
    other = FlightTable.create_file()
    elsewhere = FlightTable(other)
    both[0].fill(0, ENTRY)
    assert list(elsewhere.entries()) == []
    elsewhere.close()
    os.close(other)


def test_another_process_writes_into_the_same_table(fd, both):
    code = "import sys, test_flight as t; t.write_as_a_worker(t.FlightTable(int(sys.argv[1])))"
    subprocess.run([sys.executable, "-c", code, str(fd)], pass_fds=[fd], cwd=Path(__file__).parent, check=True)
    assert list(both[1].entries()) == [(5, ENTRY)]
    assert both[1].waiting == 2


def write_as_a_worker(table: FlightTable) -> None:
    table.fill(5, ENTRY)
    table.set_waiting(2)


def test_every_slot_can_be_used_and_none_touches_its_neighbours(both):
    worker, supervisor = both
    expected = {slot: replace(ENTRY, sequence=slot, token=f"{slot}" * 200) for slot in range(RECORDS)}
    for slot, entry in expected.items():
        worker.fill(slot, entry)
    worker.clear(0)
    worker.clear(RECORDS - 1)
    worker.clear(7)
    for slot in (0, 7, RECORDS - 1):
        del expected[slot]
    assert dict(supervisor.entries()) == expected


def test_progress_of_a_message_is_seen(both):
    worker, supervisor = both
    worker.fill(1, ENTRY)
    worker.fill(2, ENTRY)
    worker.started(1, 6, 77.5)
    worker.answered(1, 5)
    worker.shortened(1, 7)
    assert dict(supervisor.entries()) == {
        1: replace(ENTRY, cursor=5, upto=6, end=7, started=77.5, running=True),
        2: ENTRY,
    }
    worker.ended(1)
    assert dict(supervisor.entries())[1].running is False


@given(entries, counts, counts, counts, moments)
def test_progress_changes_nothing_else(entry, upto, cursor, end, when):
    fd = FlightTable.create_file()
    table = FlightTable(fd)
    os.close(fd)
    table.fill(3, entry)
    table.started(3, upto, when)
    table.answered(3, cursor)
    table.shortened(3, end)
    assert list(table.entries()) == [(3, replace(entry, upto=upto, cursor=cursor, end=end, started=when, running=True))]
    table.close()


def test_a_slot_that_is_used_again_has_nothing_of_its_last_message(both):
    worker, supervisor = both
    worker.fill(4, replace(ENTRY, token="long" * 100, foreign=True))
    worker.started(4, 8, 99.0)
    worker.clear(4)
    short = Entry(
        kind=Kind.DIRECT, foreign=False, call="d", first=0, crashes=0, sequence=0, token="", reply="r"
    )  # fmt: skip
    worker.fill(4, short)
    assert list(supervisor.entries()) == [(4, short)]


@pytest.mark.parametrize("split", [0, 1, ROOM // 2, ROOM])
def test_long_tokens_and_replies_fit_together(both, split):
    worker, supervisor = both
    entry = replace(ENTRY, token="t" * split, reply="r" * (ROOM - split))
    worker.fill(0, entry)
    worker.fill(1, ENTRY)
    assert dict(supervisor.entries()) == {0: entry, 1: ENTRY}


@pytest.mark.parametrize("texts", [("t" * RECORD_SIZE, ""), ("", "r" * RECORD_SIZE), ("t" * 500, "r" * 500)])
def test_too_long_tokens_are_refused_and_leave_the_slot_as_it_was(both, texts):
    worker, supervisor = both
    worker.fill(1, ENTRY)
    with pytest.raises(ValueError, match="too long for the in-flight table"):
        worker.fill(0, replace(ENTRY, token=texts[0], reply=texts[1]))
    assert dict(supervisor.entries()) == {1: ENTRY}


def test_what_fits_is_counted_in_bytes(both):
    worker, _ = both
    with pytest.raises(ValueError, match="too long"):
        worker.fill(0, replace(ENTRY, token="ü" * 500))


@pytest.mark.parametrize("waiting", [0, 1, RECORDS])
def test_the_number_of_waiting_inputs_is_seen(both, waiting):
    worker, supervisor = both
    worker.set_waiting(5)
    worker.set_waiting(waiting)
    assert supervisor.waiting == waiting
    worker.fill(0, ENTRY)
    assert supervisor.waiting == waiting


def test_a_table_outlives_the_descriptor_it_was_made_of():
    fd = FlightTable.create_file()
    table = FlightTable(fd)
    os.close(fd)
    table.fill(0, ENTRY)
    assert list(table.entries()) == [(0, ENTRY)]
    table.close()


def test_a_closed_table_cannot_be_used(fd):
    table = FlightTable(fd)
    table.close()
    with pytest.raises(ValueError, match=re.escape("mmap closed or invalid")):
        table.clear(0)


def test_the_mean_of_messages_is_kept_in_the_table(both):
    worker, supervisor = both
    assert supervisor.mean == 0
    worker.measured(1.0)
    assert supervisor.mean == 1.0
    worker.measured(2.0)
    assert 1.0 < supervisor.mean < 2.0


def test_when_the_bus_was_heard_is_kept_beside_the_rest_of_the_header(both):
    worker, supervisor = both
    assert supervisor.heard == 0
    worker.set_waiting(3)
    worker.measured(0.25)
    worker.hears(12.5, 13.0)
    worker.fill(0, ENTRY)
    assert (supervisor.waiting, supervisor.mean, supervisor.heard) == (3, 0.25, 12.5)


def test_a_table_needs_no_room_in_the_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sparse file on a full disk killed whoever wrote to it with SIGBUS."""
    monkeypatch.setattr("tempfile.tempdir", "/dev/full")
    number = FlightTable.create_file()
    assert os.fstat(number).st_blocks * 512 >= TABLE_SIZE
    os.close(number)


def test_a_table_without_room_is_refused() -> None:
    script = (
        "import os, resource; from busfn_services.flight import TABLE_SIZE, FlightTable\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (TABLE_SIZE // 2, TABLE_SIZE // 2))\n"
        "before = os.listdir('/proc/self/fd')\n"
        "try: FlightTable.create_file()\n"
        "except OSError as error: print(error.strerror, os.listdir('/proc/self/fd') == before)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "File too large True\n"


def test_what_an_abandoned_table_is_told_has_no_reader(both: tuple[FlightTable, FlightTable]) -> None:
    worker, supervisor = both
    worker.abandon()
    worker.fill(0, ENTRY)
    assert list(supervisor.entries()) == []
