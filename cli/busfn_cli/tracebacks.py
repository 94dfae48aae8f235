"""Errors as the user shall see them: their own frames, or just the message when none of their code is involved."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import traceback
from typing import cast

import busfn
import busfn_cli
import busfn_services
from busfn.errors import Error
from busfn.tracebacks import files_of, user_traceback

_DRIVEN = ("/site-packages/nats/", "/site-packages/cloudpickle/", "/site-packages/typer/")
"""Packages that only we call; importing them here would cost every run its start-up time."""
_GENERATED = "<string>"
"""Where the methods of data classes come from. A user's data class that refuses something does so in a file."""
_is_one_of_ours = files_of(busfn, busfn_services, busfn_cli, asyncio, concurrent.futures, dataclasses)


def describe(error: BaseException) -> str:
    """The error for the terminal. Drops what led to it inside busfn, so nobody else may need the error any more."""
    for one in _reachable(error):
        _forget_our_part(one)
    if _is_users(error):
        return user_traceback(error, _is_ours)
    return f"Error: {error}" if isinstance(error, Error) else f"Error: {type(error).__name__}: {error}"


def _is_ours(file: str) -> bool:
    return (
        _is_one_of_ours(file)
        or file == _GENERATED
        or any(part in file for part in _DRIVEN)
        or file.startswith("uvloop/")
    )


def _is_users(error: BaseException) -> bool:
    """Whether it, or what led to it, came through a user's file."""
    return any(
        isinstance(one, SyntaxError)
        or any(not _is_ours(frame.filename) for frame in traceback.extract_tb(one.__traceback__))
        for one in _reachable(error)
    )


def _forget_our_part(error: BaseException) -> None:
    """An error of ours says in its own words what went wrong below it, unless users' code took part in that."""
    if isinstance(error, Error) and not any(_is_users(one) for one in _inner(error)):
        error.__cause__ = None  # which suppresses the context, too


def _reachable(error: BaseException) -> list[BaseException]:
    """The error and all that led to it; they may go round in circles."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if not any(one is known for known in found):
            found.append(one)
            waiting.extend(_inner(one))
    return found


def _inner(error: BaseException) -> list[BaseException]:
    linked = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    inner = [] if linked is None else [linked]
    if isinstance(error, BaseExceptionGroup):
        inner.extend(cast("BaseExceptionGroup[BaseException]", error).exceptions)
    return inner
