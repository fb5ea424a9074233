"""A service whose policy asks for approvals, and its users; as root, because
they are others, by number."""

import grp
import json
import os
import subprocess
import time

import pytest

import harness
import kube
import users
from users import ALICE, BOB, CAROL, permit
from wire import Broker

BROKER = "io.certvault.Broker."
DAVE = 64004
LEADS = next(g for g in grp.getgrall() if g.gr_gid and not g.gr_mem)


def approvals(n=1, signed=False, **who):
    return {"require": {"approvals": {"count": n, "from": who or
                                      {"uids": [BOB, CAROL]},
                                      **({"signed": True} if signed else {})}}}


MAY_APPROVE = permit("approvers", [ALICE, BOB, CAROL, DAVE], ["approve"])


class Rig:
    """A service with an exportable entry `a`, and its users."""

    def __init__(self, vault, config=None):
        self.v, self.config = vault, config
        self.version = 0
        self.broker = None

    def start(self):
        args = ["--config", self.config] if self.config else []
        self.broker = Broker(self.v, "--key-file", self.v.key_file, *args)
        self.v.to = ("--broker", "unix:" + self.broker.path)
        users.open_way(self.broker.path)

    def policy(self, *rules, **more):
        """The next version of the policy: the owner's rule, these, and that
        everybody may approve."""
        self.version += 1
        document = {
            "apiVersion": "certvault/v1", "kind": "Policy",
            "metadata": {"name": "t", "version": self.version}, **more,
            "rules": [permit("owner", [0], ["*"]), MAY_APPROVE, *rules]}
        path = self.v.write("policy.yaml", json.dumps(document))
        self.v(*(self.v.to if self.broker else ()), "policy", "apply", path,
               code=0)

    def ask(self, uid, method, on=None, groups=(), **parameters):
        s = on or users.connect_as(self.broker.path, uid, groups=groups)
        try:
            return self.broker.call(BROKER + method, parameters, on=s)
        finally:
            if not on:
                s.close()

    def export(self, uid, **more):
        return self.ask(uid, "Export", name="a", dry_run=False,
                        **{"reason": "copy", **more})

    def requests(self, uid, **more):
        return given(self.ask(uid, "Requests", **more))["items"]

    def leaves(self, **wanted):
        return [r for r in self.v.json(*self.v.to, "audit", "query")["items"]
                if all(r.get(k) == w or r["details"].get(k) == w
                       for k, w in wanted.items())]


def given(answer):
    assert "error" not in answer, answer
    return answer["parameters"]


def refused(answer, code):
    assert answer.get("parameters", {}).get("code") == code, answer
    return answer["parameters"]


def asked(answer):
    """The id of the request that this answer names."""
    error = refused(answer, "busy")
    assert len(error["request_id"]) == 12, error
    assert error["request_id"] in error["state"]
    return error["request_id"]


@pytest.fixture
def vault_with_entry(home, secrets):
    v = harness.Vault(home, secrets)
    v.add(kube.as_yaml(kube.config(kube.Identity("p256", secrets=secrets))),
          "a", "--exportable")
    yield v
    v.verify()


@pytest.fixture
def rig(vault_with_entry):
    r = Rig(vault_with_entry)
    r.start()
    yield r
    assert r.broker.end() == 0


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


# The command line.

def person(rig, uid, *args, code=None, groups=(), start=False, input=None,
           **env):
    """The command line as another user."""
    home = os.path.join("/tmp", f"cv-approvals-{uid}-{os.getpid()}")
    os.makedirs(home, mode=0o700, exist_ok=True)
    os.chown(home, uid, uid)
    program = harness.program()
    if subprocess.run(["test", "-x", program], user=uid, group=uid,
                      extra_groups=[], check=False).returncode:
        pytest.skip("other users cannot reach the programs here")
    argv = [program, "--no-agent", "--no-input", *rig.v.to, *map(str, args)]
    options = dict(env={**harness.environment(home), **env}, user=uid,
                   group=uid, extra_groups=list(groups),
                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                   stderr=subprocess.PIPE, cwd="/")
    if input is not None:
        del options["stdin"]
        options["input"] = input
    if start:
        return subprocess.Popen(argv, **options)
    done = subprocess.run(argv, timeout=120, check=False, **options)
    if b"Permission denied" in done.stderr:
        # Another run of pytest, as it starts, closes the folder of all.
        users.open_way(rig.broker.path)
        done = subprocess.run(argv, timeout=120, check=False, **options)
    result = harness.Result(args, done.returncode, done.stdout, done.stderr)
    assert b"Sanitizer" not in result.err, result
    if code is not None:
        assert result.code == code, result
    return result


def waiter(rig, uid, *args):
    """The command line of another user that waits for an approval."""
    said = b""
    while b"waiting for approval" not in said:
        # Another run of pytest, as it starts, closes the folder of all.
        assert said == b"" or b"Permission denied" in said, said
        users.open_way(rig.broker.path)
        waits = person(rig, uid, "--wait", *args, start=True)
        said = waits.stderr.readline()
    return waits


needs_keygen = pytest.mark.skipif(not os.path.exists("/usr/bin/ssh-keygen"),
                                  reason="no ssh-keygen here")


def keygen(folder, uid):
    key = os.path.join(folder, f"key{uid}")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C",
                    "a comment", "-f", key], check=True)
    os.chown(key, uid, uid)
    with open(key + ".pub", encoding="ascii") as f:
        return key, f.read().strip()
