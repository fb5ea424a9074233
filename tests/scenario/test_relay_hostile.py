"""Who tries to get through the relay without a right to, or to say more than
its grant lets it: nothing of it reaches the server, and it is recorded."""

import contextlib
import datetime
import os
import socket
import ssl
import struct
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

import harness
import kube
import minting
import raw_client
import relay

pytestmark = pytest.mark.skipif(bool(relay.missing()),
                                reason=str(relay.missing()))
# Connections of each kind of stranger.
MANY = 1000 if harness.FULL else 50
OTHER_UID = 48211


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    """HTTP/1.1: where two messages could be made of one."""
    with relay.Standin(tmp_path_factory.mktemp("api"), "--alpn",
                       "http/1.1") as s:
        yield s


@pytest.fixture
def standin(upstream):
    upstream.reset()
    return upstream


@pytest.fixture
def session(vault, standin):
    vault.add(kube.as_yaml(kube.config(standin.identity(common="kim"),
                                       server=standin.url)), "prod")
    with relay.Session(vault, "prod") as s:
        yield s


def details(vault, **wanted):
    """The details of the records that have these."""
    found = [r["details"] for r in vault.records()
             if r.get("details") and
             all(r["details"].get(k) == w or r.get(k) == w
                 for k, w in wanted.items())]
    return found


def code_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer else None


# --- certificates ---

def own_chain(folder, common, uri, days=1, authority=None, usage=None):
    """A certificate that looks as the relay's own client's do, of another CA."""
    authority = authority or minting.Authority("certvault hop client CA")
    key = minting.make_key("p256")
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    end = now + datetime.timedelta(days=days)
    built = authority._build(
        minting._name(common, "certvault hop"), key,
        min(now, end) - datetime.timedelta(days=2), end)
    if uri:
        built = built.add_extension(x509.SubjectAlternativeName(
            [x509.UniformResourceIdentifier(uri)]), False)
    cert = built.add_extension(x509.ExtendedKeyUsage(
        [usage or x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]), False) \
        .sign(authority.key, hashes.SHA256())
    paths = []
    for name, pem in (("cert", minting.cert_pem(cert) + authority.pem),
                      ("key", minting.key_pem(key))):
        paths.append(os.path.join(str(folder), name))
        with open(paths[-1], "wb") as f:
            f.write(pem)
    return paths


def uri_of(session):
    with open(session.cert, "rb") as f:
        cert = x509.load_pem_x509_certificate(f.read())
    return cert.extensions.get_extension_for_class(
        x509.SubjectAlternativeName).value.get_values_for_type(
            x509.UniformResourceIdentifier)[0]


def hello(port):
    return (f"GET /version HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            "Connection: close\r\n\r\n").encode()


def wrong_chains(session, folder):
    """What a client may show instead of its certificate."""
    me, uri = f"uid:{os.getuid()}", uri_of(session)
    yield "none", []
    for what, more in {
            "foreign": ("someone", None), "named": (me, uri),
            "expired": (me, uri, -1),
            "a server's": (me, uri, 1, None,
                           x509.oid.ExtendedKeyUsageOID.SERVER_AUTH)}.items():
        at = folder / what.replace("'", "")
        at.mkdir()
        yield what, own_chain(at, *more)
    # The right one below another's leaf.
    at = folder / "mixed"
    at.mkdir()
    files = own_chain(at, me, uri)
    with open(session.cert, "rb") as ours, open(files[0], "ab") as f:
        f.write(ours.read())
    yield "mixed", files


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def test_a_wrong_certificate(session, standin, tmp_path):
    data = hello(session.port)
    for what, files in wrong_chains(session, tmp_path):
        for version in VERSIONS:
            made = raw_client.context(*files, version=version)
            assert raw_client.say(session.port, data, made) == b"", what
    assert not standin.requests()
    for version in VERSIONS:
        made = raw_client.context(session.cert, session.key, version=version)
        assert code_of(raw_client.say(session.port, data, made)) == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_tls(session):
    """1.1 comes to nothing; the right certificate does not help."""
    made = raw_client.context(session.cert, session.key)
    made.minimum_version = ssl.TLSVersion.TLSv1_1
    made.maximum_version = ssl.TLSVersion.TLSv1_1
    made.set_ciphers("DEFAULT@SECLEVEL=0")
    assert raw_client.say(session.port, hello(session.port), made) == b""


def test_no_tls_at_all(session, standin):
    for data in (hello(session.port), b"\x16\x03", b"", b"\x80" * 4096):
        with socket.create_connection(("127.0.0.1", session.port), 20) as s:
            got = b""
            with contextlib.suppress(OSError):
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                got = s.recv(4096)
            assert b"HTTP" not in got, got
    assert not standin.requests()
    assert code_of(session.get("/version")) == 200


# --- requests (H63, H66) ---

HOST = "Host: 127.0.0.1:{port}\r\n"
SMUGGLED = b"DELETE /api/v1/namespaces/default/pods/demo HTTP/1.1\r\n" \
    b"Host: 127.0.0.1:1\r\n\r\n"

REFUSED = {
    "rebinding": (403, "GET /version HTTP/1.1\r\nHost: evil.com\r\n\r\n"),
    "rebinding with port": (
        403, "GET /version HTTP/1.1\r\nHost: evil.com:{port}\r\n\r\n"),
    "other port": (403, "GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
    "no host": (400, "GET /version HTTP/1.1\r\n\r\n"),
    "two hosts": (400, "GET /version HTTP/1.1\r\n" + HOST + HOST + "\r\n"),
    "absolute": (
        400, "GET https://127.0.0.1:{port}/version HTTP/1.1\r\n" + HOST +
        "\r\n"),
    "connect": (400, "CONNECT evil.com:443 HTTP/1.1\r\n" + HOST + "\r\n"),
    "trace": (400, "TRACE / HTTP/1.1\r\n" + HOST + "\r\n"),
    "asterisk": (400, "OPTIONS * HTTP/1.1\r\n" + HOST + "\r\n"),
    "h2c": (400, "GET /version HTTP/1.1\r\n" + HOST +
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"),
    "upgrade alone": (400, "GET /version HTTP/1.1\r\n" + HOST +
                      "Upgrade: websocket\r\n\r\n"),
    "upgrade with a body": (
        400, "POST /api/v1/namespaces/default/pods/demo/exec HTTP/1.1\r\n" +
        HOST + "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        "Content-Length: 60\r\n\r\n"),
    "upgrade to anything": (
        400, "GET /version HTTP/1.1\r\n" + HOST +
        "Connection: Upgrade\r\nUpgrade: telnet\r\n\r\n"),
    "cl and te": (400, "POST /api/v1/namespaces/default/configmaps HTTP/1.1"
                  "\r\n" + HOST + "Content-Length: 4\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "two lengths": (400, "POST /x HTTP/1.1\r\n" + HOST +
                    "Content-Length: 0\r\nContent-Length: 90\r\n\r\n"),
    "other coding": (400, "POST /x HTTP/1.1\r\n" + HOST +
                     "Transfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n"),
    "bare lf": (400, "GET /version HTTP/1.1\n" + HOST + "\r\n"),
    "folded": (400, "GET /version HTTP/1.1\r\n" + HOST + "A: b\r\n c\r\n\r\n"),
    "blank before the colon": (
        400, "POST /x HTTP/1.1\r\n" + HOST + "Content-Length : 3\r\n\r\nabc"),
    "nul": (400, "GET /version HTTP/1.1\r\n" + HOST + "A: b\0c\r\n\r\n"),
    "long": (431, "GET /version HTTP/1.1\r\n" + HOST + "A: " + "x" * 70000 +
             "\r\n\r\n"),
    "dots": (400, "GET /api/v1/../v1/secrets HTTP/1.1\r\n" + HOST + "\r\n"),
    "escaped dots": (400, "GET /api/v1/%2e%2e/v1/pods HTTP/1.1\r\n" + HOST +
                     "\r\n"),
    "escaped slash": (400, "GET /api/v1%2Fpods HTTP/1.1\r\n" + HOST + "\r\n"),
    "two slashes": (400, "GET //api/v1/pods HTTP/1.1\r\n" + HOST + "\r\n"),
    "authorization": (403, "GET /version HTTP/1.1\r\n" + HOST +
                      "Authorization: Bearer x\r\n\r\n"),
    "impersonate": (403, "GET /version HTTP/1.1\r\n" + HOST +
                    "Impersonate-User: system:admin\r\n\r\n"),
    "impersonate below": (403, "GET /version HTTP/1.1\r\n" + HOST +
                          "impersonate_user: system:admin\r\n\r\n"),
    "front proxy": (403, "GET /version HTTP/1.1\r\n" + HOST +
                    "X-Remote-User: admin\r\n\r\n"),
    "bearer in a websocket": (
        403, "GET /api/v1/pods?watch=1 HTTP/1.1\r\n" + HOST +
        "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
        "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.eA, "
        "v4.channel.k8s.io\r\n\r\n"),
}


# Where one message ends is clear all the same: the connection may live on.
FRAMED = ("dots", "escaped dots", "escaped slash", "two slashes")


def answer_to(session, data, ends):
    """What comes back: to the end of the connection, or one answer."""
    if ends:
        made = raw_client.context(session.cert, session.key)
        return raw_client.say(session.port, data, made)
    with session.connect() as s:
        s.sendall(data)
        got = b""
        while not got.endswith(b"}\n"):
            more = s.recv(65536)
            assert more, got
            got += more
        return got


def test_a_request_is_refused(vault, session, standin):
    """With the reason, and a record; what is behind one whose end is not clear
    is not taken for a request of its own."""
    for what, (code, text) in REFUSED.items():
        data = text.replace("{port}", str(session.port)).encode("latin-1")
        ends = code != 403 and what not in FRAMED
        got = answer_to(session, data + (SMUGGLED if ends else b""), ends)
        assert code_of(got) == code, (what, got[:300])
        assert b'"kind":"Status"' in got and b'"Failure"' in got
        assert got.count(b"HTTP/1.1 ") == 1, (what, got)
        assert not standin.requests(), what
    denied = details(vault, decision="deny")
    assert len(denied) == len(REFUSED), denied
    grant = uri_of(session).split(":")[-1]
    assert {d["grant"] for d in denied} == {grant}
    assert len({d["audit_id"] for d in denied}) == len(REFUSED)


def test_what_is_dropped(session, standin):
    """Headers that the client may not set, and that harm nobody, do not
    arrive; the Audit-ID is the relay's."""
    got = session.get("/version", "Audit-ID: forged", "X-Forwarded-For: 1.1.1.1",
                      "X-Real-IP: 1.1.1.1", "Proxy-Authorization: x",
                      "Keep-Alive: timeout=5", "Accept: application/json")
    assert code_of(got) == 200
    asked, = standin.requests(target="/version")
    names = {n.lower(): v for n, v in asked["headers"].items()}
    for gone in ("x-forwarded-for", "x-real-ip", "proxy-authorization",
                 "keep-alive"):
        assert gone not in names, names
    assert names["audit-id"].startswith(uri_of(session).split(":")[-1] + "-")
    assert names["accept"] == "application/json"


def h2_request(session, *headers):
    """The status of one request over h2; None where the stream or the
    connection was reset."""
    import h2.config
    import h2.connection
    import h2.events
    with session.connect(("h2",)) as s:
        s.settimeout(60)
        c = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, validate_outbound_headers=False,
            normalize_outbound_headers=False, header_encoding="utf-8"))
        c.initiate_connection()
        c.send_headers(1, list(headers), end_stream=True)
        s.sendall(c.data_to_send())
        while data := s.recv(65536):
            for event in c.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    return int(dict(event.headers)[":status"])
                if isinstance(event, (h2.events.StreamReset,
                                      h2.events.ConnectionTerminated)):
                    return None
            s.sendall(c.data_to_send())
    return None


H2 = {
    "fine": (200, {}),
    "rebinding": (403, {":authority": "evil.com"}),
    "connect": ((400, None), {":method": "CONNECT"}),
    "authorization": (403, {"authorization": "Bearer x"}),
    "impersonate": (403, {"impersonate-user": "system:admin"}),
    "front proxy": (403, {"x-remote-group": "system:masters"}),
    "upper case": (None, {"Impersonate-User": "system:admin"}),
    "line end": (None, {"a": "b\r\nimpersonate-user: system:admin"}),
    "connection": (None, {"connection": "upgrade"}),
    "coding": (None, {"transfer-encoding": "chunked"}),
    "absolute": ((400, None), {":path": "https://evil.com/version"}),
    "dots": (400, {":path": "/api/v1/../v1/secrets"}),
    "asterisk": ((400, None), {":method": "OPTIONS", ":path": "*"}),
    "websocket": ((400, None), {":method": "CONNECT",
                                ":protocol": "websocket"}),
}


def test_a_request_over_h2(session, standin):
    for what, (wanted, changed) in H2.items():
        standin.reset()
        head = {":method": "GET", ":scheme": "https",
                ":authority": f"127.0.0.1:{session.port}",
                ":path": "/version", **changed}
        got = h2_request(session, *head.items())
        assert got in (wanted if isinstance(wanted, tuple) else (wanted,)), \
            (what, got)
        assert len(standin.requests()) == (1 if wanted == 200 else 0), what


def frame(kind, flags, stream, payload):
    return (struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) +
            struct.pack(">I", stream) + payload)


def resets(connection, port):
    """Each request is taken back at once."""
    head = [(":method", "GET"), (":scheme", "https"),
            (":authority", f"127.0.0.1:{port}"), (":path", "/version")]
    for n in range(2000):
        connection.send_headers(2 * n + 1, head, end_stream=True)
        connection.reset_stream(2 * n + 1)
        yield connection.data_to_send()


def endless_head(connection, port):
    """One request's headers that never end."""
    yield frame(1, 1, 1, b"\0\1a\1b")
    for _ in range(2000):
        yield frame(9, 0, 1, b"\0\1a\1b" * 3000)


def pings(connection, port):
    """Who asks for answers and reads none."""
    for _ in range(2000):
        yield frame(6, 0, 0, b"12345678") * 200


@pytest.mark.parametrize("flood", [resets, endless_head, pings])
def test_a_flood_over_h2(session, standin, flood):
    """The connection is ended, or nothing comes of it; others go on."""
    import h2.connection
    with contextlib.suppress(OSError), session.connect(("h2",)) as s:
        s.settimeout(60)
        c = h2.connection.H2Connection()
        c.initiate_connection()
        s.sendall(c.data_to_send())
        for data in flood(c, session.port):
            s.sendall(data)
    assert code_of(session.get("/version")) == 200
    # One of those that were taken back may have been too quick.
    assert len(standin.requests()) < 100


# --- strangers ---

def told(vault):
    """(uid, how many, why) of what was recorded of strangers."""
    return [(r["actor"].get("uid"), r["details"]["denials"],
             r["details"]["because"]) for r in vault.records()
            if r["details"].get("method") == "relay" and
            "denials" in r["details"]]


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.1)


def test_strangers_of_ones_own(vault, session, standin, tmp_path):
    """Without a certificate, and with a foreign one, as the same user."""
    files = own_chain(tmp_path, f"uid:{os.getuid()}", uri_of(session))
    assert raw_client.flood(session.port, MANY) == 0
    assert raw_client.flood(session.port, MANY, *files) == 0
    assert not standin.requests()
    wait_for(lambda: told(vault))
    assert len(told(vault)) <= 4, told(vault)
    assert code_of(session.get("/version")) == 200


@pytest.mark.skipif(os.geteuid() != 0,
                    reason="needs root, to become another user")
def test_root_another_user(vault, session, standin, tmp_path):
    """Another user of this machine: without a certificate, with a foreign one,
    and with the session's own, stolen."""
    foreign = own_chain(tmp_path, f"uid:{OTHER_UID}", uri_of(session))
    kinds = {"none": (), "foreign": foreign,
             "stolen": (session.cert, session.key)}
    answered = {}

    def one(kind, files):
        contents = [open(f, "rb").read() for f in files]
        answered[kind] = raw_client.flood_as(OTHER_UID, session.port, MANY,
                                             *contents)

    threads = [threading.Thread(target=one, args=item)
               for item in kinds.items()]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answered == {"none": 0, "foreign": 0, "stolen": 0}
    assert not standin.requests()
    wait_for(lambda: told(vault))
    of_them = [t for t in told(vault) if t[0] == OTHER_UID]
    assert 1 <= len(of_them) <= 4, told(vault)
    # Whose it is still gets through.
    assert code_of(session.get("/version")) == 200
    session.end()
    of_them = [t for t in told(vault) if t[0] == OTHER_UID]
    assert sum(n for _, n, _ in of_them) <= 3 * MANY


def test_a_session_ends_and_its_certificate_with_it(vault, standin):
    """What was copied out of it is worth nothing afterwards."""
    vault.add(kube.as_yaml(kube.config(standin.identity(common="kim"),
                                       server=standin.url)), "prod")
    with relay.Session(vault, "prod") as first:
        files = first.cert, first.key
        assert code_of(first.get("/version")) == 200
    with relay.Session(vault, "prod") as second:
        standin.reset()
        assert raw_client.flood(second.port, 3, *files) == 0
        assert not standin.requests()
    # Both ended as they should: no relay is told of as lost.
    assert not details(vault, because="the relay ended")
