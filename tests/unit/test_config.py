from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.config import (
    RUNTIME,
    BusAddress,
    Files,
    Settings,
    address_of,
    load_settings,
    read_settings,
    runtime_file,
)
from busfn.errors import InvalidError

SECRET = "hush-hush"
hosts = st.from_regex(r"[a-z][a-z0-9-]{0,10}(\.[a-z]{2,4})?", fullmatch=True)
ports = st.integers(1, 65535)
secrets = st.text(min_size=1, max_size=12)


def percent(text: str) -> str:
    return quote(text, safe="")


def files(**texts) -> Files:
    return Files(**{name: text if isinstance(text, str) else json.dumps(text) for name, text in texts.items()})


# Which address counts

PLACES = ["url", "BUSFN_URL", "NATS_URL", "context", "config", "runtime"]
SOURCES = ["the command line", "BUSFN_URL", "NATS_URL", "the nats context", "the config file", RUNTIME]


@given(st.sets(st.sampled_from(PLACES)))
def test_the_first_place_with_an_address_counts(places):
    environ = {name: f"nats://{name.replace('_', '-')}" for name in ("BUSFN_URL", "NATS_URL") if name in places}
    texts = {name: {"url": f"nats://{name}"} for name in ("context", "runtime") if name in places}
    if "config" in places:
        texts["config"] = 'url = "nats://config"'
    settings = read_settings(environ, files(**texts), url="nats://url" if "url" in places else None)
    winner = next((place for place in PLACES if place in places), None)
    if winner is None:
        assert settings == Settings()
        assert settings.address is None
    else:
        assert settings.address.servers == (f"nats://{winner.lower().replace('_', '-')}:4222",)
        assert settings.source == SOURCES[PLACES.index(winner)]


@pytest.mark.parametrize("name", ["BUSFN_URL", "NATS_URL"])
def test_an_empty_variable_counts_as_unset(name):
    settings = read_settings({name: ""}, files(config='url = "nats://file"'), url="")
    assert settings.source == "the config file"


def test_a_config_file_without_an_address_leaves_it_to_the_next():
    settings = read_settings({}, files(config='env = "x"', runtime={"url": "nats://up"}))
    assert (settings.source, settings.env) == (RUNTIME, "x")


def test_the_environment_name_by_precedence():
    config = files(config='env = "file"')
    assert read_settings({}, Files()).env == "main"
    assert read_settings({}, config).env == "file"
    assert read_settings({"BUSFN_ENV": "variable"}, config).env == "variable"
    assert read_settings({"BUSFN_ENV": "variable"}, config, env="argument").env == "argument"


def test_the_signing_key_by_precedence():
    runtime = {"url": "nats://up", "signing_key": "of up"}
    both = files(config='signing_key = "of file"', runtime=runtime)
    assert read_settings({"BUSFN_SIGNING_KEY": "of variable"}, both).signing_key == b"of variable"
    assert read_settings({}, both).signing_key == b"of file"
    assert read_settings({}, files(runtime=runtime)).signing_key == b"of up"
    assert read_settings({}, Files()).signing_key is None


def test_the_key_of_a_running_stack_is_not_used_on_another_bus():
    runtime = files(runtime={"url": "nats://up", "signing_key": "of up"})
    assert read_settings({"NATS_URL": "nats://elsewhere"}, runtime).signing_key is None


def test_a_credentials_file_goes_with_an_address_from_the_environment_or_the_config_file():
    config = files(config='url = "nats://file"\ncreds = "/file.creds"')
    assert read_settings({}, config).address.creds == "/file.creds"
    assert read_settings({"BUSFN_CREDS": "/own.creds"}, config).address.creds == "/own.creds"
    assert read_settings({"BUSFN_CREDS": "/own.creds", "NATS_URL": "h"}, Files()).address.creds == "/own.creds"
    assert read_settings({"NATS_URL": "h"}, config).address.creds == ""


def test_a_context_of_the_nats_cli_is_read_as_it_is():
    context = {
        "description": "prod", "url": "tls://a:1,tls://b:2", "user": "me", "password": SECRET, "creds": "/c.creds",
        "ca": "/ca.pem", "cert": "/cert.pem", "key": "/key.pem", "inbox_prefix": "_INBOX.me", "nsc": "", "token": "",
    }  # fmt: skip
    assert read_settings({}, files(context=context)).address == BusAddress(
        servers=("tls://a:1", "tls://b:2"), user="me", password=SECRET, creds="/c.creds", tls=True,
        tls_ca="/ca.pem", tls_cert="/cert.pem", tls_key="/key.pem", inbox_prefix="_INBOX.me",
    )  # fmt: skip


@pytest.mark.parametrize("empty", ["", None])
def test_empty_fields_of_a_context_count_as_unset(empty):
    names = ("user", "password", "token", "creds", "ca", "cert", "key", "inbox_prefix", "url")
    assert read_settings({}, files(context=dict.fromkeys(names, empty))).address == BusAddress()


def test_credentials_in_the_url_of_a_context_count_unless_it_has_its_own():
    url = "nats://me:old@host"
    address = read_settings({}, files(context={"url": url})).address
    assert (address.user, address.password) == ("me", "old")
    address = read_settings({}, files(context={"url": url, "user": "you", "password": "new"})).address
    assert (address.user, address.password) == ("you", "new")


# Addresses


@given(hosts, ports)
def test_scheme_and_port_of_a_server_may_be_missing(host, port):
    assert address_of(host).servers == (f"nats://{host}:4222",)
    assert address_of(f"{host}:{port}").servers == (f"nats://{host}:{port}",)
    assert address_of(f"nats://{host}").servers == (f"nats://{host}:4222",)


@given(hosts, ports, secrets, secrets)
def test_user_and_password_are_taken_out_of_the_url(host, port, user, password):
    address = address_of(f"nats://{percent(user)}:{percent(password)}@{host}:{port}")
    assert (address.user, address.password, address.token) == (user, password, "")
    assert address.servers == (f"nats://{host}:{port}",)


@given(hosts, secrets)
def test_a_user_alone_is_a_token(host, token):
    address = address_of(f"nats://{percent(token)}@{host}")
    assert (address.token, address.user, address.password) == (token, "", "")
    assert address.servers == (f"nats://{host}:4222",)


def test_a_user_with_an_empty_password_is_a_user():
    address = address_of("nats://me:@host")
    assert (address.user, address.password, address.token) == ("me", "", "")


@given(st.lists(st.tuples(hosts, ports), min_size=1, max_size=4))
def test_several_servers_are_listed_with_commas(servers):
    address = address_of(" , ".join(f"nats://{host}:{port}" for host, port in servers) + ",")
    assert address.servers == tuple(f"nats://{host}:{port}" for host, port in servers)


def test_credentials_of_one_server_are_those_of_all():
    for url in ("nats://me:pw@a,nats://b", "nats://a,nats://me:pw@b"):
        address = address_of(url)
        assert (address.user, address.password) == ("me", "pw")
        assert address.servers == ("nats://a:4222", "nats://b:4222")


def test_a_token_is_not_mixed_with_the_password_of_another_server():
    address = address_of("nats://me:pw@a,nats://token@b")
    assert (address.token, address.user, address.password) == ("token", "", "")


def test_ipv6_addresses_keep_their_brackets():
    assert address_of("nats://[::1]").servers == ("nats://[::1]:4222",)
    assert address_of("[fe80::1]:5222").servers == ("nats://[fe80::1]:5222",)
    assert address_of("tls://me:pw@[::1]:1").servers == ("tls://[::1]:1",)


def test_one_tls_server_makes_all_connections_tls():
    assert address_of("nats://a,tls://b").tls
    assert not address_of("nats://a,nats://b").tls


@pytest.mark.parametrize("url", ["", ",", " , "])
def test_an_empty_url_is_refused(url):
    with pytest.raises(InvalidError, match="the NATS URL is empty"):
        address_of(url)


@pytest.mark.parametrize("url", ["nats://", "nats://:4222", f"nats://me:{SECRET}@"])
def test_a_url_without_a_host_is_refused(url):
    with pytest.raises(InvalidError, match="has no host") as caught:
        address_of(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["nats://host:abc", "nats://host:99999", "nats://host:-1", "nats://[::1", "::1", f"nats://me:{SECRET}/x@host"],
)
def test_a_malformed_url_is_refused_without_quoting_it(url):
    with pytest.raises(InvalidError, match="the NATS URL is malformed") as caught:
        address_of(url)
    assert SECRET not in str(caught.value)


# Secrets


def test_no_secret_is_in_a_repr():
    context = {"url": f"nats://{SECRET}@c", "password": SECRET, "user": "me", "token": SECRET}
    texts = files(
        config=f'signing_key = "{SECRET}"\nurl = "nats://me:{SECRET}@host"',
        context=context,
        runtime={"url": f"nats://{SECRET}@up", "signing_key": SECRET},
    )
    seen = [
        texts,
        read_settings({}, texts),
        read_settings({"BUSFN_URL": f"nats://me:{SECRET}@host", "BUSFN_SIGNING_KEY": SECRET}, Files()),
        read_settings({}, Files(config=texts.config)),
        read_settings({}, Files(runtime=texts.runtime)),
        BusAddress(token=SECRET, password=SECRET, nkey_seed=SECRET),
        address_of(f"nats://{SECRET}@host"),
    ]
    assert SECRET not in "".join(f"{thing!r} {thing}" for thing in seen)
    assert seen[1].signing_key == SECRET.encode()
    assert seen[1].address.password == SECRET


# Broken files


def test_a_broken_config_file_is_an_error():
    with pytest.raises(InvalidError, match="the config file is not valid TOML"):
        read_settings({}, Files(config="url = "))


@pytest.mark.parametrize(
    ("place", "name"), [("context", "the nats context"), ("runtime", "the runtime file of `busfn up`")]
)
@pytest.mark.parametrize(
    ("text", "why"), [("{", "is not valid JSON"), ("[1]", "must hold a JSON object"), ("null", "must hold a JSON")]
)
def test_a_broken_json_file_is_an_error(place, name, text, why):
    with pytest.raises(InvalidError, match=f"{name} {why}"):
        read_settings({}, Files(**{place: text}))


def test_a_broken_file_that_is_not_needed_harms_nobody():
    settings = read_settings({}, Files(context="{", runtime="{"), url="nats://here")
    assert settings.address.servers == ("nats://here:4222",)


def test_a_runtime_file_without_a_url_is_an_error():
    with pytest.raises(InvalidError, match="the NATS URL is empty"):
        read_settings({}, files(runtime={}))


# Files of this process's user


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and an environment that says nothing."""
    for name in ("BUSFN_URL", "NATS_URL", "NATS_CONTEXT", "BUSFN_ENV", "BUSFN_CREDS", "BUSFN_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_files_and_variables_nothing_is_configured(home):
    assert load_settings() == Settings()


def test_the_files_of_the_home_are_read(home):
    write(home / ".cache/busfn/up.json", '{"url": "nats://up"}')
    assert load_settings().address.servers == ("nats://up:4222",)
    write(home / ".config/busfn/config.toml", 'url = "nats://config"')
    assert load_settings().address.servers == ("nats://config:4222",)


def test_the_xdg_folders_go_before_the_home(home, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "run"))
    write(home / ".config/busfn/config.toml", 'url = "nats://home"')
    write(home / "run/busfn.json", '{"url": "nats://run"}')
    assert load_settings().source == RUNTIME
    write(home / "xdg/busfn/config.toml", 'url = "nats://xdg"')
    assert load_settings().address.servers == ("nats://xdg:4222",)


def test_a_context_counts_only_when_it_is_named(home, monkeypatch):
    write(home / ".config/nats/context.txt", "prod")
    write(home / ".config/nats/context/prod.json", '{"url": "nats://prod"}')
    assert load_settings().address is None
    monkeypatch.setenv("NATS_CONTEXT", "prod")
    assert load_settings().address.servers == ("nats://prod:4222",)


def test_a_named_context_that_does_not_exist_is_an_error(home, monkeypatch):
    monkeypatch.setenv("NATS_CONTEXT", "prod")
    with pytest.raises(InvalidError, match=r"NATS_CONTEXT is 'prod', but there is no .*/nats/context/prod\.json"):
        load_settings()


def test_a_config_file_that_is_no_text_is_an_error(home):
    path = home / ".config/busfn/config.toml"
    write(path, "")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidError, match=r"config\.toml cannot be read: it is not UTF-8 text"):
        load_settings()


def test_a_config_file_that_cannot_be_read_is_an_error(home):
    (home / ".config/busfn/config.toml").mkdir(parents=True)
    with pytest.raises(InvalidError, match=r"config\.toml cannot be read: "):
        load_settings()


def test_a_file_in_place_of_the_config_folder_counts_as_no_config(home):
    write(home / ".config", "")
    assert load_settings().address is None


def test_where_a_running_stack_says_how_to_reach_it():
    assert runtime_file({"XDG_RUNTIME_DIR": "/run/user/1", "HOME": "/h"}) == Path("/run/user/1/busfn.json")
    assert runtime_file({"XDG_RUNTIME_DIR": "", "HOME": "/h"}) == Path("/h/.cache/busfn/up.json")


def test_copies_of_streams_are_configured_by_environment_then_file():
    files = Files(config='url = "nats://a"\nreplicas = 3')
    assert read_settings({}, files).address.replicas == 3
    assert read_settings({"BUSFN_REPLICAS": "1"}, files).address.replicas == 1
    assert read_settings({"BUSFN_URL": "nats://b"}, Files()).address.replicas == 0
    for wrong in ("many", "9", "-1"):
        with pytest.raises(InvalidError, match=r"BUSFN_REPLICAS|replicas must be"):
            read_settings({"BUSFN_URL": "nats://b", "BUSFN_REPLICAS": wrong}, Files())
