from __future__ import annotations

import json

import pytest

from bench.catalog import Metric, Row
from bench.results import Failure, Results, Sample, lines, markdown, number, table, to_json

ROW = Row(
    name="warm",
    title="a call",
    metrics=(Metric("p50", "ms", "less"), Metric("p99", "ms", "less")),
    full={},
    quick={},
)
RESULTS = Results(
    rows=[ROW],
    subjects=["busfn", "nats", "absent"],
    samples=[
        Sample("warm", "p50", "nats", 1.0),
        Sample("warm", "p50", "busfn", 1.0),
        Sample("warm", "p50", "busfn", 3.0),
        Sample("warm", "p50", "busfn", 1.5),
        Sample("warm", "p99", "nats", 2.0),
    ],
    failures=[Failure("absent", "", "not installed"), Failure("absent", "", "not installed")],
)


def test_lines_follow_rows_and_subjects_and_leave_out_what_was_not_measured() -> None:
    found = [(line.metric.key, line.subject, line.summary.median, line.ratio) for line in lines(RESULTS)]
    assert found == [("p50", "busfn", 1.5, None), ("p50", "nats", 1.0, 1.5), ("p99", "nats", 2.0, None)]


def test_the_table_is_aligned_and_names_what_is_missing_once() -> None:
    text = table(RESULTS).splitlines()
    column = text[0].index("subject")
    assert [line[column:].split()[0] for line in text[1:4]] == ["busfn", "nats", "nats"]
    assert text[1].split() == ["warm", "p50", "ms", "busfn", "1.5", "1", "3", "less"]
    assert text[4:] == ["", "Not measured:", "  absent: not installed"]


def test_the_page_has_as_many_cells_in_every_line() -> None:
    assert {line.count("|") for line in markdown(RESULTS).splitlines()} == {8}


def test_all_of_it_is_plain_data() -> None:
    data = json.loads(json.dumps(to_json(RESULTS)))
    assert data["lines"][0]["summary"] == {"median": 1.5, "low": 1.0, "high": 3.0, "rounds": 3}
    assert data["failures"][0]["reason"] == "not installed"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123456, "0.0123"), (3.14159, "3.14"), (31.4159, "31.4"), (314.159, "314"), (9994, "9994"), (12345, "12.3 k"),
     (1234567, "1.23 M"), (999_600, "1 M"), (0.0, "0")],
)  # fmt: skip
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text
