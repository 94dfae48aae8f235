"""The streams and consumers that busfn keeps on a bus, as values."""

from __future__ import annotations

from collections.abc import Sequence

from busfn.bus.base import ConsumerSpec, StreamSpec
from busfn.protocol.subjects import Subjects

OVERFLOW_BYTES = 256 * 1024 * 1024
"""What waiting interactive calls may take of the server's memory; beyond it, calls are refused as overloaded."""

LAYOUT = 1
"""Version of the streams below, kept in their metadata. Raise it when one of them changes."""

RETENTION = 7 * 24 * 3600.0
"""Seconds that results of durable calls, and logs, are kept."""


LOG_BYTES = 1 << 30
"""What the logs of an environment may take of the server's disk; beyond it, the oldest lines go."""


def streams(subjects: Subjects) -> Sequence[StreamSpec]:
    """All streams of an environment. What is stored for a function is also told, headers only, to its controller."""
    jobs, overflow = subjects.all_of("job"), subjects.all_of("ovf")
    wake, results = subjects.all_of("wake"), subjects.all_of("res")
    return (
        StreamSpec(name=subjects.stream("JOBS"), subjects=(jobs,), layout=LAYOUT, republish=(jobs, wake, True)),
        StreamSpec(
            name=subjects.stream("DELAYED"),
            subjects=(subjects.all_of("delayed"),),
            layout=LAYOUT,
            republish=(subjects.all_of("delayed"), subjects.all_of("delay"), True),
        ),
        StreamSpec(
            name=subjects.stream("OVF"),
            subjects=(overflow,),
            layout=LAYOUT,
            memory=True,
            max_bytes=OVERFLOW_BYTES,
            allow_ttl=True,
            republish=(overflow, wake, True),
        ),
        StreamSpec(
            name=subjects.stream("BLOB"),
            subjects=(subjects.all_of("blob"),),
            layout=LAYOUT,
            kind="log",
            max_per_subject=1,
            allow_ttl=True,
            allow_direct=True,
        ),
        StreamSpec(
            name=subjects.stream("RES"),
            subjects=(results,),
            layout=LAYOUT,
            kind="log",
            max_age=RETENTION,
            max_per_subject=1,
            allow_direct=True,
            republish=(results, subjects.all_of("live"), False),
        ),
        StreamSpec(
            name=subjects.stream("DEAD"),
            subjects=(subjects.all_of("dead"),),
            layout=LAYOUT,
            kind="log",
            max_per_subject=1,
        ),
        _logs(subjects),
    )


def _logs(subjects: Subjects) -> StreamSpec:
    """What bodies print; what is stored is told, headers only, to those who follow."""
    logs = subjects.all_of("log")
    return StreamSpec(
        name=subjects.stream("LOGS"),
        subjects=(logs,),
        layout=LAYOUT,
        kind="log",
        max_age=RETENTION,
        max_bytes=LOG_BYTES,
        discard_new=False,
        allow_direct=True,
        republish=(logs, subjects.all_of("tail"), True),
    )


def delayed(subjects: Subjects, app: str, function: str) -> Sequence[tuple[str, str]]:
    """Where calls of a function wait until they are due: streams and subjects, with wildcards."""
    return (
        (subjects.stream("OVF"), subjects.delayed_overflow(app, function, "*")),
        (subjects.stream("DELAYED"), subjects.delayed(app, function, "*", "*")),
    )


def consumers(subjects: Subjects, app: str, function: str) -> Sequence[ConsumerSpec]:
    """What the workers of a function pull from: calls that were handed on first, then queued inputs."""
    name = subjects.consumer(app, function)
    return (
        ConsumerSpec(stream=subjects.stream("OVF"), name=name, subject=subjects.overflow(app, function)),
        ConsumerSpec(stream=subjects.stream("JOBS"), name=name, subject=subjects.jobs(app, function)),
    )
