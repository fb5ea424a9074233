"""A TLS server on the loopback that answers with whatever bytes a test wants,
and a listener that only counts who comes."""

import datetime
import ipaddress
import os
import socket
import ssl
import tempfile
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

ADDRESS = ipaddress.ip_address("127.0.0.1")


def _pem(key):
    return key.private_bytes(serialization.Encoding.PEM,
                             serialization.PrivateFormat.TraditionalOpenSSL,
                             serialization.NoEncryption())


def _name(common):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


class Authority:
    """A CA. `constraints`: permitted subtrees of its certificate."""

    def __init__(self, constraints=None):
        self.key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        builder = (
            x509.CertificateBuilder().subject_name(_name("hostile CA"))
            .issuer_name(_name("hostile CA"))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=900))
            .not_valid_after(now + datetime.timedelta(days=900))
            .add_extension(x509.BasicConstraints(True, None), True))
        if constraints:
            builder = builder.add_extension(
                x509.NameConstraints(constraints, None), True)
        self.cert = builder.sign(self.key, hashes.SHA256())
        self.pem = self.cert.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, names=(x509.IPAddress(ADDRESS), x509.DNSName("localhost")),
              days=(-1, 30), key=None, digest=None, signer=None, common="h"):
        """PEM of a server's key and certificate. `signer`: sign with that key
        instead of the CA's."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        cert = (
            x509.CertificateBuilder().subject_name(_name(common))
            .issuer_name(self.cert.subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=days[0]))
            .not_valid_after(now + datetime.timedelta(days=days[1]))
            .add_extension(x509.SubjectAlternativeName(list(names)), False)
            .sign(signer or self.key, digest or hashes.SHA256()))
        return _pem(key) + cert.public_bytes(serialization.Encoding.PEM)


def weak_key():
    return rsa.generate_private_key(65537, 1024)


def context_of(pem, configure=None):
    """An ssl context for PEM text; `configure` gets it before use."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # A hostile server has no scruples about its own keys.
    context.set_ciphers("ALL:@SECLEVEL=0")
    if configure:
        configure(context)
    fd, path = tempfile.mkstemp()
    try:
        with os.fdopen(fd, "wb") as f:
            f.write(pem)
        context.load_cert_chain(path)
    finally:
        os.unlink(path)
    return context


def head(status="200 OK", body=b"", *headers, length=None,
         kind="application/json"):
    """An answer as bytes, with a proper length unless `length` says another."""
    lines = [f"HTTP/1.1 {status}"]
    if kind:
        lines.append(f"Content-Type: {kind}")
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    lines += headers
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Server:
    """Serves each connection in a thread: reads one request after the other and
    lets `answer(connection, request)` write what it likes; false from it ends
    the connection."""

    def __init__(self, pem=None, answer=None, configure=None, host="127.0.0.1"):
        self.context = context_of(pem, configure) if pem else None
        self.answer = answer or (lambda c, r: c.sendall(head(body=b"{}")))
        self.requests = []             # bytes of each
        self.connections = 0
        self.failed_handshakes = 0
        self.open = set()
        self.lock = threading.Lock()
        self.listener = socket.create_server((host, 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self.open.add(connection)
            threading.Thread(target=self._serve, args=(connection,),
                             daemon=True).start()

    def _serve(self, raw):
        connection = raw
        try:
            raw.settimeout(60)
            if self.context:
                connection = self.context.wrap_socket(raw, server_side=True)
        except (OSError, ssl.SSLError):
            with self.lock:
                self.failed_handshakes += 1
                self.open.discard(raw)
            raw.close()
            return
        with self.lock:
            self.open.discard(raw)
            self.open.add(connection)
        try:
            while True:
                request = self._read(connection)
                if request is None:
                    break
                with self.lock:
                    self.requests.append(request)
                if self.answer(connection, request) is False:
                    break
        except (OSError, ssl.SSLError, ValueError):
            pass
        with self.lock:
            self.open.discard(connection)
        connection.close()

    def _read(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return None
            data += part
        top, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in top.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length":
                length = int(value)
        while len(body) < length:
            part = connection.recv(65536)
            if not part:
                return None
            body += part
        return top + b"\r\n\r\n" + body

    def stop(self):
        # shutdown wakes the thread that is in accept
        for s in [self.listener, *self.open]:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
