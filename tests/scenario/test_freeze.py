"""The freeze: `lock --all` ends all use at once, for every broker of the vault
and over restarts, until `unlock --all`."""

import json
import os
import shutil
import time

import pytest

import harness
import kube
import straced
import users
from harness import DENIED, UNAVAILABLE
from relay_stub import Stub, install, use
from users import ALICE, CAROL, permit
from wire import Broker

BROKER = "io.certvault.Broker."


@pytest.fixture
def rig(home, secrets, tmp_path):
    """A service whose relay the test plays."""
    build = install(tmp_path / "installed", harness.BUILD)
    v = harness.Vault(home, secrets, build=build)
    v.identity = kube.Identity("p256", secrets=secrets)
    v.add(kube.as_yaml(kube.config(v.identity)), "a", "--exportable")
    v.policy(harness.MAY_EXPORT, permit("ops", [ALICE], ["use", "list"]),
             permit("boss", [CAROL], ["admin"]))
    v.file = v.write("kube", kube.as_yaml(kube.config(kube.Identity("p256"))))
    v.stub = Stub(build)
    v.begin = lambda: begin(v)
    begin(v)
    yield v
    assert v.broker.end() == 0
    v.verify()


def begin(v):
    v.broker = Broker(v, "--key-file", v.key_file)
    v.to = ("--broker", "unix:" + v.broker.path)
    users.open_way(v.broker.path)


def ask(v, *words, **options):
    return v(*words[:1], *words[1:], *v.to, **options)


REFUSED = {
    "export": ("export", "a", "--reason", "x"),
    "exec": ("exec", "a", "--", "true"),
    "kubeconfig": ("kubeconfig", "a"),
    "import": ("import", "FILE", "--name", "b"),
    "rm": ("rm", "a", "--yes"),
    "rename": ("rename", "a", "b"),
    "label": ("label", "a", "k=v"),
    "pin": ("pin", "a", "--context", "main", "--spki", "A" * 43 + "="),
}
GOES_ON = [("list",), ("show", "a"), ("status",), ("audit", "query"),
           ("audit", "tail"), ("policy", "show"), ("slot", "list"),
           ("grants", "list", "--all"), ("doctor",)]


def words_of(rig, name):
    return [rig.file if w == "FILE" else w for w in REFUSED[name]]


def test_what_is_refused_and_what_goes_on(rig):
    ask(rig, "lock", "--all", "--reason", "a laptop was stolen", code=0)
    assert rig.json("status", *rig.to)["locked"]
    for name in REFUSED:
        # exec's words end at --
        done = rig(*rig.to, "-o", "json", *words_of(rig, name), code=DENIED)
        assert "frozen" in done.error["message"], done
        assert "a laptop was stolen" in done.error["message"]
        assert "unlock --all" in done.error["hint"]
        leaf = json.loads(ask(rig, "audit", "record",
                              str(done.error["audit_seq"]), code=0).text)
        assert leaf["decision"] == "deny" and leaf["rules"] == []
        because = leaf["details"]["because"]
        assert because.startswith("the vault is frozen since "), leaf
        assert "stolen" not in because
    s = rig.broker.connect()
    said = rig.broker.call(BROKER + "Sign", {
        "name": "a", "purpose": "challenge", "data": "AAAA",
        "algorithm": "ecdsa_secp256r1_sha256"}, on=s)
    assert said["parameters"]["code"] == "denied" and "frozen" in \
        said["parameters"]["message"]
    s.close()
    # Who could fetch nothing has no cloud asked.
    said = rig.broker.call(BROKER + "Fetch", {
        "cloud": {}, "cluster_id": "c", "dry_run": False})["parameters"]
    assert said["code"] == "denied" and "frozen" in said["message"], said
    leaf = json.loads(ask(rig, "audit", "record", str(said["audit_seq"]),
                          code=0).text)
    assert leaf["details"]["because"].startswith("the vault is frozen since ")
    for words in GOES_ON:
        assert ask(rig, *words).code in ((0, 1) if words == ("doctor",)
                                         else (0,)), words
    status = rig.json("status", *rig.to)
    assert status["frozen"] is True
    assert status["frozen_reason"] == "a laptop was stolen"
    assert status["frozen_by"] and status["frozen_since"].endswith("Z")
    leaf, = [r for r in rig.json("audit", "query", *rig.to)["items"]
             if r["details"].get("method") == "LockAll" and
             r["phase"] == "decision"]
    assert leaf["reason"] == "a laptop was stolen"
    assert leaf["action"] == "admin" and leaf["decision"] == "permit"
    # Again changes nothing: who froze it first stays.
    ask(rig, "lock", "--all", "--reason", "again", code=0)
    assert rig.json("status", *rig.to)["frozen_reason"] == \
        "a laptop was stolen"
    done = ask(rig, "unlock", "--all", code=0)
    assert "certvault unlock" in done.note and "has ended" in done.note
    assert not rig.json("status", *rig.to)["frozen"]
    ask(rig, "export", "a", "--reason", "x", code=0, secret=True)
    done = ask(rig, "unlock", "--all", code=0)
    assert "nothing was frozen" in done.note and "ended" not in done.note


def test_without_a_reason(rig):
    """There is none, and no word stands for it; also for the next broker."""
    ask(rig, "lock", "--all", code=0)
    for again in (False, True):
        if again:
            rig.broker.end()
            harness.wait_for_none()
            rig.begin()
        error = ask(rig, "-o", "json", "export", "a", "--reason", "x",
                    code=DENIED).error
        status = rig.json("status", *rig.to)
        assert error["message"].endswith(" by " + status["frozen_by"]), error
        assert status["frozen"] and "frozen_reason" not in status
        shown = ask(rig, "status", code=0)
        assert "null" not in shown.text + shown.note
    ask(rig, "unlock", "--all", code=0)


def test_it_outlives_a_restart(rig):
    ask(rig, "lock", "--all", code=0)
    for number in (15, 9):
        rig.broker.end(number)
        harness.wait_for_none()
        rig.begin()
        status = rig.json("status", *rig.to)
        assert status["frozen"] and status["locked"], status
        ask(rig, "export", "a", "--reason", "x", code=DENIED)
        # Opening it is no way around.
        ask(rig, "--key-file", rig.key_file, "unlock", code=0)
        ask(rig, "export", "a", "--reason", "x", code=DENIED)
    ask(rig, "unlock", "--all", code=0)
    ask(rig, "export", "a", "--reason", "x", code=0, secret=True)


def test_grants_end(rig):
    s = rig.broker.connect()
    grant = use(rig.broker, on=s)["parameters"]["grant"]["id"]
    assert "signature" in rig.stub.sign(grant)["parameters"]
    ask(rig, "lock", "--all", code=0)
    order = rig.stub.closed(grant, harness.within(1))
    assert "frozen" in order["why"] and "unlock --all" in order["hint"]
    assert "error" in rig.stub.sign(grant)
    end, = [r for r in rig.json("audit", "query", *rig.to, "--action",
                                "use")["items"]
            if r["details"].get("method") == "UseEnd"]
    assert end["details"]["grant"] == grant
    assert "frozen" in end["details"]["because"]
    assert use(rig.broker, on=s)["parameters"]["code"] == "denied"
    assert rig.json("grants", "list", *rig.to)["items"] == []
    s.close()


@users.needs_root
def test_who_may(rig):
    alice = users.connect_as(rig.broker.path, ALICE)
    carol = users.connect_as(rig.broker.path, CAROL)

    def call(s, method):
        return rig.broker.call(BROKER + method, {}, on=s)["parameters"]
    assert call(alice, "LockAll")["code"] == "denied"
    assert "grant" in use(rig.broker, on=alice)["parameters"]
    assert call(carol, "LockAll")["frozen"]
    assert call(alice, "UnlockAll")["code"] == "denied"
    assert "frozen" in use(rig.broker, on=alice)["parameters"]["message"]
    assert not call(carol, "UnlockAll")["frozen"]
    alice.close()
    carol.close()


def test_people_are_told(vault, tmp_path):
    """The command that the configuration names, at both ends of the freeze."""
    out, program = tmp_path / "told", tmp_path / "notify"
    program.write_text(f"#!/bin/sh\ncat >> {out}\n")
    program.chmod(0o700)
    config = tmp_path / "certvault.yaml"
    config.write_text(f"notify: {{command: {program}}}\n")
    config.chmod(0o600)
    broker = Broker(vault, "--key-file", vault.key_file, "--config",
                    str(config))
    to = ("--broker", "unix:" + broker.path)

    def told(n):
        end = time.monotonic() + 60
        while not out.exists() or len(out.read_text().splitlines()) < n:
            assert time.monotonic() < end
            time.sleep(0.05)
        return [json.loads(line) for line in out.read_text().splitlines()]
    try:
        vault("lock", "--all", "--reason", "stolen", *to, code=0)
        one, = told(1)
        assert one["event"] == "freeze" and one["reason"] == "stolen"
        assert one["by"]
        vault("unlock", "--all", *to, code=0)
        assert told(2)[1]["event"] == "unfreeze"
    finally:
        assert broker.end() == 0


def test_other_brokers_of_the_vault(vault, secrets):
    """An agent that is open and a private broker: one freezes, both are."""
    vault.policy(harness.MAY_EXPORT)
    vault.add(kube.as_yaml(kube.config(kube.Identity("p256"))), "a",
              "--exportable")
    export = ("export", "a", "--reason", "x")
    vault.flags = []
    vault("agent", "start", code=0)
    try:
        vault("--key-file", vault.key_file, "unlock", code=0)
        vault(*export, code=0, secret=True)
        vault("--no-agent", "lock", "--all", code=0)
        assert "frozen" in vault(*export, code=DENIED).note
        # Seen at that request, done after it.
        end = time.monotonic() + 60
        while not vault.json("agent", "status")["locked"]:
            assert time.monotonic() < end
        vault("--no-agent", *export, code=DENIED)
        vault("lock", "--all", code=0)
        vault("--no-agent", "unlock", "--all", code=0)
        vault("--key-file", vault.key_file, *export, code=0, secret=True)
    finally:
        vault("agent", "stop", code=0)


@pytest.mark.parametrize("words", [("lock", "--all"), ("unlock", "--all")],
                         ids=["lock", "unlock"])
def test_killed_anywhere(release_vault, words, tmp_path):
    """Frozen or not, the record says which, and it can be changed back."""
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    v, rng = release_vault, harness.seeded()
    other = ("unlock" if words[0] == "lock" else "lock", "--all")
    v(*other, code=0)
    template = os.path.join(v.home, "template")
    shutil.copytree(v.folder, template)
    out = str(tmp_path / "count")
    v.wrap = straced.command(out, straced.available())
    v(*words, code=0)
    v.wrap = []
    with open(out, encoding="ascii") as f:
        points = sorted({(c.name, c.nth) for c in straced.files_only(
            straced.parse(f.read()), v.home)})
    chosen = points if harness.FULL else rng.sample(points, 5)
    for call, nth in chosen:
        shutil.rmtree(v.folder)
        shutil.copytree(template, v.folder)
        straced.killed_run(v, call, nth, *words)
        assert not harness.wait_for_none()
        frozen = v.json("status")["frozen"]
        assert v.verify()["ok"]
        told = [r for r in v.records("--action", "admin")
                if r["details"].get("method") == words[0].title() + "All"]
        ops = {r["op"] for r in told}
        last = [r for r in v.records("--action", "admin")
                if r["op"] in ops and r["phase"] == "outcome"]
        was = words[0] == "unlock"
        assert (frozen == was) == (not last or
                                   last[-1]["outcome"] == "aborted"), \
            (call, nth, frozen, last)
        v(*other, code=0)
        assert v.json("status")["frozen"] == was


def test_no_vault(home, secrets):
    v = harness.Vault(home, secrets, init=False)
    v("lock", "--all", code=harness.NOT_FOUND)
    v("unlock", "--all", code=harness.NOT_FOUND)
    v("--broker", "unix:" + os.path.join(v.home, "none.sock"), "lock", "--all",
      code=UNAVAILABLE)
