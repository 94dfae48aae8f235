"""Streams and consumers as the server wants to be told. Pure."""

from __future__ import annotations

from typing import Any

from busfn.bus.base import ConsumerSpec, StreamSpec
from busfn.bus.layout import KEY

_NANO = 1_000_000_000
_DEDUPE_WINDOW = 120.0


def stream_config(spec: StreamSpec) -> dict[str, Any]:
    """The stream as the server wants to be told."""
    config: dict[str, Any] = {
        "name": spec.name,
        "subjects": list(spec.subjects),
        "retention": "workqueue" if spec.kind == "work" else "limits",
        "storage": "memory" if spec.memory else "file",
        "discard": "new" if spec.discard_new else "old",
        "discard_new_per_subject": spec.discard_new and spec.max_per_subject > 0,
        "max_age": int(spec.max_age * _NANO),
        "max_bytes": spec.max_bytes,
        "max_msgs": -1,
        "max_consumers": -1,
        "max_msg_size": -1,
        "max_msgs_per_subject": spec.max_per_subject,
        "duplicate_window": int(min(spec.max_age or _DEDUPE_WINDOW, _DEDUPE_WINDOW) * _NANO),
        "allow_msg_ttl": spec.allow_ttl,
        "allow_direct": spec.allow_direct,
        "allow_atomic": spec.kind == "work",
    }
    if spec.layout:
        config["metadata"] = {KEY: str(spec.layout)}
    if spec.republish is not None:
        source, destination, headers_only = spec.republish
        config["republish"] = {"src": source, "dest": destination, "headers_only": headers_only}
    return config


def consumer_config(spec: ConsumerSpec) -> dict[str, Any]:
    """The consumer as the server wants to be told.

    Nothing is limited but by what workers pull: a limit on unsettled messages would count delayed retries, too.
    No server backoff: it changes the delay of a NAK.
    """
    return {
        "name": spec.name,
        "durable_name": spec.name,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": int(spec.ack_wait * _NANO),
        "max_deliver": -1,
        "max_ack_pending": -1,
        "max_waiting": 10000,
        "filter_subject": spec.subject,
        "replay_policy": "instant",
    }
