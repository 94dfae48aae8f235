"""Celery's side that workers import."""

from __future__ import annotations

import os
import time

from celery import Celery

URL = os.environ["BENCH_REDIS_URL"]

app = Celery("bench", broker=URL, backend=URL)
app.conf.update(
    worker_prefetch_multiplier=64,  # the optimizing guide: many for short tasks
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    task_acks_late=False,
    result_backend_always_retry=False,
)


@app.task
def noop(x):
    return x


@app.task
def sleeps(seconds):
    time.sleep(seconds)
    return seconds
