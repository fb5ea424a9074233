"""Runs the built programs as a user would, and looks at what they left.

CV_BUILD     the tree whose programs are run (default: build/asan-ubsan)
CV_RELEASE   the release tree, for what needs the real sandbox, system calls or
             timing (default: build/release)
CV_SEED      the seed of random tests; printed by each
CV_FULL      1: the long runs
CV_UNDER     a command put in front of every program of ours (words, as the
             shell has them): test_sandboxed_root.py
"""

import base64
import contextlib
import ctypes
import json
import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
DATA = os.path.join(SOURCE, "tests", "data")
sys.path.insert(0, os.path.join(SOURCE, "tests", "fakes"))

BUILD = os.path.realpath(os.environ.get("CV_BUILD") or
                         os.path.join(SOURCE, "build", "asan-ubsan"))
RELEASE = os.path.realpath(os.environ.get("CV_RELEASE") or
                           os.path.join(SOURCE, "build", "release"))
UNDER = shlex.split(os.environ.get("CV_UNDER", ""))
FULL = os.environ.get("CV_FULL", "0") not in ("", "0")
PROGRAMS = ("certvault", "certvaultd", "token", "intake", "relay")
TIMEOUT = 120

USAGE, INVALID, NOT_FOUND, UNAVAILABLE, INTEGRITY = 64, 65, 66, 69, 70
IO, BUSY, REMOTE, DENIED, CONFIG = 74, 75, 76, 77, 78


def within(seconds):
    """How long what is promised within so many seconds may take: as promised in
    the full run; elsewhere the machine may be slow, or busy with other things,
    and only what never comes is found."""
    return seconds if FULL else max(seconds, TIMEOUT)


def seeded():
    """A random generator; its seed is printed, so that a run can be repeated."""
    seed = int(os.environ.get("CV_SEED") or random.SystemRandom()
               .randrange(2**31))
    print(f"seed: CV_SEED={seed}")
    return random.Random(seed)


def free_port(n=1):
    """The first of `n` ports in a row of loopback that are free, for a program
    that is told its port. Not one that the kernel gives to whoever wants any
    (net.ipv4.ip_local_port_range): what runs beside this would get it before
    that program has it."""
    while True:
        port = random.SystemRandom().randrange(10000, 32000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for i in range(n):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    stack.enter_context(
                        socket.socket(socket.AF_INET, kind)).bind(
                            ("127.0.0.1", port + i))
            return port


# --- secrets ---

class Secrets:
    """Byte strings that must turn up nowhere."""

    def __init__(self):
        self.known = []                # (what, bytes)

    def add(self, what, value):
        raw = value.encode() if isinstance(value, str) else value
        self.known.append((what, raw))
        if len(raw) <= 64:
            self.known.append((what + " in hex", raw.hex().encode()))
            self.known.append((what + " in base64", base64.b64encode(raw)
                               .rstrip(b"=")[:-1]))

    def add_key(self, what, pem, der, numbers):
        """A private key in every form it may leak in. `numbers`: the secret
        integers of it as bytes, the first of them as it is in `der`.

        Of texts, only the part that is secret is looked for: an EC key also
        holds its public point, which is in the certificate too.
        """
        at = der.index(numbers[0])
        middle = at + min(len(numbers[0]), 32)
        flat = base64.b64encode(der)
        self.known.append((what + ", base64 of DER",
                           flat[-(-at // 3) * 4:middle // 3 * 4]))
        body = pem.split(b"-----")[2].replace(b"\n", b"")
        raw = base64.b64decode(body)
        at = raw.index(numbers[0])
        text = body[-(-at // 3) * 4:(at + min(len(numbers[0]), 32)) // 3 * 4]
        # In a PEM its lines may be cut there.
        begin = body.index(text)
        lines = [body[k:k + 64] for k in range(0, len(body), 64)]
        line = lines[begin // 64][begin % 64:]
        if len(line) < 16:
            line = lines[begin // 64 + 1][:begin + len(text) - 64
                                          * (begin // 64 + 1)]
        self.known.append((what + ", PEM", line))
        begin = pem.index(line)
        encoded = base64.b64encode(pem)
        self.known.append((what + ", base64 of PEM", encoded[
            -(-begin // 3) * 4:(begin + len(line)) // 3 * 4]))
        for number in numbers:
            self.known.append((what + ", raw", number[:32]))
            self.known.append((what + ", hex", number[:32].hex().encode()))

    def found_in(self, data):
        return [what for what, raw in self.known if raw and raw in data]

    def found_below(self, folder):
        """In the contents of every file of a folder."""
        found = []
        for where, _, leaves in os.walk(folder):
            for leaf in leaves:
                path = os.path.join(where, leaf)
                if os.path.isfile(path) and not os.path.islink(path):
                    with open(path, "rb") as f:
                        found += [f"{path}: {w}"
                                  for w in self.found_in(f.read())]
        return found


# --- running ---

class Result:
    def __init__(self, args, code, out, err):
        self.args, self.code, self.out, self.err = args, code, out, err

    @property
    def text(self):
        return self.out.decode()

    @property
    def note(self):
        return self.err.decode(errors="backslashreplace")

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def error(self):
        """The error object of JSON mode: the last line of standard error."""
        return json.loads(self.err.strip().split(b"\n")[-1])["error"]

    def __repr__(self):
        return (f"{self.args} -> {self.code}\nout: {self.out[:2000]!r}\n"
                f"err: {self.note[:4000]}")


def environment(home, extra=None):
    env = {
        "HOME": home, "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "LANG": "C.UTF-8", "TZ": "UTC",
        "XDG_DATA_HOME": os.path.join(home, "data"),
        "XDG_CONFIG_HOME": os.path.join(home, "config"),
        "XDG_RUNTIME_DIR": os.path.join(home, "run"),
    }
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
        if name in os.environ:
            env[name] = os.environ[name]
    for name, value in (extra or {}).items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return env


def program(name="certvault", build=None):
    folder = "bin" if name.startswith("certvault") else "libexec/certvault"
    return os.path.join(build or BUILD, folder, name)


class Certvault:
    """The command line, in a home of its own."""

    def __init__(self, home, secrets=None, build=None, env=None):
        self.home = str(home)
        self.build = build or BUILD
        self.secrets = secrets or Secrets()
        self.extra = dict(env or {})
        self.wrap = []                 # a command put in front (strace ...)
        self.flags = ["--no-agent"]    # nothing that outlives its test
        for folder, mode in (("", 0o700), ("data", 0o700), ("config", 0o700),
                             ("run", 0o700)):
            os.makedirs(os.path.join(self.home, folder), exist_ok=True)
            os.chmod(os.path.join(self.home, folder), mode)

    def env(self, extra=None):
        return environment(self.home, {**self.extra, **(extra or {})})

    def argv(self, *args):
        return [*self.wrap, *UNDER, program(build=self.build), *self.flags,
                *map(str, args)]

    def __call__(self, *args, input=None, env=None, code=None, secret=False,
                 timeout=TIMEOUT, **options):
        """Runs it. `code`: the exit code that it must have. `secret`: its
        output holds a secret, as an export does."""
        done = subprocess.run(
            self.argv(*args), env=self.env(env), timeout=timeout,
            input=input.encode() if isinstance(input, str) else input,
            stdin=subprocess.DEVNULL if input is None else None,
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=options.pop("stderr", subprocess.PIPE),
            start_new_session=True, **options)
        result = Result(args, done.returncode, done.stdout or b"",
                        done.stderr or b"")
        self.check(result, secret)
        if code is not None:
            assert result.code == code, result
        return result

    def check(self, result, secret=False):
        """What holds for every run."""
        leaked = self.secrets.found_in(result.err)
        if not secret:
            leaked += self.secrets.found_in(result.out)
        assert not leaked, f"{leaked} printed by {result.args}"
        for bad in (b"AddressSanitizer", b"runtime error:",
                    b"LeakSanitizer"):
            assert bad not in result.err, result
        assert result.code >= 0, f"ended by a signal: {result!r}"
        for c in result.err:
            assert c >= 32 or c in b"\n\t\x1b", f"control character: {result!r}"

    def start(self, *args, env=None, **options):
        """As a process that goes on; the caller waits for it."""
        return subprocess.Popen(
            self.argv(*args), env=self.env(env), start_new_session=True,
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=options.pop("stderr", subprocess.PIPE), **options)


class Vault(Certvault):
    """A vault that a key file opens, and the command line for it."""

    def __init__(self, home, secrets=None, build=None, env=None, init=True):
        super().__init__(home, secrets, build, env)
        self.folder = os.path.join(self.home, "vault")
        self.key_file = os.path.join(self.home, "vault.key")
        self.extra["CERTVAULT_DIR"] = self.folder
        if init:
            self("init", "--key", "file:" + self.key_file, code=0)
            with open(self.key_file, "rb") as f:
                self.secrets.add("vault key file", f.read())

    def __call__(self, *args, **options):
        return super().__call__("--no-input", *args, **options)

    def start(self, *args, **options):
        return super().start("--no-input", *args, **options)

    def json(self, *args, **options):
        return self("-o", "json", *args, code=0, **options).json

    def error(self, code, *args, **options):
        """Runs what must fail with `code`; its error object."""
        return self("-o", "json", *args, code=code, **options).error

    def path(self, name):
        return os.path.join(self.folder, name)

    def names(self):
        return sorted(e["name"] for e in self.json("list")["items"])

    def write(self, name, text, mode=0o600):
        path = os.path.join(self.home, name)
        with open(path, "wb") as f:
            f.write(text.encode() if isinstance(text, str) else text)
        os.chmod(path, mode)
        return path

    def add(self, kubeconfig, name, *args):
        """Imports a kubeconfig that is given as text."""
        return self.json("import", "-", "--name", name, *args,
                         input=kubeconfig)

    def policy(self, *rules, version=1):
        """Applies a policy of these rules (dictionaries) besides those that
        let the owner do all but export."""
        every = ("fetch import list show use issue renew rotate revoke remove "
                 "edit approve audit.read policy.read policy.apply admin")
        document = {
            "apiVersion": "certvault/v1", "kind": "Policy",
            "metadata": {"name": "test", "version": version},
            "rules": [{"name": "owner", "effect": "permit",
                       "subjects": {"uids": [os.getuid()]},
                       "actions": every.split()}, *rules]}
        path = self.write("policy.yaml", json.dumps(document, indent=1))
        return self("policy", "apply", path, code=0)

    def records(self, *filters):
        return self.json("audit", "query", *filters)["items"]

    def another_second(self):
        """The time, in a second after that of every record so far: the times
        of records are whole seconds, and many are of the same one."""
        def now():
            return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

        last = max(self.records()[-1]["time"], now())  # asking was a record too
        while now() <= last:
            time.sleep(0.01)
        return now()

    def verify(self, code=0):
        done = self("-o", "json", "audit", "verify")
        assert done.code == code, done
        return done.json if done.out else None

    def snapshot(self):
        """Contents of the files that hold keys and entries."""
        found = {}
        for name in ("vault.db", "vault.db-wal"):
            if os.path.exists(self.path(name)):
                with open(self.path(name), "rb") as f:
                    found[name] = f.read()
        return found


MAY_EXPORT = {"name": "may-export", "effect": "permit",
              "subjects": {"uids": [os.getuid()]}, "actions": ["export"],
              "when": {"reason": "required"}}


# --- processes ---

def adopt_orphans():
    """Makes this process the parent of what its children leave behind
    (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)


def our_processes():
    """(pid, program) of ours below this process, however deep."""
    children = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii",
                      errors="replace") as f:
                stat = f.read()
        except OSError:
            continue
        name = stat[stat.index("(") + 1:stat.rindex(")")]
        state, parent = stat[stat.rindex(")") + 2:].split()[:2]
        children.setdefault(int(parent), []).append((int(pid), name, state))
    found, queue = [], [os.getpid()]
    while queue:
        for pid, name, state in children.get(queue.pop(), []):
            if state == "Z":
                try:
                    os.waitpid(pid, os.WNOHANG)
                except OSError:
                    pass
                continue
            queue.append(pid)
            if name in PROGRAMS:
                found.append((pid, name))
    return found


def wait_for_none(seconds=60):
    """What is still there of our programs after at most that long."""
    end = time.monotonic() + seconds
    left = our_processes()
    while left and time.monotonic() < end:
        time.sleep(0.02)
        left = our_processes()
    for pid, _ in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    return left


# --- strace ---

def have_strace():
    """Whether strace can be used here: ptrace may be forbidden, and our
    programs let nobody but root look into them."""
    if os.geteuid() != 0:
        return False
    try:
        return subprocess.run(["strace", "-f", "-o", "/dev/null", "true"],
                              capture_output=True).returncode == 0
    except OSError:
        return False
