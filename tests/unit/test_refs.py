from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.errors import InvalidError
from busfn.refs import Ref, Source, load, parse_ref, resolve

identifiers = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
object_paths = st.lists(identifiers, max_size=3).map(".".join)


@pytest.fixture
def workdir(tmp_path: Path) -> Iterator[Path]:
    """A folder to import from; what was imported is forgotten after the test."""
    path, modules = list(sys.path), dict(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    sys.modules.update(modules)


def script(folder: Path, name: str, text: str = "") -> Source:
    (folder / name).write_text(text)
    return resolve(parse_ref(name, module=False), str(folder))


def refusal(text: str, *, module: bool = False) -> str:
    with pytest.raises(InvalidError) as caught:
        parse_ref(text, module=module)
    return str(caught.value)


# Parsing


@given(st.lists(identifiers, min_size=1, max_size=3), object_paths)
def test_a_script_reference_is_a_file_and_an_object(folders, object_path):
    path = "/".join(folders) + ".py"
    assert parse_ref(f"{path}::{object_path}", module=False) == Ref(path, object_path, False)
    assert parse_ref(path, module=False) == Ref(path, "", False)


@given(
    st.lists(identifiers, min_size=1, max_size=3).map(".".join).filter(lambda n: not n.endswith(".py")), object_paths
)
def test_a_module_reference_is_a_dotted_name_and_an_object(name, object_path):
    assert parse_ref(f"{name}::{object_path}", module=True) == Ref(name, object_path, True)
    assert parse_ref(name, module=True) == Ref(name, "", True)


@pytest.mark.parametrize("name", ["01_start.hello", "my-pkg.mod", "1st", "größe.f", "class.if"])
def test_numbered_module_and_whatever_else_python_imports_by_name(name):
    assert parse_ref(f"{name}::f", module=True) == Ref(name, "f", True)


@pytest.mark.parametrize(("text", "module"), [("app.py:f", False), ("pkg.mod:f", True)])
def test_a_single_colon_gets_advice(text, module):
    assert refusal(text, module=module) == f"{text!r} is no reference. Did you mean '::' instead of ':'?"


@pytest.mark.parametrize("text", ["app.py", "app.py::f", "pkg/mod", "pkg/app.py::f"])
def test_a_file_is_no_module(text):
    path = text.partition("::")[0]
    assert refusal(text, module=True) == f"`-m` takes a dotted module name, not the file {path!r}; leave out `-m`"


@pytest.mark.parametrize("text", ["", "::f", ".pkg", "pkg.", "pkg..mod::f", "pkg mod"])
def test_what_python_cannot_import_is_no_module_name(text):
    path = text.partition("::")[0]
    assert refusal(text, module=True) == f"{path!r} is no module name: write it as package.module"


@pytest.mark.parametrize("text", ["pkg.mod::f", "mod"])
def test_a_module_without_the_flag_gets_advice(text):
    path = text.partition("::")[0]
    assert refusal(text) == f"{path!r} is not a Python file. For a Python module write `-m {text}`."


@pytest.mark.parametrize("text", ["app.txt/x", "dir/app", "", "::f", "my-app"])
def test_what_is_neither_file_nor_module_is_refused_without_advice(text):
    assert refusal(text) == f"{text.partition('::')[0]!r} is not a Python file."


def test_a_script_name_with_dots_is_refused_but_not_a_folder_with_dots():
    assert "'v1.2/app.main.py': a script's file name cannot contain further dots" in refusal("v1.2/app.main.py::f")
    assert parse_ref("v1.2/app.py::f", module=False).path == "v1.2/app.py"


# Resolving


def test_a_script_is_found_from_the_working_directory(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "app.py").touch()
    found = resolve(Ref("sub/../sub/app.py", "f", False), str(tmp_path))
    assert found == Source(kind="script", target=f"{tmp_path}/sub/app.py", directory=f"{tmp_path}/sub")


def test_an_absolute_path_is_taken_as_it_is(tmp_path):
    (tmp_path / "app.py").touch()
    assert resolve(Ref(f"{tmp_path}/app.py", "", False), "/").directory == str(tmp_path)


def test_a_module_is_looked_for_in_the_working_directory():
    assert resolve(Ref("pkg.mod", "f", True), "/here") == Source(kind="module", target="pkg.mod", directory="/here")


def test_a_missing_script_gets_the_closest_name(tmp_path):
    (tmp_path / "worker.py").touch()
    (tmp_path / "worker.txt").touch()
    with pytest.raises(InvalidError) as caught:
        resolve(Ref("wroker.py", "", False), str(tmp_path))
    assert str(caught.value) == "there is no file wroker.py; did you mean worker.py?"


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("helo.py", "examples/hello.py"),
        ("hello.py", "examples/hello.py"),
        ("examples/helo.py", "examples/hello.py"),
        ("./examples/helo.py", "./examples/hello.py"),
        ("exmples/hello.py", "examples/hello.py"),
        ("wroker.py", "worker.py"),  # the one at hand, not the one below
        ("examples/../wroker.py", "examples/../worker.py"),
        ("nowhere/worker.py", "worker.py"),
        ("../shop/wroker.py", "../shop/worker.py"),
    ],
)
def test_the_guess_is_what_would_have_to_be_typed(tmp_path, path, meant):
    here = tmp_path / "shop"
    for file in ("worker.py", "examples/hello.py", "examples/worker.py", ".venv/hello.py", "examples/deep/helo.py"):
        (here / file).parent.mkdir(parents=True, exist_ok=True)
        (here / file).touch()
    with pytest.raises(InvalidError) as caught:
        resolve(Ref(path, "", False), str(here))
    assert str(caught.value) == f"there is no file {path}; did you mean {meant}?"
    assert (here / meant).exists()


@pytest.mark.parametrize("path", ["zzz.py", "nowhere/zzz.py", "nothing.py"])
def test_a_missing_script_without_a_similar_one_gets_no_guess(tmp_path, path):
    (tmp_path / "worker.py").touch()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "operating.py").touch()
    with pytest.raises(InvalidError) as caught:
        resolve(Ref(path, "", False), str(tmp_path))
    assert str(caught.value) == f"there is no file {path}"


def test_a_directory_is_no_script(tmp_path):
    (tmp_path / "pkg.py").mkdir()
    with pytest.raises(InvalidError, match=r"pkg\.py is a directory, not a script"):
        resolve(Ref("pkg.py", "", False), str(tmp_path))


@given(st.builds(Source, kind=st.sampled_from(["script", "module"]), target=st.text(), directory=st.text()))
def test_a_source_survives_as_a_dict(source):
    assert Source.from_dict(source.to_dict()) == source


# Importing


def test_a_script_is_imported_under_its_own_name(workdir):
    source = script(workdir, "busfn_script_one.py", "value = __name__, __package__")
    module = load(source)
    assert module.value == ("busfn_script_one", "")
    assert sys.modules["busfn_script_one"] is module
    assert module.__file__ == source.target


def test_a_script_imports_its_neighbours(workdir):
    (workdir / "busfn_neighbour.py").write_text("value = 7")
    module = load(script(workdir, "busfn_script_two.py", "from busfn_neighbour import value"))
    assert module.value == 7
    assert sys.path[0] == str(workdir)


def test_loading_twice_runs_the_code_once_and_adds_one_path(workdir):
    source = script(workdir, "busfn_script_three.py", "import sys\nvalue = object()")
    before = len(sys.path)
    assert load(source) is load(source)
    assert len(sys.path) == before + 1


def test_a_script_with_a_hyphen_is_imported(workdir):
    assert load(script(workdir, "busfn-hyphen.py", "value = 3")).value == 3


def test_a_module_is_imported_from_its_directory(workdir):
    (workdir / "busfn_pkg").mkdir()
    (workdir / "busfn_pkg" / "__init__.py").touch()
    (workdir / "busfn_pkg" / "other.py").write_text("value = 5")
    (workdir / "busfn_pkg" / "mod.py").write_text("from .other import value")
    source = resolve(parse_ref("busfn_pkg.mod", module=True), str(workdir))
    module = load(source)
    assert (module.value, module.__name__) == (5, "busfn_pkg.mod")
    assert load(source) is module


def test_a_missing_module_is_an_error_with_the_place_searched(workdir):
    for name in ("busfn_nothing", "busfn_nothing.at.all", "json.nothing"):
        with pytest.raises(InvalidError) as caught:
            load(Source(kind="module", target=name, directory=str(workdir)))
        assert str(caught.value) == f"there is no module {name!r} (looked in {workdir} and the environment)"


def test_a_missing_dependency_of_a_module_is_not_taken_for_the_module(workdir):
    (workdir / "busfn_needy.py").write_text("import busfn_not_installed")
    with pytest.raises(ModuleNotFoundError, match="busfn_not_installed"):
        load(Source(kind="module", target="busfn_needy", directory=str(workdir)))


@pytest.mark.parametrize("name", ["json", "time", "sys", "antigravity", "busfn", "__main__"])
def test_a_script_may_not_have_the_name_of_another_module(workdir, name):
    known = sys.modules.get(name)
    source = script(workdir, f"{name}.py")
    with pytest.raises(InvalidError) as caught:
        load(source)
    expected = f"{source.target}: the name {name!r} belongs to another module here; rename the script"
    assert str(caught.value) == expected
    assert sys.modules.get(name) is known


def test_two_scripts_of_one_name_clash(workdir):
    for folder in ("one", "two"):
        (workdir / folder).mkdir()
    first = load(script(workdir / "one", "busfn_twin.py", "value = 1"))
    with pytest.raises(InvalidError, match="belongs to another module"):
        load(script(workdir / "two", "busfn_twin.py", "value = 2"))
    assert sys.modules["busfn_twin"] is first


@pytest.mark.parametrize("error", ["ValueError('boom')", "SystemExit(3)", "KeyboardInterrupt()"])
def test_what_an_import_raises_passes_through_and_leaves_no_half_module(workdir, error):
    source = script(workdir, "busfn_broken.py", f"raise {error}")
    with pytest.raises((ValueError, SystemExit, KeyboardInterrupt)) as caught:
        load(source)
    assert repr(caught.value) == repr(eval(error))
    assert "busfn_broken" not in sys.modules
    Path(source.target).write_text("value = 'mended, and longer than before'")
    assert load(source).value.startswith("mended")


def test_a_relative_import_in_a_script_gets_a_note(workdir):
    (workdir / "shop").mkdir()
    source = script(workdir / "shop", "busfn_relative.py", "from .orders import f")
    with pytest.raises(ImportError) as caught:
        load(source)
    assert caught.value.__notes__ == [
        "A script has no package. From shop's parent folder run: busfn run -m shop.busfn_relative"
    ]


def test_other_import_errors_get_no_note(workdir):
    with pytest.raises(ImportError) as caught:
        load(script(workdir, "busfn_plain_error.py", "from json import nothing_there"))
    assert not hasattr(caught.value, "__notes__")
