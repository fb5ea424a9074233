"""Who may not do what needs a token is told so, and nothing more: nobody is
asked for a PIN, the service does not use its own, and the token sees no login.
(The token is the stand-in of test_token_journal.py; here it wants a PIN.)"""

import base64
import json
import os

import pytest

import harness
import minting
import signing
import users
import wire
from kube import Identity, as_yaml, config
from test_intake_offline import Offline
from test_token_journal import URI, certify, fake_build, make, vault  # noqa: F401
from users import ALICE, permit
from varlink import PREFIX as IO

TOKEN = "pkcs11:token=fake"


def calls(v):
    return v.token.state["calls"]


def policy(v, version, *rules):
    v("policy", "apply", v.write("p", json.dumps({
        "apiVersion": "certvault/v1", "kind": "Policy",
        "metadata": {"name": "t", "version": version},
        "rules": [permit("owner", [os.getuid()], ["*"]), *rules]})), "--yes",
      code=0)


@pytest.fixture
def wants_pin(vault, tmp_path):
    """`held` has a certificate, `born` waits for one; who logs in is seen."""
    ca = minting.Authority("kube CA")
    csr = str(tmp_path / "born.csr")
    make(vault, "held")
    vault.held = vault.identity
    vault("generate", "born", "--token", TOKEN, "--csr", csr, code=0)
    vault.cert = vault.write("cert.pem", certify(vault, csr, ca)[1])
    vault.ca = vault.write("ca.pem", ca.pem)
    id = vault.json("show", "held")["entry_id"]
    vault.key = TOKEN + ";id=" + "".join(
        "%" + id[i:i + 2] for i in range(0, len(id), 2))
    vault.own_cert = vault.write("own.pem", vault.held.cert_pem)
    vault.token.plan(login=True)
    vault.asked = os.path.join(vault.home, "asked")
    return vault


# Command: the action that is forbidden, of which entry.
FORBIDDEN = {"rm": ("remove", "held"), "install": ("import", "born"),
             "generate": ("import", "new"), "adopt": ("import", "new"),
             "import": ("import", "new")}


def command(v, name):
    cluster = ("--server", "https://10.0.0.1:6443", "--cluster-ca", v.ca)
    words = {"rm": ("rm", "held", "--yes"),
             "install": ("install", "born", "--cert", v.cert, *cluster),
             "generate": ("generate", "new", "--token", TOKEN, "--csr",
                          os.path.join(v.home, "new.csr")),
             "adopt": ("adopt", "new", "--key", v.key, "--cert", v.own_cert,
                       *cluster),
             "import": ("import", "-", "--name", "new", "--to",
                        "token:" + TOKEN)}
    return v("--pin-source", f"command:echo >> {v.asked}; printf 1234",
             *words[name], input=as_yaml(config(Identity())))


@pytest.mark.parametrize("alone", [False, True], ids=["all", "this"])
@pytest.mark.parametrize("name", FORBIDDEN)
def test_the_command_does_not_ask(wants_pin, name, alone):
    """Be every entry forbidden, or this one alone."""
    v = wants_pin
    action, entry = FORBIDDEN[name]
    policy(v, 1, {"name": "no", "effect": "forbid",
                  "subjects": {"uids": [os.getuid()]}, "actions": [action],
                  **({"entries": {"names": [entry]}} if alone else {})})
    before = len(calls(v))
    done = command(v, name)
    assert done.code == harness.DENIED, done
    assert not os.path.exists(v.asked)
    assert "Login" not in calls(v)[before:]
    denied = [r for r in v.records("--action", action)
              if r.get("decision") == "deny"]
    assert len(denied) == 1, denied
    policy(v, 2)
    done = command(v, name)
    assert done.code == 0, done
    with open(v.asked, encoding="ascii") as f:
        assert f.read() == "\n"
    assert calls(v)[before:].count("Login") == 1


class Asked:
    """What Alice and its owner ask a service for."""

    def __init__(self, v, *args):
        self.v = v
        self.broker = wire.Broker(v, "--key-file", v.key_file, *args)
        users.open_way(self.broker.path)

    def __call__(self, method, uid=None, **parameters):
        s = self.broker.connect() if uid is None else \
            users.connect_as(self.broker.path, uid)
        with s:
            return self.broker.call(IO + method, parameters, on=s)


def named(v, method):
    """The parameters of a call that the owner may make."""
    what = method.split()[0]
    if what == "Sign":
        return {"name": "held", "purpose": "tls13-client", "algorithm":
                "ecdsa_secp256r1_sha256",
                "data": base64.b64encode(signing.tls13()).decode()}
    if what == "Remove":
        return {"names": ["held"], "dry_run": False}
    if what == "Generate":
        return {"name": "new", "token": TOKEN, "alg": "p256", "labels": {},
                "dry_run": False}
    if what == "Target":
        return {"to": TOKEN, **({"name": "new", "labels": {}}
                                if method != what else {})}
    path = v.write("theirs.yaml", as_yaml(config(Identity("p256"))))
    with Offline(path) as o:
        (identity,) = o.read()["identities"]
    if what == "Adopt":
        return {"name": "new", "uri": v.key, "identity": identity,
                "labels": {}, "dry_run": False}
    return {"identities": [identity], "names": ["new"], "labels": {},
            "sources": [{"kind": "file", "digest": "0" * 64}], "to": TOKEN,
            "atomic": True, "exportable": False, "dry_run": False}


ALL = ("Sign", "Remove", "Generate", "Target", "Target of a name", "Adopt",
       "Import")
# Nothing comes of these two: the certificate is another key's, the key was
# sealed to nobody. It is found out behind the login.
IN_VAIN = ("Adopt", "Import")
# Alice may see it all; what she may do is something else.
SEES = permit("sees", [ALICE], ["list", "show"])
OWN_PIN = {"asked of a person": False, "the service's own": True}


@users.needs_root
@pytest.mark.parametrize("own", OWN_PIN.values(), ids=OWN_PIN)
@pytest.mark.parametrize("method", ALL)
def test_the_service_does_not_log_in(wants_pin, method, own):
    v = wants_pin
    policy(v, 1, SEES)
    pin = v.write("pin", "1234\n")
    asks = Asked(v, *(("--config", v.write("c.yaml", json.dumps(
        {"pin": {URI: "file:" + pin}}))) if own else ()))
    what, parameters = method.split()[0], named(v, method)
    before = len(calls(v))
    said = asks(what, ALICE, **parameters)
    assert said["parameters"]["code"] == "denied", said
    assert "PinRequired" not in said["error"]
    assert "Login" not in calls(v)[before:]
    said = asks(what, **parameters)
    if own:
        assert ("error" in said) is (method in IN_VAIN), said
        assert "Login" in calls(v)[before:]
    else:
        assert "PinRequired" in said["error"], said
    assert asks.broker.end() == 0
