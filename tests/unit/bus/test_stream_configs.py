from __future__ import annotations

import pytest

from busfn.bus.base import ConsumerSpec, StreamSpec
from busfn.bus.configs import consumer_config, stream_config
from busfn.bus.wire import bare, split
from busfn.errors import InvalidError


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
