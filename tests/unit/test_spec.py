from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import json
import math
from types import MappingProxyType

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.errors import InvalidError, ProtocolError
from busfn.spec import CLOUD_OPTIONS, FunctionOptions, FunctionSpec, Options, Retries, Scaling, Start

seconds = st.one_of(st.integers(1, 10**6), st.floats(1e-3, 1e6))
texts = st.text(st.characters(codec="utf-8"), max_size=8)


@st.composite
def scalings(draw):
    least = draw(st.integers(0, 20))
    return Scaling(
        min_containers=least,
        max_containers=draw(st.none() | st.integers(max(least, 1), 100)),
        buffer_containers=draw(st.integers(0, 20)),
        scaledown_window=draw(seconds),
    )


tokens = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
specs = st.builds(
    FunctionSpec,
    app=tokens,
    name=tokens,
    source=st.dictionaries(texts, texts, max_size=3),
    qualname=texts,
    is_generator=st.booleans(),
    timeout=seconds,
    startup_timeout=seconds,
    single_use_containers=st.booleans(),
    env=st.dictionaries(texts, texts, max_size=3),
    scaling=scalings(),
)


def refusal(**options):
    with pytest.raises(InvalidError) as caught:
        Options.parse(options)
    return str(caught.value)


def test_no_options_give_the_defaults():
    options = Options.parse({})
    assert options == Options()
    assert (options.name, options.is_generator, options.timeout, options.startup_timeout) == (None, None, 300.0, None)
    assert (options.single_use_containers, options.env) == (False, {})
    assert options.scaling == Scaling(min_containers=0, max_containers=None, buffer_containers=0, scaledown_window=60.0)


def test_every_option_arrives_where_it_belongs():
    scaling = {"min_containers": 1, "max_containers": 4, "buffer_containers": 2, "scaledown_window": 7}
    rest = {
        "name": "f", "is_generator": True, "timeout": 1, "startup_timeout": 2.5, "single_use_containers": True,
        "env": {"A": "b"},
    }  # fmt: skip
    assert Options.parse({**scaling, **rest}) == Options(scaling=Scaling(**scaling), **rest)


@pytest.mark.parametrize("option", ["timeout", "startup_timeout", "scaledown_window"])
@pytest.mark.parametrize("value", [0, -1, -0.5, math.inf, -math.inf, math.nan])
def test_a_duration_must_be_positive_and_finite(option, value):
    assert refusal(**{option: value}).startswith(f"`{option}` must be more than 0 seconds")


@pytest.mark.parametrize("option", ["timeout", "startup_timeout", "scaledown_window"])
@pytest.mark.parametrize("value", ["5", True, [1], 1j])
def test_a_duration_must_be_a_number(option, value):
    assert refusal(**{option: value}) == f"`{option}` takes a number of seconds, not {value!r}"


@pytest.mark.parametrize("option", ["timeout", "scaledown_window"])
def test_a_duration_cannot_be_switched_off(option):
    assert "number of seconds" in refusal(**{option: None})


def test_a_duration_below_a_second_is_fine():
    assert Options.parse({"timeout": 0.25}).timeout == 0.25


@pytest.mark.parametrize("option", ["min_containers", "buffer_containers", "max_containers"])
@pytest.mark.parametrize("value", ["1", 1.0, True, False])
def test_a_number_of_containers_must_be_whole(option, value):
    assert refusal(**{option: value}) == f"`{option}` takes a whole number, not {value!r}"


@pytest.mark.parametrize(("option", "least"), [("min_containers", 0), ("buffer_containers", 0), ("max_containers", 1)])
def test_a_number_of_containers_has_a_least_value(option, least):
    assert refusal(**{option: least - 1}) == f"`{option}` must be at least {least}, not {least - 1}"
    assert getattr(Options.parse({option: least}).scaling, option) == least


@pytest.mark.parametrize("option", ["min_containers", "buffer_containers"])
def test_only_the_cap_of_containers_may_be_none(option):
    assert "whole number" in refusal(**{option: None})
    assert Options.parse({"max_containers": None}).scaling.max_containers is None


def test_the_least_number_of_containers_may_not_exceed_the_cap():
    assert refusal(min_containers=3, max_containers=2) == "`min_containers` (3) is greater than `max_containers` (2)"
    assert Options.parse({"min_containers": 2, "max_containers": 2}).scaling.min_containers == 2


@pytest.mark.parametrize("option", ["is_generator", "single_use_containers"])
@pytest.mark.parametrize("value", [1, 0, "yes", []])
def test_a_flag_must_be_true_or_false(option, value):
    assert refusal(**{option: value}) == f"`{option}` takes True or False, not {value!r}"


def test_generator_treatment_may_be_left_open_but_single_use_not():
    assert Options.parse({"is_generator": None}).is_generator is None
    assert "True or False" in refusal(single_use_containers=None)


@pytest.mark.parametrize("value", ["A=b", "", [("A", "b")], [], 0, False])
def test_env_must_be_a_mapping(value):
    assert refusal(env=value) == f"`env` takes a mapping of names to texts, not {type(value).__name__}"


@pytest.mark.parametrize("value", [{"A": 1}, {1: "a"}, {"A": b"b"}])
def test_env_maps_texts_to_texts(value):
    assert "`env` maps names to texts" in refusal(env=value)


def test_env_values_that_are_none_are_dropped():
    assert Options.parse({"env": {"A": "b", "C": None}}).env == {"A": "b"}
    assert Options.parse({"env": None}).env == {}


def test_env_is_copied():
    given_env = {"A": "b"}
    options = Options.parse({"env": MappingProxyType(given_env)})
    given_env["A"] = "changed"
    assert options.env == {"A": "b"}


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("timout", "timeout"),
        ("max_container", "max_containers"),
        ("scale_down_window", "scaledown_window"),
        ("is_generater", "is_generator"),
        ("Env", "env"),
    ],
)
def test_a_mistyped_option_gets_a_suggestion(typo, meant):
    assert refusal(**{typo: 1}) == f"unknown option `{typo}`; did you mean `{meant}`?"


def test_an_option_like_no_other_gets_the_list_of_options():
    text = refusal(zzz=1)
    assert text.startswith("unknown option `zzz`; the options are buffer_containers, env, ")
    assert "scaling" not in text


def test_what_groups_options_is_no_option():
    assert "unknown option `scaling`" in refusal(scaling=Scaling())


@pytest.mark.parametrize("option", sorted(CLOUD_OPTIONS))
def test_a_cloud_option_is_explained(option):
    text = refusal(**{option: 1})
    assert text.startswith(f"unknown option `{option}`: ")
    assert "processes of your own machines" in text
    assert "did you mean" not in text


@given(specs)
def test_a_spec_survives_json_and_msgpack(spec):
    data = spec.to_dict()
    assert FunctionSpec.from_dict(json.loads(json.dumps(data))) == spec
    assert FunctionSpec.from_dict(msgpack.unpackb(msgpack.packb(data))) == spec


def test_a_spec_as_a_dict_shares_nothing_with_it():
    spec = FunctionSpec(app="a", name="f", source={"kind": "script"}, qualname="f", env={"A": "b"})
    data = spec.to_dict()
    data["env"]["A"] = data["source"]["kind"] = "changed"
    assert (spec.env, spec.source) == ({"A": "b"}, {"kind": "script"})


@given(specs, st.dictionaries(texts.map("new_".__add__), st.integers(), max_size=3))
def test_fields_of_a_newer_version_are_ignored(spec, news):
    data = spec.to_dict()
    newer = {**data, **news, "scaling": {**data["scaling"], **news}}
    assert FunctionSpec.from_dict(newer) == spec


def test_a_spec_from_elsewhere_is_validated():
    data = FunctionSpec(app="a", name="f", source={}, qualname="f").to_dict()
    data["scaling"]["min_containers"] = -1
    with pytest.raises(ProtocolError, match="min_containers"):
        FunctionSpec.from_dict(data)


def test_the_label_names_app_and_function():
    assert FunctionSpec(app="a", name="C.m", source={}, qualname="C.m").label == "a.C.m"


@pytest.mark.parametrize("target", [0, -1, 1.5, True, "2"])
def test_the_target_is_a_whole_number_of_at_least_one(target):
    with pytest.raises(InvalidError, match="target_inputs"):
        Scaling(target_inputs=target)


MOMENT = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("at", "seconds"),
    [
        (MOMENT, MOMENT.timestamp()),
        (dt.datetime(2026, 1, 31, 12), dt.datetime(2026, 1, 31, 12).timestamp()),
        (dt.date(2026, 1, 31), dt.datetime(2026, 1, 31).timestamp()),
        (MOMENT.timestamp(), MOMENT.timestamp()),
        (int(MOMENT.timestamp()), MOMENT.timestamp()),
    ],
)
def test_a_moment_is_a_datetime_a_date_or_unix_seconds(at, seconds):
    assert Start(at=at).not_before(0.0) == int(seconds * 1000)


@pytest.mark.parametrize(
    "at", ["2026-01-31", True, math.nan, math.inf, dt.time(12), dt.timedelta(1), decimal.Decimal(1), [1], object()]
)
def test_what_is_no_moment_is_named(at):
    with pytest.raises(InvalidError, match=rf"`at` is a datetime, a date or a number .* not {type(at).__name__} "):
        Start(at=at)


def test_a_moment_that_the_clock_cannot_tell_is_too_far_away():
    with pytest.raises(InvalidError, match="`at` is too far away"):
        Start(at=dt.datetime.min)


def test_type_checkers_know_every_option():
    known = {field.name for kind in (Options, Scaling) for field in dataclasses.fields(kind)} - {"scaling"}
    assert FunctionOptions.__annotations__.keys() == known


YEAR = 365 * 86_400.0


@pytest.mark.parametrize("at", [1e9 + YEAR, dt.datetime.fromtimestamp(1e9 + YEAR), 0, 5e8])
def test_a_start_within_a_year_is_taken(at):
    assert Start(at=at).check(1e9).not_before(1e9) >= 0


@pytest.mark.parametrize("at", [1e9 + YEAR + 1, dt.datetime(2400, 1, 1), 1e17])
def test_a_start_more_than_a_year_ahead_is_refused(at):
    with pytest.raises(InvalidError, match="`at` is more than 365 days ahead"):
        Start(at=at).check(1e9)


@pytest.mark.parametrize("name", ["timeout", "startup_timeout", "scaledown_window"])
def test_times_have_a_bound(name):
    assert Options.parse({name: YEAR})
    with pytest.raises(InvalidError, match=f"`{name}` must be more than 0 seconds and at most 365 days"):
        Options.parse({name: YEAR + 1})


def test_retries_have_a_bound():
    Retries(max_retries=1_000_000)
    with pytest.raises(InvalidError, match="`max_retries` must be at most 1000000"):
        Retries(max_retries=1_000_001)
