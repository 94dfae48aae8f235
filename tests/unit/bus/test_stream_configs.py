from __future__ import annotations

import pytest

from busfn.bus.base import ConsumerSpec, StreamSpec
from busfn.bus.layout import LAYOUT, LAYOUT_KEY, consumer_config, stream_config, upgraded
from busfn.bus.wire import bare, split
from busfn.errors import ConflictError, InvalidError, VersionError


def test_a_work_stream():
    config = stream_config(StreamSpec(name="JOBS", subjects=("job.>",)))
    assert (config["retention"], config["storage"], config["discard"]) == ("workqueue", "file", "new")
    assert not config["discard_new_per_subject"]
    assert config["duplicate_window"] == 120_000_000_000


def test_a_store_of_first_results():
    config = stream_config(StreamSpec(name="RES", subjects=("res.>",), kind="log", max_per_subject=1, max_age=60))
    assert config["discard_new_per_subject"]
    assert config["max_msgs_per_subject"] == 1
    assert config["max_age"] == config["duplicate_window"] == 60_000_000_000  # the window may not be longer


def test_consumers_limit_nothing_and_have_no_backoff():
    config = consumer_config(ConsumerSpec(stream="JOBS", name="c", subject="job.a.f.*"))
    assert (config["max_deliver"], config["max_ack_pending"]) == (-1, -1)
    assert config["ack_wait"] == 30_000_000_000
    assert "backoff" not in config


def test_urls():
    assert bare("nats://me:secret@host:4222") == "nats://host:4222"
    assert bare("host") == "nats://host:4222"
    assert bare("tls://token@[::1]:1") == "tls://[::1]:1"
    assert split("host").port == 4222
    with pytest.raises(InvalidError) as caught:
        split("http://me:secret@host")
    assert "secret" not in str(caught.value)


JOBS = stream_config(StreamSpec(name="JOBS", subjects=("job.>",), republish=("job.>", "wake.>", True)))


def as_kept(**changes: object) -> dict[str, object]:
    """JOBS as a server tells of it: without what is false, with what it knows itself."""
    kept = {key: value for key, value in JOBS.items() if value not in (False, None)}
    metadata = {**JOBS["metadata"], "_nats.ver": "2.15.1"}
    return {**kept, "metadata": metadata, "sealed": False, **changes}


def test_a_stream_that_fits_is_left_alone():
    assert upgraded(as_kept(), JOBS) is None


def test_limits_of_an_operator_are_kept():
    assert upgraded(as_kept(max_bytes=1000, max_age=5, num_replicas=3, placement={"tags": ["ssd"]}), JOBS) is None


def test_a_stream_of_an_older_busfn_gets_what_it_lacks():
    old = as_kept(metadata={"_nats.ver": "2.12.0", "owner": "me"}, max_bytes=1000)
    del old["allow_atomic"], old["republish"]
    new = upgraded(old, JOBS)
    assert new is not None
    assert (new["allow_atomic"], new["republish"], new["max_bytes"]) == (True, JOBS["republish"], 1000)
    assert new["metadata"] == {"_nats.ver": "2.12.0", "owner": "me", LAYOUT_KEY: str(LAYOUT)}


def test_a_stream_of_a_newer_busfn_is_refused_with_advice():
    with pytest.raises(VersionError, match="upgrade this side"):
        upgraded(as_kept(metadata={LAYOUT_KEY: str(LAYOUT + 1)}), JOBS)


@pytest.mark.parametrize(("key", "value"), [("retention", "limits"), ("storage", "memory")])
def test_a_stream_of_another_kind_is_refused_with_advice(key, value):
    with pytest.raises(ConflictError, match="another environment"):
        upgraded(as_kept(**{key: value}), JOBS)
