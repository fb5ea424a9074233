"""What a hostile or broken cloud, name server or proxy can do to the program
that speaks with it (H1-H9, H13). It is driven directly, over its socket."""

import base64
import concurrent.futures
import hashlib
import json
import os
import socket
import subprocess
import threading
import time

import pytest

import harness
import hostile_https
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hostile_https import head

PROJECT = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
CLUSTER = "5c2a7d3e-91f4-11ee-8c90-0255ac100b05"
AK, SK = "CVTESTAKHOSTILE00001", "cvCanarySecretKeyHostile0123456789abcdef"
TOKEN = "MIIFcanaryTOKEN" + "x" * 64
MEMORY_KIB = 400 * 1024


class Failure(Exception):
    def __init__(self, name, parameters):
        super().__init__(f"{name}: {parameters}")
        self.name = name.rpartition(".")[2]
        self.parameters = parameters


class Intake:
    """libexec/certvault/intake at the other end of a socket."""

    def __init__(self, env=None):
        ours, theirs = socket.socketpair()

        def become_three():
            os.dup2(theirs.fileno(), 3)

        self.process = subprocess.Popen(
            [harness.program("intake"), "--allow-unlocked"],
            preexec_fn=become_three, pass_fds=(3, theirs.fileno()),
            # An undumpable process cannot be searched for leaks.
            env={"LC_ALL": "C", "ASAN_OPTIONS": "detect_leaks=0",
                 **(env or {})}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        theirs.close()
        self.socket = ours
        self.left = b""

    def call(self, method, parameters, timeout=170):
        message = {"method": "io.certvault.Intake." + method,
                   "parameters": parameters}
        self.socket.settimeout(timeout)
        self.socket.sendall(json.dumps(message).encode() + b"\0")
        while b"\0" not in self.left:
            part = self.socket.recv(1 << 20)
            assert part, f"intake ended: {self.process.wait(60)} " \
                f"{self.process.stderr.read()}"
            self.left += part
        raw, _, self.left = self.left.partition(b"\0")
        self.raw = raw
        reply = json.loads(raw)
        if "error" in reply and reply["error"]:
            raise Failure(reply["error"], reply["parameters"])
        return reply["parameters"]

    def peak_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1])
        return 0

    def stop(self):
        """Closes the socket; what was written to the standard streams."""
        self.socket.close()
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, (self.process.returncode, err)
        return out + err


@pytest.fixture(scope="module")
def authority():
    return hostile_https.Authority()


@pytest.fixture(scope="module")
def good_pem(authority):
    return authority.issue()


@pytest.fixture
def intake():
    i = Intake()
    yield i
    if i.process.poll() is None:
        assert i.stop() == b""


@pytest.fixture
def serve(good_pem):
    """Starts servers; all are stopped in the end."""
    servers = []

    def start(answer=None, **options):
        options.setdefault("pem", good_pem)
        servers.append(hostile_https.Server(answer=answer, **options))
        return servers[-1]
    yield start
    for s in servers:
        s.stop()


@pytest.fixture
def cloud(authority):
    def of(server, **more):
        return {"endpoint": server if isinstance(server, str) else server.url,
                "region": "cn-north-4", "project_id": PROJECT,
                "ca_pem": authority.pem,
                "environment": {"HUAWEICLOUD_SDK_AK": AK,
                                "HUAWEICLOUD_SDK_SK": SK}, **more}
    return of


def target():
    return {"vault_id": "00" * 16,
            "public_key": base64.b64encode(bytes(range(1, 33))).decode()}


def fetch(intake, cloud, **more):
    return intake.call("Fetch", {"cloud": cloud, "cluster_id": CLUSTER,
                                 "duration": 1, "target": target(), **more})


def refused(intake, cloud, *names, **more):
    """The call fails, with one of these errors; nothing secret is told."""
    with pytest.raises(Failure) as e:
        fetch(intake, cloud, **more)
    failure = e.value
    assert failure.name in (names or ("Remote",)), failure
    for secret in (SK, TOKEN):
        assert secret.encode() not in intake.raw
    assert len(failure.parameters["message"]) < 400
    assert "\n" not in failure.parameters["message"]
    return failure.parameters


def sample(name):
    path = os.path.join(harness.DATA, "cce", "responses", name + ".json")
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def kubeconfig(name="01-internal-rsa2048-pkcs1"):
    return json.dumps(sample(name)["body"]).encode()


def once(answer):
    """Sends the bytes and ends the connection."""
    def send(connection, request):
        connection.sendall(answer)
        return False
    return send


def keep(answer):
    return lambda connection, request: connection.sendall(answer)


# --- it works at all, and what it sends ---

def test_a_good_answer(intake, serve, cloud):
    body = kubeconfig()
    server = serve(keep(head("200 OK", body, "X-Request-Id: abc-1")))
    reply = fetch(intake, cloud(server))
    (identity,) = reply["identities"]
    expect = sample("01-internal-rsa2048-pkcs1")["expect"]
    assert identity["key"]["spki_sha256"] == expect["leaf_spki_sha256"]
    assert len(identity["entry_id"]) == 32
    assert reply["source"]["request_id"] == "abc-1"
    assert reply["source"]["endpoint"] == server.url
    assert reply["source"]["cluster_id"] == CLUSTER
    # No key leaves in the clear.
    key = sample("01-internal-rsa2048-pkcs1")["body"]["users"][0]["user"][
        "client-key-data"]
    assert key[200:260].encode() not in intake.raw
    assert base64.b64decode(key)[200:260] not in intake.raw
    assert b"PRIVATE KEY" not in intake.raw
    (request,) = server.requests
    top = request.partition(b"\r\n\r\n")[0].lower()
    assert top.startswith(b"post /api/v3/projects/" + PROJECT.encode() +
                          b"/clusters/" + CLUSTER.encode() +
                          b"/clustercert http/1.1\r\n")
    for absent in (b"\r\nexpect:", b"\r\naccept-encoding:", b"\r\ncookie:",
                   b"\r\nx-auth-token:", b"\r\ntransfer-encoding:"):
        assert absent not in top
    assert b"\r\nuser-agent: certvault/" in top


def test_the_digest_is_of_the_key(intake, serve, cloud):
    from cryptography.hazmat.primitives import serialization
    body = kubeconfig()
    (identity,) = fetch(intake, cloud(serve(keep(head(body=body)))))[
        "identities"]
    pem = base64.b64decode(json.loads(body)["users"][0]["user"][
        "client-key-data"])
    der = serialization.load_pem_private_key(pem, None).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption())
    assert identity["digest"] == hashlib.sha256(der).hexdigest()


def test_one_connection_serves_a_session(intake, serve, cloud):
    server = serve(keep(head(body=kubeconfig())))
    for _ in range(3):
        fetch(intake, cloud(server))
    assert (server.connections, len(server.requests)) == (1, 3)


def test_another_cloud_is_another_session(intake, serve, cloud):
    server = serve(keep(head(body=kubeconfig())))
    fetch(intake, cloud(server))
    fetch(intake, cloud(server, environment={"HUAWEICLOUD_SDK_AK": "OTHER",
                                             "HUAWEICLOUD_SDK_SK": SK}))
    assert server.connections == 2
    assert b"Access=OTHER" in server.requests[1]


# --- H1: redirects ---

def locations(canary, plain):
    me = "127.0.0.1"
    return [
        f"https://{me}:{canary}/steal", f"https://localhost:{canary}/steal",
        f"http://{me}:{plain}/steal", f"//{me}:{canary}/steal",
        f"https://user:word@{me}:{canary}/", f"https://{me}:{canary}@evil/",
        f"https://evil@{me}:{canary}/", f"file:///etc/passwd",
        f"https://[bad", f"https://[::ffff:127.0.0.1]:{canary}/",
        f"ftp://{me}:{plain}/", f"https://xn--e1awd7f.{me}:{canary}/",
        f"https:\t//{me}:{canary}/", f"/elsewhere",
    ]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_h1_no_redirect_is_followed(serve, cloud, status):
    canary, plain = serve(), serve(pem=None)
    where = locations(canary.port, plain.port)
    answers = iter([head(f"{status} Moved", b"", "Location: " + w)
                    for w in where])
    server = serve(lambda c, r: c.sendall(next(answers)))
    intake = Intake()
    for _ in where:
        error = refused(intake, {**cloud(server), "environment": {},
                                 "token": TOKEN})
        assert "redirect" in error["message"] and error["hint"]
    assert len(server.requests) == len(where)
    assert canary.connections == plain.connections == 0
    assert intake.stop() == b""


def test_h1_a_redirect_to_itself_is_not_followed(intake, serve, cloud):
    server = serve(keep(head("307 Again", b"", "Location: /again")))
    refused(intake, cloud(server))
    assert len(server.requests) == 1


# --- H2: what the environment says ---

def test_h2_netrc_and_proxies_are_ignored(tmp_path, serve, cloud):
    canary = serve(pem=None)
    (tmp_path / ".netrc").write_text(
        "machine 127.0.0.1 login me password netrc-word\n"
        "default login me password netrc-word\n")
    (tmp_path / ".curlrc").write_text(f"proxy=http://127.0.0.1:{canary.port}\n")
    proxy = f"http://127.0.0.1:{canary.port}"
    server = serve(keep(head(body=kubeconfig())))
    intake = Intake({n: proxy for n in (
        "http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")}
        | {"HOME": str(tmp_path), "CURL_HOME": str(tmp_path),
           "SSL_CERT_FILE": "/nowhere", "SSLKEYLOGFILE":
           str(tmp_path / "keys")})
    fetch(intake, cloud(server))
    assert canary.connections == 0
    for form in (b"netrc-word", base64.b64encode(b"me:netrc-word")):
        assert form not in server.requests[0]
    assert intake.stop() == b""
    assert not (tmp_path / "keys").exists()


def test_h2_a_proxy_that_is_given_is_used(intake, serve, cloud):
    proxy = serve(once(b"HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n"),
                  pem=None)
    server = serve()
    error = refused(intake, cloud(server,
                                  proxy=f"http://127.0.0.1:{proxy.port}"))
    assert "proxy" in error["message"] and len(proxy.requests) == 1
    assert proxy.requests[0].startswith(b"CONNECT 127.0.0.1:")
    assert b"authorization" not in proxy.requests[0].lower()
    assert server.connections == 0


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://u:p@h:1",
                                   "http://h:1/x", "file:///x"])
def test_h2_odd_proxies(intake, serve, cloud, proxy):
    server = serve()
    refused(intake, cloud(server, proxy=proxy), "Usage")
    assert server.connections == 0


# --- H3: who the server is ---

def other_key():
    return ec.generate_private_key(ec.SECP256R1())


def constrained():
    a = hostile_https.Authority([x509.DNSName("example.com")])
    return a, a.issue(names=[x509.DNSName("localhost")])


CERTS = {
    "expired": lambda a: a.issue(days=(-10, -1)),
    "not yet valid": lambda a: a.issue(days=(1, 10)),
    "wrong host": lambda a: a.issue(names=[x509.DNSName("cce.example")]),
    "wrong address": lambda a: a.issue(names=[x509.IPAddress(
        hostile_https.ipaddress.ip_address("127.0.0.2"))]),
    "address as a name": lambda a: a.issue(names=[x509.DNSName("127.0.0.1")]),
    "the host only in CN": lambda a: a.issue(names=[x509.DNSName("x")],
                                             common="127.0.0.1"),
    "NUL in the name": lambda a: a.issue(
        names=[x509.DNSName("localhost\0.evil.example")]),
    "signed by another": lambda a: a.issue(signer=other_key()),
    "another authority": lambda a: hostile_https.Authority().issue(),
    "SHA-1": lambda a: a.issue(digest=hashes.SHA1()),
    "a short RSA key": lambda a: a.issue(key=hostile_https.weak_key()),
}


@pytest.mark.parametrize("kind", CERTS)
def test_h3_certificates(intake, serve, cloud, authority, kind):
    server = serve(pem=CERTS[kind](authority))
    url = server.url
    if kind == "NUL in the name":
        url = url.replace("127.0.0.1", "localhost")
    error = refused(intake, cloud(url))
    assert server.requests == [], "a request was sent"
    assert error["hint"]
    assert server.connections == 1, "tried again"


def test_h3_a_name_constrained_authority(intake, serve, cloud):
    a, pem = constrained()
    server = serve(pem=pem)
    url = server.url.replace("127.0.0.1", "localhost")
    refused(intake, {**cloud(url), "ca_pem": a.pem})
    assert server.requests == []


def test_h3_the_system_does_not_vouch(intake, serve, cloud):
    """Without the CA file its certificate is nobody's; with one, the system's
    roots have no say."""
    server = serve()
    no_ca = cloud(server)
    del no_ca["ca_pem"]
    refused(intake, no_ca)
    refused(intake, {**cloud(server), "ca_pem": "no certificate"})
    assert server.requests == []


def old_tls(context):
    import ssl
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1


def test_h3_old_tls(intake, serve, cloud):
    server = serve(configure=old_tls)
    refused(intake, cloud(server))
    assert server.requests == []


def test_h3_no_tls(intake, serve, cloud):
    """What comes in is no TLS; it is answered in plain HTTP."""
    server = serve(pem=None)
    server._read = lambda c: c.sendall(head("400 Bad Request", b"{}"))
    refused(intake, cloud(server))
    assert server.connections == 1


# --- H4: sizes and slowness ---

def pour(start, piece):
    def send(connection, request):
        connection.sendall(start)
        while True:
            connection.sendall(piece)
    return send


PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ENDLESS = {
    "10 GB, announced": (PLAIN + b"Content-Length: 10737418240\r\n\r\n",
                         b"x" * 65536),
    "until the end of the connection": (PLAIN + b"\r\n{\"a\":\"", b"x" * 65536),
    "chunks without end": (PLAIN + b"Transfer-Encoding: chunked\r\n\r\n",
                           b"8000\r\n" + b"x" * 32768 + b"\r\n"),
    "an error without end": (b"HTTP/1.1 403 no\r\n\r\n", b"x" * 65536),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_h4_too_much(intake, serve, cloud, kind):
    server = serve(pour(*ENDLESS[kind]))
    start = time.monotonic()
    error = refused(intake, cloud(server))
    assert "too long" in error["message"]
    assert time.monotonic() - start < harness.within(30)
    assert intake.peak_kib() < MEMORY_KIB
    assert len(server.requests) == 1


@pytest.mark.parametrize("header", ["Content-Encoding: gzip",
                                    "Content-Encoding: br",
                                    "Content-Encoding: identity, gzip",
                                    "Transfer-Encoding: gzip, chunked",
                                    "Transfer-Encoding: gzip"])
def test_h4_nothing_is_unpacked(intake, serve, cloud, header):
    import gzip
    bomb = gzip.compress(b"\0" * (64 << 20))
    if "chunked" in header:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(bomb), bomb)
        answer = PLAIN + header.encode() + b"\r\n\r\n" + body
    else:
        answer = head("200 OK", bomb, header)
    server = serve(once(answer))
    refused(intake, cloud(server))
    assert intake.peak_kib() < MEMORY_KIB


def drip(start, piece, times=400, pause=1.0):
    def send(connection, request):
        connection.sendall(start)
        for _ in range(times):
            connection.sendall(piece)
            time.sleep(pause)
    return send


def test_h4_one_byte_a_second(serve, cloud):
    """In the body and in the headers, at the same time to save time."""
    def one(server):
        intake = Intake()
        refused(intake, cloud(server))
        assert intake.stop() == b""

    servers = [serve(drip(start, b"x")) for start in (
        head("200 OK", b"", length=5000), b"HTTP/1.1 200 OK\r\nX-A: ")]
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(one, servers))
    assert time.monotonic() - begun < harness.within(30)
    assert [len(s.requests) for s in servers] == [1, 1]


# --- H5: 200, but no answer ---

HTML = b"<html><form action=https://login.example>secretword</form></html>"
NO_ANSWERS = {
    "HTML": head("200 OK", HTML, kind="text/html"),
    "HTML as JSON": head("200 OK", HTML),
    "nothing": head("200 OK", b""),
    "no type": head("200 OK", kubeconfig(), kind=None),
    "another type": head("200 OK", kubeconfig(), kind="text/plain"),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "206": head("206 Partial Content", kubeconfig()),
    "201": head("201 Created", kubeconfig()),
    "203": head("203 Non-Authoritative", kubeconfig()),
    "length too short": head("200 OK", kubeconfig(), length=500),
    "length too long": head("200 OK", kubeconfig(), length=99999),
    "two lengths": head("200 OK", kubeconfig(), "Content-Length: 5"),
    "one length twice": head("200 OK", kubeconfig(), "Content-Length: "
                             + str(len(kubeconfig()))),
    "a list": head("200 OK", b"[]"),
    "a text": head("200 OK", b'"x"'),
    "an empty object": head("200 OK", b"{}"),
    "YAML": head("200 OK", b"kind: Config\napiVersion: v1\nusers: []\n"),
    "HTTP/0.9": kubeconfig(),
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "UTF-16": head("200 OK", kubeconfig().decode().encode("utf-16")),
    "a list of clusters": head("200 OK", json.dumps(
        sample("70-list-clusters")["body"]).encode()),
}


@pytest.mark.parametrize("kind", NO_ANSWERS)
def test_h5_no_answers(intake, serve, cloud, kind):
    server = serve(once(NO_ANSWERS[kind]))
    error = refused(intake, cloud(server), "Remote", "Invalid")
    assert "secretword" not in json.dumps(error)
    assert len(server.requests) == 1


def test_h5_the_cloud_says_it_minted(intake, serve, cloud):
    """What cannot be kept is told, so that it can be revoked."""
    server = serve(keep(head("200 OK", kubeconfig("11-key-mismatch"),
                             "X-Request-Id: r-77")))
    error = refused(intake, cloud(server), "Invalid")
    assert error["request_id"] == "r-77"
    assert "issued a certificate" in error["state"]


# --- H6: errors with secrets in them ---

SECRETS = ["-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7bq2mZpY3K8xwL1L0v"
           "BdQ7yPzNqk2rT5fXcWgHsJ0aMIIEowIB\n-----END RSA PRIVATE KEY-----",
           TOKEN, SK]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 501])
@pytest.mark.parametrize("form", ["documented", "gateway", "unknown", "text"])
def test_h6_bodies_of_errors(serve, cloud, status, form):
    said = " ".join(SECRETS)
    body = {"documented": json.dumps({"errorCode": "CCE.1",
                                      "errorMessage": said}),
            "gateway": json.dumps({"error_code": "APIGW.0301",
                                   "error_msg": "x, canonicalRequest:" + said}),
            "unknown": json.dumps({"oops": said}),
            "text": said}[form]
    server = serve(keep(head(f"{status} no", body.encode())))
    intake = Intake()
    error = refused(intake, {**cloud(server), "environment": {},
                             "token": TOKEN})
    assert str(status) in error["message"]
    for part in ("MIIEow", "canary", SK[8:30]):
        assert part.encode() not in intake.raw, error
    assert intake.stop() == b""


# --- H7: headers ---

def many(n):
    return head("200 OK", kubeconfig(), *(f"X-{i}: y" for i in range(n)))


HEADERS = {
    "1 MB": head("200 OK", kubeconfig(), "X-A: " + "y" * (1 << 20)),
    "100 KB": head("200 OK", kubeconfig(), *(["X-A: " + "y" * 5000] * 20)),
    "10,000": many(10000),
    "300": many(300),
    "bare CR": head("200 OK", kubeconfig(), "X-A: y\rX-B: z"),
    "bare CR at the end": head("200 OK", kubeconfig(), "X-A: y\r"),
    "NUL in a value": head("200 OK", kubeconfig(), "X-A: y\0z"),
    "NUL in the status": head("200 O\0K", kubeconfig()),
    "escape": head("200 OK", kubeconfig(), "X-Request-Id: \x1b[2J"),
    "folded": head("200 OK", kubeconfig(), "X-A: y\r\n z"),
    "no colon": head("200 OK", kubeconfig(), "nonsense"),
    "interim without end": b"HTTP/1.1 100 Continue\r\n\r\n" * 200,
    "twenty interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 20
                              + head("200 OK", kubeconfig()),
    "status 99": head("99 OK", kubeconfig()),
    "status 2000": head("2000 OK", kubeconfig()),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_h7_headers(intake, serve, cloud, kind):
    server = serve(once(HEADERS[kind]))
    error = refused(intake, cloud(server), "Remote")
    assert "\x1b" not in json.dumps(error, ensure_ascii=False)
    assert intake.peak_kib() < MEMORY_KIB


def test_h7_what_is_in_bounds_is_fine(intake, serve, cloud):
    fetch(intake, cloud(serve(keep(many(100)))))
    fetch(intake, cloud(serve(keep(b"HTTP/1.1 100 Continue\r\n\r\n" * 5
                                   + head("200 OK", kubeconfig())))))


# --- H8: cut anywhere ---

def test_h8_cut_at_every_byte(intake, serve, cloud):
    whole = head("200 OK", kubeconfig("04-internal-ec-p256-sec1-prefs-string"))
    step = 1 if harness.FULL else 17
    # Before the status line is whole there is no answer: that is repeated.
    first = whole.index(b"\n") + 1
    cuts = sorted({*range(first, len(whole), step), *range(first, 140),
                   *range(len(whole) - 20, len(whole))})
    answers = iter([whole[:n] for n in cuts])
    server = serve(lambda c, r: once(next(answers))(c, r))
    for n in cuts:
        error = refused(intake, cloud(server))
        assert error["code"] == "remote", n
    assert len(server.requests) == len(cuts), "a cut answer was asked for again"
    server.answer = keep(whole)
    assert len(fetch(intake, cloud(server))["identities"]) == 1


def test_h8_cut_in_the_status_line(intake, serve, cloud):
    whole = head("200 OK", kubeconfig())
    server = serve(once(whole[:9]))
    assert refused(intake, cloud(server))["code"] == "remote"


def test_h8_cut_without_a_length(intake, serve, cloud):
    """Nothing but the connection's end tells where the body ends."""
    body = kubeconfig("04-internal-ec-p256-sec1-prefs-string")
    for n in (1, 2, 100, len(body) // 2, len(body) - 1):
        server = serve(once(PLAIN + b"\r\n" + body[:n]))
        assert refused(intake, cloud(server))["code"] == "remote"


def test_h8_nothing_at_all_is_repeated(intake, serve, cloud):
    answers = iter([b"", b"", head(body=kubeconfig())])
    server = serve(lambda c, r: once(next(answers))(c, r))
    fetch(intake, cloud(server))
    assert len(server.requests) == 3
    dates = {line for r in server.requests for line in r.split(b"\r\n")
             if line.lower().startswith(b"x-sdk-date")}
    assert dates


def test_a_refused_connection(intake, serve, cloud):
    server = serve()
    server.stop()
    start = time.monotonic()
    error = refused(intake, cloud(server))
    assert "refused" in error["message"]
    # four attempts: at least 250 + 500 + 1000 ms between them
    assert 1.7 < time.monotonic() - start < harness.within(20)


# --- H9: the same answer again ---

def test_h9_a_replayed_answer(intake, serve, cloud):
    server = serve(keep(head(body=kubeconfig())))
    one = fetch(intake, cloud(server))["identities"][0]
    two = fetch(intake, cloud(server))["identities"][0]
    for same in ("key", "certificate", "ca_set", "digest", "contexts"):
        assert one[same] == two[same]
    assert one["entry_id"] != two["entry_id"]
    assert one["sealed"] != two["sealed"]


# --- H13: where names lead ---

def regions(host):
    return f"CCE:\n- {{id: cn-north-4, endpoint: '{host}'}}\n"


def test_h13_a_name_of_a_table_that_leads_home(intake, serve, cloud):
    server = serve()
    c = cloud(server)
    del c["endpoint"]
    c["regions"] = regions(f"https://localhost:{server.port}")
    error = refused(intake, c)
    assert "no cloud has" in error["message"], error
    assert server.connections == 0


def test_h13_a_name_that_was_typed_may_lead_anywhere(intake, serve, cloud):
    server = serve(keep(head(body=kubeconfig())))
    fetch(intake, cloud(server.url.replace("127.0.0.1", "localhost")))


@pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]",
                                  "[::ffff:169.254.169.254]"])
def test_h13_metadata_is_never_asked_as_a_cloud(intake, cloud, host):
    start = time.monotonic()
    error = refused(intake, cloud("https://" + host))
    assert "no cloud has" in error["message"], error
    assert time.monotonic() - start < harness.within(5)


# --- H10, H11 and the like: before any socket ---

BAD = ["../x", "a%2eb", "a?b", "a#b", "a\r\nb: c", "x" * 65536, ""]


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_h10_ids(intake, serve, cloud, bad):
    server = serve()
    refused(intake, cloud(server), "Usage", cluster_id=bad)
    if bad:
        refused(intake, cloud(server, project_id=bad), "Usage")
    assert server.connections == 0


@pytest.mark.parametrize("more", [
    {"duration": 0}, {"duration": -2}, {"duration": 1828}, {"duration": "30"},
    {"duration": 1.5}, {"duration": 2 ** 53 - 1},
    {"duration": None}, {"duration": None, "expire_at": "tomorrow"},
    {"expire_at": "2020-01-01T00:00:00Z"}, {"expire_at": "2099-01-01"}],
    ids=str)
def test_h11_periods(intake, serve, cloud, more):
    server = serve()
    refused(intake, cloud(server), "Usage", **more)
    assert server.connections == 0


@pytest.mark.parametrize("more", [
    {"endpoint": "http://127.0.0.1:1"}, {"endpoint": "https://a@b"},
    {"endpoint": "https://h/path"}, {"endpoint": "file:///etc/passwd"},
    {"api": "v9"}, {"nonsense": 1}, {"region": "a/b"}, {"metadata": "yes"}],
    ids=str)
def test_odd_clouds(intake, cloud, more):
    refused(intake, cloud("https://127.0.0.1:1", **more), "Usage")


# --- throttling, over the wire ---

def test_retry_after_a_fraction_is_obeyed(intake, serve, cloud):
    throttled = head("429 Slow", b'{"error_code":"APIGW.0308","error_msg":"x"}',
                     "Retry-After: 0.75")
    answers = iter([throttled, head(body=kubeconfig())])
    server = serve(lambda c, r: c.sendall(next(answers)))
    start = time.monotonic()
    fetch(intake, cloud(server))
    assert time.monotonic() - start >= 0.75
    assert len(server.requests) == 2


def test_busy_to_the_end(intake, serve, cloud):
    throttled = head("429 Slow", b'{"error_code":"APIGW.0308","error_msg":"x"}',
                     "Retry-After: 0")
    server = serve(keep(throttled))
    error = refused(intake, cloud(server), "Busy")
    assert error["retry_after"] == 0
    assert len(server.requests) == 4


def test_many_calls_leave_nothing_behind(serve, cloud):
    """Descriptors and memory stay where they were."""
    server = serve(lambda c, r: once(head("500 no", b""))(c, r)
                   if b"X" * 3 in r else c.sendall(head(body=kubeconfig())))
    intake = Intake()
    fetch(intake, cloud(server))
    folder = f"/proc/{intake.process.pid}/fd"
    before = len(os.listdir(folder))
    for _ in range(20):
        fetch(intake, cloud(server))
        with pytest.raises(Failure):
            fetch(intake, cloud("https://127.0.0.1:1", project_id="bad"))
    assert len(os.listdir(folder)) <= before + 1
    assert intake.stop() == b""


@pytest.mark.parametrize("answer", [
    lambda c, r: time.sleep(30), keep(head("429 Slow", b"{}",
                                           "Retry-After: 40"))],
    ids=["while it is asked", "while it waits"])
def test_it_ends_with_its_socket_at_any_time(serve, cloud, answer):
    """Nobody waits for the answer: nor does it."""
    server = serve(answer)
    intake = Intake()
    intake.socket.sendall(json.dumps(
        {"method": "io.certvault.Intake.Fetch", "parameters": {
            "cloud": cloud(server), "cluster_id": CLUSTER, "duration": 1,
            "target": target()}}).encode() + b"\0")
    deadline = time.monotonic() + 60
    while not server.requests:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    start = time.monotonic()
    assert intake.stop() == b""
    assert time.monotonic() - start < 25        # not as long as either


def test_it_ends_with_its_socket():
    intake = Intake()
    threading.Timer(0.2, intake.socket.close).start()
    assert intake.process.wait(60) == 0
    intake.process.stdout.close()
    intake.process.stderr.close()
