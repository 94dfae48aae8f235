"""Errors as the user shall see them: their own frames, or just the message when none of their code is involved."""

from __future__ import annotations

import asyncio
import concurrent.futures

import typer

import busfn
import busfn_cli
import busfn_services
from busfn.errors import Error
from busfn.tracebacks import files_of, user_traceback

_is_one_of_ours = files_of(busfn, busfn_services, busfn_cli, asyncio, concurrent.futures, typer)


def _is_ours(file: str) -> bool:
    """Whether users have nothing to do with a file: it is ours, or of the NATS client that only we use."""
    return _is_one_of_ours(file) or "/site-packages/nats/" in file or file.startswith("uvloop/")


def describe(error: BaseException) -> str:
    """The error for the terminal."""
    text = user_traceback(error, _is_ours)
    if 'File "' in text:
        return text
    return str(error) if isinstance(error, Error) else f"{type(error).__name__}: {error}"
