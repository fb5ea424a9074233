"""A C2SP tlog-witness (c2sp.org/tlog-witness) on loopback, by its text: it
remembers how far it has seen each log, checks the log's signature and the
consistency proof itself, and cosigns (c2sp.org/tlog-cosignature).

`mode` makes it misbehave: see MODES.
"""

import base64
import hashlib
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey, Ed25519PublicKey)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

DASH = "\u2014 "

MODES = ("", "other-root", "future", "zero", "other-key", "no-line", "garbage",
         "html", "huge", "stall", "hang-up", "404", "403", "400", "500",
         "size-text", "size-lie")


def key_id(name, kind, public):
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public
                          ).digest()[:4]


def vkey(name, kind, public):
    return (f"{name}+{key_id(name, kind, public).hex()}+"
            + base64.b64encode(bytes([kind]) + public).decode())


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def consistent(m, n, old, new, path):
    """RFC 9162 section 2.1.4.2."""
    if m == n:
        return not path and old == new
    if m == 0:
        return not path
    path = list(path)
    if m & (m - 1) == 0:
        path.insert(0, old)
    if not path:
        return False
    fn, sn = m - 1, n - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            sr = node(sr, c)
        fn >>= 1
        sn >>= 1
    return sn == 0 and fr == old and sr == new


class Refused(Exception):
    def __init__(self, status, body=b"", kind="text/plain"):
        super().__init__(status)
        self.status, self.body, self.kind = status, body, kind


class Witness:
    def __init__(self, name="witness.example/w1", context=None):
        """`context`: over TLS."""
        self.name = name
        self.key = Ed25519PrivateKey.generate()
        self.public = self.key.public_key().public_bytes(Encoding.Raw,
                                                         PublicFormat.Raw)
        self.vkey = vkey(name, 4, self.public)
        self.logs = {}        # origin -> Ed25519 public bytes
        self.seen = {}        # origin -> (size, root)
        self.asked = []       # (old, hashes, size) of each request
        self.answers = []     # statuses
        self.mode = ""
        self.lock = threading.Lock()
        self.resume = threading.Event()
        witness = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_POST(self):
                witness.serve(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if context:
            self.server.socket = context.wrap_socket(self.server.socket,
                                                     server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}/w1"
        self.thread = threading.Thread(target=self.server.serve_forever,
                                       daemon=True)
        self.thread.start()

    def stop(self):
        self.resume.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def anchor(self):
        return f"witness:{self.url}#{self.vkey}"

    def trust(self, log_vkey):
        name, _, key = log_vkey.strip().split("+", 2)
        self.logs[name] = base64.b64decode(key)[1:]

    # --- one request ---

    def serve(self, h):
        length = int(h.headers["Content-Length"])
        body = h.rfile.read(length)
        if h.path != "/w1/add-checkpoint":
            return self.answer(h, 404, b"", "text/plain")
        if self.mode == "hang-up":
            h.close_connection = True
            self.answers.append(0)
            return None
        if self.mode == "stall":
            self.resume.wait(60)
        try:
            with self.lock:
                got = self.add(body)
            return self.answer(h, 200, got, "text/plain")
        except Refused as r:
            return self.answer(h, r.status, r.body, r.kind)

    def answer(self, h, status, body, kind):
        """Who asked may be gone by then."""
        self.answers.append(status)
        try:
            self.write(h, status, body, kind)
        except OSError:
            pass

    def write(self, h, status, body, kind):
        h.send_response(status)
        h.send_header("Content-Type", kind)
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        h.wfile.write(body)

    def add(self, body):
        head, sep, note = body.partition(b"\n\n")
        lines = head.decode().split("\n")
        if not sep or not lines[0].startswith("old "):
            raise Refused(400)
        old = int(lines[0][4:])
        assert lines[0] == f"old {old}", "not canonical"
        proof = [base64.b64decode(x, validate=True) for x in lines[1:]]
        assert all(len(x) == 32 for x in proof) and len(proof) <= 63
        text, sep, signatures = note.decode().partition("\n\n")
        text += "\n"
        origin, size, root = text.splitlines()
        assert str(int(size)) == size
        size, root = int(size), base64.b64decode(root)
        self.asked.append((old, len(proof), size))
        if self.mode in ("404", "403", "400", "500"):
            raise Refused(int(self.mode))
        if origin not in self.logs:
            raise Refused(404)
        self.check(origin, text, signatures)
        if old > size:
            raise Refused(400)
        at, known = self.seen.get(origin, (0, hashlib.sha256().digest()))
        if self.mode == "size-text":
            raise Refused(409, b"many\n", "text/x.tlog.size")
        if self.mode == "size-lie":
            raise Refused(409, b"99999\n", "text/x.tlog.size")
        if old != at or (old == size and root != known):
            raise Refused(409, f"{at}\n".encode(), "text/x.tlog.size")
        if not consistent(old, size, known, root, proof):
            raise Refused(422)
        self.seen[origin] = (size, root)
        return self.sign(text)

    def check(self, origin, text, signatures):
        want = key_id(origin, 1, self.logs[origin])
        for line in signatures.splitlines():
            dash, name, value = line.split(" ")
            raw = base64.b64decode(value)
            if name == origin and raw[:4] == want:
                try:
                    Ed25519PublicKey.from_public_bytes(
                        self.logs[origin]).verify(raw[4:], text.encode())
                    return
                except InvalidSignature:
                    pass
        raise Refused(403)

    def sign(self, text):
        if self.mode == "no-line":
            return b""
        if self.mode == "garbage":
            return (DASH + self.name + " !!!!\n").encode()
        if self.mode == "html":
            return b"<html>\x1b[31m it works!</html>"
        if self.mode == "huge":
            return b"x" * (2 << 20)
        now = int(time.time())
        if self.mode == "future":
            now += 86400
        if self.mode == "zero":
            now = 0
        if self.mode == "other-root":
            lines = text.splitlines()
            text = "\n".join([lines[0], lines[1], base64.b64encode(
                b"\7" * 32).decode()]) + "\n"
        key = Ed25519PrivateKey.generate() if self.mode == "other-key" \
            else self.key
        signature = key.sign(
            f"cosignature/v1\ntime {now}\n{text}".encode())
        raw = key_id(self.name, 4, self.public) + struct.pack(">Q", now) \
            + signature
        return (DASH + self.name + " " + base64.b64encode(raw).decode()
                + "\n").encode()
