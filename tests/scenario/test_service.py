"""The service under a service manager: what it is handed, what it says, what it
does when it is told to read its configuration again; and its unit files as
systemd's own tools see them. test_service_root.py has the users."""

import glob
import grp
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

import harness
import kube
import unit_rig
from harness import BUSY, CONFIG, UNAVAILABLE, USAGE
from held import Held
from wire import answer

UNITS = os.path.join(harness.SOURCE, "cli", "systemd")
SYSTEM = sorted(p for p in glob.glob(os.path.join(UNITS, "*.s[eo][rc]*"))
                if "agent" not in p)
SERVICES = [p for p in SYSTEM if p.endswith(".service")]


# --- the manager's side ---

class Manager:
    """Starts certvaultd as systemd does: with sockets from 3 up, a socket for
    notices, a watchdog."""

    def __init__(self, vault, abstract=False):
        self.vault = vault
        self.config = os.path.join(vault.home, "service.yaml")
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = "\0cv-" + os.urandom(8).hex() if abstract else \
            os.path.join(vault.home, "run", "notify")
        self.notices.bind(name)
        self.notices.settimeout(60)
        self.name = name.replace("\0", "@")
        self.credentials = os.path.join(vault.home, "credentials")
        os.mkdir(self.credentials, 0o700)
        self.process = None
        self.configure("{}")

    def configure(self, text):
        with open(self.config, "w", encoding="ascii") as f:
            f.write(text + "\n")
        os.chmod(self.config, 0o600)

    def start(self, *args, handed=None, env=None, says=True):
        code = ("import os,sys\n"
                "for n in 'LISTEN_PID','WATCHDOG_PID':\n"
                "  os.environ.setdefault(n, str(os.getpid()))\n"
                "os.execv(sys.argv[1],sys.argv[1:])\n")

        def place():
            if handed:
                os.dup2(handed.fileno(), 3)
                os.set_inheritable(3, True)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, harness.program("certvaultd",
                                                         self.vault.build),
             "--vault", self.vault.folder, "--config", self.config, *args],
            env={**self.vault.env(), "NOTIFY_SOCKET": self.name,
                 "CREDENTIALS_DIRECTORY": self.credentials,
                 **({"LISTEN_FDS": "1"} if handed else {}), **(env or {})},
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            cwd=self.vault.home, preexec_fn=place, pass_fds=(3,) if handed else (),
            start_new_session=True)
        if says:
            assert self.said("READY=1").startswith("READY=1\nSTATUS=serving")
        return self

    def said(self, text, seconds=60):
        """The next notice that holds `text`; others are passed over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            data = self.notices.recv(4096).decode()
            if text in data:
                return data
        raise AssertionError(f"never said {text}")

    def reload(self):
        self.process.send_signal(signal.SIGHUP)
        self.said("RELOADING=1")
        return self.said("READY=1")

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process and self.process.wait(60)

    def failed(self):
        """Its exit code and what it said, where it was not to begin."""
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err.decode()


@pytest.fixture
def manager(vault):
    m = Manager(vault)
    yield m
    m.end()


@pytest.fixture
def place(vault):
    return os.path.join(vault.home, "run", "b.sock")


def listening(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(16)
    return s


def test_told_to_end_as_soon_as_it_is_ready(vault, manager, place):
    for _ in range(10):
        manager.start("--socket", place, "--key-file", vault.key_file)
        assert manager.end() == 0
        manager.said("STOPPING=1")


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_it_says_when_it_serves_and_when_it_ends(vault, place, abstract):
    m = Manager(vault, abstract)
    try:
        m.start("--socket", place, "--key-file", vault.key_file)
        vault("--broker", "unix:" + place, "list", code=0)
        m.process.send_signal(signal.SIGTERM)
        m.said("STOPPING=1")
        assert m.process.wait(60) == 0
    finally:
        m.end()


def test_a_socket_that_is_handed_over(vault, manager, place):
    """Who connected before it ran is served; the file stays its manager's."""
    with listening(place) as s:
        early = socket.socket(socket.AF_UNIX)
        early.connect(place)
        early.sendall(b'{"method":"io.certvault.Broker.Hello"}\0')
        manager.start("--key-file", vault.key_file, handed=s)
        early.settimeout(60)
        assert answer(early)["parameters"]["folder"] == vault.folder
        early.close()
        vault("--broker", "unix:" + place, "list", code=0)
        assert manager.end() == 0
        assert os.path.exists(place)
        # Another starts at the same socket.
        manager.start("--key-file", vault.key_file, handed=s)
        vault("--broker", "unix:" + place, "list", code=0)
        # The vault's lock names where it listens.
        with open(vault.path("service"), encoding="ascii") as f:
            assert f.read() == place


def test_what_is_no_listening_socket_is_refused(vault, manager, place):
    a, b = socket.socketpair()
    manager.start(handed=a, says=False)
    code, said = manager.failed()
    assert code == CONFIG and "no listening" in said, said
    a.close()
    b.close()
    with listening(place) as s:
        manager.start("--socket", place, handed=s, says=False)
        code, said = manager.failed()
        assert code == USAGE and "handed over" in said, said


@pytest.mark.parametrize("env", [
    {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "/no/such/socket"},
    {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "0"}])
def test_a_manager_that_makes_no_sense(vault, manager, place, env):
    manager.start("--socket", place, env=env, says=False)
    code, said = manager.failed()
    assert code == CONFIG, (code, said)


def test_the_watchdog_is_fed_by_the_loop(vault, manager, place):
    """While nobody asks anything."""
    manager.start("--socket", place, env={"WATCHDOG_USEC": "400000"})
    begin = time.monotonic()
    for _ in range(5):
        manager.said("WATCHDOG=1")
    took = time.monotonic() - begin
    assert 0.2 < took < harness.within(10), took
    # A loop that does not turn feeds nobody.
    os.kill(manager.process.pid, signal.SIGSTOP)
    manager.notices.settimeout(1)
    with pytest.raises(TimeoutError):
        for _ in range(20):
            manager.notices.recv(4096)
    os.kill(manager.process.pid, signal.SIGCONT)
    manager.notices.settimeout(60)
    manager.said("WATCHDOG=1")


def test_anothers_watchdog_is_not_fed(vault, manager, place):
    manager.start("--socket", place, env={"WATCHDOG_USEC": "200000",
                                          "WATCHDOG_PID": "1"})
    manager.notices.settimeout(1)
    with pytest.raises(TimeoutError):
        manager.notices.recv(4096)


# --- reload ---

def leaves(vault, place, method):
    items = vault.json("--broker", "unix:" + place, "audit", "query")["items"]
    return [r["outcome"] for r in items
            if r.get("details", {}).get("method") == method]


def test_reload_takes_all_or_nothing(vault, manager, place):
    manager.start("--socket", place, "--key-file", vault.key_file)
    manager.configure("relay: {idle: 90s}")
    assert manager.reload() == "READY=1\nSTATUS=serving"
    for broken in ("relay: {idle: never}", "no_such_key: 1", "a: [", "- 1"):
        manager.configure(broken)
        assert "the old one stays" in manager.reload(), broken
        vault("--broker", "unix:" + place, "list", code=0)
    os.unlink(manager.config)
    assert "the old one stays" in manager.reload()
    manager.configure("{}")
    assert "stays" not in manager.reload()
    told = leaves(vault, place, "reload")
    assert told[0] == told[-1] == "ok" and len(told) == 7, told
    assert "ok" not in told[1:-1], told
    manager.end()
    said = manager.process.stderr.read().decode()
    assert said.count("the old one stays") == 5, said


def test_reload_says_what_wants_a_restart(vault, manager, place):
    """Keys that are read at the start alone: none of them is passed over in
    silence, and a restart takes them."""
    told = os.path.join(vault.home, "told")
    command = vault.write("tell", f"#!/bin/sh\ncat >> {told}\n", 0o700)
    manager.configure("relay: {idle: 90s}")
    manager.start("--socket", place, "--key-file", vault.key_file)
    manager.configure("relay: {idle: 80s}\n"
                      f"notify: {{command: {command}}}\npolicy: {{signers: []}}\n"
                      "socket: {mode: '0660'}")
    said = manager.reload()
    assert "restart it to take: socket, policy.signers, notify" in said, said
    assert manager.reload() == said    # as long as it is so
    manager.configure("relay: {pool: 3}")
    assert manager.reload() == "READY=1\nSTATUS=serving"
    items = [r for r in vault.json("--broker", "unix:" + place, "audit",
                                   "query")["items"]
             if r.get("details", {}).get("method") == "reload"]
    assert [r["outcome"] for r in items] == ["ok"] * 3
    assert items[0]["details"]["names"] == ["socket", "policy.signers",
                                            "notify"]
    assert "names" not in items[2]["details"]
    manager.configure(f"notify: {{command: {command}}}")
    manager.reload()
    vault("--broker", "unix:" + place, "lock", "--all", code=0)
    assert not os.path.exists(told)
    manager.end()
    said = manager.process.stderr.read().decode()
    assert said.count("wants a restart: ") == 3, said
    manager.start("--socket", place, "--key-file", vault.key_file)
    vault("--broker", "unix:" + place, "unlock", "--all", code=0)
    end = time.monotonic() + 60
    while not os.path.exists(told):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_reload_opens_a_locked_vault_again(vault, manager, place):
    to = ("--broker", "unix:" + place)
    vault.policy(harness.MAY_EXPORT)
    vault.add(kube.as_yaml(kube.config(kube.Identity(secrets=vault.secrets))),
              "a", "--exportable")
    with open(vault.key_file, "rb") as f, \
            open(os.path.join(manager.credentials, "key"), "wb") as out:
        out.write(f.read())
    os.rename(vault.key_file, vault.key_file + ".away")
    export = (*to, "export", "a", "--reason", "x")
    manager.start("--socket", place, "--key-credential", "key")
    vault(*export, code=0, secret=True)
    vault(*to, "lock", code=0)
    vault(*export, code=UNAVAILABLE)
    manager.reload()
    vault(*export, code=0, secret=True)
    # A key that does not open it any more is tried once, and no more.
    vault(*to, "lock", code=0)
    with open(os.path.join(manager.credentials, "key"), "wb") as f:
        f.write(b"y" * 64)
    manager.reload()
    for _ in range(3):
        vault(*export, code=UNAVAILABLE)
    assert leaves(vault, place, "Unlock").count("ok") == 2
    assert len(leaves(vault, place, "Unlock")) == 3


# --- a token's PIN ---

def pins(manager, token, **named):
    """The configuration with the token's module, and where PINs are."""
    manager.configure(json.dumps({"modules": token.modules, **named}))


def test_it_logs_in_with_its_own_pin(vault, manager, place, misbehaving):
    """No caller has a PIN, and none is asked; a PIN that was wrong is tried
    once and never again, by itself; a new one works after a login by hand."""
    token, to = misbehaving, ("--broker", "unix:" + place)
    held = Held(vault, token)
    held.add("p256", "a")
    vault.policy()
    pin = os.path.join(manager.credentials, "token.pin")
    with open(pin, "w", encoding="ascii") as f:
        f.write(token.pin + "\n")
    pins(manager, token, pin={token.uri: "credential:token.pin"})
    before = len(token.attempts())
    manager.start("--socket", place, "--key-file", vault.key_file)
    for _ in range(2):
        done = vault(*to, "--no-agent", "token", "objects", held.uri, code=0)
        assert b"a" in done.out
    assert [a[2] for a in token.attempts()[before:]] == ["right"]
    manager.end()

    with open(pin, "w", encoding="ascii") as f:
        f.write(token.wrong_pin + "\n")
    before = len(token.attempts())
    manager.start("--socket", place, "--key-file", vault.key_file)
    for _ in range(3):
        vault(*to, "token", "objects", held.uri, code=UNAVAILABLE)
    manager.reload()
    vault(*to, "token", "objects", held.uri, code=UNAVAILABLE)
    assert [a[2] for a in token.attempts()[before:]] == ["wrong"]
    with open(os.path.join(manager.vault.home, "said"), "wb") as f:
        manager.end()
        f.write(manager.process.stderr.read())
    assert not vault.secrets.found_below(manager.vault.folder)


def test_a_pin_without_a_file(vault, manager, place, misbehaving):
    """A command's or a terminal's PIN is nothing for a service, nor is a file
    beside wherever it was started."""
    held = Held(vault, misbehaving)
    held.add("p256", "a")
    for source in ("file:pin", "credential:../x"):
        pins(manager, misbehaving, pin={misbehaving.uri: source})
        manager.start("--socket", place, "--key-file", vault.key_file,
                      says=False)
        code, err = manager.failed()
        assert code == CONFIG and ": pin: " in err, err
    for source in ("command:cat /etc/hostname", "tty", "credential:none"):
        pins(manager, misbehaving, pin={misbehaving.uri: source})
        before = len(misbehaving.attempts())
        manager.start("--socket", place, "--key-file", vault.key_file)
        done = vault("--broker", "unix:" + place, "token", "objects", held.uri)
        assert done.code in (CONFIG, harness.NOT_FOUND, UNAVAILABLE), done
        assert len(misbehaving.attempts()) == before
        manager.end()


def test_reload_of_modules(vault, manager, place, misbehaving):
    """One that comes is there; one that goes ends, with its login."""
    held = Held(vault, misbehaving)
    held.add("p256", "a")
    to = ("--broker", "unix:" + place)
    manager.start("--socket", place, "--key-file", vault.key_file)
    shown = ("token", "objects", held.uri)
    assert vault(*to, *shown).code != 0
    pins(manager, misbehaving, pin={misbehaving.uri: "file:" + held.pin_file})
    manager.reload()
    vault(*to, *shown, code=0)
    modules = [p for p, n in harness.our_processes() if n == "token"]
    # Nothing changed: whoever is logged in stays so.
    manager.reload()
    assert set(modules) <= {p for p, _ in harness.our_processes()}
    manager.configure("{}")
    manager.reload()
    assert vault(*to, *shown).code != 0


# --- the configuration's socket ---

def mode_of(path):
    return os.stat(path).st_mode & 0o777


def test_the_configurations_socket(vault, manager, place):
    group = grp.getgrgid(os.getgid()).gr_name
    manager.configure(f"socket: {{path: {place}, mode: 0660, group: {group}}}")
    manager.start()
    assert mode_of(place) == 0o660
    assert os.stat(place).st_gid == os.getgid()
    vault("--broker", "unix:" + place, "list", code=0)
    manager.end()
    # The command line goes before it.
    other = place + "2"
    manager.start("--socket", other, "--socket-mode", "0600")
    assert mode_of(other) == 0o600
    vault("--broker", "unix:" + place, "list", code=UNAVAILABLE)


@pytest.mark.parametrize("text, word", [
    ("socket: {path: b.sock}", "socket.path"),
    ("socket: {path: /x, mode: 0999}", "socket.mode"),
    ("socket: {path: /x, mode: \"rw\"}", "socket.mode"),
    ("socket: {path: /x, group: \"\"}", "socket.group")])
def test_a_socket_that_cannot_be(manager, text, word):
    manager.configure(text)
    manager.start(says=False)
    code, said = manager.failed()
    assert code == CONFIG and word in said, said


def test_a_group_that_is_not_there(manager, place):
    manager.configure(f"socket: {{path: {place}, group: no-such-group-here}}")
    manager.start(says=False)
    code, said = manager.failed()
    assert code == CONFIG and "no-such-group-here" in said, said


def test_no_socket_at_all(manager):
    manager.start(says=False)
    code, said = manager.failed()
    assert code == USAGE and "--socket" in said, said


# --- one vault, one service ---

def test_a_second_daemon_names_the_first(vault, manager, place):
    manager.start("--socket", place)
    other = subprocess.run(
        [harness.program("certvaultd"), "--vault", vault.folder, "--socket",
         place + "2"], env=vault.env(), stdin=subprocess.DEVNULL,
        capture_output=True, timeout=60)
    assert other.returncode == BUSY, other
    assert place.encode() in other.stderr, other
    assert not os.path.exists(place + "2")
    for args in (("--broker", "exec:", "list"), ("list",)):
        done = vault(*args, code=BUSY)
        assert place in done.note, done


def test_it_waits_for_a_command_that_is_ending(vault, manager, place):
    """A private broker has the vault open when the service starts: for a
    moment only, which is no reason to fail."""
    broker = vault.start("--broker", "exec:", "audit", "tail", "-f")
    end = time.monotonic() + 60
    while not any(n == "certvaultd" for _, n in harness.our_processes()):
        assert time.monotonic() < end
        time.sleep(0.01)
    time.sleep(0.3)
    manager.start("--socket", place, says=False)
    time.sleep(0.3)
    os.killpg(broker.pid, signal.SIGINT)
    broker.wait(60)
    assert manager.said("READY=1")


def test_keys_exclude_each_other(vault, manager, place):
    manager.start("--socket", place, "--key-file", vault.key_file,
                  "--key-credential", "x", says=False)
    assert manager.failed()[0] == USAGE
    for args, word in ((("--key-credential", "../x"), "credential"),
                       (("--key-credential", "none"), "none"),
                       (("--key-file", "/no/such/file"), "/no/such/file")):
        manager.start("--socket", place, *args, says=False)
        code, said = manager.failed()
        assert code in (CONFIG, harness.NOT_FOUND) and word in said, said


@pytest.mark.parametrize("folder_mode, mode, taken", [
    (0o777, 0o600, False), (0o775, 0o600, False), (0o755, 0o666, False),
    (0o755, 0o660, False), (0o755, 0o600, True)])
def test_helpers_that_others_could_have_put_there(vault, manager, place,
                                                  folder_mode, mode, taken):
    """Or reach: they are not connected to."""
    folder = os.path.join(vault.home, "helpers")
    path = os.path.join(folder, "intake.sock")
    os.mkdir(folder)
    with listening(path) as s:
        os.chmod(path, mode)
        os.chmod(folder, folder_mode)
        manager.start("--socket", place, "--helpers-at", folder,
                      "--key-file", vault.key_file)
        asking = vault.start(
            "-o", "json", "--broker", "unix:" + place, "fetch", "--cluster",
            "x", "--region", "cn-north-4", "--project-id", "0" * 32,
            env={"HUAWEICLOUD_SDK_AK": "a", "HUAWEICLOUD_SDK_SK": "b"})
        if taken:
            s.settimeout(60)
            s.accept()[0].close()
        _, said = asking.communicate(timeout=60)
        assert asking.returncode == UNAVAILABLE, said
        if not taken:
            hint = json.loads(said.splitlines()[-1])["error"]["hint"]
            assert "certvault-intake.socket" in hint, said
            s.settimeout(0.1)
            with pytest.raises(TimeoutError):
                s.accept()


# --- the unit files ---

def analyze(*args, **options):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    return subprocess.run(["systemd-analyze", *args], capture_output=True,
                          text=True, timeout=60, **options)


@pytest.fixture
def units(tmp_path):
    """The unit files, with the programs that were built."""
    for path in glob.glob(os.path.join(UNITS, "*.s[eo][rc]*")):
        with open(path, encoding="ascii") as f:
            text = f.read()
        text = text.replace("/usr/bin/certvaultd",
                            harness.program("certvaultd"))
        text = text.replace("/usr/bin/certvault ",
                            harness.program("certvault") + " ")
        text = text.replace("/usr/libexec/certvault/",
                            os.path.dirname(harness.program("relay")) + "/")
        with open(tmp_path / os.path.basename(path), "w",
                  encoding="ascii") as f:
            f.write(text)
    return str(tmp_path)


def test_systemd_finds_nothing_wrong(units):
    names = [os.path.join(units, os.path.basename(p)) for p in SYSTEM]
    assert len(names) == 8, names
    done = analyze("verify", "--man=no", *names,
                   env={**os.environ, "SYSTEMD_UNIT_PATH": units + ":"})
    assert done.returncode == 0 and not done.stderr, done
    names = glob.glob(os.path.join(units, "certvault-agent.*"))
    assert len(names) == 2, names
    done = analyze("--user", "verify", "--man=no", *names, env={
        **os.environ, "SYSTEMD_UNIT_PATH": units + ":",
        "XDG_RUNTIME_DIR": units})
    assert done.returncode == 0 and not done.stderr, done


def test_systemd_would_say_so(units):
    """The test above can fail."""
    path = os.path.join(units, "certvault.service")
    with open(path, "a", encoding="ascii") as f:
        f.write("[Service]\nProtectSistem=strict\n")
    done = analyze("verify", "--man=no", path,
                   env={**os.environ, "SYSTEMD_UNIT_PATH": units + ":"})
    assert "ProtectSistem" in done.stderr


@pytest.mark.parametrize("path", SERVICES, ids=map(os.path.basename, SERVICES))
def test_exposure(path):
    done = analyze("security", "--offline=true", "--no-pager", path)
    assert done.returncode == 0, done
    level = float(re.search(r"Overall exposure level.*: ([0-9.]+)",
                            done.stdout).group(1))
    assert level <= 2.0, done.stdout


def service(name):
    return unit_rig.read(os.path.join(UNITS, name))


def test_what_the_door_depends_on():
    """Not stricter than the door can bear, and not wider than it says."""
    of = unit_rig.one
    for name in ("certvault.service", "certvault-relay.service"):
        pairs = service(name)["Service"]
        assert of(pairs, "PrivateUsers") is None, \
            "every caller would be uid 65534"
    assert of(service("certvault.service")["Service"], "ProcSubset") is None, \
        "boot_id could not be read"
    families = {n: set(of(service(n)["Service"],
                          "RestrictAddressFamilies").split())
                for n in map(os.path.basename, SERVICES)}
    assert {n for n, f in families.items() if "AF_NETLINK" in f} == \
        {"certvault-relay.service"}
    users = {n: of(service(n)["Service"], "User") for n in families}
    assert users == {"certvault.service": "certvault",
                     "certvault-intake@.service": "certvault-net",
                     "certvault-relay.service": "certvault-net",
                     "certvault-status@.service": "certvault-status"}
    assert not {"root", None} & set(users.values())
    assert of(service("certvault.socket")["Socket"], "SocketMode") == "0666"
    for name in ("certvault-intake.socket", "certvault-relay.socket"):
        pairs = service(name)["Socket"]
        assert of(pairs, "SocketMode") == "0600"
        assert of(pairs, "SocketUser") == "certvault"
    # Longer than anything that the broker waits for between two meals.
    with open(os.path.join(harness.SOURCE, "vault", "base", "limits.h"),
              encoding="ascii") as f:
        limits = f.read()
    longest = max(map(int, re.findall(
        r"CV_LIMIT_(?:CALL|MODULE_LONG)_S[\s\\]+(\d+)", limits)))
    clients, = map(int, re.findall(r"CV_LIMIT_CLIENTS (\d+)", limits))
    assert int(of(service("certvault.service")["Service"], "LimitNOFILE")) > \
        clients
    assert int(of(service("certvault.service")["Service"], "WatchdogSec")) > \
        longest


def test_sysusers_and_tmpfiles(tmp_path):
    if os.geteuid() != 0 or not shutil.which("systemd-sysusers"):
        pytest.skip("needs root and systemd-sysusers")
    root = str(tmp_path / "root")
    os.makedirs(os.path.join(root, "etc"))
    for tool, leaf in (("systemd-sysusers", "certvault.sysusers"),
                       ("systemd-tmpfiles", "certvault.tmpfiles")):
        done = subprocess.run(
            [tool, *(["--create"] if "tmp" in tool else []), "--root=" + root,
             os.path.join(UNITS, leaf)], capture_output=True, text=True)
        assert done.returncode == 0, done
    with open(os.path.join(root, "etc/passwd"), encoding="ascii") as f:
        users = {line.split(":")[0]: int(line.split(":")[2]) for line in f}
    assert set(users) >= {"certvault", "certvault-net"}
    run = os.stat(os.path.join(root, "run/certvault"))
    vault = os.stat(os.path.join(root, "var/lib/certvault"))
    assert run.st_mode & 0o777 == 0o755 and run.st_uid == 0
    assert vault.st_mode & 0o777 == 0o700 and \
        vault.st_uid == users["certvault"]
