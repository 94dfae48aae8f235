from __future__ import annotations

import pytest

from busfn.bus.base import StreamSpec
from busfn.bus.jetstream import stream_config
from busfn.bus.layout import KEY, layout_of, upgrade
from busfn.errors import ConflictError, VersionError


def config(layout: int = 1, replicas: int = 1, **fields):
    spec = StreamSpec(name="S", subjects=("s.>",), layout=layout, **fields)
    return {**stream_config(spec), "num_replicas": replicas}


def test_what_is_up_to_date_is_left_alone():
    assert upgrade(config(), config()) is None
    assert upgrade({**config(), "max_bytes": 10, "max_age": 5, "description": "ours"}, config()) is None


def test_an_older_layout_gets_what_is_new_and_keeps_its_limits():
    old = {**config(layout=0), "max_bytes": 1000, "max_age": 7, "metadata": {"owner": "me"}, "allow_atomic": False}
    new = config(republish=("s.>", "w.>", True), allow_direct=True, max_bytes=1 << 30)
    better = upgrade(old, new)
    assert better == {
        **old,
        "allow_atomic": True,
        "allow_direct": True,
        "republish": new["republish"],
        "metadata": {"owner": "me", KEY: "1"},
    }
    assert upgrade(better, new) is None


def test_subjects_are_added_and_never_taken_away():
    better = upgrade({**config(layout=0), "subjects": ["old.>"]}, config())
    assert better is not None
    assert better["subjects"] == ["old.>", "s.>"]


def test_a_newer_layout_is_refused_with_advice():
    with pytest.raises(VersionError, match=r"layout 9.*Upgrade busfn here"):
        upgrade(config(layout=9), config())


def test_another_kind_is_refused_with_advice():
    with pytest.raises(ConflictError, match=r"retention limits, not workqueue.*nats stream rm S"):
        upgrade(config(kind="log"), config())
    with pytest.raises(ConflictError, match="storage memory, not file"):
        upgrade(config(memory=True), config())
    first_wins = config(kind="log", max_per_subject=1)
    with pytest.raises(ConflictError, match="max_msgs_per_subject -1, not 1"):
        upgrade(config(kind="log"), first_wins)


@pytest.mark.parametrize(("has", "wanted", "gets"), [(1, 3, 3), (3, 5, 5), (3, 1, None), (5, 3, None), (3, 3, None)])
def test_copies_are_added_and_never_taken_away(has, wanted, gets):
    better = upgrade(config(replicas=has), config(replicas=wanted))
    assert (better and better["num_replicas"]) == gets


@pytest.mark.parametrize(
    ("metadata", "layout"), [(None, 0), ({}, 0), ({KEY: "2"}, 2), ({KEY: "x"}, 0), ({"_nats.level": "3"}, 0)]
)
def test_the_layout_of_a_stream(metadata, layout):
    assert layout_of({"metadata": metadata}) == layout
