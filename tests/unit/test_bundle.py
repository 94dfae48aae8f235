from __future__ import annotations

import io
import os
import sysconfig
import zipfile
from pathlib import Path

import pytest

from busfn import bundle
from busfn.bundle import pack, plan, settle, unpack
from busfn.errors import DeserializationError, InvalidError
from busfn.refs import Source


def script(folder: Path, name: str = "app.py") -> Source:
    (folder / name).write_text("x = 1\n")
    return Source(kind="script", target=str(folder / name), directory=str(folder))


def names(*sources: Source) -> list[str]:
    return [member.name for member in plan(sources).members]


def test_a_script_brings_its_folder_but_not_what_is_never_wanted(tmp_path):
    source = script(tmp_path)
    for name in ("helper.py", "data/t.txt", ".env", "__pycache__/a.pyc", "venv/pyvenv.cfg", "venv/lib.py", "x.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert names(source) == ["app.py", "data/t.txt", "helper.py"]
    (tmp_path / ".busfnignore").write_text("# secret\ndata\nhelp*.py\n")
    assert names(source) == ["app.py"]


def test_a_module_brings_its_package_only(tmp_path):
    for name in ("pkg/__init__.py", "pkg/sub/__init__.py", "pkg/sub/m.py", "other.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    source = Source(kind="module", target="pkg.sub.m", directory=str(tmp_path))
    assert names(source) == ["pkg/__init__.py", "pkg/sub/__init__.py", "pkg/sub/m.py"]
    assert names(Source(kind="module", target="other", directory=str(tmp_path))) == ["other.py"]


def test_code_of_several_folders_stays_apart(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = script(tmp_path / "a", "one.py"), script(tmp_path / "b", "two.py")
    made = plan([one, two])
    assert [member.name for member in made.members] == ["r0/one.py", "r1/two.py"]
    root = unpack(pack(made.members), tmp_path / "cache")
    for source in (one, two):
        settled = settle(made.placed[source], root)
        assert Path(settled.target).read_text() == "x = 1\n"
        assert settled.directory == os.path.dirname(settled.target)


def test_installed_packages_stay_where_they_are(tmp_path):
    installed = Source(kind="module", target="somewhere.tasks", directory=sysconfig.get_paths()["purelib"])
    made = plan([script(tmp_path), installed])
    assert [member.name for member in made.members] == ["app.py"]
    assert settle(made.placed[installed], tmp_path) == Source(kind="module", target="somewhere.tasks", directory="")


def test_the_same_files_give_the_same_archive(tmp_path):
    source = script(tmp_path)
    first = pack(plan([source]).members)
    os.utime(tmp_path / "app.py", (1, 1))
    assert pack(plan([source]).members) == first
    (tmp_path / "app.py").write_text("x = 2\n")
    assert pack(plan([source]).members) != first


def test_unpacking_twice_is_harmless_and_keeps_modes(tmp_path):
    source = script(tmp_path)
    (tmp_path / "run.sh").write_text("")
    (tmp_path / "run.sh").chmod(0o755)
    archive = pack(plan([source]).members)
    first = unpack(archive, tmp_path / "cache")
    assert unpack(archive, tmp_path / "cache") == first
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [first.name]
    assert os.access(first / "run.sh", os.X_OK)
    assert not os.access(first / "app.py", os.X_OK)


@pytest.mark.parametrize("name", ["../evil.py", "/evil.py", "a/../../evil.py", "a\\evil.py"])
def test_an_archive_cannot_write_elsewhere(tmp_path, name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), "x")
    with pytest.raises(DeserializationError, match="must not hold"):
        unpack(buffer.getvalue(), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    with pytest.raises(DeserializationError, match="cannot be read"):
        unpack(b"no zip", tmp_path / "cache")


def test_too_much_code_is_an_error_with_advice(tmp_path, monkeypatch):
    source = script(tmp_path)
    monkeypatch.setattr(bundle, "MOST_BYTES", 3)
    with pytest.raises(InvalidError, match="busfnignore"):
        plan([source])
    monkeypatch.setattr(bundle, "MOST_FILES", 0)
    with pytest.raises(InvalidError, match="more than 0 files"):
        plan([source])
