"""Dramatiq's side that workers import."""

from __future__ import annotations

import os
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AgeLimit, Callbacks, Pipelines, Retries
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

URL = os.environ["BENCH_REDIS_URL"]

broker = RedisBroker(url=URL, middleware=[AgeLimit(), Retries(), Callbacks(), Pipelines()])
broker.add_middleware(Results(backend=RedisBackend(url=URL)))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def noop(x):
    return x


@dramatiq.actor(store_results=True, queue_name="bodies")
def sleeps(seconds):
    time.sleep(seconds)
    return seconds
