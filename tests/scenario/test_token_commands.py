"""token list, objects, probe, login, change-pin: the same commands on each
kind of token, and what they refuse."""

import os
import re

import pytest

import harness
import tokens
from held import Held
from wire import Broker

FLAGS = {"initialized", "count_low", "final_try", "locked", "to_be_changed"}


@pytest.fixture
def held(release_vault, token):
    release_vault.secrets.add("PIN of the token", token.pin) \
        if len(token.pin) > 6 else None
    return Held(release_vault, token)


@pytest.fixture
def soft(release_vault, tmp_path):
    """SoftHSM with a token of its own."""
    why = tokens.SoftHsm.missing()
    if why:
        pytest.skip(why)
    token = tokens.SoftHsm(tmp_path / "softhsm")
    token.start()
    yield Held(release_vault, token)
    token.stop()


# --- every kind ---

def test_list(held):
    items = held.json("token", "list", held.uri, pin=False)["items"]
    assert len(items) == 1, items
    item = items[0]
    assert item["label"] == held.token.label
    assert item["module"] == held.token.name
    assert set(item["user_pin"]) == FLAGS
    assert item["login_required"] and not item["logged_in"]
    # Its own URI names it, and nothing else.
    uri = item["uri"] + f"?module-name={held.token.name}"
    assert held.json("token", "list", uri, pin=False)["items"] == items
    names = held("token", "list", held.uri, "-o", "name", pin=False,
                 code=0).text.split()
    assert names == [item["uri"]]
    table = held("token", "list", held.uri, pin=False, code=0).text
    assert table.startswith("TOKEN") and held.token.label in table


def test_login(held):
    done = held("-o", "json", "token", "login", held.uri, code=0)
    assert done.json["kind"] == "Token" and done.json["logged_in"]


def test_login_in_vain(held):
    """No PIN at all: nothing is tried, nothing is blocked."""
    before = held.token.tries()
    done = held("-o", "json", "token", "login", held.uri, pin=False)
    assert done.code == harness.UNAVAILABLE and "PIN" in done.note, done
    assert held.token.tries() == before
    held("token", "login", held.uri, code=0)


def test_objects(held):
    made = [kind for kind in ("p256", "rsa2048")
            if f"generate {kind}" in held.token.can][:1]
    for kind in made:
        held.token.generate(kind, "42", "made by a tool")
    shown = held.json("token", "objects", held.uri)
    assert shown["kind"] == "ObjectList"
    for item in shown["items"]:
        assert item["readable"] and re.fullmatch("([0-9a-f]{2})*", item["id"])
    private = [item for item in shown["items"]
               if item["class"] == "private-key" and item["id"] == "42"]
    assert len(private) == len(made), shown
    for item in private:
        assert item["attributes"]["private"]
        assert len(item["spki_sha256"]) == 64
        assert item["key_type"] in ("ec-p256", "rsa")
    held("token", "objects", held.uri, code=0)


def test_probe_looks_only(held):
    """Without --destructive-test no PIN is wanted and nothing changes."""
    before = held.json("token", "objects", held.uri)["items"]
    report = held.json("token", "probe", held.uri, pin=False)
    assert report["kind"] == "TokenReport"
    assert report["token"]["label"] == held.token.label
    assert report["mechanisms"]
    held("token", "probe", held.uri, pin=False, code=0)
    assert held.json("token", "objects", held.uri)["items"] == before


def test_module_is_locked_down(held):
    """The process that loaded the module can start no program: its filter is
    on, and it has no other's descriptors."""
    broker = Broker(held.vault, "--config", os.path.join(
        held.vault.home, "config", "certvault", "certvault.yaml"))
    try:
        held.vault("--broker", "unix:" + broker.path, "token", "list",
                   held.uri, code=0)
        children = harness.our_processes()
        modules = []
        for pid, _ in children:
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().split(b"\0")
                with open(f"/proc/{pid}/status", encoding="ascii") as f:
                    status = f.read()
            except OSError:
                continue
            if b"--pkcs11" in words:
                modules.append(status)
        assert modules
        for status in modules:
            assert re.search(r"^NoNewPrivs:\s1$", status, re.M)
        assert any(re.search(r"^Seccomp:\s2$", s, re.M) for s in modules)
    finally:
        broker.end()


# --- SoftHSM alone ---

def test_probe_tries(soft):
    done = soft("token", "probe", soft.uri, "--destructive-test")
    assert done.code == harness.USAGE and "--yes" in done.note, done
    report = soft.json("token", "probe", soft.uri, "--destructive-test",
                       "--yes")
    assert report["leaky"] is False, report["findings"]
    assert report["left_behind"] == 0
    assert not soft.json("token", "objects", soft.uri)["items"]
    table = soft("token", "probe", soft.uri, "--destructive-test", "--yes",
                 code=0).text
    assert "attack" in table and "lets keys out" in table


def test_change_pin(soft):
    soft.vault.secrets.add("new PIN", "another-pin-22")
    new = soft.vault.write("new", "another-pin-22")
    soft("token", "change-pin", soft.uri, "--new-pin-source", "file:" + new,
         code=0)
    assert soft("token", "login", soft.uri).code == harness.UNAVAILABLE
    soft.token.pin = "another-pin-22"
    soft.token.pkcs11_tool("--list-objects")


def test_change_pin_without_a_new_one(soft):
    error = soft("-o", "json", "token", "change-pin", soft.uri,
                 code=harness.UNAVAILABLE).error
    assert "new PIN" in error["message"]
    assert "--new-pin-source" in error["hint"]
    soft.token.pkcs11_tool("--list-objects")


def test_change_pin_wrong(soft):
    """A wrong old PIN is a failed login; a new one that is too short costs
    nothing."""
    short = soft.vault.write("short", "1")
    done = soft("token", "change-pin", soft.uri, "--new-pin-source",
                "file:" + short)
    assert done.code == harness.INVALID, done
    new = soft.vault.write("new", "another-pin-22")
    wrong = soft.vault.write("wrong", "not-the-pin")
    done = soft("--pin-source", "file:" + wrong, "token", "change-pin",
                soft.uri, "--new-pin-source", "file:" + new, pin=False)
    assert done.code == harness.UNAVAILABLE, done
    done = soft("token", "objects", soft.uri)
    assert done.code == harness.UNAVAILABLE
    assert "token login" in done.note


@pytest.mark.parametrize("uri, code", [
    ("pkcs11:token=nowhere?module-name=softhsm", harness.NOT_FOUND),
    ("pkcs11:token=vault?module-name=nowhere", harness.CONFIG),
    ("pkcs11:token=vault?module-path=relative.so", harness.USAGE),
    ("pkcs11:token=vault;pin-value=1234", harness.USAGE),
    ("pkcs11:token=vault;token=vault", harness.USAGE),
    ("pkcs11:token=vault?pin-source=%7Ccat%20/etc/passwd", harness.USAGE),
    ("token=vault", harness.USAGE), ("https://x", harness.USAGE)])
def test_what_is_no_token(soft, uri, code):
    done = soft("token", "objects", uri)
    assert done.code == code, done
    assert not harness.wait_for_none()


def test_several_tokens(soft):
    soft.token.run("softhsm2-util", "--init-token", "--free", "--label",
                   "vault", "--so-pin", "sosopin1", "--pin", "1234")
    assert len(soft.json("token", "list", soft.uri)["items"]) == 2
    done = soft("token", "login", soft.uri)
    assert done.code == harness.INVALID, done
    serial = soft.json("token", "list", soft.uri)["items"][0]["serial"]
    soft("token", "login",
         f"pkcs11:token=vault;serial={serial}?module-name=softhsm", code=0)


@pytest.mark.parametrize("form", [
    "{}?PIN-VALUE={}", "{}?pin-valu={}", "{};pin={}", "{}?pin-value%3D{}"])
def test_a_pin_in_the_wrong_place_is_not_recorded(soft, form):
    """However a URI was mistyped: the vault's files are searched at the end."""
    pin = "no-pin-of-anybodys-48151623"
    soft.vault.secrets.add("a mistyped PIN", pin.encode())
    uri = form.format(soft.token.uri, pin)
    soft("token", "list", uri)
    soft("token", "objects", uri)
    soft("token", "probe", uri)
    soft("token", "list", soft.token.uri, code=0)
    asked = [r["details"] for r in soft.vault.records("--action", "admin")
             if r["phase"] == "decision"]
    assert asked[0]["method"] == "TokenList" and "token" not in asked[0]
    assert asked[-1] == {"method": "TokenList", "read": True,
                         "token": soft.token.uri}


def test_a_library_that_p11_kit_names_too(soft):
    """The configuration's name for it is enough: there is one token, not two.
    By its other name it is there when it is asked for."""
    soft.vault.extra["SOFTHSM2_CONF"] = soft.token.module_env["SOFTHSM2_CONF"]
    items = soft.json("token", "list", pin=False)["items"]
    ours = [i for i in items if i["label"] == "vault"]
    assert [i["module"] for i in ours] == ["softhsm"]
    soft("token", "login", "pkcs11:token=vault", code=0)
    if os.path.exists("/usr/share/p11-kit/modules/softhsm2.module"):
        items = soft.json("token", "list",
                          "pkcs11:token=vault?module-name=softhsm2",
                          pin=False)["items"]
        assert [i["module"] for i in items] == ["softhsm2"]


def test_modules_that_are_not_allowed(soft, tmp_path):
    """H42: what others could have written is not opened, whoever names it."""
    module = tmp_path / "module.so"
    module.write_bytes(b"\x7fELF")
    module.chmod(0o666)
    done = soft("token", "objects", f"pkcs11:token=vault?module-path={module}")
    assert done.code == harness.CONFIG, done
    soft.token.module = str(module)
    soft.configure()
    done = soft("token", "objects", soft.uri)
    assert done.code == harness.CONFIG, done


def test_the_service_takes_no_module_from_a_client(soft):
    """What a private broker may load by its path the service may not; nor does
    it hand down its own environment."""
    path = "pkcs11:token=vault?module-path=" + soft.token.module
    soft.vault.extra["SOFTHSM2_CONF"] = soft.token.module_env["SOFTHSM2_CONF"]
    nothing = os.path.join(soft.vault.home, "none.yaml")
    with open(nothing, "w", encoding="utf-8") as f:
        f.write("{}\n")
    os.chmod(nothing, 0o600)
    soft("--config", nothing, "token", "login", path, code=0)
    broker = Broker(soft.vault, "--config", nothing)
    try:
        done = soft("--broker", "unix:" + broker.path, "token", "login",
                    "pkcs11:token=vault?module-path=/usr/lib/none.so")
        assert done.code == harness.CONFIG, done
        # The module is p11-kit's too, so it may be named; its token is not
        # where the service's module looks.
        done = soft("--broker", "unix:" + broker.path, "token", "login", path)
        assert done.code in (harness.NOT_FOUND, harness.CONFIG,
                             harness.UNAVAILABLE), done
    finally:
        broker.end()


def test_a_broker_that_stays_stays_logged_in(soft):
    broker = Broker(soft.vault, "--config", os.path.join(
        soft.vault.home, "config", "certvault", "certvault.yaml"))
    there = ("--broker", "unix:" + broker.path)
    try:
        assert soft(*there, "token", "objects", soft.uri,
                    pin=False).code == harness.UNAVAILABLE
        soft(*there, "token", "login", soft.uri, code=0)
        soft(*there, "token", "objects", soft.uri, pin=False, code=0)
        soft(*there, "lock", code=0)
        assert soft(*there, "token", "objects", soft.uri,
                    pin=False).code == harness.UNAVAILABLE
    finally:
        broker.end()
    assert not harness.wait_for_none()
