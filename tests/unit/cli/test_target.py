"""Which of a module's functions and entrypoints a reference means."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import busfn
from busfn.errors import InvalidError
from busfn_cli.target import Target, choose


def f() -> None: ...


def g() -> None: ...


def h() -> None: ...


def main() -> None: ...


def other() -> None: ...


Namespace = dict[str, Any]


def module(app: busfn.App, *, functions: tuple[Any, ...] = (), entrypoints: tuple[Any, ...] = ()) -> Namespace:
    """A module's namespace after ``app`` has decorated these, with other things in it."""
    names: Namespace = {"app": app, "__name__": "module", "busfn": busfn, "SimpleNamespace": SimpleNamespace, "x": 1}
    names |= {raw.__name__: app.function()(raw) for raw in functions}
    return names | {raw.__name__: app.local_entrypoint()(raw) for raw in entrypoints}


def chosen(namespace: Namespace, object_path: str = "") -> str:
    return choose(namespace, object_path, "a.py").name


def refusal(namespace: Namespace, object_path: str = "") -> str:
    with pytest.raises(InvalidError) as caught:
        choose(namespace, object_path, "a.py")
    return str(caught.value)


@pytest.fixture
def app() -> busfn.App:
    return busfn.App("first")


# Without a name


def test_one_entrypoint_wins_over_any_number_of_functions(app):
    names = module(app, functions=(f, g), entrypoints=(main,))
    assert choose(names, "", "a.py") == Target("main", app, names["main"])


def test_two_entrypoints_are_ambiguous_even_beside_one_function(app):
    message = refusal(module(app, functions=(f,), entrypoints=(main, other)))
    assert message == (
        "there are several things to run in a.py. Say which one, for example\n"
        "  busfn run a.py::main\nThere is:\n  main\n  other"
    )


def test_without_entrypoints_the_only_function_is_run(app):
    assert chosen(module(app, functions=(f,))) == "f"


def test_without_entrypoints_several_functions_are_ambiguous(app):
    assert refusal(module(app, functions=(f, g))).endswith("There is:\n  f\n  g")


def test_a_function_under_two_names_is_still_one(app):
    names = module(app, functions=(f,))
    names["alias"] = names["f"]
    assert chosen(names) == "f"
    assert chosen(names, "alias") == "alias"


def test_module_names_win_over_what_only_the_app_knows(app):
    app.local_entrypoint()(main)
    app.function()(g)
    assert chosen(module(app, functions=(f,))) == "f"


def test_what_only_the_app_knows_is_run_when_there_is_nothing_else(app):
    app.function()(f)
    assert chosen({"app": app}) == "app.f"
    app.function()(g)
    assert refusal({"app": app}).endswith("There is:\n  app.f\n  app.g")
    app.local_entrypoint()(main)
    assert chosen({"app": app}) == "app.main"
    app.local_entrypoint()(other)
    assert refusal({"app": app}).endswith("There is:\n  app.main\n  app.other")


def test_included_functions_lose_to_one_defined_here(app):
    elsewhere = busfn.App("second")
    elsewhere.function()(f)
    elsewhere.function()(g)
    app.include(elsewhere)
    assert chosen(module(app, functions=(h,))) == "h"
    assert chosen({"app": app}, "app.f") == "app.f"


def test_an_imported_function_is_a_candidate_like_any_other(app):
    imported = busfn.App("second").function()(g)
    assert choose({"g": imported}, "", "a.py") == Target("g", imported.app, imported)
    assert refusal({**module(app, functions=(f,)), "g": imported}).endswith("There is:\n  f\n  g")


def test_handles_that_were_looked_up_are_no_candidates(app):
    looked_up = busfn.Function.from_name("second", "g")
    assert chosen({"g": looked_up, **module(app, functions=(f,))}) == "f"
    assert "nothing called 'g'" in refusal({"g": looked_up, **module(app, functions=(f,))}, "g")
    assert refusal({"g": looked_up}).startswith("a.py has no busfn.App")


# With a name


def test_a_name_means_what_the_module_calls_so(app):
    names = module(app, functions=(f, g), entrypoints=(main, other))
    assert [chosen(names, name) for name in ("f", "g", "main", "other")] == ["f", "g", "main", "other"]


def test_the_app_and_a_name_mean_its_function(app):
    names = module(app, functions=(f, g), entrypoints=(main,))
    assert choose(names, "app.g", "a.py") == Target("app.g", app, names["g"])
    assert choose(names, "app.main", "a.py") == Target("app.main", app, names["main"])


def test_another_name_given_to_a_function_is_known_to_the_app_only(app):
    names = {"app": app, "f": app.function(name="given")(f)}
    assert chosen(names, "f") == "f"
    assert chosen(names, "app.given") == "app.given"
    assert "nothing called 'given'" in refusal(names, "given")
    assert "nothing called 'app.f'" in refusal(names, "app.f")


def test_an_app_as_a_name_keeps_what_is_its_own(app):
    second = busfn.App("second")
    second.function()(g)
    names = {**module(app, functions=(f,), entrypoints=(main,)), "second_app": second}
    assert chosen(names, "app") == "app.main"
    assert chosen(names, "second_app") == "second_app.g"


def test_an_app_as_a_name_with_several_functions_is_ambiguous(app):
    message = refusal(module(app, functions=(f, g)), "app")
    assert message.startswith("'app' means several things in a.py.")
    assert "busfn run a.py::app.f\n" in message


def test_an_app_is_named_as_the_module_calls_it(app):
    assert "nothing called 'first.f'" in refusal(module(app, functions=(f,)), "first.f")


def test_a_part_of_a_name_is_not_the_name(app):
    app.function(name="app_x")(g)
    assert "nothing called 'ap'" in refusal(module(app, functions=(f,)), "ap")


def test_an_entrypoint_and_a_function_of_one_name_are_both_seen(app):
    app.function(name="main")(f)
    app.local_entrypoint()(main)
    assert choose({"app": app}, "app.main", "a.py").what is app.entrypoints["main"]


# Nothing to run


def test_a_typo_gets_a_proposal_and_the_list(app):
    message = refusal(module(app, functions=(f,), entrypoints=(other,)), "othre")
    assert message == (
        "a.py has nothing called 'othre'. Did you mean 'other'?\nThere is:\n  other\n  f\n  app.other\n  app.f"
    )


def test_a_name_like_no_other_gets_the_list_only(app):
    message = refusal(module(app, functions=(f,)), "zzzzzz")
    assert message == "a.py has nothing called 'zzzzzz'.\nThere is:\n  f\n  app.f"


def test_a_module_without_an_app_gets_advice():
    assert refusal({"x": 1}).startswith("a.py has no busfn.App: make one with `app = busfn.App('name')`")


def test_an_app_without_functions_is_told_apart_from_no_app(app):
    assert refusal({"app": app}) == "a.py has an app, but no function or local entrypoint"
