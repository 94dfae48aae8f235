"""Which functions may be registered, what they are called, and where a worker finds their registration."""

from __future__ import annotations

import functools
import operator
import sys
import types

import pytest

import busfn
from busfn.errors import InvalidError
from busfn.refs import PICKLE
from busfn.serialized import modules, restore
from busfn.sources import sign_code, signed, source_of, specs


class Counter:
    def __init__(self, start: int = 0) -> None:
        self.start = start

    def add(self, x: int) -> int:
        return self.start + x

    @staticmethod
    def twice(x: int) -> int:
        return 2 * x

    @classmethod
    def made(cls, x: int) -> int:
        return x


def plain(x: int) -> int:
    return x


def refusal(raw: object, **options: object) -> str:
    with pytest.raises(InvalidError) as caught:
        busfn.App("a").function(**options)(raw)  # type: ignore[arg-type]
    return str(caught.value)


def test_a_plain_method_is_refused_with_its_alternative() -> None:
    assert "Counter.add is a method" in refusal(Counter.add)
    assert "app.function(name='add')(Counter().add)" in refusal(Counter.add, name="x")
    for text in ("@app.function()\n    def m(self): ...", "@app.function()\n    @staticmethod\n    def m(x): ..."):
        with pytest.raises(InvalidError, match=r"C\.m is a method"):
            exec(f"class C:\n    {text}", {"app": busfn.App("a"), "__name__": __name__})


def test_methods_that_need_no_object_are_functions_under_their_own_name() -> None:
    app = busfn.App("a")
    names = [app.function()(raw).name for raw in (Counter(1).add, Counter.twice, Counter.made, len, plain)]
    assert names == ["add", "twice", "made", "len", "plain"]


def test_what_has_no_name_needs_one() -> None:
    assert "name=" in refusal(functools.partial(plain, 1))
    assert "name=" in refusal(operator.itemgetter(1))
    assert "a lambda has no name" in refusal(lambda x: x, serialized=True)
    assert "Counter is a class" in refusal(Counter)
    assert "not int" in refusal(3)
    assert busfn.App("a").function(name="p")(functools.partial(plain, 1)).get_raw_f()() == 1


def test_a_function_inside_another_is_refused_unless_its_code_is_sent() -> None:
    def inner(x: int) -> int:
        return x

    assert "serialized=True" in refusal(inner)
    assert busfn.App("a").function(serialized=True)(inner).name == "inner"
    assert "takes True or False" in refusal(plain, serialized=1)


def test_code_that_no_import_repeats_is_pickled() -> None:
    """A test is a function: importing this module registers nothing."""
    app = busfn.App("a")
    app.function()(plain)
    [spec] = signed(specs(app), b"key")
    assert (spec.source["kind"], spec.origin, app.registered_in) == (PICKLE, "a", {"plain": ""})
    with pytest.raises(InvalidError, match="need a signing key"):
        signed(specs(app), None)


def test_a_module_that_is_being_imported_is_where_its_functions_are_registered(tmp_path) -> None:
    (tmp_path / "helping.py").write_text("def register(app, raw):\n    return app.function()(raw)\n")
    (tmp_path / "using.py").write_text(
        "import busfn, helping\napp = busfn.App('a')\ndef f(x): return x\n"
        "helping.register(app, f)\nexec('app.function(name=\"g\")(f)', {'app': app, 'f': f})\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        import using
    finally:
        sys.path.remove(str(tmp_path))
    assert using.app.registered_in == {"f": "using", "g": "using"}
    assert [spec.source["target"] for spec in specs(using.app)] == [str(tmp_path / "using.py")] * 2


@pytest.mark.parametrize("known", [True, False])
def test_modules_without_a_file_have_no_source(monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    if known:
        monkeypatch.setitem(sys.modules, "made_up", types.ModuleType("made_up"))
    assert source_of("made_up") is None


def test_a_pickle_restores_handles_apps_and_what_they_refer_to() -> None:
    space: dict[str, object] = {"busfn": busfn, "__name__": "nowhere", "plain": plain}
    exec(
        "app, other = busfn.App('a'), busfn.App('b')\n"
        "@app.function()\ndef f(x): return g.local(x) + plain(x)\n"
        "@app.function()\ndef g(x): return x if x else f\n"
        "other.include(app)\n",
        space,
    )
    [spec, _] = specs(space["app"])  # type: ignore[arg-type]
    import base64

    code = base64.b64decode(spec.code)
    function = restore(code, sign_code(code, b"key"), b"key", "a.f")
    assert (function.local(3), function.name, function.served_by) == (6, "f", ["a", "b"])
    assert function.app is not None
    assert function.app.functions["f"] is function
    assert function.app.functions["g"].local(0) is function
    assert __name__ in modules(code)


@pytest.mark.parametrize(("name", "instead"), [("my.app", "my-app"), ("a b/c", "a-b-c"), ("x" * 65, "x" * 64)])
def test_a_name_that_subjects_cannot_hold_is_refused_with_one_that_they_can(name: str, instead: str) -> None:
    with pytest.raises(InvalidError, match="where dots separate parts") as caught:
        busfn.App(name)
    assert str(caught.value).endswith(f"for example {instead!r}")
    assert busfn.App(instead).name == instead
    with pytest.raises(InvalidError, match="is no app name"):
        busfn.App("...")
