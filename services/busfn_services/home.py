"""What a stack keeps in its folder, and the note by which clients of the same user find it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from busfn.errors import ConflictError, InvalidError, ProtocolError
from busfn.protocol.records import Range, Text, read_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a stack keeps for its next start, so that clients, and what they have stored, stay valid."""

    token: Annotated[str, Text(200, r"[!-~]+")]
    signing_key: Annotated[str, Text(1000, r"[!-~]+")]
    port: Annotated[int, Range(0, 65535)] = 0

    @classmethod
    def load(cls, folder: Path) -> Identity:
        """From the folder, else a new one. Raises `InvalidError` for one that cannot be read."""
        path = folder / "identity.json"
        try:
            return read_record(cls, path.read_bytes(), "the identity of a stack")
        except FileNotFoundError:
            return cls(token=secrets.token_urlsafe(24), signing_key=secrets.token_urlsafe(32))
        except ProtocolError as error:
            raise InvalidError(
                f"{path}: {error}. Bring it back from a backup, or remove it: then the stack gets a new token and a new"
                " signing key, and what was deployed has to be deployed again"
            ) from error

    def save(self, folder: Path) -> None:
        """For the next start; readable by the user only."""
        write_private(folder / "identity.json", asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The stack that has a folder, as it says itself."""

    pid: int = 0
    env: str = ""
    bus: str = ""
    """Its servers, without secrets; empty while it starts."""

    def __str__(self) -> str:
        return f"(process {self.pid}, environment {self.env!r}, {self.bus or 'starting'})"


class Lock:
    """Keeps a second stack from a folder; ends with the process, however it ends.

    One stack at a time has a server with its data there, and one serves an environment.
    """

    def __init__(self, folder: Path, env: str, *, server: bool) -> None:
        self._folder = folder
        self._env = env
        self._names = ("lock", f"lock-{env}") if server else (f"lock-{env}",)
        self._fds: list[int] = []

    def __enter__(self) -> Lock:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise InvalidError(f"the data folder {self._folder} cannot be made: {error.strerror}") from None
        try:
            for name in self._names:
                self._take(name)
        except BaseException:
            self.__exit__()
            raise
        self.tell("")
        return self

    def __exit__(self, *_: object) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def tell(self, bus: str) -> None:
        """Note for others who has the folder, and where its bus is."""
        text = json.dumps(asdict(Holder(pid=os.getpid(), env=self._env, bus=bus))).encode()
        for fd in self._fds:
            os.pwrite(fd, text, 0)
            os.ftruncate(fd, len(text))

    def _take(self, name: str) -> None:
        fd = os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o600)
        self._fds.append(fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._fds.remove(fd)
            told = os.pread(fd, 4096, 0)
            os.close(fd)
            raise ConflictError(self._taken(_holder(told))) from None

    def _taken(self, holder: Holder) -> str:
        runs = f"`busfn up` runs already {holder} with its data in {self._folder}"
        stop = f"stop it first (Ctrl-C where it runs, or `kill {holder.pid}`)"
        if holder.env == self._env:
            return (
                f"{runs}. Clients find it, nothing is to be done: `busfn health` looks at it, `busfn url` prints its"
                f" address. To start it anew, {stop}"
            )
        data = "" if self._folder == data_folder(os.environ) else f" --data {shlex.quote(str(self._folder))}"
        return (
            f"{runs}, and a stack serves one environment. To serve {self._env!r} on the same server, beside it:\n"
            f'  BUSFN_URL="$(busfn url)" busfn up --env {self._env}{data}\n'
            f"To serve {self._env!r} instead, {stop}"
        )


def _holder(told: bytes) -> Holder:
    try:
        return read_record(Holder, told, "who has a folder")
    except ProtocolError:  # it is writing it at this moment
        return Holder()


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
