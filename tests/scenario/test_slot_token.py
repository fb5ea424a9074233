"""Key slots on tokens: the vault opens with the token and its PIN, and not
without. On SoftHSM; test_token_ways.py makes a slot on each token."""

import os

import pytest

import harness
import tokens
from harness import NOT_FOUND, UNAVAILABLE, USAGE, Vault
from kube import Identity, as_yaml, config


def configured(home, token, secrets, init=True):
    """A vault whose configuration leads to the token's module."""
    v = Vault(home, secrets, init=False)
    v.extra.update(token.tool_env)
    folder = os.path.join(v.home, "config", "certvault")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    lines = ["modules:"]
    for m in token.modules:
        lines.append(f"- name: {m['name']}")
        lines += [f"  {k}: {m[k]!r}" for k in ("path", "reserved") if k in m]
        if m.get("env"):
            lines.append("  env:")
            lines += [f"    {k}: {v!r}" for k, v in m["env"].items()]
    with open(os.path.join(folder, "certvault.yaml"), "w",
              encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")
    v.pin = v.write("pin", token.pin + "\n")
    if init:
        v("init", "--key", "file:" + v.key_file, code=0)
    return v


def pin(v):
    return ("--pin-source", "file:" + v.pin)


@pytest.fixture(scope="module")
def softhsm(tmp_path_factory):
    why = tokens.SoftHsm.missing()
    if why:
        pytest.skip(why)
    made = tokens.SoftHsm(tmp_path_factory.mktemp("softhsm"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def token(softhsm):
    yield softhsm
    softhsm.reset()


@pytest.fixture
def slotted(home, secrets, token):
    v = configured(home, token, secrets)
    yield v
    v.verify()


def opens(v, *args):
    done = v("export", "a", "--reason", "x", *args, secret=True)
    assert done.code in (0, UNAVAILABLE), done
    return done.code == 0


def test_the_token_opens_the_vault(slotted, token):
    v = slotted
    (made,) = v.json(*pin(v), "slot", "add", "token:" + token.uri)["items"]
    assert made["kind"] == "token" and made["uri"].startswith("pkcs11:")
    v.policy(harness.MAY_EXPORT)
    v.add(as_yaml(config(Identity(secrets=v.secrets))), "a", "--exportable")
    os.unlink(v.key_file)
    assert opens(v, *pin(v))
    assert not opens(v), "opened without a PIN"
    v("slot", "remove", made["id"], "--yes", *pin(v), code=0)
    assert not opens(v, *pin(v)), "opened by a slot that is gone"


def test_without_the_token_it_stays_shut(slotted, token):
    v = slotted
    v.policy(harness.MAY_EXPORT)
    v.add(as_yaml(config(Identity(secrets=v.secrets))), "a", "--exportable")
    v.json(*pin(v), "slot", "add", "token:" + token.uri)
    os.unlink(v.key_file)
    token.remove()
    try:
        assert not opens(v, *pin(v))
    finally:
        token.put_back()
    assert opens(v, *pin(v))


def test_init_on_a_token(home, secrets, token):
    v = configured(home, token, secrets, init=False)
    v(*pin(v), "init", "--key", "token:" + token.uri, code=0)
    v.policy(harness.MAY_EXPORT)
    v.add(as_yaml(config(Identity(secrets=secrets))), "a", "--exportable")
    assert opens(v, *pin(v)) and not opens(v)
    (slot,) = v.json("slot", "list")["items"]
    assert slot["kind"] == "token"
    v.verify()


def test_init_never_tries_a_wrong_pin_twice(home, secrets, misbehaving):
    """Before there is a vault, too, an attempt is written down first."""
    v = configured(home, misbehaving, secrets, init=False)
    misbehaving.control("flags=zero")
    left = misbehaving.tries()
    wrong = v.write("wrong", misbehaving.wrong_pin + "\n")
    init = ("init", "--key", "token:" + misbehaving.uri)
    v("--pin-source", "file:" + wrong, *init, code=UNAVAILABLE)
    assert misbehaving.tries() == left - 1
    error = v.error(UNAVAILABLE, "--pin-source", "file:" + wrong, *init)
    assert "terminal" in error["hint"]
    assert misbehaving.tries() == left - 1
    # Nor for another vault: the token counts its tries once for all of them.
    v.folder = os.path.join(v.home, "another")
    v.error(UNAVAILABLE, "--pin-source", "file:" + wrong, *init)
    assert misbehaving.tries() == left - 1
    v("list", code=NOT_FOUND)


def test_what_is_no_token(home, secrets):
    v = Vault(home, secrets)
    v("slot", "add", "token:softhsm", code=USAGE)
    v("slot", "add", "token:pkcs11:token=nothing%20of%20that%20name",
      code=NOT_FOUND)
    assert len(v.json("slot", "list")["items"]) == 1
