from __future__ import annotations

import collections
import dataclasses
import importlib
import os
import pickle
import sys
import types
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.errors import DeserializationError, ProtocolError, SerializationError
from busfn.protocol.codecs import JSON, MSGPACK, PICKLE, Codecs, Payload
from busfn.protocol.codecs.pickle import dumps, find, loads

KEY = b"k" * 32
SIGNED, UNSIGNED, OTHER = Codecs(KEY), Codecs(), Codecs(b"o" * 32)


@dataclasses.dataclass(frozen=True)
class Box:
    item: object


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class Unpicklable:
    def __reduce__(self):
        raise RuntimeError("not me")


def test_plain_data_goes_as_msgpack_without_a_signature():
    payload = SIGNED.encode({"a": (1, {2})}, scope="s")
    assert (payload.content_type, payload.signature) == (MSGPACK, "")
    assert UNSIGNED.decode(payload, scope="any other") == {"a": (1, {2})}


def test_a_pickle_in_two_parts_is_verified_as_the_whole():
    payload = SIGNED.encode(Box(b"x" * 100), scope="s")
    apart = dataclasses.replace(payload, body=payload.body[:50], end=payload.body[50:])
    assert SIGNED.decode(apart, scope="s") == Box(b"x" * 100)
    with pytest.raises(ProtocolError, match="wrong signature"):
        SIGNED.decode(dataclasses.replace(apart, end=payload.body[50:].replace(b"x", b"y")), scope="s")
    with pytest.raises(ProtocolError, match="wrong signature"):
        SIGNED.decode(dataclasses.replace(payload, end=b"more"), scope="s")


@pytest.mark.parametrize(
    "value",
    [Box(1), [Box([Box(2)])], collections.OrderedDict(a=1), bytearray(b"x"), range(3), collections.Counter("aab")],
    ids=lambda value: type(value).__name__,
)
def test_the_rest_goes_as_a_signed_pickle(value):
    payload = SIGNED.encode(value, scope="s")
    assert payload.content_type == PICKLE
    assert len(payload.signature) == 64
    back = SIGNED.decode(payload, scope="s")
    assert back == value
    assert type(back) is type(value)


def test_functions_made_on_the_spot_travel_too():
    payload = SIGNED.encode(lambda x: x + 1, scope="s")
    assert SIGNED.decode(payload, scope="s")(2) == 3


def test_a_circle_is_left_to_pickle():
    circle: list[object] = []
    circle.append(circle)
    back = SIGNED.decode(SIGNED.encode(circle, scope="s"), scope="s")
    assert back[0] is back


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (Box(1), "args"),
        ([1, Box(1)], r"args\[1\]"),
        ([0, {"items": [1, 2, 3, Box(1)]}], r"args\[1\]\['items'\]\[3\]"),
    ],
)
def test_without_a_key_the_error_names_the_path_and_the_way_out(value, path):
    with pytest.raises(SerializationError, match=rf"^{path} is a Box, which is not plain data.*BUSFN_SIGNING_KEY"):
        UNSIGNED.encode(value, scope="s", what="args")


def test_a_value_that_cannot_be_pickled_is_named_too():
    with pytest.raises(SerializationError, match=r"^result\[0\] \(Unpicklable\) cannot be pickled: not me"):
        SIGNED.encode([Unpicklable()], scope="s", what="result")


def test_the_key_is_not_shown():
    assert "kkk" not in repr(SIGNED)


def test_json_is_used_when_asked_for():
    payload = SIGNED.encode({"a": Box(1)}, scope="s", accept=JSON)
    assert (payload.content_type, payload.body) == (JSON, b'{"a": {"item": 1}}')


def test_a_caller_that_asks_for_msgpack_gets_no_pickle():
    assert SIGNED.encode([1], scope="s", accept=MSGPACK).content_type == MSGPACK
    assert SIGNED.encode([Box(1)], scope="s", accept=MSGPACK).content_type == MSGPACK
    with pytest.raises(SerializationError, match=r"^result\[0\] cannot be sent as msgpack"):
        SIGNED.encode([object()], scope="s", what="result", accept=MSGPACK)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/octet-stream", "x" * 5000])
def test_other_content_types_are_refused(kind):
    with pytest.raises(ProtocolError, match="is not supported") as caught:
        SIGNED.decode(Payload(content_type=kind, body=b"x"), scope="s")
    assert len(str(caught.value)) < 300


# Nothing untrusted is unpickled


def refused(codecs: Codecs, payload: Payload, scope: str) -> str:
    with pytest.raises(ProtocolError) as caught:
        codecs.decode(payload, scope=scope)
    return str(caught.value)


def test_the_bait_bites_when_the_signature_is_right(tmp_path):
    # else the tests below would prove nothing
    SIGNED.decode(SIGNED.encode(Touch(tmp_path / "x"), scope="s"), scope="s")
    assert (tmp_path / "x").exists()


def test_without_a_signature_nothing_is_unpickled(tmp_path):
    body = pickle.dumps(Touch(tmp_path / "x"))
    text = refused(SIGNED, Payload(content_type=PICKLE, body=body), "s")
    assert "without a signature" in text
    assert not (tmp_path / "x").exists()


def test_without_a_key_nothing_is_unpickled(tmp_path):
    payload = SIGNED.encode(Touch(tmp_path / "x"), scope="s")
    assert "without a signing key" in refused(UNSIGNED, payload, "s")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("signature", ["0" * 64, "", "x", "\ud800", "é" * 64, "0" * 100_000])
def test_with_a_wrong_signature_nothing_is_unpickled(tmp_path, signature):
    payload = SIGNED.encode(Touch(tmp_path / "x"), scope="s")
    wrong = Payload(content_type=PICKLE, body=payload.body, signature=signature)
    refused(SIGNED, wrong, "s")
    assert not (tmp_path / "x").exists()


def test_with_another_key_nothing_is_unpickled(tmp_path):
    payload = OTHER.encode(Touch(tmp_path / "x"), scope="s")
    assert "wrong signature" in refused(SIGNED, payload, "s")
    assert not (tmp_path / "x").exists()


def test_with_an_empty_signature_of_an_empty_key_nothing_is_unpickled(tmp_path):
    payload = Codecs(b"").encode(Touch(tmp_path / "x"), scope="s")
    refused(SIGNED, payload, "s")
    refused(UNSIGNED, payload, "s")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("signed", "read"),
    [
        ("call app.f c1 0", "call app.g c1 0"),
        ("call app.f c1 0", "call app.f c2 0"),
        ("call app.f c1 0", "call app.f c1 1"),
        ("call app.f c1 0", "answer c1 0"),
        ("s", ""),
        ("s", "s "),
    ],
)
def test_a_pickle_for_another_message_is_not_unpickled(tmp_path, signed, read):
    payload = SIGNED.encode(Touch(tmp_path / "x"), scope=signed)
    assert "wrong signature" in refused(SIGNED, payload, read)
    assert not (tmp_path / "x").exists()


def test_bytes_cannot_be_shifted_between_scope_and_body():
    payload = SIGNED.encode(Box(1), scope="sab")
    shifted = Payload(content_type=PICKLE, body=b"b" + payload.body, signature=payload.signature)
    refused(SIGNED, shifted, "sa")


@given(st.data())
def test_a_changed_body_is_not_unpickled(data):
    payload = SIGNED.encode(Box("x" * 20), scope="s")
    place = data.draw(st.integers(0, len(payload.body) - 1))
    changed = bytearray(payload.body)
    changed[place] ^= data.draw(st.integers(1, 255))
    assert "wrong signature" in refused(
        SIGNED, Payload(content_type=PICKLE, body=bytes(changed), signature=payload.signature), "s"
    )


def test_a_scope_that_is_no_unicode_is_refused_like_any_other():
    payload = SIGNED.encode(Box(1), scope="answer a 0")
    refused(SIGNED, payload, "answer \ud800 0")


def test_a_pickle_that_calls_itself_msgpack_is_not_unpickled(tmp_path):
    body = pickle.dumps(Touch(tmp_path / "x"))
    for kind in (MSGPACK, JSON, "application/x-pickle"):
        refused(SIGNED, Payload(content_type=kind, body=body), "s")
    assert not (tmp_path / "x").exists()


# Pickles that cannot be read here


def test_a_missing_module_is_named():
    module = types.ModuleType("busfn_gone")
    module.Box = type("Box", (), {"__module__": "busfn_gone"})
    sys.modules["busfn_gone"] = module
    try:
        body = pickle.dumps(module.Box())
    finally:
        del sys.modules["busfn_gone"]
    with pytest.raises(DeserializationError, match="'busfn_gone', and that module is not available in the local env"):
        loads(body)


@pytest.mark.parametrize("body", [b"", b"x", b"\x80\x05.", pickle.dumps(1)[:-1], b"cbuiltins\nno_such\n."])
def test_a_broken_pickle_is_a_deserialization_error(body):
    with pytest.raises(DeserializationError, match="could not be unpickled"):
        loads(body)


def test_objects_of_the_running_script_go_by_the_name_workers_import_it_under(monkeypatch):
    script = types.ModuleType("__main__")
    exec("class Own:\n    class Inner: pass\ndef double(x): return 2 * x", script.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", script)
    bodies = [dumps(value, "hello") for value in (script.Own, script.Own.Inner, script.double, script.Own())]
    imported = types.ModuleType("hello")
    exec("class Own:\n    class Inner: pass\ndef double(x): return 2 * x", imported.__dict__)
    monkeypatch.setitem(sys.modules, "hello", imported)
    own, inner, double, instance = map(loads, bodies)
    assert (own, inner, double) == (imported.Own, imported.Own.Inner, imported.double)
    assert type(instance) is imported.Own


def test_without_a_name_for_it_the_running_script_goes_by_value(monkeypatch):
    script = types.ModuleType("__main__")
    exec("def double(x): return 2 * x", script.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", script)
    body = dumps(script.double)
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    assert loads(body)(4) == 8


def test_find_walks_into_classes():
    assert find("collections", "OrderedDict.fromkeys") == importlib.import_module("collections").OrderedDict.fromkeys
