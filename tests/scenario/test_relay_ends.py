"""When a grant ends, what goes through it ends too: an open watch and an open
exec are cut within 5 s, however it ends, and what comes later is refused with
the reason."""

import json
import os
import time

import pytest

import harness
import kube
import relay
import tokens
from held import Held

pytestmark = pytest.mark.skipif(bool(relay.missing()),
                                reason=str(relay.missing()))
SECONDS = harness.within(5)


@pytest.fixture(scope="module", params=["h2,http/1.1", "http/1.1"],
                ids=["h2", "h1"])
def upstream(request, tmp_path_factory):
    with relay.Standin(tmp_path_factory.mktemp("api"), "--alpn",
                       request.param) as s:
        yield s


@pytest.fixture
def standin(upstream):
    upstream.reset()
    return upstream


def end_agent(vault):
    vault.flags = []
    vault("agent", "stop")


@pytest.fixture
def agent(vault, standin):
    """A vault with an agent, whose entry prod leads to the stand-in."""
    vault.add(kube.as_yaml(kube.config(standin.identity(common="kim"),
                                       server=standin.url)), "prod")
    vault.flags = []
    vault("agent", "start", code=0)
    yield vault
    end_agent(vault)


def forbid(vault, *flags):
    rules = [{"name": "owner", "effect": "permit",
              "subjects": {"uids": [os.getuid()]}, "actions": ["*"]},
             {"name": "no", "effect": "forbid",
              "subjects": {"uids": [os.getuid()]}, "actions": ["use"]}]
    path = vault.write("forbid.yaml", json.dumps(
        {"apiVersion": "certvault/v1", "kind": "Policy",
         "metadata": {"name": "no", "version": 5}, "rules": rules}))
    vault(*flags, "policy", "apply", path, code=0)


# How it ends: what is done, and what is said to who asks later (None: nobody
# is there to say it).
ENDS = {
    "exec": (lambda v, s: s.end(), ""),
    "rm": (lambda v, s: v("rm", "prod", "--yes", code=0), "removed"),
    "rename": (lambda v, s: v("rename", "prod", "else", code=0), "renamed"),
    "policy": (lambda v, s: forbid(v), "policy"),
    "policy-elsewhere": (lambda v, s: forbid(v, "--no-agent"), "policy"),
    "rm-elsewhere": (lambda v, s: v("--no-agent", "rm", "prod", "--yes",
                                    code=0), "removed"),
    "lock": (lambda v, s: v("lock", code=0), "locked"),
    "freeze": (lambda v, s: v("lock", "--all", code=0), "frozen"),
    "freeze-elsewhere": (lambda v, s: v("--no-agent", "lock", "--all", code=0),
                         "frozen"),
    "revoke": (lambda v, s: v("grants", "revoke", "--user", str(os.getuid()),
                              code=0), "revoked"),
    "agent": (lambda v, s: v("agent", "stop", code=0), None),
}


def closed(standin, numbers, seconds):
    """Whether these connections to the server end in time."""
    end = time.monotonic() + seconds
    while True:
        gone = {c["conn"] for c in standin.seen("closed")}
        if numbers <= gone:
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.05)


def live(standin, watch, shell):
    """Both are open and something came through; their connections."""
    assert "NAME" in (watch.line() or "")
    assert watch.line() and watch.line()
    shell.write("hello\n")
    assert shell.line() == "hello"
    standin.say(touch="demo")
    assert (watch.line() or "").split()[:1] == ["demo"]
    return {r["conn"] for r in standin.requests()
            if "watch=" in r["target"] or "/exec?" in r["target"]}


def cut(standin, session, act):
    """The watch and the exec end within 5 s of act(), here and there."""
    kubectl = session.kubectl()
    with kubectl.running("get", "pods", "-w") as watch, \
            kubectl.running("exec", "-i", "demo", "--", "cat") as shell:
        numbers = live(standin, watch, shell)
        assert len(numbers) == 2
        act()
        begin = time.monotonic()
        for one in (watch, shell):
            one.wait(max(0.1, SECONDS - (time.monotonic() - begin)))
        left = SECONDS - (time.monotonic() - begin)
        assert closed(standin, numbers, left), standin.seen("closed")


@pytest.mark.parametrize("how", ENDS)
def test_a_watch_and_an_exec_are_cut(agent, standin, how):
    act, words = ENDS[how]
    with relay.Session(agent, "prod") as session:
        cut(standin, session, lambda: act(agent, session))
        standin.reset()
        if words is not None and how != "exec":
            done = session.kubectl()("get", "--raw", "/version", code=1)
            said = done.stderr.decode()
            assert "orbidden" in said or "nauthorized" in said, said
            assert words in said
        assert not standin.requests()


def test_time_ends_it(agent, standin):
    """A second time for longer where the commands took so long to start."""
    for seconds in (6, 60):
        begin = time.monotonic()
        with relay.Session(agent, "prod", "--for", f"{seconds}s") as session:
            try:
                cut(standin, session, lambda: time.sleep(
                    max(0, seconds - 1 - (time.monotonic() - begin))))
                return
            except (AssertionError, OSError):
                if seconds == 60:
                    raise


def test_the_end_is_in_the_log(agent, standin):
    with relay.Session(agent, "prod") as session:
        session.kubectl()("get", "ns")
        agent("rm", "prod", "--yes", code=0)
    events = [r for r in agent.records() if r["phase"] == "event"
              and "grant" in json.dumps(r.get("details", {}))]
    assert events, agent.records()


@pytest.fixture
def softhsm(tmp_path):
    why = tokens.SoftHsm.missing()
    if why:
        pytest.skip(why)
    token = tokens.SoftHsm(tmp_path / "token")
    token.start()
    yield token
    token.stop()


def test_the_token_is_pulled(vault, standin, softhsm):
    held = Held(vault, softhsm)
    identity = standin.identity(common="kim")
    held.json("import", "-", "--name", "prod", "--to", "token:" + held.uri,
              input=kube.as_yaml(kube.config(identity, server=standin.url)))
    vault.flags = []
    try:
        held("agent", "start", code=0)
        held("token", "login", held.uri, code=0)
        with relay.Session(vault, "prod") as session:
            cut(standin, session, softhsm.remove)
            done = session.kubectl()("get", "--raw", "/version", code=1)
            assert b"token" in done.stderr, done
        softhsm.put_back()
    finally:
        end_agent(vault)


def lives_on(session, vault, seconds=3):
    """Over some looks at what would end it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert session.get("/version").startswith(b"HTTP/1.1 200"), session
        time.sleep(0.2)
    ends = [r for r in vault.records("--action", "use")
            if r["details"].get("because") == "the vault was locked"]
    assert not ends, ends


def test_a_lock_of_before_ends_nothing(vault, standin):
    """Neither in a broker of the command's own, which has seen nothing yet, nor
    in an agent, which was locked itself."""
    vault.add(kube.as_yaml(kube.config(standin.identity(common="kim"),
                                       server=standin.url)), "prod")
    vault("lock", code=0)
    with relay.Session(vault, "prod") as session:
        lives_on(session, vault)
    vault.flags = []
    vault("agent", "start", code=0)
    try:
        with relay.Session(vault, "prod") as session:
            lives_on(session, vault)
        vault("lock", code=0)
        vault("unlock", code=0)
        with relay.Session(vault, "prod") as session:
            lives_on(session, vault)
    finally:
        end_agent(vault)
