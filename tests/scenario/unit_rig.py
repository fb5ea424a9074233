"""A service manager for tests: reads the unit files that are installed, makes
their sockets, starts their programs as they say (unit_exec.py), hears what they
tell it. It is root; the users are numbers.

Everything lies in one folder, which stands for the root of the file system: the
paths of a unit file have it put in front."""

import json
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import harness

HERE = os.path.dirname(os.path.abspath(__file__))
USERS = {"certvault": 64301, "certvault-net": 64302}
# What a unit file's paths begin with that is another folder here.
MOVED = ("/var/lib/certvault", "/run/certvault", "/etc/certvault")


def read(path):
    """{section: [(key, value)]} of a unit file."""
    found, section = {}, None
    with open(path, encoding="ascii") as f:
        for line in f:
            line = line.strip()
            if not line or line[0] in "#;":
                continue
            if line[0] == "[":
                section = found.setdefault(line.strip("[]"), [])
            else:
                key, _, value = line.partition("=")
                section.append((key, value))
    return found


def one(pairs, key, default=None):
    values = [v for k, v in pairs if k == key]
    return values[-1] if values else default


class Unit:
    """One running service: its process, and what it said to its manager."""

    def __init__(self, rig, name, fds=()):
        self.rig, self.name = rig, name
        self.pairs = read(rig.unit_path(name))["Service"]
        self.said = []                 # the datagrams, as texts
        self.heard = threading.Condition()
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = rig.path("/run/notify-" + os.urandom(4).hex())
        self.notify.bind(path)
        os.chmod(path, 0o666)
        threading.Thread(target=self._listen, daemon=True).start()
        self.process = self._start(path, list(fds))

    def value(self, key, default=None):
        return one(self.pairs, key, default)

    def _environment(self, notify):
        user = self.value("User")
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8",
               "HOME": "/", "LOGNAME": user, "USER": user,
               "SHELL": "/usr/sbin/nologin",
               "INVOCATION_ID": os.urandom(16).hex()}
        if self.value("Type") == "notify" or self.value("NotifyAccess"):
            env["NOTIFY_SOCKET"] = notify
        if self.value("WatchdogSec"):
            env["WATCHDOG_USEC"] = str(self.rig.watchdog_usec or
                                       int(self.value("WatchdogSec")) * 10**6)
        credentials = [v.partition(":")[0] for k, v in self.pairs
                       if k.startswith("LoadCredential")]
        if credentials:
            env["CREDENTIALS_DIRECTORY"] = self.rig.credentials
        return env

    def _start(self, notify, fds):
        rig, uid = self.rig, USERS[self.value("User")]
        writable = [rig.path("/var/lib/" + self.value("StateDirectory"))] \
            if self.value("StateDirectory") else []
        if self.name == "certvault.service":
            writable += rig.writable
        spec = {
            "unit": {k: rig.moved(v) for k, v in self.pairs},
            "filter": [v for k, v in self.pairs if k == "SystemCallFilter"],
            "uid": uid, "gid": uid, "writable": writable,
            "argv": shlex.split(rig.moved(self.value("ExecStart"))) +
            rig.more.get(self.name, []),
            "env": {**self._environment(notify), **rig.env},
            "fds": len(fds),
        }
        path = rig.path("/run/spec-" + os.urandom(4).hex())
        with open(path, "w", encoding="ascii") as f:
            json.dump(spec, f)
        log = open(rig.path("/run/log"), "ab")
        high = [os.dup(fd) for fd in fds]

        def place():
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)
                os.set_inheritable(3 + i, True)

        lowest = 3 + len(fds)
        try:
            return subprocess.Popen(
                [sys.executable, "-B", os.path.join(HERE, "unit_exec.py"),
                 path], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=place, pass_fds=tuple(range(3, lowest)),
                start_new_session=True)
        finally:
            log.close()
            for fd in high:
                os.close(fd)

    def _listen(self):
        while True:
            data = self.notify.recv(65536).decode()
            with self.heard:
                self.said.append(data)
                self.heard.notify_all()

    def wait_said(self, text, seconds=60, times=1):
        """Waits until it has said `text` so often."""
        end = time.monotonic() + seconds
        with self.heard:
            while sum(text in s for s in self.said) < times:
                left = end - time.monotonic()
                assert left > 0 and self.process.poll() is None, \
                    (self.name, self.process.poll(), self.said, self.rig.log())
                self.heard.wait(min(left, 0.2))

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)


class Rig:
    """The folder, the installed programs, sockets and units."""

    def __init__(self, build=None):
        self.root = tempfile.mkdtemp(prefix="cv-test-", dir="/var/lib")
        os.chmod(self.root, 0o755)
        self.more, self.env, self.watchdog_usec = {}, {}, None
        self.writable = []             # ReadWritePaths= of certvault.service
        self.units, self.sockets, self.intakes = {}, {}, []
        self.stopping = threading.Event()
        subprocess.run(["cmake", "--install", build or harness.RELEASE,
                        "--prefix", self.path("/usr")], check=True,
                       capture_output=True)
        for folder, mode, user in (
                ("/run", 0o755, None), ("/run/certvault", 0o755, None),
                ("/etc/certvault", 0o755, None), ("/var/lib", 0o755, None),
                ("/var/lib/certvault", 0o700, "certvault"),
                ("/run/credentials", 0o700, "certvault")):
            os.makedirs(self.path(folder), exist_ok=True)
            os.chmod(self.path(folder), mode)
            if user:
                os.chown(self.path(folder), USERS[user], USERS[user])
        self.credentials = self.path("/run/credentials")
        self.vault = self.path("/var/lib/certvault")
        self.address = self.path("/run/certvault/broker.sock")

    def path(self, name):
        return self.root + name

    def moved(self, text):
        for path in MOVED:
            text = text.replace(path, self.path(path))
        return text

    def unit_path(self, name):
        return self.path("/usr/lib/systemd/system/" + name)

    def log(self):
        try:
            with open(self.path("/run/log"), encoding="utf-8") as f:
                return f.read()[-4000:]
        except OSError:
            return ""

    def credential(self, name, data):
        path = os.path.join(self.credentials, name)
        with open(path, "wb") as f:
            f.write(data)
        os.chmod(path, 0o400)
        os.chown(path, USERS["certvault"], USERS["certvault"])

    def configure(self, text):
        """Writes the service's configuration, which it would find by itself
        where the root is the real one."""
        path = self.path("/etc/certvault/certvault.yaml")
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        self.more["certvault.service"] = ["--config", path]

    # --- sockets ---

    def listen(self, name):
        """Makes the sockets of a .socket unit."""
        pairs = read(self.unit_path(name))["Socket"]
        made = []
        for key, value in pairs:
            if key != "ListenStream":
                continue
            path = self.moved(value)
            s = socket.socket(socket.AF_UNIX)
            s.bind(path)
            owner = USERS.get(one(pairs, "SocketUser"), 0)
            os.chown(path, owner, owner)
            os.chmod(path, int(one(pairs, "SocketMode"), 8))
            s.listen(int(one(pairs, "Backlog", "128")))
            made.append(s)
        self.sockets[name] = made
        return made

    def watch(self):
        """Starts intake and relay when somebody connects, as often as that
        happens."""
        intake, = self.listen("certvault-intake.socket")
        relay = self.listen("certvault-relay.socket")
        threading.Thread(target=self._watch, args=(intake, relay),
                         daemon=True).start()

    def _watch(self, intake, relay):
        while not self.stopping.is_set():
            self.intakes = [u for u in self.intakes
                            if u.process.poll() is None]
            running = self.units.get("certvault-relay.service")
            idle = running is None or running.process.poll() is not None
            ready, _, _ = select.select([intake, *(relay if idle else ())], [],
                                        [], 0.05)
            if self.stopping.is_set():
                return
            if intake in ready:
                connection, _ = intake.accept()
                self.intakes.append(Unit(self, "certvault-intake@.service",
                                         [connection.fileno()]))
                connection.close()
            elif ready:
                self.units["certvault-relay.service"] = Unit(
                    self, "certvault-relay.service",
                    [s.fileno() for s in relay])

    # --- the service ---

    def start(self):
        listener = self.sockets.get("certvault.socket") or \
            self.listen("certvault.socket")
        unit = Unit(self, "certvault.service", [s.fileno() for s in listener])
        self.units["certvault.service"] = unit
        unit.wait_said("READY=1")
        return unit

    def certvault(self, uid, *args, gids=(), input=None, env=None, code=None,
                  timeout=120):
        """The command line as the user `uid`."""
        done = subprocess.run(
            [self.path("/usr/bin/certvault"), "--no-input", *map(str, args)],
            env={**harness.environment(self.home(uid)), **(env or {})},
            user=uid, group=uid, extra_groups=list(gids), timeout=timeout,
            input=input.encode() if isinstance(input, str) else input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True, start_new_session=True)
        result = harness.Result(args, done.returncode, done.stdout,
                                done.stderr)
        if code is not None:
            assert result.code == code, (result, self.log())
        return result

    def home(self, uid):
        home = self.path(f"/home-{uid}")
        for folder in ("", "data", "config", "run"):
            path = os.path.join(home, folder)
            if not os.path.isdir(path):
                os.mkdir(path, 0o700)
                os.chown(path, uid, uid)
        return home

    def by(self, uid):
        """The command line of `uid`, over the service's socket."""
        return lambda *args, **options: self.certvault(
            uid, "--broker", "unix:" + self.address, *args, **options)

    def ask(self, uid, method, parameters):
        """One call of the broker by a client that is not ours: its answer."""
        code = ("import socket,sys\n"
                "s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1])\n"
                "s.sendall(sys.stdin.buffer.read()+b'\\0');s.settimeout(60)\n"
                "d=b''\n"
                "while not d.endswith(b'\\0'):\n"
                "  n=s.recv(65536)\n"
                "  if not n: break\n"
                "  d+=n\n"
                "sys.stdout.buffer.write(d[:-1])\n")
        done = subprocess.run(
            ["/usr/bin/python3", "-c", code, self.address], user=uid,
            group=uid, extra_groups=[], capture_output=True, timeout=60,
            input=json.dumps({"method": "io.certvault.Broker." + method,
                              "parameters": parameters}).encode())
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    def close(self):
        self.stopping.set()
        for unit in [self.units.get("certvault.service"), *self.intakes,
                     self.units.get("certvault-relay.service")]:
            if unit:
                unit.end()
        for sockets in self.sockets.values():
            for s in sockets:
                s.close()
        shutil.rmtree(self.root, ignore_errors=True)


def missing():
    """Why there can be none here, or None."""
    if os.geteuid() != 0:
        return "needs root: other users, mount namespaces"
    if not os.path.exists(harness.program(build=harness.RELEASE)):
        return "no release build"
    for name in ("systemd-analyze", "cmake", "unshare"):
        if not shutil.which(name):
            return f"no {name} here"
    if subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"],
                      capture_output=True).returncode != 0:
        return "may not mount here"
    return None
