"""A stand-in for Huawei Cloud CCE and IAM, over TLS on the loopback.

    cce_standin.py [--region R] [--clusters N] [--autopilot N] [--alg A]
                   [--life SECONDS] [--fault FILE[:COUNT]]...
                   [--metadata ADDRESS:PORT] [--metadata-plain] [--serve]

It checks every signature with its own code (signature.py) and mints client
certificates from its own CAs (minting.py). It binds 127.0.0.1 on a free port,
prints one JSON line when it is ready, and ends when its standard input is
closed, on SIGTERM, or after --life seconds. In tests it runs as a thread: class
Standin.
"""

import argparse
import collections
import http.server
import json
import os
import select
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cce_api  # noqa: E402
import minting  # noqa: E402
import small_cluster  # noqa: E402

Seen = collections.namedtuple("Seen", "method target headers body status")


class Fault:
    """What to answer instead, for the next `count` requests whose target holds
    `match`. `answer`: cce_api.Answer, or None to cut the connection. `delay`:
    seconds before; `until`: or this threading.Event. `cut`: that many bytes of
    the body, then the end."""

    def __init__(self, answer=None, match="", count=1, delay=0, cut=None,
                 until=None):
        self.answer, self.match, self.count = answer, match, count
        self.delay, self.cut, self.until = delay, cut, until

    @classmethod
    def from_file(cls, path, **options):
        """One of tests/data/cce/responses."""
        with open(path, encoding="utf-8") as f:
            d = json.load(f)
        body = (d["body_text"] if "body_text" in d
                else json.dumps(d.get("body")))
        return cls(cce_api.Answer(d["status"], body.encode(),
                                  dict(d.get("headers", {}))), **options)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def setup(self):
        # The handshake belongs to the connection's own thread.
        if self.server.standin.context and not self.server.plain:
            try:
                self.request = self.server.standin.context.wrap_socket(
                    self.request, server_side=True)
            except (ssl.SSLError, OSError) as e:
                self.server.standin.handshake_failures.append(str(e))
                self.request = None
        if self.request:
            super().setup()

    def handle(self):
        if self.request:
            try:
                super().handle()
            except (ssl.SSLError, OSError):
                pass

    def finish(self):
        if self.request:
            try:
                super().finish()
            except (ssl.SSLError, OSError):
                pass

    def _any(self):
        length = int(self.headers.get("Content-Length") or 0)
        request = cce_api.Request(
            self.command, self.path,
            {k.lower(): v for k, v in self.headers.items()},
            self.rfile.read(length) if length else b"",
            [k for k, _ in self.headers.items()])
        standin = self.server.standin
        fault = standin.next_fault(request)
        if fault and fault.delay:
            standin.wait_more(1)
            (fault.until or standin.stopping).wait(fault.delay)
            standin.wait_more(-1)
        if fault and fault.answer is None and fault.cut is None \
                and not fault.delay:
            self.close_connection = True
            standin.note(request, 0)
            return
        if fault and fault.answer is not None:
            answer = fault.answer
        elif self.server.plain:
            answer = standin.cloud.metadata(request)
        else:
            answer = standin.cloud.answer(request)
        standin.note(request, answer.status)
        self._send(answer, fault.cut if fault else None)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _any

    def _send(self, answer, cut):
        self.send_response(answer.status)
        headers = dict(answer.headers)
        if not any(k.lower() == "x-request-id" for k in headers):
            headers["X-Request-Id"] = os.urandom(16).hex()
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if cut is not None:
            self.wfile.write(answer.body[:cut])
            self.close_connection = True
        else:
            self.wfile.write(answer.body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address, standin, plain=False):
        self.standin, self.plain = standin, plain
        super().__init__(address, Handler)

    def handle_error(self, request, client_address):
        self.standin.errors.append(repr(sys.exc_info()[1]))


class Standin:
    """The servers, in threads of this process. `folder` gets the CA file."""

    def __init__(self, folder, region="cn-north-4", metadata=None, **cloud):
        self.cloud = cce_api.Cloud(region, **cloud)
        self.authority = minting.Authority("stand-in API CA")
        self.ca_file = os.path.join(folder, "standin-ca.pem")
        with open(self.ca_file, "wb") as f:
            f.write(self.authority.pem)
        self.context = self._context(folder)
        self.seen = []                 # Seen, in order
        self.violations = []           # what no client should do
        self.errors = []
        self.handshake_failures = []
        self.faults = []
        self.waiting = 0               # requests that a fault delays
        self.waits = threading.Condition()
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.servers = [Server(("127.0.0.1", 0), self)]
        self.port = self.servers[0].server_address[1]
        self.url = f"https://127.0.0.1:{self.port}"
        if metadata:
            self.servers.append(Server(metadata, self, plain=True))
        for server in self.servers:
            threading.Thread(target=server.serve_forever, daemon=True,
                             kwargs={"poll_interval": 0.05}).start()

    def _context(self, folder):
        key, cert = self.authority.server(["127.0.0.1", "localhost"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        fd, path = tempfile.mkstemp(dir=folder)
        with os.fdopen(fd, "wb") as f:
            f.write(cert + key)
        context.load_cert_chain(path)
        os.unlink(path)
        return context

    def inject(self, *faults):
        with self.lock:
            self.faults.extend(faults)

    def next_fault(self, request):
        with self.lock:
            for fault in self.faults:
                if fault.count > 0 and fault.match in request.target:
                    fault.count -= 1
                    return fault
        return None

    def wait_more(self, n):
        with self.waits:
            self.waiting += n
            self.waits.notify_all()

    def wait_for_waiting(self, seconds=60):
        """Until somebody asks for what a fault delays."""
        with self.waits:
            assert self.waits.wait_for(lambda: self.waiting > 0, seconds)

    def note(self, request, status):
        with self.lock:
            self.seen.append(Seen(request.method, request.target,
                                  request.headers, request.body, status))
            self.violations += violations(request)

    def count(self, part, method=None):
        """Requests so far whose target holds `part`."""
        with self.lock:
            return sum(1 for s in self.seen
                       if part in s.target and method in (None, s.method))

    def reset(self):
        with self.lock:
            self.seen, self.violations, self.faults = [], [], []
            self.errors, self.handshake_failures = [], []
        self.cloud.bad_in_a_row = {}
        self.cloud.skew *= 0

    def stop(self):
        self.stopping.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()


def violations(request):
    """What the interface forbids, whatever the signature says."""
    found = []
    path = request.path
    lower = [n.lower() for n in request.names]
    if path != "/" and path.endswith("/"):
        found.append(f"trailing slash: {path}")
    if "/./" in path or "/../" in path:
        found.append(f"dot segment: {path}")
    for name in ("host", "authorization", "x-auth-token", "x-sdk-date",
                 "x-project-id", "x-security-token", "content-type"):
        if lower.count(name) > 1:
            found.append(f"{name} twice")
    if "expect" in lower:
        found.append("Expect header")
    if "user-agent" not in lower and not path.startswith("/meta-data"):
        found.append("no User-Agent")
    signed = request.headers.get("authorization", "")
    for name in ("user-agent", "accept;", "accept-encoding"):
        if name in signed:
            found.append(f"{name} is signed")
    return found


def ready_line(standin):
    cloud = standin.cloud
    return {"url": standin.url, "port": standin.port, "ca": standin.ca_file,
            "ak": cloud.ak, "sk": cloud.sk, "region": cloud.region,
            "project_id": cloud.project_id, "domain": cloud.domain,
            "user": {"name": cloud.user, "id": cloud.user_id,
                     "password": cloud.password},
            "clusters": [{"name": c.name, "id": c.uid, "api": c.api}
                         for c in cloud.clusters]}


def main():
    p = argparse.ArgumentParser(description="a stand-in for Huawei Cloud CCE")
    p.add_argument("--region", default="cn-north-4")
    p.add_argument("--clusters", type=int, default=2)
    p.add_argument("--autopilot", type=int, default=0)
    p.add_argument("--alg", default="rsa2048")
    p.add_argument("--pool", type=int, default=0, help="keys used in turn")
    p.add_argument("--life", type=float, default=3600)
    p.add_argument("--fault", action="append", default=[])
    p.add_argument("--metadata", help="ADDRESS:PORT")
    p.add_argument("--metadata-plain", action="store_true",
                   help="it has no token mode")
    p.add_argument("--metadata-port", type=int, help="instead of PORT")
    p.add_argument("--serve", action="store_true",
                   help="each cluster answers `kubectl get namespaces`")
    p.add_argument("--folder", help="where the CA's certificate is written")
    a = p.parse_args()
    metadata = None
    if a.metadata:
        host, _, port = a.metadata.rpartition(":")
        metadata = (host, a.metadata_port or int(port))
    made = None if a.folder else tempfile.TemporaryDirectory(prefix="standin-")
    folder = a.folder or made.name
    standin = Standin(folder, a.region, metadata)
    standin.cloud.metadata_token_mode = not a.metadata_plain
    if a.pool:
        standin.cloud.pools[a.alg] = minting.Pool(a.alg, a.pool, reuse=True)
    names = ["prod", "dev", "stage"]
    for i in range(a.clusters):
        made_one = standin.cloud.add(
            names[i] if i < 3 else f"cluster-{i}", alg=a.alg)
        if a.serve:
            served = small_cluster.Server(folder, made_one.authority)
            made_one.internal = made_one.external = served.url
    for i in range(a.autopilot):
        standin.cloud.add(f"autopilot-{i}", alg=a.alg, api="autopilot")
    for fault in a.fault:
        path, _, count = fault.partition(":")
        standin.inject(Fault.from_file(path, count=int(count or 1)))
    print(json.dumps(ready_line(standin)), flush=True)
    wait(a.life)
    standin.stop()
    if made:
        made.cleanup()


def wait(life):
    """Until standard input ends, a signal comes or `life` is over."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    end = time.monotonic() + life
    while not stop.is_set() and time.monotonic() < end:
        try:
            ready, _, _ = select.select([0], [], [], 0.2)
            if ready and not os.read(0, 4096):
                return
        except InterruptedError:
            continue


if __name__ == "__main__":
    socket.setdefaulttimeout(60)
    main()
