"""What a stack keeps in its folder, and the note by which clients of the same user find it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from busfn.errors import ConflictError


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a stack keeps for its next start, so that clients, and what they have stored, stay valid."""

    token: str
    signing_key: str
    port: int = 0

    @classmethod
    def load(cls, folder: Path) -> Identity:
        """From the folder, else a new one."""
        try:
            known = json.loads((folder / "identity.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls(token=secrets.token_urlsafe(24), signing_key=secrets.token_urlsafe(32))
        return cls(token=known["token"], signing_key=known["signing_key"], port=known["port"])

    def save(self, folder: Path) -> None:
        """For the next start; readable by the user only."""
        write_private(folder / "identity.json", asdict(self))


class Lock:
    """Keeps a second stack from using the same folder; ends with the process, however it ends."""

    def __init__(self, folder: Path, runtime: Path) -> None:
        self._folder = folder
        self._runtime = runtime
        self._fd = -1

    def __enter__(self) -> Lock:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise ConflictError(self._taken()) from None
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def _taken(self) -> str:
        try:
            known = json.loads(self._runtime.read_text(encoding="utf-8"))
            where = f" (process {known['pid']})"
        except (OSError, ValueError, KeyError):
            where = ""
        return f"`busfn up` runs already{where} with the data in {self._folder}: clients find it, nothing is to be done"


def write_private(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON that only the user may read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(value, file)
    draft.rename(path)


def data_folder(environ: Mapping[str, str]) -> Path:
    """Where a stack keeps its data: below ``XDG_DATA_HOME``, by default ``~/.local/share``."""
    base = environ.get("XDG_DATA_HOME") or os.path.join(environ.get("HOME", "/"), ".local", "share")
    return Path(base) / "busfn"
