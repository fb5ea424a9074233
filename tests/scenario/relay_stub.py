"""An installation whose relay is fake_relay.py, and the test's end of it."""

import base64
import json
import os
import shutil
import socket
import time

import harness
import signing


def install(folder, build):
    """The build's programs in `folder`, with the stub in the relay's place."""
    for leaf in ("bin", "libexec/certvault"):
        os.makedirs(os.path.join(folder, leaf))
    for name in ("certvault", "certvaultd", "token", "intake"):
        source = harness.program(name, build)
        place = os.path.join(folder, os.path.relpath(source, build))
        try:
            os.link(source, place)
        except OSError:
            shutil.copy2(source, place)
    shutil.copy2(os.path.join(harness.HERE, "fake_relay.py"),
                 os.path.join(folder, "libexec/certvault/relay"))
    return str(folder)


class Stub:
    """Talks to the relay's stand-in."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "libexec/certvault/control")

    def __call__(self, order):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(self.path)
            s.sendall(json.dumps(order).encode() + b"\n")
            with s.makefile("rb") as f:
                return json.loads(f.readline())

    def orders(self, method=None):
        return [o["parameters"] for o in self({"orders": True})
                if method in (None, o["method"])]

    def ask(self, method, **parameters):
        return self({"ask": method, "parameters": parameters})

    def sign(self, grant, purpose="tls13-client", data=None,
             algorithm="ecdsa_secp256r1_sha256", **more):
        return self.ask("Sign", **sign_parameters(grant, purpose, data,
                                                  algorithm, **more))

    def closed(self, grant, seconds=harness.within(5)):
        """The order that closed it, waited for."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for order in self.orders("Close"):
                if grant in order["ids"]:
                    return order
            time.sleep(0.02)
        raise AssertionError(f"{grant} was not closed in {seconds} s")


def sign_parameters(grant, purpose="tls13-client", data=None,
                    algorithm="ecdsa_secp256r1_sha256", **more):
    data = signing.tls13() if data is None else data
    return {"grant": grant, "purpose": purpose, "algorithm": algorithm,
            "data": base64.b64encode(data).decode(),
            "server": "10.0.0.1:6443",
            "server_spki": base64.b64encode(b"k" * 32).decode(), **more}


def use(broker, name="a", on=None, **more):
    return broker.call("io.certvault.Broker.Use", {
        "name": name, "kind": "exec", "read_only": False, **more}, on=on)
