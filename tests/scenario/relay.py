"""What the tests of the relay share: the stand-in API server, nginx that asks
for client certificates, kubectl, and vaults whose entries lead to them."""

import base64
import contextlib
import glob
import importlib.util
import json
import os
import re
import select
import shutil
import socket
import ssl
import subprocess
import sys
import time

import yaml

import harness
import minting
import nginx
from kube import Identity, as_yaml, config
from tokens import die_with_parent

STANDIN = os.path.join(harness.SOURCE, "tests", "fakes", "apiserver.py")
MUTUAL = """ssl_client_certificate {ca};
        ssl_verify_client on;
        %s
        location / {
            default_type application/json;
            return 200 '{"gitVersion":"v1.32.0","major":"1","minor":"32",\
"who":"$ssl_client_s_dn","serial":"$ssl_client_serial","proto":\
"$server_protocol","audit":"$http_audit_id"}';
        }"""


def kubectl():
    """Its path, or None. Where it is a launcher that asks the server for its
    version first, the program that it would start."""
    found = os.environ.get("CV_KUBECTL") or shutil.which("kubectl")
    if not found:
        return None
    several = sorted(glob.glob(os.path.realpath(found) + ".1.*"))
    named = [p for p in several if p.endswith(".1.32")]
    return (named or several[-1:] or [found])[0]


def every_kubectl():
    """kubectl of each version that is here."""
    one = kubectl()
    return sorted(glob.glob(re.sub(r"\.1\.\d+$", "", one) + ".1.*")) or [one] \
        if one else []


def missing():
    """Why nothing of this can be tested here, or None."""
    lacks = [name for name in ("h2", "OpenSSL")
             if not importlib.util.find_spec(name)]
    if lacks:
        return f"no Python module {', '.join(lacks)} here"
    return None if kubectl() else "no kubectl here"


class Standin:
    """The stand-in API server as a process of its own."""

    def __init__(self, folder, *args, authority=None, names=("127.0.0.1",)):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.authority = authority or minting.Authority("kube CA")
        self.names, self.args = list(names), args
        key, cert = self.authority.server(self.names)
        self.write("server.key", key)
        self.write("server.pem", cert)
        self.ca_file = self.write("client-ca.pem", self.authority.pem)
        self.port = 0
        self.mark = 0

    def write(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def pod(self, name, *parts):
        return os.path.join(self.folder, "pods", name, *parts)

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def start(self):
        with open(os.path.join(self.folder, "stderr"), "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-B", STANDIN, self.folder, "--port",
                 str(self.port), *self.args], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=log,
                preexec_fn=die_with_parent)
        self.port = json.loads(self.process.stdout.readline())["port"]
        return self

    def stop(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()
        with open(os.path.join(self.folder, "stderr"),
                  encoding="utf-8") as f:
            return f.read()

    __enter__ = start

    def __exit__(self, kind, *args):
        said = self.stop()
        assert kind or "Traceback" not in said, said

    def say(self, **order):
        """An order, obeyed when this returns."""
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        assert json.loads(self.process.stdout.readline()) == {"done": True}

    def seen(self, kind=None, **wanted):
        """What it wrote down since the last reset(): dictionaries; headers
        as one."""
        with open(os.path.join(self.folder, "requests.log"), "rb") as f:
            f.seek(self.mark)
            lines = f.read().splitlines()
        found = []
        for line in lines:
            item = json.loads(line)
            if kind not in (None, item["kind"]) or any(
                    item.get(k) != v for k, v in wanted.items()):
                continue
            item["all"] = item.get("headers")
            item["headers"] = dict(item.get("headers") or [])
            found.append(item)
        return found

    def requests(self, **wanted):
        return self.seen("request", **wanted)

    def reset(self):
        self.mark = os.path.getsize(os.path.join(self.folder,
                                                 "requests.log"))

    def identity(self, alg="p256", **options):
        return Identity(alg, ca=self.authority, **options)


def mutual_nginx(folder, h2, authority=None, more=""):
    """nginx that answers each request with a version and who asked."""
    listen = "http2" if h2 else ""
    os.makedirs(str(folder), exist_ok=True)
    return nginx.Server(folder, listen, MUTUAL % more, authority)


def direct(folder, identity, server, name="direct"):
    """A kubeconfig with its key, to prove a server with."""
    path = os.path.join(str(folder), name + ".yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(as_yaml(config(identity, server=server)))
    os.chmod(path, 0o600)
    return path


def signatures(vault):
    """The leaves of signatures for handshakes with servers."""
    return [r for r in vault.records() if r["phase"] == "decision" and
            r.get("details", {}).get("purpose", "").startswith("tls")]


class Kubectl:
    """kubectl with a kubeconfig, or below `certvault exec`: `front` is the
    command line put in front of it."""

    def __init__(self, home, path=None, front=(), env=None, program=None):
        self.program = program or kubectl()
        self.home = str(home)
        self.front = list(front)
        self.env = {"HOME": self.home, "PATH": os.environ["PATH"],
                    **({"KUBECONFIG": path} if path else {}), **(env or {})}

    def argv(self, *args):
        return [*self.front, self.program, *map(str, args)]

    def __call__(self, *args, code=0, input=None, env=None, timeout=120):
        done = subprocess.run(
            self.argv(*args), capture_output=True, timeout=timeout,
            input=input.encode() if isinstance(input, str) else input,
            stdin=None if input is not None else subprocess.DEVNULL,
            env={**self.env, **(env or {})}, cwd=self.home)
        if code is not None:
            assert done.returncode == code, (args, done)
        return done

    def text(self, *args, **options):
        return self(*args, **options).stdout.decode()

    @contextlib.contextmanager
    def running(self, *args, env=None):
        """A command that goes on: an object with `line(seconds)`."""
        one = Running(self.argv(*args), {**self.env, **(env or {})},
                      self.home)
        try:
            yield one
        finally:
            one.end()


class Session:
    """`certvault exec ENTRY FLAGS...` held open: what its command is given.

    kubeconfig: KUBECONFIG of it; port, and files ca, cert, key."""

    def __init__(self, vault, entry, *flags, before=(), env=None):
        self.vault = vault
        self.argv = vault.argv(*before, "--no-input", "exec", entry, *flags,
                               "--", "sh", "-c",
                               'printf "%s\\n" "$KUBECONFIG"; read x')
        self.env = vault.env(env)

    def __enter__(self):
        self.running = Running(self.argv, self.env, self.vault.home)
        self.kubeconfig = self.running.line(60)
        assert self.kubeconfig, self.running.process.stderr.read()
        with open(self.kubeconfig, encoding="utf-8") as f:
            made = yaml.safe_load(f)
        cluster = made["clusters"][0]["cluster"]
        user = made["users"][0]["user"]
        self.server = cluster["server"]
        self.port = int(self.server.rsplit(":", 1)[1])
        self.ca = self._data("ca", cluster["certificate-authority-data"])
        self.cert = self._data("cert", user["client-certificate-data"])
        self.key = self._data("key", user["client-key-data"])
        return self

    def _data(self, name, value):
        path = os.path.join(self.vault.home, f"session-{self.port}.{name}")
        with open(path, "wb") as f:
            f.write(base64.b64decode(value))
        os.chmod(path, 0o600)
        return path

    def kubectl(self, **env):
        return Kubectl(self.vault.home, env={
            **self.vault.env(), "KUBECONFIG": self.kubeconfig, **env})

    def context(self):
        """For connections of the tests' own."""
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self.cert, self.key)
        return context

    def connect(self, alpn=("http/1.1",)):
        context = self.context()
        context.set_alpn_protocols(list(alpn))
        s = socket.create_connection(("127.0.0.1", self.port), 30)
        return context.wrap_socket(s, server_hostname="127.0.0.1")

    def request(self, text, alpn=("http/1.1",)):
        """Sends bytes, reads to the end; ask for Connection: close."""
        with self.connect(alpn) as s:
            s.sendall(text)
            got = b""
            while data := s.recv(65536):
                got += data
        return got

    def get(self, path, *headers):
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}",
                 "Connection: close", *headers, "", ""]
        return self.request("\r\n".join(lines).encode())

    def end(self):
        """As its user would: the command ends."""
        self.running.process.stdin.close()
        return self.running.wait(60)

    def __exit__(self, kind, *args):
        try:
            code = self.end() if not self.running.process.stdin.closed \
                else self.running.wait(60)
            said = self.running.process.stderr.read()
        finally:
            self.running.end()
        # `read` fails at the end of its input.
        assert kind or code == 1, (code, said)
        for bad in (b"AddressSanitizer", b"runtime error:"):
            assert bad not in said, said.decode()


class Running:
    def __init__(self, argv, env, folder):
        self.process = subprocess.Popen(
            argv, env=env, cwd=folder, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True)
        self.buffer = b""

    def line(self, seconds=60):
        """The next line of its output, without the end of line; None where
        it has ended; raises where there is none in time."""
        return self.until(b"\n", seconds)

    def until(self, mark, seconds=60):
        end = time.monotonic() + seconds
        fd = self.process.stdout.fileno()
        while mark not in self.buffer:
            left = end - time.monotonic()
            assert left > 0, f"nothing within {seconds} s: {self.buffer!r}"
            if not select.select([fd], [], [], left)[0]:
                continue
            data = os.read(fd, 65536)
            if not data:
                return None
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(mark)
        return line.decode()

    def write(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def wait(self, seconds):
        """Its exit code; raises where it has not ended in time."""
        return self.process.wait(seconds)

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(60)
        for stream in (self.process.stdin, self.process.stdout,
                       self.process.stderr):
            with contextlib.suppress(OSError):
                stream.close()
