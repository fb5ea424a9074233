"""Two HSMs that are to hold the same key (H52). certvault binds an entry to one
token, by manufacturer, model, serial number and label, and to one public key.
So a pair that shows itself as one token fails over by itself, on a match of the
public key alone; another token does not step in, and a person moves the entry
(docs/DESIGN.md)."""

import os
import shutil

import pytest

import harness
import tokens
from held import Held
from kube import Identity, as_yaml, config
from test_token_ways import signs

KEY = ("--type", "privkey")


@pytest.fixture
def held(release_vault, tmp_path):
    kind = [k for k in tokens.KINDS if k.name == "softhsm"][0]
    if kind.missing():
        pytest.skip(f"softhsm: {kind.missing()}")
    token = kind(tmp_path / "token")
    token.start()
    made = Held(release_vault, token)
    made.identity, _ = made.add("p256", "a")
    made.public = made.identity.cert.public_key()
    made.key_id = made.entry("a")["entry_id"]
    (made.first,) = os.listdir(token.path("tokens"))
    yield made
    token.stop()


def put_key(held, identity, key_id, label, serial=None):
    """As the HSM's own tool would copy it there."""
    path = held.vault.write("key.p8", identity.key_pem)
    where = ("--serial", serial) if serial else ("--token", held.token.label)
    held.token.run("softhsm2-util", "--import", path, *where, "--label", label,
                   "--id", key_id, "--pin", held.token.pin)


def down(held, name):
    os.rename(held.token.path("tokens", name), held.token.path(name))


def up(held, name):
    os.rename(held.token.path(name), held.token.path("tokens", name))


def twin(held, holds):
    """The other half of a pair that shows itself as one token."""
    name = "00000000-0000-0000-0000-000000000002"
    shutil.copytree(held.token.path("tokens", held.first),
                    held.token.path("tokens", name))
    if holds != "the key":
        down(held, held.first)
        for kind in ("privkey", "pubkey", "cert"):
            held.token.pkcs11_tool("--login", "--pin", held.token.pin,
                                   "--delete-object", "--type", kind, "--id",
                                   held.key_id)
        if holds == "another key":
            put_key(held, Identity("p256", form="pkcs8"), held.key_id,
                    f"certvault:x:{held.key_id}")
        up(held, held.first)
    return name


def uses(held):
    """What the record has of signatures: (outcome or phase, error)."""
    return [r.get("outcome") or r["phase"] for r in
            held.vault.records("--action", "use")]


@pytest.mark.parametrize("holds, said", [
    ("the key", "ok"), ("nothing", "NotFound"), ("another key", "Integrity")])
def test_one_of_a_pair_is_down(held, holds, said):
    name = twin(held, holds)
    down(held, held.first)
    with held.broker() as b:
        held(*held.to(b), "token", "login", held.uri, code=0)
        got = signs(held, b, held.public, "a")
    assert got == "ok" if said == "ok" else got != "ok", got
    assert got == said
    assert uses(held)[-1] == ("ok" if said == "ok" else "failed")
    # And back.
    down(held, name)
    up(held, held.first)
    with held.broker() as b:
        held(*held.to(b), "token", "login", held.uri, code=0)
        assert signs(held, b, held.public, "a") == "ok"


def test_a_pair_behind_two_modules(held):
    """Both up: the first that shows it. One down: a broker that starts then
    finds the other; one that runs never takes it for the first's key unless it
    is."""
    conf = held.token.write("mirror.conf", "directories.tokendir = " +
                            held.token.path("mirror") + "\n"
                            "objectstore.backend = file\n")
    shutil.copytree(held.token.path("tokens"), held.token.path("mirror"))
    (first,) = held.token.modules
    held.configure(modules=[first, {**first, "name": "mirror",
                                    "env": {"SOFTHSM2_CONF": conf}}])
    uri = held.json("token", "list")["items"][0]["uri"]
    with held.broker() as b:
        login = ("token", "login", uri + "?module-name=softhsm")
        held(*held.to(b), *login, code=0)
        assert signs(held, b, held.public, "a") == "ok"
        down(held, held.first)
        assert signs(held, b, held.public, "a") in ("ok", "Unavailable",
                                                    "NotFound", "PinRequired")
    with held.broker() as b:
        held(*held.to(b), "token", "login", uri + "?module-name=mirror", code=0)
        assert signs(held, b, held.public, "a") == "ok"
    assert uses(held)[-1] == "ok"


def test_another_token_does_not_step_in(held):
    """Same label, same key under the same id, another serial number."""
    held.token.run("softhsm2-util", "--init-token", "--free", "--label",
                   held.token.label, "--so-pin", held.token.so_pin, "--pin",
                   held.token.pin)
    down(held, held.first)
    label = f"certvault:x:{held.key_id}"
    identity = Identity("p256", key=held.identity.key, form="pkcs8")
    put_key(held, identity, held.key_id, label)
    with held.broker() as b:
        held(*held.to(b), "token", "login", held.uri, code=0)
        got = signs(held, b, held.public, "a")
    assert got == "Unavailable"
    # Told in the record: refused before it was permitted.
    last = held.vault.records("--action", "use")[-1]
    assert last["decision"] == "deny" or last["outcome"] == "failed", last
    # What a person does, who knows that the other is the first's mirror.
    args = ("--cert", held.vault.write("cert.pem", held.identity.cert_pem),
            "--cluster", held.vault.write("cluster", as_yaml(config(
                held.identity))))
    key = "".join("%" + held.key_id[i:i + 2]
                  for i in range(0, len(held.key_id), 2))
    adopt = ("adopt", "a", "--key", f"{held.token.uri};id={key};type=private"
             "?module-name=softhsm", *args)
    assert held(*adopt).code == harness.INVALID
    held("rm", "a", "--keep-key", "--yes", code=0)
    held(*adopt, code=0)
    with held.broker() as b:
        held(*held.to(b), "token", "login", held.uri, code=0)
        assert signs(held, b, held.public, "a") == "ok"
