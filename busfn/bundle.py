"""The code of a deployed app: which files go along, packed into one archive and unpacked where workers run.

A script brings everything below its own folder, a module the package it belongs to. Installed packages stay where they
are: whoever runs workers has to have them.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import os
import shutil
import stat
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from busfn.errors import DeserializationError, InvalidError
from busfn.refs import PICKLE, Source

MOST_FILES = 5_000
MOST_BYTES = 64 << 20
IGNORE_FILE = ".busfnignore"
_NEVER = ("__pycache__", "*.pyc", "node_modules", ".*")
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Of every packed file: the same files give the same archive."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file that goes along."""

    name: str
    """Its path in the bundle, with slashes."""
    file: str = ""
    """Where it is now; empty when there is no such file."""
    data: bytes = b""
    """What is in it, when there is no such file."""

    @property
    def size(self) -> int:
        """Bytes."""
        return os.path.getsize(self.file) if self.file else len(self.data)

    def read(self) -> bytes:
        """What is in it."""
        return Path(self.file).read_bytes() if self.file else self.data


@dataclass(frozen=True, slots=True)
class Plan:
    """What a bundle will hold."""

    members: Sequence[Member]
    placed: Mapping[Source, Source]
    """Each source, and where it will be: relative to the unpacked bundle."""


def plan(sources: Iterable[Source]) -> Plan:
    """What has to go along for these sources. Raises `InvalidError` when it is too much."""
    distinct = list(dict.fromkeys(sources))
    roots = list(dict.fromkeys(one.directory for one in distinct if not _installed(one.directory)))
    prefixes = {root: "" if len(roots) == 1 else f"r{number}/" for number, root in enumerate(roots)}
    members: dict[str, Member] = {}
    placed: dict[Source, Source] = {}
    for source in distinct:
        prefix = prefixes.get(source.directory)
        placed[source] = _place(source, prefix)
        if prefix is not None:
            members |= {one.name: one for one in _members(source, prefix)}
    _check_size(members.values())
    return Plan([members[name] for name in sorted(members)], placed)


def pack(members: Iterable[Member]) -> bytes:
    """The archive; the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            info = zipfile.ZipInfo(member.name, _EPOCH)
            executable = member.file and os.stat(member.file).st_mode & stat.S_IXUSR
            info.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.read())
    return buffer.getvalue()


def unpack(archive: bytes, into: Path) -> Path:
    """Unpack below ``into``, in a folder named by the archive's hash; what is there already is used.

    Raises `DeserializationError` for an archive that would write elsewhere.
    """
    target = into / hashlib.sha256(archive).hexdigest()
    if target.is_dir():
        return target
    into.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=into))
    try:
        _unpack(archive, draft)
        draft.rename(target)
    except OSError:
        if not target.is_dir():  # nobody else was faster
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def settle(source: Source, root: Path) -> Source:
    """A placed source, for an unpacked bundle."""
    if source.kind == PICKLE:
        folders = [os.path.normpath(root / one) for one in source.directory.split(os.pathsep) if one]
        return Source(kind=PICKLE, target=str(root / source.target), directory=os.pathsep.join(folders))
    if not source.directory:
        return source
    directory = os.path.normpath(root / source.directory)
    target = os.path.join(directory, source.target) if source.kind == "script" else source.target
    return Source(kind=source.kind, target=target, directory=directory)


def pickled(module: str, code: bytes, beside: Iterable[Source]) -> tuple[Member, Source]:
    """A pickled function of this module as a file of the bundle, and its source.

    ``beside`` are the placed sources of modules that it imports.
    """
    name = f"{module}.{hashlib.sha256(code).hexdigest()[:16]}.pickle"
    folders = dict.fromkeys(one.directory for one in beside if one.directory)
    return Member(name, data=code), Source(kind=PICKLE, target=name, directory=os.pathsep.join(folders))


def _place(source: Source, prefix: str | None) -> Source:
    if prefix is None:  # an installed package: it is imported from where it is installed there
        return Source(kind="module", target=_module_name(source), directory="")
    target = os.path.basename(source.target) if source.kind == "script" else source.target
    return Source(kind=source.kind, target=target, directory=prefix.rstrip("/") or ".")


def _module_name(source: Source) -> str:
    return source.target if source.kind == "module" else os.path.basename(source.target).removesuffix(".py")


def _installed(directory: str) -> bool:
    paths = sysconfig.get_paths()
    homes = {os.path.realpath(paths[name]) for name in ("purelib", "platlib", "stdlib", "platstdlib")}
    real = os.path.realpath(directory)
    return any(real == home or real.startswith(home + os.sep) for home in homes)


def _members(source: Source, prefix: str) -> Iterator[Member]:
    root = source.directory
    if source.kind == "script":
        yield from _walk(root, root, prefix, _ignored(root))
        return
    top = os.path.join(root, source.target.partition(".")[0])
    if os.path.isdir(top):
        yield from _walk(root, top, prefix, _ignored(root))
    else:
        yield Member(f"{prefix}{os.path.basename(top)}.py", f"{top}.py")


def _ignored(root: str) -> tuple[str, ...]:
    """Patterns of names and of paths below the root."""
    try:
        lines = Path(root, IGNORE_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return _NEVER
    wanted = (line.strip().rstrip("/") for line in lines)
    return (*_NEVER, *(line for line in wanted if line and not line.startswith("#")))


def _walk(root: str, folder: str, prefix: str, ignored: tuple[str, ...]) -> Iterator[Member]:
    found = 0
    for at, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if _wanted(os.path.join(at, one), root, ignored))
        for name in sorted(files):
            file = os.path.join(at, name)
            if _wanted(file, root, ignored) and os.path.isfile(file):
                found += 1
                if found > MOST_FILES:
                    raise InvalidError(_too_much(f"more than {MOST_FILES} files", folder))
                yield Member(prefix + os.path.relpath(file, root).replace(os.sep, "/"), file)


def _wanted(path: str, root: str, ignored: tuple[str, ...]) -> bool:
    name, relative = os.path.basename(path), os.path.relpath(path, root)
    if os.path.exists(os.path.join(path, "pyvenv.cfg")):  # a virtual environment
        return False
    return not any(fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(relative, pattern) for pattern in ignored)


def _check_size(members: Iterable[Member]) -> None:
    total = 0
    for member in members:
        total += member.size
        if total > MOST_BYTES:
            raise InvalidError(_too_much(f"more than {MOST_BYTES >> 20} MiB", os.path.dirname(member.file)))


def _too_much(what: str, folder: str) -> str:
    return (
        f"the code to deploy would be {what}, last found in {folder}: name what is not needed in {IGNORE_FILE} beside"
        " the code, a pattern a line, or move the app into a folder of its own"
    )


def _unpack(archive: bytes, into: Path) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            for info in files.infolist():
                parts = info.filename.split("/")
                if info.is_dir() or info.filename.startswith("/") or ".." in parts or "\\" in info.filename:
                    raise DeserializationError(f"a bundle must not hold {info.filename!r}")
                file = into.joinpath(*parts)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(files.read(info))
                file.chmod((info.external_attr >> 16) & 0o777 or 0o644)
    except zipfile.BadZipFile as error:
        raise DeserializationError(f"a bundle cannot be read: {error}") from error
