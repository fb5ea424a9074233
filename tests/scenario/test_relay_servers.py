"""Servers that are not who they should be: no signature is made for them
(H64)."""

import base64
import datetime
import ipaddress
import os
import socket
import ssl
import subprocess
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

import kube
import minting
import relay
from harness import free_port
from tokens import die_with_parent

pytestmark = pytest.mark.skipif(bool(relay.missing()),
                                reason=str(relay.missing()))
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def server_certificate(authority, names, days=30, usage="SERVER_AUTH"):
    """(key PEM, certificate PEM); `usage`: what it is for."""
    key = minting.make_key("p256")
    now = datetime.datetime.now(datetime.timezone.utc)
    alternatives = [x509.DNSName(n) if n[0].isalpha() else
                    x509.IPAddress(ipaddress.ip_address(n))
                    for n in names]
    cert = (authority._build(minting._name(names[0]), key,
                             now - datetime.timedelta(days=9),
                             now + datetime.timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName(alternatives), False)
            .add_extension(x509.ExtendedKeyUsage(
                [getattr(x509.oid.ExtendedKeyUsageOID, usage)]), False)
            .sign(authority.key, hashes.SHA256()))
    return minting.key_pem(key), minting.cert_pem(cert)


class Openssl:
    """`openssl s_server`: its standard input is what it says."""

    def __init__(self, folder, pair, client_ca, *args, ask=True):
        self.folder = str(folder)
        files = {"key": pair[0], "cert": pair[1], "ca": client_ca}
        for name, data in files.items():
            with open(os.path.join(self.folder, name), "wb") as f:
                f.write(data)
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.log = os.path.join(self.folder, "s_server.log")
        self.argv = [
            "openssl", "s_server", "-accept", f"127.0.0.1:{self.port}",
            "-cert", self.folder + "/cert", "-key", self.folder + "/key",
            "-CAfile", self.folder + "/ca", "-no_ticket",
            *(["-Verify", "2", "-verify_return_error"] if ask else []), *args]

    def __enter__(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.PIPE, stdout=log,
                stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
        self.wait_for("ACCEPT")
        return self

    def said(self):
        with open(self.log, encoding="latin-1") as f:
            return f.read()

    def wait_for(self, text, seconds=60, times=1):
        end = time.monotonic() + seconds
        while self.said().count(text) < times:
            assert time.monotonic() < end and self.process.poll() is None, \
                self.said()
            time.sleep(0.02)

    def say(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def __exit__(self, *args):
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait(60)


def signatures(vault):
    """How many were decided for the relay, and permitted."""
    return len([r for r in vault.records() if r.get("decision") == "permit"
                and "purpose" in (r.get("details") or {})])


def told(vault, words):
    return [r for r in vault.records() if r["phase"] == "event" and
            words in str(r.get("details"))]


def wait_for_words(vault, words, seconds=60):
    """An event joins the next commit."""
    end = time.monotonic() + seconds
    while not told(vault, words):
        assert time.monotonic() < end, vault.records()
        time.sleep(0.2)


def code_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer else None


# What the server is like: (its certificate by an authority, arguments of
# s_server, whether it asks for a certificate, or of which other CA).
LIES = {
    "another CA": (lambda a: server_certificate(
        minting.Authority("kube CA"), ["127.0.0.1"]), (), True),
    "another name": (lambda a: server_certificate(
        a, ["evil.example", "127.0.0.2"]), (), True),
    "no name": (lambda a: server_certificate(a, ["x.example"]), (), True),
    "expired": (lambda a: server_certificate(a, ["127.0.0.1"], -1), (), True),
    "a client's": (lambda a: server_certificate(
        a, ["127.0.0.1"], 30, "CLIENT_AUTH"), (), True),
    "TLS 1.1": (lambda a: server_certificate(a, ["127.0.0.1"]),
                ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), True),
    "weak ciphers": (lambda a: server_certificate(a, ["127.0.0.1"]), (
        "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"), True),
    "asks for another's": (lambda a: server_certificate(a, ["127.0.0.1"]), (),
                           "other"),
    "asks for no certificate": (lambda a: server_certificate(
        a, ["127.0.0.1"]), (), False),
}


def test_servers_that_are_not_it(vault, tmp_path):
    for n, (what, (make, args, ask)) in enumerate(LIES.items()):
        print(what)
        name, folder = f"e{n}", tmp_path / str(n)
        folder.mkdir()
        authority = minting.Authority("kube CA")
        identity = kube.Identity(ca=authority, common="kim")
        asked = minting.Authority(ask) if ask == "other" else authority
        with Openssl(folder, make(authority), asked.pem, *args,
                     ask=ask) as server:
            vault.add(kube.as_yaml(kube.config(identity, server=server.url)),
                      name)
            with relay.Session(vault, name) as session:
                got = session.get("/version")
                assert code_of(got) == 502, got
                assert b'"kind":"Status"' in got
            wait_for_words(vault, f"127.0.0.1:{server.port}")
    assert signatures(vault) == 0


def test_what_is_no_tls(vault, tmp_path):
    """It answers in the clear, or with nothing, or goes away."""
    listener = socket.create_server(("127.0.0.1", 0))
    answers = [ANSWER, b"\x15\x03\x03\x00\x02\x02\x28", b"", b"\0" * 9000]
    count = len(answers)

    def serve():
        while answers:
            s, _ = listener.accept()
            with s:
                s.recv(65536)
                s.sendall(answers.pop(0))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    port = listener.getsockname()[1]
    vault.add(kube.as_yaml(kube.config(
        kube.Identity(common="kim"), server=f"https://127.0.0.1:{port}")),
        "prod")
    with relay.Session(vault, "prod") as session:
        for _ in range(count):
            assert code_of(session.get("/version")) == 502
        assert signatures(vault) == 0
    thread.join(20)
    listener.close()


def test_renegotiation(vault, tmp_path):
    """TLS 1.2's HelloRequest is not followed: no second signature."""
    authority = minting.Authority("kube CA")
    identity = kube.Identity(ca=authority, common="kim")
    with Openssl(tmp_path, server_certificate(authority, ["127.0.0.1"]),
                 authority.pem, "-tls1_2") as server:
        vault.add(kube.as_yaml(kube.config(identity, server=server.url)),
                  "prod")
        with relay.Session(vault, "prod") as session:
            got = []

            def ask():
                got.append(session.get("/version"))

            thread = threading.Thread(target=ask)
            thread.start()
            server.wait_for("GET /version")
            server.say(b"R\n")           # renegotiate, asking once more
            server.wait_for("SSL_do_handshake")
            time.sleep(0.5)
            # Whether the connection lives on is the server's to say.
            try:
                server.say(ANSWER)
            except BrokenPipeError:
                pass
            time.sleep(0.2)
            server.process.terminate()
            thread.join(20)
            assert code_of(got[0]) in (200, 502), got
            assert signatures(vault) == 1


@pytest.fixture(params=["h2,http/1.1", "http/1.1"], ids=["h2", "h1"])
def standin(request, tmp_path):
    with relay.Standin(tmp_path / "api", "--alpn", request.param) as s:
        yield s


def change(standin, authority):
    """The server comes again at its port, with another key."""
    standin.stop()
    key, cert = authority.server(standin.names)
    standin.write("server.key", key)
    standin.write("server.pem", cert)
    standin.start()


def add(vault, standin):
    vault.add(kube.as_yaml(kube.config(standin.identity(common="kim"),
                                       server=standin.url)), "prod")


def test_the_server_has_another_key(vault, standin):
    """Of the same CA: goes on, and is told of."""
    add(vault, standin)
    with relay.Session(vault, "prod") as session:
        assert code_of(session.get("/version")) == 200
        assert not told(vault, "another key")
        change(standin, standin.authority)
        assert code_of(session.get("/version")) == 200
        wait_for_words(vault, "another key")
        assert signatures(vault) == 2


def test_the_server_has_another_ca(vault, standin):
    add(vault, standin)
    with relay.Session(vault, "prod") as session:
        assert code_of(session.get("/version")) == 200
        change(standin, minting.Authority("kube CA"))
        got = session.get("/version")
        assert code_of(got) == 502, got
        assert signatures(vault) == 1
        assert not standin.requests()[1:]
        change(standin, standin.authority)
        assert code_of(session.get("/version")) == 200


def test_a_pinned_server_has_another_key(vault, standin):
    add(vault, standin)
    with open(os.path.join(standin.folder, "server.pem"), "rb") as f:
        spki = minting.spki_sha256(x509.load_pem_x509_certificate(f.read()))
    vault("pin", "prod", "--context", "main", "--spki",
          base64.b64encode(bytes.fromhex(spki)).decode(), code=0)
    with relay.Session(vault, "prod") as session:
        assert code_of(session.get("/version")) == 200
        change(standin, standin.authority)
        assert code_of(session.get("/version")) == 502
        assert signatures(vault) == 1


def key_of(standin):
    with open(os.path.join(standin.folder, "server.pem"), "rb") as f:
        spki = minting.spki_sha256(x509.load_pem_x509_certificate(f.read()))
    return base64.b64encode(bytes.fromhex(spki)).decode()


def shown(vault, name="prod", context="main"):
    return vault("pin", name, "--context", context, "--show", "-o", "json",
                 code=0).json


def test_what_a_server_shows(vault, standin):
    """Whether anybody vouches for it or not; and it is sent nothing."""
    add(vault, standin)
    first = key_of(standin)
    assert shown(vault)["shows"] == first
    assert "pin" not in shown(vault) and "server_keys" not in shown(vault)
    change(standin, minting.Authority("kube CA"))
    other = key_of(standin)
    assert other != first and shown(vault)["shows"] == other
    assert not standin.requests()
    vault("pin", "prod", "--context", "main", "--spki", first, code=0)
    done = vault("pin", "prod", "--context", "main", "--show", code=0)
    assert b"NOT the one that is pinned" in done.out
    assert "nobody vouches" in done.note
    vault("pin", "prod", "--context", "main", "--spki", other, code=0)
    done = vault("pin", "prod", "--context", "main", "--show", code=0)
    assert b"(as pinned)" in done.out and "nobody" not in done.note


def test_a_server_that_shows_nothing(vault, standin):
    add(vault, standin)
    assert "no such context" in vault("pin", "prod", "--context", "x",
                                      "--show", code=66).note
    standin.stop()
    done = vault("pin", "prod", "--context", "main", "--show", code=76)
    assert "no certificate came from" in done.note
    vault("pin", "prod", "--context", "main", code=64)
    vault("pin", "prod", "--context", "main", "--show", "--spki", "A" * 43 + "=",
          code=64)


def test_nothing_is_finished_with_a_server_that_nobody_vouches_for(vault):
    """The handshake ends before its own end: the other side never has a
    connection."""
    authority = minting.Authority("nobody's CA")
    key, cert = authority.server(["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(vault.write("server.pem", cert),
                            vault.write("server.key", key))
    ended = []

    def serve(listener):
        c, _ = listener.accept()
        try:
            context.wrap_socket(c, server_side=True).close()
            ended.append("a connection")
        except (ssl.SSLError, OSError) as e:
            ended.append(e)
        c.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        vault.add(kube.as_yaml(kube.config(
            kube.Identity("p256"),
            server=f"https://127.0.0.1:{listener.getsockname()[1]}")), "prod")
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        assert len(shown(vault)["shows"]) == 44
        thread.join(60)
    assert len(ended) == 1 and isinstance(ended[0], Exception), ended
