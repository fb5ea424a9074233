"""A token that does not answer: whoever needs none of it is served, and the
service ends when it is told to. The token is the stand-in of
test_token_journal.py, which stays where it is until the file `go` is there."""

import base64
import contextlib
import json
import os
import select
import signal
import time

import pytest

import harness
import kube
import signing
import users
import wire
from test_token_journal import (TO, fake_build, journal,  # noqa: F401
                                login, make, vault)
from together_rig import request
from varlink import PREFIX as IO

ALL = {"apiVersion": "certvault/v1", "kind": "Policy",
       "metadata": {"name": "t", "version": 1},
       "rules": [{"name": "all", "effect": "permit", "subjects":
                  {"uids": [os.getuid()]}, "actions": ["*"]}]}


class Service:
    def __init__(self, v, *args):
        self.v, self.args = v, args
        v.add(kube.as_yaml(kube.config(kube.Identity(secrets=v.secrets))),
              "sealed", "--exportable")
        make(v, "held")
        v("policy", "apply", v.write("p", json.dumps(ALL)), "--yes", code=0)
        self.sockets = []
        self.start()

    def start(self):
        self.broker = wire.Broker(self.v, "--key-file", self.v.key_file,
                                  *self.args)
        assert "error" not in self.call("Hello")     # it has begun

    def call(self, method, **parameters):
        return self.broker.call(IO + method, parameters)

    def connect(self, uid=None):
        s = self.broker.connect() if uid is None else \
            users.connect_as(self.broker.path, uid)
        s.settimeout(60)
        self.sockets.append(s)
        return s

    def send(self, method, uid=None, **parameters):
        """Asked; its answer is for later."""
        s = self.connect(uid)
        s.sendall(request(method, **parameters))
        return s

    def hang(self, point, method, uid=None, **parameters):
        """Asks for what the token then hangs over."""
        self.v.token.plan(hang=point)
        s = self.send(method, uid, **parameters)
        self.wait_for_hang()
        return s

    def wait_for_hang(self):
        end = time.monotonic() + 60
        while "hangs" not in self.v.token.state["calls"]:
            assert time.monotonic() < end, self.v.token.state["calls"]
            time.sleep(.02)

    def go(self):
        self.v.token.plan()
        with open(os.path.join(self.v.token.folder, "go"), "wb"):
            pass


@contextlib.contextmanager
def serving(vault, *args):
    go = os.path.join(vault.token.folder, "go")
    if os.path.exists(go):
        os.unlink(go)
    s = Service(vault, *args)
    try:
        yield s
    finally:
        for one in s.sockets:
            one.close()
        code = s.broker.end()
    assert code == 0


@pytest.fixture
def service(vault):
    with serving(vault) as s:
        yield s


def is_answered(s):
    return bool(select.select([s], [], [], 0)[0])


def sign_parameters():
    return {"name": "held", "purpose": "tls13-client", "algorithm":
            "ecdsa_secp256r1_sha256", "data":
            base64.b64encode(signing.tls13()).decode()}


HANGS = {"TokenList": ("Tokens.begin", {}),
         "TokenObjects": ("Objects.begin", {"uri": "pkcs11:token=fake"}),
         "Sign": ("Sign.begin", None),
         "Remove": ("Destroy.begin", {"names": ["held"], "dry_run": False})}


@pytest.mark.parametrize("method", HANGS if harness.FULL else
                         ("TokenList", "Remove"))
def test_others_are_served(service, method):
    point, parameters = HANGS[method]
    if parameters is None:
        parameters = sign_parameters()
    waits = service.hang(point, method, **parameters)
    served = {m: service.call(m, **p) for m, p in (
        ("Hello", {}), ("Status", {}), ("Metrics", {}), ("List", {}),
        ("Show", {"name": "sealed"}),
        ("Export", {"name": "sealed", "dry_run": False}),
        ("AuditQuery", {"filter": {}}), ("AuditWho", {"name": "sealed"}),
        ("AuditTail", {"last": 5}), ("AuditStatus", {}))}
    for m, said in served.items():
        assert "error" not in said, (m, said)
    assert served["Export"]["parameters"]["kubeconfig"]["users"]
    # What changes something, or needs the token, stays in line; so does what
    # whoever waits asks next. Whoever goes meanwhile is no harm.
    change = service.send("Label", name="sealed", set={"x": "y"}, remove=[])
    tokens = service.send("TokenList")
    waits.sendall(json.dumps({"method": IO + "Status"}).encode() + b"\0")
    service.send("List").close()
    service.send("Label", name="sealed", set={"z": "z"}, remove=[]).close()
    assert "error" not in service.call("Status")
    for s in (waits, change, tokens):
        assert not is_answered(s)
    service.go()
    for s in (change, tokens):
        said = wire.answer(s)
        assert "error" not in said, said
    first = b""
    while first.count(b"\0") < 2:
        data = waits.recv(1 << 16)
        assert data, first
        first += data
    said, after = (json.loads(p) for p in first.split(b"\0")[:2])
    assert "error" not in said, said
    assert "status" in after["parameters"]
    # What was read meanwhile is in the record.
    shown = service.call("AuditQuery", filter={"action": "export"})
    shown = shown["parameters"]["items"]
    assert [r["phase"] for r in shown] == ["decision", "outcome"]


def test_several_signatures_at_once(service):
    """Those that are answered together with the one that hangs, too."""
    waits = service.hang("Sign.begin", "Sign", **sign_parameters())
    more = [service.send("Sign", **sign_parameters()) for _ in range(5)]
    assert "error" not in service.call("List")
    assert not any(is_answered(s) for s in (waits, *more))
    service.go()
    for s in (waits, *more):
        assert "signature" in wire.answer(s)["parameters"]


@pytest.mark.parametrize("point", ["Destroy.begin", "Destroy.end"]
                         if harness.FULL else ["Destroy.end"])
def test_told_to_end(service, point):
    """The journal has what the token was doing."""
    v = service.v
    waits = service.hang(point, "Remove", names=["held"], dry_run=False)
    service.broker.process.send_signal(signal.SIGTERM)
    assert "error" not in service.call("Status")      # it still serves
    service.broker.process.communicate(timeout=60)
    assert not harness.wait_for_none()       # nor is its token left
    said = wire.answer(waits)
    assert said["parameters"]["code"] == "unavailable", said
    assert "ended before" in said["parameters"]["message"]
    assert "next login" in said["parameters"]["state"]
    assert len(journal(v)) == 1
    v.token.plan()
    login(v)
    assert journal(v) == []
    assert v.names() == ["held", "sealed"][point == "Destroy.end":]


def test_told_to_end_with_more_that_wait(service):
    """There is one grace for all of them, not one for each."""
    waits = [service.hang("Tokens.begin", "TokenList")]
    waits += [service.send("TokenList") for _ in range(3)]
    assert "error" not in service.call("Status")     # they are in line
    service.broker.process.send_signal(signal.SIGTERM)
    service.broker.process.communicate(timeout=100)
    assert not harness.wait_for_none()
    assert service.v.token.state["calls"].count("hangs") == 1
    said = wire.answer(waits[0])
    # It is asked a second time, which is refused at once.
    assert said["parameters"]["failed"][0]["error"] == \
        "the broker ends: no token is asked", said


# --- what is locked, or ended, while it hangs ---

NO_GRANT = "0" * 32
ENDS = {"Lock": {}, "UseEnd": {"grant": NO_GRANT},
        "GrantsRevoke": {"user": "root"}}
# Who asks for what hangs, who for what ends, who for the key: one's requests
# are answered one after the other by themselves.
WHO = {"one": (None, None, None),
       "others": pytest.param((users.ALICE, None, users.ALICE),
                              marks=users.needs_root)}


def permit_to(service, *uids):
    rule = {**ALL["rules"][0], "subjects": {"uids": [os.getuid(), *uids]}}
    said = service.call("PolicyApply", dry_run=False, text=json.dumps({
        **ALL, "metadata": {"name": "t", "version": 2}, "rules": [rule]}))
    assert "error" not in said, said
    users.open_way(service.broker.path)


@pytest.mark.parametrize("who", WHO.values(), ids=WHO)
@pytest.mark.parametrize("method", ENDS if harness.FULL else ["Lock"])
def test_nothing_is_given_before_what_ends(service, method, who):
    """It waits for the token; and no key goes out after it came."""
    permit_to(service, users.ALICE)
    hangs, ends, wants = who
    waits = service.hang("Tokens.begin", "TokenList", hangs)
    ends = service.send(method, ends, **ENDS[method])
    assert "error" not in service.call("Status")
    key = service.send("Export", wants, name="sealed", dry_run=False)
    signs = service.send("Sign", wants, **{**sign_parameters(),
                                           "name": "sealed"})
    for _ in range(3):
        assert "error" not in service.call("Status")
    for s in (waits, ends, key, signs):
        assert not is_answered(s)
    service.go()
    said = wire.answer(ends)
    assert ("error" in said) == (method == "UseEnd"), said
    for s in (key, signs):
        said = wire.answer(s)
        if method == "Lock":
            assert said["parameters"]["code"] == "locked", said
        else:
            assert "error" not in said, said
    assert "error" not in wire.answer(waits)


TOGETHER, USERS = 64, 5      # CV_LIMIT_TOGETHER


def opens(service):
    said = service.call("Export", name="sealed", dry_run=False)
    assert "error" not in said, said


def test_the_look_at_a_grants_token(service):
    """While a key of it is in use the broker looks by itself whether a token is
    still there: who meets the hang is nobody's request."""
    said = service.call("Use", name="held", kind="credential", read_only=False)
    assert "error" not in said, said
    service.v.token.plan(hang="Tokens.begin")
    service.wait_for_hang()
    for method in ("Hello", "Status", "List", "Grants"):
        assert "error" not in service.call(method), method
    opens(service)
    signs = service.send("Sign", **sign_parameters())
    assert service.call("LockAll", reason="drill")["parameters"]["frozen"]
    assert not is_answered(signs)
    service.go()
    assert wire.answer(signs)["parameters"]["code"] == "denied"
    while service.call("Grants")["parameters"]["items"]:
        time.sleep(.02)


def stopped(pid):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            if f.read().rsplit(")", 1)[1].split()[0] == "T":
                return
        time.sleep(.001)
    raise AssertionError(f"{pid} does not stop")


def at_once(service, asked):
    """(socket, message): all there before the broker looks. It knows the
    connections by then: one that it took later would be served in between."""
    for s, _ in asked:
        s.sendall(request("Hello"))
        assert "error" not in wire.answer(s)
    os.kill(service.broker.pid(), signal.SIGSTOP)
    try:
        stopped(service.broker.pid())
        for s, message in asked:
            s.sendall(message)
    finally:
        os.kill(service.broker.pid(), signal.SIGCONT)
    service.wait_for_hang()


@users.needs_root
def test_nothing_is_given_out_of_turn(service):
    """Users whose requests waited before the lock came have their turns before
    it: what they ask for behind it stays behind it."""
    uids = [users.ALICE + i for i in range(USERS)]
    permit_to(service, *uids)
    each = TOGETHER // USERS + 1
    asked = [service.connect(uid) for uid in uids for _ in range(each)]
    last = service.connect(uids[-1])
    service.v.token.plan(hang="Sign.begin")
    at_once(service, [(s, request("Sign", **{
        **sign_parameters(), "name": "sealed" if i else "held"}))
        for i, s in enumerate(asked)])
    lock = service.send("Lock")
    assert "error" not in service.call("Status")
    last.sendall(request("Export", name="sealed", dry_run=False))
    assert "error" not in service.call("Status")
    service.go()
    assert wire.answer(last)["parameters"]["code"] == "locked"
    assert "error" not in wire.answer(lock)
    assert "signature" in wire.answer(asked[0])["parameters"]


@users.needs_root
def test_a_freeze_that_ends_in_the_same_turn(service):
    """What it was to shut is shut, though nobody was idle in between."""
    permit_to(service, users.ALICE)
    opens(service)
    service.v.token.plan(hang="Tokens.begin")
    waits, other = service.connect(users.ALICE), service.connect()
    at_once(service, [(waits, request("TokenList")),
                      (other, request("Status"))])
    said = service.call("LockAll")["parameters"]
    assert (said["frozen"], said["locked"]) == (True, False), said
    thaws = service.send("UnlockAll")
    assert "error" not in service.call("Status")
    service.go()
    said = wire.answer(thaws)["parameters"]
    assert said == {"frozen": False, "was_frozen": True, "locked": True}, said


def test_freeze_is_at_once(service):
    """It is there while the token still hangs, and what was permitted before it
    is not given any more: neither what the token is at, nor what was decided
    together with that."""
    opens(service)
    service.v.token.plan(hang="Sign.begin")
    asked = [service.connect() for _ in range(4)]
    at_once(service, list(zip(asked, (
        *(request("Sign", **{**sign_parameters(), "name": name})
          for name in ("held", "held", "sealed")),
        request("Export", name="sealed", dry_run=False)))))
    assert "error" not in service.call("Status")
    # What needs no token may have had its turn before.
    early = [s for s in asked if is_answered(s)]
    assert asked[0] not in early
    said = service.call("LockAll", reason="drill")["parameters"]
    assert said["frozen"] is True, said
    said = service.call("Export", name="sealed", dry_run=False)
    assert said["parameters"]["code"] == "denied", said
    assert service.call("Status")["parameters"]["status"]["frozen"] is True
    assert not is_answered(asked[0])
    thaws = service.send("UnlockAll")
    assert "error" not in service.call("Status")
    service.go()
    for s in asked:
        said = wire.answer(s)
        assert ("error" in said) == (s not in early), said
        if s not in early:
            said = said["parameters"]
            assert said["code"] == "denied" and "frozen" in said["message"]
    # No key was used behind it, also where nobody would have got the signature.
    assert service.v.token.state["calls"].count("Sign") == 1
    # What it was to shut was shut before.
    said = wire.answer(thaws)["parameters"]
    assert said == {"frozen": False, "was_frozen": True, "locked": True}, said
    told = service.call("AuditQuery", filter={})["parameters"]["items"]
    told = [r for r in told if r["action"] in ("use", "export")]
    permits = [r for r in told if r["phase"] == "decision" and
               r["decision"] == "permit"]
    ends = {r["op"]: r["outcome"] for r in told if r["phase"] == "outcome"}
    ends = [ends[r["op"]] for r in permits]
    assert ends.count("ok") == 1 + len(early) and len(ends) >= 2, told
    assert ends.count("failed") == len(ends) - 1 - len(early), told


def test_a_freeze_before_a_grant_is_given(service):
    """It is decided, and of an RSA key the token is asked which signatures it
    makes: what comes of that is no grant any more."""
    v = service.v
    assert service.broker.end() == 0
    rsa = kube.Identity("rsa2048", secrets=v.secrets)
    v("import", "-", "--name", "rsa", "--to", TO,
      input=kube.as_yaml(kube.config(rsa)), code=0)
    service.start()
    waits = service.hang("Mechanisms.begin", "Use", name="rsa",
                         kind="credential", read_only=False)
    assert service.call("LockAll", reason="drill")["parameters"]["frozen"]
    service.go()
    said = wire.answer(waits)["parameters"]
    assert said["code"] == "denied" and "frozen" in said["message"], said
    assert "certificate" not in said and "grant" not in said, said
    assert service.call("Grants")["parameters"]["items"] == []
    assert "error" not in service.call("UnlockAll")


def test_freeze_stops_rm(service):
    """Of two keys the one that the token is at goes."""
    v = service.v
    assert service.broker.end() == 0
    make(v, "held2")
    service.start()
    waits = service.hang("Destroy.begin", "Remove", names=["held", "held2"],
                         dry_run=False)
    assert "error" not in service.call("LockAll")
    service.go()
    said = wire.answer(waits)["parameters"]
    assert said["code"] == "denied" and "frozen" in said["message"], said
    assert said["state"] == "1 of 2 were removed before that", said
    assert "error" not in service.call("UnlockAll")
    left = service.call("List")["parameters"]["items"]
    assert sorted(e["name"] for e in left) == ["held2", "sealed"]
    assert len(v.token.keys) == 1 and journal(v) == []


def is_module(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as f:
        return b"--pkcs11" in f.read().split(b"\0")


def test_a_token_process_that_goes(service):
    """It is noticed and another one asked: one that was waited for until its
    time is over is called one that hangs, and none is started for a while."""
    waits = service.hang("Sign.begin", "Sign", **sign_parameters())
    service.v.token.plan()
    (token,) = [pid for pid, name in harness.our_processes()
                if name == "token" and is_module(pid)]
    os.kill(token, signal.SIGKILL)
    assert "signature" in wire.answer(waits)["parameters"]
