"""What goes wrong around the door: peers that die, limits, a stopped broker, a
lock that is taken away, a terminal. H56, H57, H60, H62 of the threats."""

import os
import pty
import signal
import subprocess
import time

import pytest

import harness
import merkle
from harness import BUSY, UNAVAILABLE
from kube import Identity, as_yaml, config
from strangers import request
from wire import Broker, answer

EXPORT = request("Export", {"name": "a", "reason": "x", "dry_run": False})


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def state_of(pid):
    """(state, parent, session, terminal) of a process (proc(5))."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return fields[0], int(fields[1]), int(fields[3]), int(fields[4])


@pytest.fixture
def served(vault, secrets):
    vault.policy(harness.MAY_EXPORT)
    vault.add(as_yaml(config(Identity(secrets=secrets))), "a", "--exportable")
    vault.broker = Broker(vault, "--key-file", vault.key_file)
    vault.to = ("--broker", "unix:" + vault.broker.path)
    yield vault
    vault.broker.end()


def exports(vault):
    return [r for r in vault.records("--action", "export")]


def test_h56_the_peer_is_gone_before_the_answer(served):
    """Decided and recorded, and not called delivered."""
    pid = served.broker.pid()
    s = served.broker.connect()
    os.kill(pid, signal.SIGSTOP)
    until(lambda: state_of(pid)[0] == "T")
    s.sendall(EXPORT)
    s.close()
    os.kill(pid, signal.SIGCONT)
    served(*served.to, "list", code=0)
    served.broker.end()
    found = exports(served)
    assert [r["phase"] for r in found] == ["decision", "outcome"]
    assert found[0]["decision"] == "permit"
    assert found[1]["outcome"] == "failed"


def spawner_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        (spawner,) = map(int, f.read().split())
    return spawner


def test_a_spawner_that_dies_while_nobody_asks(served):
    """The service says so and ends, for its manager to start it again; nobody
    has to come and be refused first."""
    pid = served.broker.pid()
    served(*served.to, "list", code=0)
    time.sleep(1.2)        # the last checkpoint is made; it rests from now on
    os.kill(spawner_of(pid), signal.SIGKILL)
    assert served.broker.process.wait(60) == UNAVAILABLE
    said = served.broker.process.stderr.read()
    assert b"the process that starts the helpers was killed" in said, said
    served.verify()


def test_a_token_process_that_died_is_no_open_vault(vault, secrets):
    """`unlock` opens it again, and does not say that it is open."""
    vault.policy(harness.MAY_EXPORT)
    vault.add(as_yaml(config(Identity(secrets=secrets))), "a", "--exportable")
    broker = Broker(vault)
    to = ("--broker", "unix:" + broker.path)
    away = vault.key_file + ".away"
    os.rename(vault.key_file, away)
    unlock = (*to, "--key-file", away, "unlock")
    try:
        assert "open already" not in vault(*unlock, code=0).note
        assert "open already" in vault(*unlock, code=0).note
        assert not vault.json(*to, "status")["locked"]
        with open(f"/proc/{broker.pid()}/task/{broker.pid()}/children",
                  encoding="ascii") as f:
            (spawner,) = map(int, f.read().split())
        (token,) = [p for p, n in harness.our_processes() if n == "token" and
                    state_of(p)[1] == spawner]
        os.kill(token, signal.SIGKILL)
        until(lambda: not os.path.exists(f"/proc/{token}") or
              state_of(token)[0] == "Z")
        assert vault.json(*to, "status")["locked"]
        assert "open already" not in vault(*unlock, code=0).note
        vault(*to, "export", "a", "--reason", "x", code=0, secret=True)
    finally:
        broker.end()


def test_h60_stopped_for_a_while(served):
    """SIGSTOP: whoever asked meanwhile is answered afterwards, once."""
    pid = served.broker.pid()
    os.kill(pid, signal.SIGSTOP)
    until(lambda: state_of(pid)[0] == "T")
    asked = [served.broker.connect() for _ in range(20)]
    for s in asked:
        s.sendall(EXPORT)
    time.sleep(2)          # what is measured by the clock goes on meanwhile
    os.kill(pid, signal.SIGCONT)
    for s in asked:
        assert "kubeconfig" in answer(s)["parameters"]
        s.settimeout(0.05)
        with pytest.raises(TimeoutError):
            s.recv(1)
        s.close()
    served.broker.end()
    assert len([r for r in exports(served)
                if r["phase"] == "decision"]) == 20


def test_h60_started_without_standard_descriptors(served):
    """Sockets and files then get the numbers 0 to 2; nothing is written into
    them that was meant for a person."""
    served.broker.end()
    path = served.broker.path
    p = subprocess.Popen(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh",
         harness.program("certvaultd"), "--vault", served.folder, "--socket",
         path, "--foreground", "--key-file", served.key_file],
        env=served.env(), start_new_session=True)
    try:
        until(lambda: p.poll() is not None or served(
            *served.to, "list").code == 0)
        assert p.poll() is None
        served(*served.to, "export", "a", "--reason", "x", code=0, secret=True)
    finally:
        p.terminate()
        assert p.wait(60) == 0
    served.verify()


@pytest.mark.parametrize("limit", [4, 5, 8, 12])
def test_h60_hardly_any_descriptors(served, limit):
    """It ends by itself, and says why, or it serves."""
    served.broker.end()
    p = subprocess.Popen(
        ["prlimit", f"--nofile={limit}:{limit}",
         harness.program("certvaultd"), "--vault", served.folder, "--socket",
         served.broker.path, "--foreground", "--key-file", served.key_file],
        env=served.env(), stdin=subprocess.DEVNULL, start_new_session=True,
        stderr=subprocess.PIPE)
    try:
        until(lambda: p.poll() is not None or
              os.path.exists(served.broker.path))
        if p.poll() is None:
            assert served(*served.to, "list").code >= 0
    finally:
        p.terminate()
        _, said = p.communicate(timeout=60)
    # Before it looks for signals SIGTERM ends it as it ends any program.
    assert 0 <= p.returncode <= 78 or p.returncode == -signal.SIGTERM, \
        (p.returncode, said)
    assert b"Sanitizer" not in said, said
    assert p.returncode <= 0 or said.startswith(b"certvaultd: "), said
    served.verify()


def test_h60_files_may_not_grow(served):
    """RLIMIT_FSIZE (SIGXFSZ): what cannot be recorded is not done, and the
    broker goes on."""
    size = merkle.log_bytes(served.path("audit/log")) + 4000
    subprocess.run(["prlimit", f"--fsize={size}:unlimited", "--pid",
                    str(served.broker.pid())], check=True)
    said = []
    for _ in range(20):
        s = served.broker.connect()
        s.sendall(EXPORT)
        said.append(answer(s))
        s.close()
    done = [x for x in said if "error" not in x]
    assert {x["error"].rsplit(".")[-1] for x in said if "error" in x} == {"Io"}
    assert served.broker.process.poll() is None
    # What was recorded may lack its outcome, never its decision.
    subprocess.run(["prlimit", "--fsize=unlimited:unlimited", "--pid",
                    str(served.broker.pid())], check=True)
    served.broker.end()
    assert len([r for r in exports(served) if r["phase"] == "decision"]) >= \
        len(done) > 0


def test_h57_the_lock_file_is_taken_away(served):
    """A second service finds no lock file: the first holds the vault all the
    same, or it is found out; there are never two that write."""
    locks = [n for n in os.listdir(served.folder) if "lock" in n]
    assert locks, os.listdir(served.folder)
    for name in locks:
        os.unlink(served.path(name))
    second = os.path.join(served.home, "run", "second.sock")
    p = subprocess.Popen(
        [harness.program("certvaultd"), "--vault", served.folder, "--socket",
         second, "--foreground"], env=served.env(), start_new_session=True,
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        until(lambda: p.poll() is not None or os.path.exists(second))
        if p.poll() is None:
            for to in (served.to, ("--broker", "unix:" + second)):
                served(*to, "show", "a")
    finally:
        p.terminate()
        p.communicate(timeout=60)
    served.broker.end()
    # No two leaves have the same number, and the chain is whole.
    served.verify()


def test_h57_a_live_second_one(served):
    done = subprocess.run(
        [harness.program("certvaultd"), "--vault", served.folder, "--socket",
         os.path.join(served.home, "run", "second.sock"), "--foreground"],
        env=served.env(), stdin=subprocess.DEVNULL, capture_output=True,
        timeout=60)
    assert done.returncode == BUSY, done
    assert served.broker.path.encode() in done.stderr, done
    served(*served.to, "list", code=0)


def test_h62_no_child_has_the_terminal(vault, secrets):
    """Started from an attacker's terminal (TIOCSTI): what it starts has no
    controlling terminal, and no descriptor of one."""
    vault.policy(harness.MAY_EXPORT)
    vault.add(as_yaml(config(Identity(secrets=secrets))), "a", "--exportable")
    path = os.path.join(vault.home, "run", "b.sock")
    pid, master = pty.fork()
    if pid == 0:
        os.execve(harness.program("certvaultd"), [
            "certvaultd", "--vault", vault.folder, "--socket", path,
            "--foreground", "--key-file", vault.key_file], vault.env())
    try:
        until(lambda: vault("--broker", "unix:" + path, "list").code == 0)
        vault("--broker", "unix:" + path, "export", "a", "--reason", "x",
              code=0, secret=True)
        ours = [p for p, _ in harness.our_processes() if p != pid]
        below = [p for p in ours if state_of(p)[1] == pid or
                 state_of(state_of(p)[1])[1] == pid]
        assert len(below) >= 2, ours
        for child in below:
            terminal = state_of(child)[3]
            assert terminal == 0, child
            if os.geteuid() == 0:
                for fd in os.listdir(f"/proc/{child}/fd"):
                    to = os.readlink(f"/proc/{child}/fd/{fd}")
                    assert "/pts/" not in to or fd == "2", (child, fd, to)
    finally:
        os.kill(pid, signal.SIGTERM)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(master)
    assert code == 0
