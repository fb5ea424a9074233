"""The agent: one user's broker, which stays. Started by whoever needs it first,
unlocked once, gone when nobody needs it."""

import hashlib
import json
import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

import pytest

import harness
import tokens
from harness import BUSY, CONFIG, UNAVAILABLE
from held import Held
from kube import Identity, as_yaml, config
from terminal import Terminal

PHRASE = "correct horse battery staple"
UNITS = os.path.join(harness.SOURCE, "cli", "systemd")


class Agents(harness.Vault):
    """A vault whose commands use its agent; --no-input is up to the test."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.flags = []
        self.run = os.path.join(self.home, "run", "certvault")

    def __call__(self, *args, **options):
        return harness.Certvault.__call__(self, *args, **options)

    def start(self, *args, **options):
        return harness.Certvault.start(self, *args, **options)

    def names_of(self, end):
        digest = hashlib.sha256(self.folder.encode()).hexdigest()[:16]
        return os.path.join(self.run, digest + end)

    @property
    def socket(self):
        return self.names_of(".sock")

    def status(self):
        """None: it does not run."""
        done = self("-o", "json", "agent", "status")
        assert done.code in (0, UNAVAILABLE), done
        assert done.json["running"] == (done.code == 0)
        return done.json if done.code == 0 else None

    def begin(self, *args):
        """The pid of an agent that runs now."""
        self("agent", "start", *args, code=0)
        return self.status()["pid"]

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.connect(self.socket)
        s.settimeout(60)
        return s


def wait_end(pid, seconds=60):
    """Waits for the end of an agent, which was left to us; its exit code."""
    fd = os.pidfd_open(pid)
    try:
        p = select.poll()
        p.register(fd, select.POLLIN)
        assert p.poll(seconds * 1000), f"{pid} is still there"
    finally:
        os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def agents():
    """The pids of all agents below this process: leaders of their sessions."""
    found = []
    for pid, name in harness.our_processes():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
            if name == "certvaultd" and b"--agent" in words and \
                    os.getsid(pid) == pid:
                found.append(pid)
        except OSError:
            pass
    return found


def as_root():
    if os.geteuid() != 0:
        pytest.skip("needs root to be somebody else")


@pytest.fixture
def end_all():
    """Whatever a test did, its agents end cleanly."""
    yield
    for pid in agents():
        os.kill(pid, signal.SIGTERM)
        assert wait_end(pid) == 0


@pytest.fixture
def vault(home, secrets, end_all):
    v = Agents(home, secrets)
    yield v
    if not getattr(v, "spoilt", False):
        v("--no-agent", "audit", "verify", code=0)


@pytest.fixture
def typed(home, secrets, end_all):
    """A vault that a passphrase opens, with an entry that may be exported."""
    v = Agents(home, secrets, init=False)
    secrets.add("passphrase", PHRASE)
    v.phrase = v.write("phrase", PHRASE + "\n")
    v("--no-input", "init", "--new-passphrase-file", v.phrase, code=0)
    v("--no-agent", "--no-input", "import", "-", "--name", "a", "--exportable",
      input=as_yaml(config(Identity(secrets=secrets))), code=0)
    v.flags = ["--no-agent", "--no-input", "--passphrase-file", v.phrase]
    v.policy(harness.MAY_EXPORT)
    v.flags = []
    yield v


EXPORT = ("export", "a", "--reason", "x")


# --- beginning ---

def test_it_begins_by_itself(vault):
    assert vault.status() is None
    vault("list", code=0)
    told = vault.status()
    assert told["folder"] == vault.folder and told["socket"] == vault.socket
    assert stat.S_IMODE(os.stat(vault.run).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(vault.socket).st_mode) == 0o600
    assert [told["pid"]] == agents()
    assert vault.json("status")["mode"] == "agent"
    vault("label", "a", "k=v", code=harness.NOT_FOUND)
    assert vault.status()["pid"] == told["pid"]
    modes = [r["broker"]["mode"] for r in vault.records("--action", "edit")]
    assert modes == ["agent"], modes


def test_it_has_nothing_of_whoever_started_it(vault):
    as_root()
    pid = vault.begin()
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        assert f.read().rsplit(")", 1)[1].split()[4] == "0"     # no terminal
    for fd in os.listdir(f"/proc/{pid}/fd"):
        where = os.readlink(f"/proc/{pid}/fd/{fd}")
        assert where == "/dev/null" or not where.startswith("/dev/"), where
        assert not where.startswith("pipe:"), where
    with open(f"/proc/{pid}/environ", "rb") as f:
        named = {x.split(b"=")[0].decode() for x in f.read().split(b"\0")[:-1]}
    # What a PKCS#11 module finds its token by may be there.
    assert "XDG_RUNTIME_DIR" in named
    assert not named & {"PATH", "LANG", "CERTVAULT_DIR", "CERTVAULT_KEY_FILE"}


@pytest.mark.parametrize("how", ["none", "stale"])
def test_eight_at_once_start_one(vault, how):
    if how == "stale":
        pid = vault.begin()
        os.kill(pid, signal.SIGKILL)
        wait_end(pid)
        assert os.path.exists(vault.socket)
    running = [vault.start("-o", "json", "status") for _ in range(8)]
    for p in running:
        out, err = p.communicate(timeout=60)
        assert p.returncode == 0, err
        assert json.loads(out)["mode"] == "agent"
    assert agents() == [vault.status()["pid"]]


def test_killed_and_the_next_command_works(vault):
    first = vault.begin()
    vault("unlock", code=0)
    os.kill(first, signal.SIGKILL)
    assert wait_end(first) == -signal.SIGKILL
    harness.wait_for_none()
    vault("list", code=0)
    told = vault.status()
    assert told["pid"] != first and told["locked"]


def test_start_and_stop_twice(vault):
    pid = vault.begin()
    assert vault.begin() == pid
    vault("agent", "stop", code=0)
    assert wait_end(pid) == 0
    assert not os.path.exists(vault.socket)
    vault("agent", "stop", code=0)
    done = vault("agent", "status", code=UNAVAILABLE)
    assert "agent start" in done.note
    log = vault.json("--no-agent", "audit", "status")
    assert log["checkpoint"]["size"] >= log["size"] - 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(vault, number):
    pid = vault.begin()
    vault("label", "a", "k=v", code=harness.NOT_FOUND)
    os.kill(pid, number)
    assert wait_end(pid) == 0
    assert not os.path.exists(vault.socket)


def test_why_it_cannot_begin_is_told(vault):
    vault.spoilt = True
    os.chmod(vault.folder, 0o755)
    done = vault("list", code=CONFIG)
    assert "open to other users" in done.note and not agents()
    done = vault("agent", "start", code=CONFIG)
    assert "open to other users" in done.note
    os.chmod(vault.folder, 0o700)
    os.rename(vault.path("audit/log"), vault.path("audit/log.away"))
    assert vault("agent", "start").code == harness.INTEGRITY


# --- which broker ---

def test_no_agent_and_no_input(typed):
    v = typed
    quiet = ("--no-input", *EXPORT)
    v(*quiet, code=UNAVAILABLE)
    assert not agents()                 # --no-input starts none
    v("--passphrase-file", v.phrase, "unlock", code=0)
    v(*quiet, code=0, secret=True)      # but uses one that runs
    v("--no-agent", *quiet, code=UNAVAILABLE)
    env = {"CERTVAULT_BROKER": "exec:"}
    v(*quiet, code=UNAVAILABLE, env=env)
    assert v.json("--no-agent", "status")["mode"] == "exec"
    assert v.json("status")["mode"] == "agent"


def test_unlocked_survives_commands_until_lock(typed):
    v = typed
    v("--passphrase-file", v.phrase, "unlock", code=0)
    assert v.status()["locked"] is False
    for _ in range(2):
        v("--no-input", *EXPORT, code=0, secret=True)
    v("lock", code=0)
    assert v.status()["locked"] is True
    v("--no-input", *EXPORT, code=UNAVAILABLE)
    said = [(r["phase"], r.get("details", {}).get("method"))
            for r in v.records("--action", "admin")]
    assert ("event", "Unlock") in said and ("decision", "Lock") in said
    assert ("outcome", "Lock") in said


def test_lock_starts_none(typed):
    done = typed("lock", code=0)
    assert "no agent" in done.note and not agents()


def test_lock_is_decided(typed):
    v = typed
    v("--passphrase-file", v.phrase, "unlock", code=0)
    v.policy({"name": "no", "effect": "forbid", "subjects":
              {"users": ["*"]}, "actions": ["admin"]}, version=2)
    v("lock", code=harness.DENIED)
    assert v.status()["locked"] is False


def test_two_vaults_have_two(typed, secrets):
    v = typed
    w = Agents(v.home, secrets, init=False)
    w.folder = os.path.join(v.home, "second")
    w.extra["CERTVAULT_DIR"] = w.folder
    w("--no-input", "init", "--key", "file:" + w.key_file, code=0)
    v("--passphrase-file", v.phrase, "unlock", code=0)
    w("unlock", code=0)
    assert sorted(agents()) == sorted([v.status()["pid"], w.status()["pid"]])
    w("lock", code=0)
    assert not v.status()["locked"] and w.status()["locked"]
    w("unlock", code=0)
    done = v("lock", "--all", code=0)
    assert v.folder in done.note and w.folder in done.note
    assert v.status()["locked"] and w.status()["locked"]


def serve(vault, path):
    """A service on this vault."""
    p = subprocess.Popen(
        [harness.program("certvaultd"), "--vault", vault.folder, "--socket",
         path], env=vault.env(), stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE, start_new_session=True)
    end = time.monotonic() + 60
    while p.poll() is None and time.monotonic() < end:
        try:
            socket.socket(socket.AF_UNIX).connect(path)
            break
        except OSError:
            time.sleep(0.02)
    return p


def test_the_service_keeps_agents_out(vault):
    path = os.path.join(vault.home, "run", "s.sock")
    p = serve(vault, path)
    try:
        for words in (("agent", "start"), ("list",), ("--no-agent", "list")):
            done = vault(*words, code=BUSY)
            assert "unix:" + path in done.note, done
    finally:
        p.terminate()
        p.communicate(timeout=60)
    pid = vault.begin()
    p = serve(vault, path)
    assert p.wait(60) == BUSY
    assert b"agent" in p.stderr.read()
    p.stderr.close()
    assert vault.begin() == pid


# --- other users, and what was put in the way ---

TRY = """import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.settimeout(60)
try:
    s.sendall(json.dumps({"method": "io.certvault.Broker.Hello"}).encode()
              + b"\\0")
    print(s.recv(65536))
except OSError as e:
    print(e)
"""


def open_up(path):
    """Lets others through to `path`."""
    where = os.path.dirname(path)
    while os.stat(where).st_uid == os.getuid() and where not in ("/", "/tmp"):
        os.chmod(where, 0o755)
        where = os.path.dirname(where)


def as_another(script, vault):
    """Runs it with the way to the socket open: a pytest that begins beside this
    one may close its own folder again."""
    for _ in range(5):
        open_up(vault.socket)
        os.chmod(vault.socket, 0o777)
        p = subprocess.run(["/usr/bin/python3", "-c", script, vault.socket],
                           user=65534, group=65534, extra_groups=[],
                           capture_output=True, text=True, timeout=60,
                           check=False)
        if "PermissionError" not in p.stderr:
            break
    return p


def test_another_uid_gets_nothing(vault):
    as_root()
    vault.begin()
    p = as_another(TRY, vault)
    assert p.returncode == 0 and "vault_id" not in p.stdout, p
    mine = subprocess.run(["/usr/bin/python3", "-c", TRY, vault.socket],
                          capture_output=True, text=True, timeout=60)
    assert "vault_id" in mine.stdout
    for folder in (vault.run, vault.home + "/run"):
        os.chmod(folder, 0o700)


KNOCK = """import socket, sys
for _ in range(50):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.settimeout(60)
    try:
        assert s.recv(10) == b""
    except ConnectionResetError:
        pass
"""


def test_another_uid_is_told_of_in_the_record(vault):
    """The first at once, the others together: nobody fills a disk by it."""
    as_root()
    vault.begin()
    p = as_another(KNOCK, vault)
    assert p.returncode == 0, p
    for folder in (vault.run, vault.home + "/run"):
        os.chmod(folder, 0o700)
    vault("agent", "stop", code=0)
    told = [r for r in vault.json("--no-agent", "audit", "query")["items"]
            if r.get("details", {}).get("method") == "connect"]
    assert [r["actor"]["uid"] for r in told] == [65534] * 2
    assert [r["details"]["denials"] for r in told] == [1, 49]
    assert {r["outcome"] for r in told} == {"failed"}


def test_a_socket_of_another_uid_is_not_spoken_to(vault):
    as_root()
    vault.begin()
    vault("agent", "stop", code=0)
    s = socket.socket(socket.AF_UNIX)
    s.bind(vault.socket)
    read, write = os.pipe()
    code = ("import os,socket,sys\n"
            "s=socket.socket(fileno=int(sys.argv[1]))\n"
            "s.listen(1)\n"                # SO_PEERCRED is whoever listens
            "os.write(int(sys.argv[2]), b'x')\n"
            "c,_=s.accept()\n"
            "print(c.recv(10))\n")
    p = subprocess.Popen(["/usr/bin/python3", "-c", code, str(s.fileno()),
                          str(write)], user=65534, group=65534,
                         extra_groups=[], pass_fds=(s.fileno(), write),
                         stdout=subprocess.PIPE, text=True)
    try:
        os.read(read, 1)
        done = vault("list", code=CONFIG)
        assert "65534" in done.note
        assert p.communicate(timeout=60)[0] == "b''\n"
    finally:
        p.kill()
        p.wait()
        for fd in (read, write):
            os.close(fd)
        s.close()
        os.unlink(vault.socket)


@pytest.mark.parametrize("what", ["link", "mode", "file", "owner"])
def test_a_planted_folder(vault, what):
    """Root can open anybody's: whose it is is looked at."""
    if what == "owner":
        if os.geteuid() != 0:
            pytest.skip("only root can give folders away")
        os.mkdir(vault.run, 0o700)
        os.chown(vault.run, 65534, 65534)
    elif what == "link":
        os.mkdir(vault.home + "/elsewhere", 0o700)
        os.symlink(vault.home + "/elsewhere", vault.run)
    elif what == "mode":
        os.mkdir(vault.run)
        os.chmod(vault.run, 0o770)
    else:
        open(vault.run, "w", encoding="ascii").close()
    for words in (("list",), ("agent", "start"), ("--no-input", "list")):
        assert "runtime folder" in vault(*words, code=CONFIG).note
    assert not agents()
    vault("--no-agent", "list", code=0)


def test_what_lies_in_the_sockets_place(vault):
    vault.begin()
    vault("agent", "stop", code=0)
    with open(vault.socket, "w", encoding="ascii") as f:
        f.write("mine")
    vault("list", code=CONFIG)
    with open(vault.socket, encoding="ascii") as f:
        assert f.read() == "mine"


OTHER = 54321


@pytest.fixture
def stranger(secrets):
    """A user without XDG_RUNTIME_DIR and /run/user. Not below pytest's folder:
    whatever pytest begins beside this one closes that to others again."""
    as_root()
    home = tempfile.mkdtemp(prefix="cv-stranger-", dir="/tmp")
    v = Agents(home, secrets, init=False)
    for where, folders, leaves in os.walk(v.home):
        for name in ["", *folders, *leaves]:
            os.chown(os.path.join(where, name), OTHER, OTHER)
    open_up(v.home)
    os.chmod(v.home, 0o700)
    v.wrap = ["setpriv", f"--reuid={OTHER}", f"--regid={OTHER}",
              "--clear-groups"]
    v.extra["XDG_RUNTIME_DIR"] = None
    v.tmp = f"/tmp/certvault-{OTHER}"
    assert not os.path.lexists(v.tmp) and \
        not os.path.exists(f"/run/user/{OTHER}")
    # The build may lie where others may not look.
    if subprocess.run([*v.wrap, harness.program(), "version"], env=v.env(),
                      capture_output=True).returncode:
        pytest.skip("another user cannot run the programs where they are")
    v("--no-agent", "init", "--key", "file:" + v.key_file, code=0)
    yield v
    for pid in agents():
        os.kill(pid, signal.SIGTERM)
        assert wait_end(pid) == 0
    if os.path.islink(v.tmp):
        os.unlink(v.tmp)
    shutil.rmtree(v.tmp, ignore_errors=True)
    shutil.rmtree(home)


def test_a_folder_in_tmp(stranger):
    v = stranger
    v("list", code=0)
    st = os.stat(v.tmp)
    assert st.st_uid == OTHER and stat.S_IMODE(st.st_mode) == 0o700
    assert v.status()["socket"].startswith(v.tmp + "/certvault/")
    # A variable that leads to what others can write to does not count.
    os.chmod(v.home + "/run", 0o777)
    assert v("-o", "json", "agent", "status", env={
        "XDG_RUNTIME_DIR": v.home + "/run"}).json["running"]


@pytest.mark.parametrize("what", ["link", "mode", "owner"])
def test_a_planted_folder_in_tmp(stranger, what):
    v = stranger
    if what == "link":
        os.symlink(v.home + "/run", v.tmp)
    else:
        os.mkdir(v.tmp)
        os.chmod(v.tmp, 0o777 if what == "mode" else 0o700)
        os.chown(v.tmp, OTHER if what == "mode" else 65534, 0)
    done = v("list", code=CONFIG)
    assert v.tmp in done.note and not agents()
    v("--no-agent", "list", code=0)


# --- the end ---

def test_idle_for_one_that_runs_already(vault):
    vault.begin("--idle", "1h")
    done = vault("agent", "start", "--idle", "2h", code=0)
    assert "--idle was passed over" in done.note and "3600 s" in done.note
    assert vault.status()["idle_limit_s"] == 3600
    for same in (("--idle", "1h"), ()):
        assert "passed over" not in vault("agent", "start", *same, code=0).note
    vault("agent", "stop", code=0)


def test_it_ends_when_idle(vault):
    pid = vault.begin("--idle", "3s")
    assert vault.status()["idle_limit_s"] == 3
    assert wait_end(pid) == 0
    assert not os.path.exists(vault.socket)
    vault("list", code=0)


def test_asking_for_its_status_does_not_keep_it(vault):
    pid = vault.begin("--idle", "3s")
    end = time.monotonic() + 60
    while vault.status():
        assert time.monotonic() < end
    assert wait_end(pid) == 0


def test_a_connection_keeps_it(vault):
    pid = vault.begin("--idle", "3s")
    with vault.connect() as s:
        with pytest.raises(AssertionError):
            wait_end(pid, 4)
        s.sendall(b'{"method":"io.certvault.Broker.Status"}\0')
        assert b"vault_id" in s.recv(65536)
    assert wait_end(pid) == 0


@pytest.mark.parametrize("what", ["vault removed", "vault replaced",
                                  "socket removed", "runtime folder removed"])
def test_what_it_was_for_is_gone(vault, what):
    """Nobody calls it, and it ends all the same."""
    pid = vault.begin()
    vault.spoilt = True
    if what == "vault removed":
        shutil.rmtree(vault.folder)
    elif what == "vault replaced":
        os.rename(vault.folder, vault.folder + ".old")
        shutil.copytree(vault.folder + ".old", vault.folder)
    elif what == "socket removed":
        os.unlink(vault.socket)
    else:
        shutil.rmtree(vault.run)
    assert wait_end(pid) == 0
    done = vault("list")
    assert done.code == (harness.NOT_FOUND if what == "vault removed" else 0)


def copy_of(build, where):
    for folder in ("bin", "libexec"):
        shutil.copytree(os.path.join(build, folder), os.path.join(where, folder),
                        symlinks=True)
    return where


def test_an_agent_of_another_build(vault, tmp_path):
    """It is told, and replaced as soon as nobody else is connected."""
    first = vault.begin()
    vault.build = copy_of(vault.build, str(tmp_path / "build"))
    with vault.connect() as s:
        s.sendall(b'{"method":"io.certvault.Broker.Status"}\0')
        assert b"vault_id" in s.recv(65536)
        assert vault.status()["current"] is False
        done = vault("list", code=0)
        assert "another build" in done.note and "agent stop" in done.note
        assert agents() == [first]
        done = vault("--no-input", "list", code=0)
        assert "another build" in done.note
    done = vault("list", code=0)
    assert "started again" in done.note
    assert wait_end(first) == 0
    told = vault.status()
    assert told["current"] is True and [told["pid"]] == agents()
    assert "build" not in vault("list", code=0).note


def test_its_program_is_upgraded(vault, tmp_path):
    vault.build = copy_of(vault.build, str(tmp_path / "build"))
    pid = vault.begin()
    path = harness.program("certvaultd", vault.build)
    shutil.copy2(path, path + ".new")
    os.rename(path + ".new", path)
    assert wait_end(pid) == 0
    vault("list", code=0)


@pytest.mark.parametrize("how", ["replaced", "written to", "removed"])
def test_its_configuration_changes(vault, how):
    folder = os.path.join(vault.home, "config", "certvault")
    os.makedirs(folder, mode=0o700)
    path = os.path.join(folder, "certvault.yaml")
    text = "defaults: {duration: 2d}\n"
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    pid = vault.begin()
    if how == "replaced":
        shutil.copy(path, path + ".new")
        os.rename(path + ".new", path)
    elif how == "written to":
        with open(path, "a", encoding="ascii") as f:
            f.write("# more\n")
    else:
        os.unlink(path)
    assert wait_end(pid) == 0


# --- side by side ---

def test_beside_private_brokers(vault, secrets):
    """16 at once, half of them through the agent: nothing is lost, and the log
    is one chain."""
    vault("--no-agent", "import", "-", "--name", "a",
          input=as_yaml(config(Identity(secrets=secrets))), code=0)
    running = [vault.start(*(["--no-agent"] if i % 2 else []), "label", "a",
                           f"k{i}=v") for i in range(16)]
    for p in running:
        out, err = p.communicate(timeout=120)
        assert p.returncode == 0, err
    shown = vault.json("show", "a")
    assert shown["labels"] == {f"k{i}": "v" for i in range(16)}
    modes = [r["broker"]["mode"] for r in vault.records("--action", "edit")
             if r["phase"] == "outcome"]
    assert sorted(modes) == ["agent"] * 8 + ["exec"] * 8
    # A policy that a private broker applies holds for the agent at once.
    vault.flags = ["--no-agent"]
    vault.policy({"name": "no", "effect": "forbid", "subjects":
                  {"users": ["*"]}, "actions": ["edit"]})
    vault.flags = []
    vault("label", "a", "k=v", code=harness.DENIED)


def test_many_reads_at_once_are_all_recorded(vault):
    """Reads wait for the next commit; none is lost, however many come."""
    vault("unlock", code=0)
    with vault.connect() as s:
        for _ in range(300):
            s.sendall(b'{"method":"io.certvault.Broker.List",'
                      b'"parameters":{"labels":{}}}\0')
            got = b""
            while not got.endswith(b"\0"):
                got += s.recv(65536)
            assert b'"items"' in got
    end = time.monotonic() + 60         # within a second or so
    listed = ("--no-agent", "audit", "query", "--action", "list")
    while len(vault.json(*listed)["items"]) < 300:
        assert time.monotonic() < end
    assert len(vault.json(*listed)["items"]) == 300


# --- prompts ---

class Asked:
    """Commands on terminals of their own; which of them asks?"""

    def __init__(self, vault, n, words=None, question=b"Passphrase: "):
        self.vault, self.question = vault, question
        self.all = [Terminal(vault, *(words or (*EXPORT, "--output",
                                                f"{vault.home}/o{i}")))
                    for i in range(n)]
        self.left = list(self.all)

    def read(self, seconds):
        """What is shown by now, or within so long."""
        ready = select.select([t.master for t in self.left], [], [],
                              seconds)[0]
        assert ready, [t.seen for t in self.left]
        for t in self.left:
            if t.master in ready:
                t.seen += os.read(t.master, 4096)

    def wait(self, n):
        """Until one asks and n wait for it; the one that asks."""
        end = time.monotonic() + 60
        while True:
            told = self.vault.status()
            if told and told["waiting"] == n:
                break
            assert time.monotonic() < end, told
        asking = []
        while not asking:
            self.read(20)
            asking = [t for t in self.left if self.question in
                      t.seen[t.passed:]]
        assert len(asking) == 1
        one = asking[0]
        one.until(self.question)
        self.left.remove(one)
        return one

    def end(self, codes):
        got = [t.end(60) for t in self.all]
        assert sorted(got) == sorted(codes), [t.seen for t in self.all]
        return sum(t.seen.count(self.question) for t in self.all)


def test_one_asks_and_all_go_on(typed):
    asked = Asked(typed, 5)
    one = asked.wait(4)
    one.type(PHRASE.encode() + b"\n")
    assert asked.end([0] * 5) == 1
    # Those that waited said why nothing happened.
    assert sum(b"waiting for it" in t.seen for t in asked.all) == 4
    assert typed.status()["waiting"] == 0


def test_a_refusal_lets_the_next_one_ask(typed):
    """Ctrl-C, then three wrong ones, then the right one: one after the other."""
    asked = Asked(typed, 5)
    asked.wait(4).type(b"\x03")
    one = asked.wait(3)
    for i in range(3):
        one.type(b"wrong\n")
        if i < 2:
            one.until(b"Passphrase: ")
    asked.wait(2).type(PHRASE.encode() + b"\n")
    assert asked.end([130, UNAVAILABLE, 0, 0, 0]) == 5


def test_who_waits_goes_on_when_another_way_opens_it(typed):
    asked = Asked(typed, 3)
    one = asked.wait(2)
    typed("--passphrase-file", typed.phrase, "unlock", code=0)
    one.type(PHRASE.encode() + b"\n")
    assert asked.end([0] * 3) == 1


# --- tokens ---

@pytest.fixture
def carded(vault, tmp_path):
    """A token beside the vault, in software."""
    why = tokens.SoftHsm.missing()
    if why:
        pytest.skip(f"softhsm: {why}")
    token = tokens.SoftHsm(tmp_path / "token")
    try:
        token.start()
        yield Held(vault, token)
    finally:
        token.stop()


def test_a_login_survives_commands_until_lock(carded):
    v, objects = carded.vault, ("token", "objects", carded.uri)
    v("agent", "start", code=0)
    v("--no-input", *objects, code=UNAVAILABLE)
    carded(*objects, code=0)
    for _ in range(2):
        v("--no-input", *objects, code=0)
    v("--no-agent", "--no-input", *objects, code=UNAVAILABLE)
    v("lock", code=0)
    v("--no-input", *objects, code=UNAVAILABLE)


def test_a_key_slot_on_a_token_opens_it_once(carded, secrets):
    """The PIN is wanted once; then the agent needs neither PIN nor token."""
    v = Agents(carded.vault.home, secrets, init=False)
    v.folder = os.path.join(v.home, "second")
    v.extra["CERTVAULT_DIR"] = v.folder
    second = Held(v, carded.token)
    second("--no-agent", "init", "--key", "token:" + second.uri, code=0)
    second("--no-agent", "import", "-", "--name", "a", "--exportable",
           input=as_yaml(config(Identity(secrets=secrets))), code=0)
    v.flags = ["--no-agent", "--no-input", "--pin-source",
               "file:" + second.pin_file]
    v.policy(harness.MAY_EXPORT)
    v.flags = []
    v("--no-input", *EXPORT, code=UNAVAILABLE)
    second("unlock", code=0)
    assert v.status()["locked"] is False
    v("--no-input", *EXPORT, code=0, secret=True)
    v("--no-input", "--no-agent", *EXPORT, code=UNAVAILABLE)
    v("lock", code=0)
    v("--no-input", *EXPORT, code=UNAVAILABLE)


def test_one_asks_for_a_pin(carded):
    v = carded.vault
    v("agent", "start", code=0)
    asked = Asked(v, 4, ("token", "objects", carded.uri), b"PIN of the token")
    asked.wait(3).type(carded.token.pin.encode() + b"\n")
    assert asked.end([0] * 4) == 1


# --- systemd ---

def test_the_units(tmp_path):
    text = {}
    for name in ("certvault-agent.service", "certvault-agent.socket"):
        with open(os.path.join(UNITS, name), encoding="ascii") as f:
            text[name] = f.read()
    service = text["certvault-agent.service"]
    start = re.search(r"^ExecStart=(\S+) (.*)$", service, re.M)
    assert start.group(1) == "/usr/bin/certvaultd"
    usage = subprocess.run([harness.program("certvaultd"), "--help"],
                           capture_output=True, text=True).stdout
    for flag in re.findall(r"--[a-z-]+", start.group(2)):
        assert flag in usage
    assert "ListenStream=%t/certvault/agent.sock" in \
        text["certvault-agent.socket"]
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here; the text was checked")
    for name, t in text.items():
        (tmp_path / name).write_text(
            t.replace("/usr/bin/certvaultd", harness.program("certvaultd")))
    done = subprocess.run(
        ["systemd-analyze", "--user", "--man=no", "verify",
         *(str(tmp_path / n) for n in text)], capture_output=True, text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}, timeout=60)
    said = [x for x in (done.stdout + done.stderr).split("\n")
            if "certvault" in x]
    if done.returncode and not said:
        pytest.skip(f"systemd-analyze cannot be used here: {done.stderr}")
    assert done.returncode == 0 and not said, done


def handed(vault, path, env=None):
    """Starts the agent as systemd does, with a socket that listens at `path`.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    os.chmod(path, 0o600)
    s.listen(16)
    os.set_inheritable(s.fileno(), True)
    code = ("import os,sys\n"
            "os.dup2(int(sys.argv[1]), 3)\n"
            "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
            "os.execv(sys.argv[2], sys.argv[2:])\n")
    p = subprocess.Popen(
        [sys.executable, "-c", code, str(s.fileno()),
         harness.program("certvaultd"), "--agent", "--vault", vault.folder],
        env=vault.env(env), stdin=subprocess.DEVNULL, close_fds=False,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True)
    s.close()
    return p


def test_a_socket_that_systemd_hands_over(home, secrets, end_all):
    v = Agents(home, secrets, init=False)
    v.folder = os.path.join(v.home, "data", "certvault")
    v.extra["CERTVAULT_DIR"] = None
    v("--no-input", "init", "--key", "file:" + v.key_file, code=0)
    path = os.path.join(v.run, "agent.sock")
    p = handed(v, path)
    try:
        assert v.json("--no-input", "status")["mode"] == "agent"
        told = v.status()
        assert told["pid"] == p.pid and told["socket"] == path
        v("list", code=0)
        assert agents() == [p.pid]
        v("agent", "stop", code=0)
        assert p.wait(60) == 0
        assert os.path.exists(path)     # it is systemd's
    finally:
        p.kill()
        p.communicate()
    # A stale one: what is there is not served, so that another one begins.
    v("list", code=0)
    assert v.status()["socket"] != path


def test_what_is_handed_over_must_listen(vault):
    s = socket.socketpair()
    code = ("import os,sys\n"
            "os.dup2(int(sys.argv[1]), 3)\n"
            "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
            "os.execv(sys.argv[2], sys.argv[2:])\n")
    p = subprocess.run([sys.executable, "-c", code, str(s[0].fileno()),
                        harness.program("certvaultd"), "--agent", "--vault",
                        vault.folder], env=vault.env(), capture_output=True,
                       pass_fds=(s[0].fileno(),), timeout=60)
    assert p.returncode == CONFIG, p
