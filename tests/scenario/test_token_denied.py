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
    vault("generate", "born", "--token", TOKEN, "--csr", csr, code=0)
    vault.cert = vault.write("cert.pem", certify(vault, csr, ca)[1])
    vault.ca = vault.write("ca.pem", ca.pem)
    vault.token.plan(login=True)
    vault.asked = os.path.join(vault.home, "asked")
    return vault


FORBIDDEN = {"rm": "remove", "install": "import"}


def command(v, name):
    words = {"rm": ("rm", "held", "--yes"),
             "install": ("install", "born", "--cert", v.cert, "--server",
                         "https://10.0.0.1:6443", "--cluster-ca", v.ca)}
    return v("--pin-source", f"command:touch {v.asked}; printf 1234",
             *words[name])


@pytest.mark.parametrize("name", FORBIDDEN)
def test_the_command_does_not_ask(wants_pin, name):
    v = wants_pin
    policy(v, 1, {"name": "no", "effect": "forbid",
                  "subjects": {"uids": [os.getuid()]},
                  "actions": [FORBIDDEN[name]]})
    before = len(calls(v))
    done = command(v, name)
    assert done.code == harness.DENIED, done
    assert not os.path.exists(v.asked)
    assert "Login" not in calls(v)[before:]
    policy(v, 2)
    done = command(v, name)
    assert done.code == 0, done
    assert os.path.exists(v.asked) and "Login" in calls(v)[before:]


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


ALL = {"Sign": {"name": "held", "purpose": "tls13-client", "algorithm":
                "ecdsa_secp256r1_sha256", "data":
                base64.b64encode(signing.tls13()).decode()},
       "Remove": {"names": ["held"], "dry_run": False}}
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
    before = len(calls(v))
    said = asks(method, ALICE, **ALL[method])
    assert said["parameters"]["code"] == "denied", said
    assert "PinRequired" not in said["error"]
    assert "Login" not in calls(v)[before:]
    said = asks(method, **ALL[method])
    if own:
        assert "error" not in said, said
        assert "Login" in calls(v)[before:]
    else:
        assert "PinRequired" in said["error"], said
    assert asks.broker.end() == 0
