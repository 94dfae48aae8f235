from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.errors import InvalidError, ProtocolError
from busfn.protocol.names import validate_function_name, validate_name
from busfn.protocol.subjects import Address, Subjects

names = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
functions = st.one_of(names, st.tuples(names, names).map(".".join))
calls = st.from_regex(r"[0-9a-f]{32}", fullmatch=True)
indexes = st.integers(0, 10**9)

NO_NAMES = ["", "a.b", "a b", "a*", ">", "ä", "a" * 65, "a\n", "a/b", None, 7, b"a"]


@given(names, names, functions)
def test_subjects_of_a_function_are_taken_apart_again(env, app, function):
    subjects = Subjects(env)
    made = {
        "fn": subjects.function(app, function),
        "ovf": subjects.overflow(app, function),
        "ctl": subjects.control(app, function),
    }
    for kind, subject in made.items():
        assert subjects.parse(subject) == Address(kind, app, function, ())


@given(names, names, functions, calls, indexes)
def test_subjects_of_a_call_are_taken_apart_again(env, app, function, call, index):
    subjects = Subjects(env)
    assert subjects.parse(subjects.job(app, function, call)) == Address("job", app, function, (call,))
    assert subjects.parse(subjects.delayed(app, function, call, index)) == Address(
        "delayed", app, function, (call, str(index))
    )
    assert subjects.parse(subjects.delayed_overflow(app, function, index)) == Address(
        "ovf", app, function, (str(index),)
    )
    assert subjects.parse(subjects.log(app, function, call)) == Address("log", app, function, (call,))
    assert subjects.parse(subjects.dead(app, function, call, index)) == Address(
        "dead", app, function, (call, str(index))
    )
    assert subjects.parse(subjects.result(app, function, call, index)) == Address(
        "res", app, function, (call, str(index))
    )
    assert subjects.parse(subjects.cancelled(app, function, call)) == Address("res", app, function, (call, "cancelled"))
    assert subjects.parse(subjects.withdrawn(app, function, call)).function == function
    child = subjects.parse(subjects.child(app, function, call, index, f"{app}.{function}.{call}"))
    whole = f"{app}.{function}.{call}".replace(".", "=")
    assert child == Address("res", app, function, (call, "child", str(index), whole))


def test_a_wake_has_the_tokens_of_the_job_it_announces():
    assert Subjects().parse("busfn.main.wake.shop.Cart.add.c1") == Address("wake", "shop", "Cart.add", ("c1",))


def test_a_method_is_two_tokens():
    assert Subjects().function("shop", "Cart.add") == "busfn.main.fn.shop.Cart.add"
    assert Subjects().parse("busfn.main.fn.shop.Cart.add").function == "Cart.add"


def test_the_patterns_say_what_they_cover():
    subjects = Subjects("dev")
    assert subjects.jobs("shop", "Cart.add") == "busfn.dev.job.shop.Cart.add.*"
    assert subjects.logs("shop") == "busfn.dev.log.shop.>"
    assert subjects.wakes("shop", "Cart.add") == ("busfn.dev.wake.shop.Cart.add", "busfn.dev.wake.shop.Cart.add.*")
    assert subjects.all_of("job") == "busfn.dev.job.>"
    assert subjects.blob_prefix == "busfn.dev.blob"
    assert subjects.table == "BUSFN_dev_APPS"
    assert subjects.report("*") == "busfn.dev.hb.*"
    assert subjects.command("all") == "busfn.dev.host.all"
    assert subjects.question("stats", "shop") == "busfn.dev.ask.stats.shop"
    assert subjects.stream("JOBS") == "BUSFN_dev_JOBS"


@given(st.tuples(names, functions), st.tuples(names, functions))
def test_consumers_of_different_functions_have_different_names(one, other):
    subjects = Subjects()
    assert (subjects.consumer(*one) == subjects.consumer(*other)) == (one == other)
    assert "." not in subjects.consumer(*one)


def test_dots_and_dashes_do_not_make_consumers_collide():
    subjects = Subjects()
    made = [subjects.consumer(*pair) for pair in [("a", "b.c"), ("a", "b-c"), ("a", "b_c"), ("a-b", "c"), ("a", "bc")]]
    assert len(set(made)) == len(made)


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "busfn",
        "busfn.main",
        "busfn.main.fn",
        "busfn.main.fn.app",
        "other.main.fn.app.f",
        "busfn.dev.fn.app.f",
        "busfn.main.nope.app.f",
        "busfn.main.fn.app.a.b.c",
        "busfn.main.job.app.f",
        "busfn.main.job.app.a.b.c.d",
        "busfn.main.dead.app.f.call",
        "busfn.main.dead.app.f",
    ],
)
def test_other_subjects_are_refused(subject):
    with pytest.raises(ProtocolError):
        Subjects().parse(subject)


@given(st.text(alphabet="ab.*> \r\n", max_size=40))
def test_parsing_any_text_succeeds_or_is_a_protocol_error(text):
    try:
        address = Subjects().parse("busfn.main." + text)
    except ProtocolError:
        return
    assert address.kind == text.split(".")[0]


@given(names)
def test_a_good_name_is_returned_as_it_is(name):
    assert validate_name(name, "app") == name
    assert validate_function_name(name) == name
    assert Subjects(name).env == name


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_bad_name_is_refused_with_what_it_should_be(name):
    with pytest.raises(InvalidError, match="is no app name"):
        validate_name(name, "app")


@pytest.mark.parametrize("env", NO_NAMES)
def test_a_bad_environment_is_refused(env):
    with pytest.raises(InvalidError, match="is no environment name"):
        Subjects(env)


@given(names, names)
def test_a_function_may_be_a_class_and_a_method(cls, method):
    assert validate_function_name(f"{cls}.{method}") == f"{cls}.{method}"


@pytest.mark.parametrize("name", ["a.b.c", ".a", "a.", ".", "", "a.b*", "a b", "f\n", None, 3])
def test_a_bad_function_name_is_refused(name):
    with pytest.raises(InvalidError, match="is no function name"):
        validate_function_name(name)
