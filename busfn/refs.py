"""References to code, ``FILE.py::app.f`` or ``-m package.module::f``: parsed here, imported by `load`.

The command line and the workers import with the same function, so what works in one works in the other.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

from busfn.errors import InvalidError

LIKE = 0.6
"""Likeness, as difflib has it, of a script's name that may be meant."""
VERY_LIKE = 0.85
"""The same for one in another folder."""
MOST_FOLDERS = 200
"""Names in a folder that are looked at for a script that may be meant."""


PICKLE = "pickle"
"""Kind of a source that is no file: the code comes along, see `busfn.serialized`."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference as it was written."""

    path: str
    object_path: str
    is_module: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where code is and how it is imported."""

    kind: str
    """``script`` (a file), ``module`` (a dotted name) or ``pickle`` (code that comes along)."""
    target: str
    """Absolute path of the file, or the module's name; of code that comes along, the module that it is from, or the
    file in a bundle."""
    directory: str
    """Goes first on ``sys.path``; of code that comes along, folders that go last, with a colon between them."""

    def to_dict(self) -> dict[str, str]:
        return {"kind": self.kind, "target": self.target, "directory": self.directory}

    @classmethod
    def from_dict(cls, data: Mapping[str, str]) -> Source:
        return cls(kind=data["kind"], target=data["target"], directory=data["directory"])


def parse_ref(text: str, *, module: bool) -> Ref:
    """Take a reference apart. Raises `InvalidError` with advice."""
    path, colons, object_path = text.partition("::")
    if not colons and ":" in path:
        raise InvalidError(f"{text!r} is no reference. Did you mean '::' instead of ':'?")
    if module:
        if path.endswith(".py") or "/" in path:
            raise InvalidError(f"`-m` takes a dotted module name, not the file {path!r}; leave out `-m`")
        if not all(path.split(".")) or any(
            map(str.isspace, path)
        ):  # any other name can be imported, as `01_start.hello`, if not by a statement
            raise InvalidError(f"{path!r} is no module name: write it as package.module")
        return Ref(path, object_path, True)
    if not path.endswith(".py"):
        hint = f" For a Python module write `-m {text}`." if path.replace(".", "").isidentifier() else ""
        raise InvalidError(f"{path!r} is not a Python file.{hint}")
    stem = os.path.basename(path).removesuffix(".py")
    if "." in stem:
        raise InvalidError(f"{path!r}: a script's file name cannot contain further dots, because workers import it")
    return Ref(path, object_path, False)


def resolve(ref: Ref, cwd: str) -> Source:
    """Find the code. Raises `InvalidError` when a file does not exist."""
    if ref.is_module:
        return Source(kind="module", target=ref.path, directory=cwd)
    file = os.path.abspath(os.path.join(cwd, ref.path))
    if os.path.isdir(file):
        raise InvalidError(f"{ref.path} is a directory, not a script")
    if not os.path.exists(file):
        raise InvalidError(f"there is no file {ref.path}{_similar(ref.path, cwd)}")
    return Source(kind="script", target=file, directory=os.path.dirname(file))


def _similar(path: str, cwd: str) -> str:
    """A script that may be meant, as it would have to be typed: one of its folder first, then one of a folder below."""
    given, name = os.path.split(path)
    start = given if os.path.isdir(os.path.join(cwd, given)) else ""
    for folders, likeness in (([start], LIKE), (_below(start, cwd), VERY_LIKE)):
        known = {one: os.path.join(folder, one) for folder in folders for one in _scripts(os.path.join(cwd, folder))}
        close = difflib.get_close_matches(name, known, 1, likeness)
        if close:
            return f"; did you mean {known[close[0]]}?"
    return ""


def _below(folder: str, cwd: str) -> list[str]:
    """The folders in a folder, but for hidden ones."""
    names = sorted(os.listdir(os.path.join(cwd, folder)))[:MOST_FOLDERS]
    found = [os.path.join(folder, name) for name in names if not name.startswith(".")]
    return [one for one in found if os.path.isdir(os.path.join(cwd, one))]


def _scripts(folder: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.endswith(".py")]
    except OSError:  # not for us to read
        return []


def load(source: Source) -> ModuleType:
    """Import the code on this thread; whatever the import raises passes through.

    Raises `InvalidError` when there is no such module or the script's name is taken by another module.
    """
    if sys.path[:1] != [source.directory]:
        sys.path.insert(0, source.directory)
    return _load_script(source.target) if source.kind == "script" else _load_module(source.target)


def _load_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise InvalidError(f"there is no module {name!r} (looked in {sys.path[0]} and the environment)") from None
        raise


def _load_script(file: str) -> ModuleType:
    name = os.path.basename(file).removesuffix(".py")
    known = sys.modules.get(name)
    if known is not None and _same_file(known, file):
        return known
    if known is not None or name in sys.stdlib_module_names:
        raise InvalidError(f"{file}: the name {name!r} belongs to another module here; rename the script")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.__package__ = ""
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(name, None)
        _explain_relative_import(error, file)
        raise
    return module


def _same_file(module: ModuleType, file: str) -> bool:
    return os.path.abspath(getattr(module, "__file__", None) or "") == file  # built-in modules have no file


def _explain_relative_import(error: BaseException, file: str) -> None:
    if isinstance(error, ImportError) and "relative import" in str(error):
        package = os.path.basename(os.path.dirname(file))
        stem = os.path.basename(file).removesuffix(".py")
        error.add_note(f"A script has no package. From {package}'s parent folder run: busfn run -m {package}.{stem}")
