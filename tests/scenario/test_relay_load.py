"""Much of it at once: idle watches, a reader that does not read, connections
that come and go, commands that share one signature. Memory stays what it was.
"""

import socket
import ssl
import threading
import time

import pytest

import harness
import kube
import relay

pytestmark = pytest.mark.skipif(bool(relay.missing()),
                                reason=str(relay.missing()))
FULL = harness.FULL
WATCHES = 1000 if FULL else 150
CHURN = 100000 if FULL else 5000
COMMANDS = 1000 if FULL else 100
CI_SECONDS = 30
# KiB of freed memory that AddressSanitizer keeps (vault/base/sanitized.c).
KEPT = 32768 if "asan" in harness.BUILD else 0


@pytest.fixture(scope="module", params=["h2,http/1.1", "http/1.1"],
                ids=["h2", "h1"])
def upstream(request, tmp_path_factory):
    with relay.Standin(tmp_path_factory.mktemp("api"), "--alpn",
                       request.param) as s:
        s.h2 = request.param.startswith("h2")
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


def resident():
    """KiB of memory that the relay has."""
    (pid,) = [p for p, name in harness.our_processes() if name == "relay"]
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int([x for x in f if x.startswith("VmRSS")][0].split()[1])


def head(s, path, end=b"\r\n\r\n"):
    """Asks and reads the answer's head; what came behind it."""
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: "
              f"127.0.0.1:{s.getpeername()[1]}\r\n\r\n".encode())
    got = b""
    while end not in got:
        data = s.recv(65536)
        assert data, got
        got += data
    assert got.startswith(b"HTTP/1.1 200"), got[:500]
    return got.split(end, 1)[1]


def whole(s, path):
    """Asks and reads to the end of an answer with a length."""
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: "
              f"127.0.0.1:{s.getpeername()[1]}\r\n"
              "Connection: close\r\n\r\n".encode())
    got = b""
    while data := s.recv(65536):
        got += data
    assert got.startswith(b"HTTP/1.1 200"), got[:500]
    return got


WATCH = "/api/v1/namespaces/default/pods?watch=true&resourceVersion="


def test_idle_watches(session, standin):
    """All are open at once, each gets what happens, and others are served."""
    version = 10**9                    # nothing of before
    connections = []
    for _ in range(WATCHES):
        s = session.connect()
        connections.append(s)
        head(s, WATCH + str(version))
    assert b"200" in session.get("/version")[:15]
    standin.say(touch="demo")
    for s in connections:
        s.settimeout(60)
        got = b""
        while b"MODIFIED" not in got:
            data = s.recv(65536)
            assert data, got
            got += data
        s.close()
    assert len([r for r in standin.requests()
                if "watch=true" in r["target"]]) == WATCHES
    print(f"{WATCHES} watches, the relay has {resident()} KiB")


def test_a_slow_reader(session, standin):
    """Who does not read costs a window, not the answer; others go on."""
    size = 64 << 20
    whole(session.connect(), "/version")
    before = resident()
    with session.connect() as s:
        # A small window, so that little fits into the kernel.
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        rest = head(s, f"/standin/bytes/{size}")
        grown, last = 0, time.monotonic()
        while time.monotonic() - last < 2:
            now = resident() - before
            if now > grown:
                grown, last = now, time.monotonic()
            assert grown < 16384 + KEPT, f"{grown} KiB for who does not read"
            time.sleep(0.05)
        whole(session.connect(), "/version")
        got = len(rest)
        while not rest.endswith(b"0\r\n\r\n"):
            data = s.recv(1 << 20)
            assert data, got
            got += len(data)
            rest = (rest + data)[-8:]
        assert got > size
    print(f"grew by {grown} KiB")


def churn(session, count, until):
    """New connections with a request each, by four threads; how many."""
    left, done, wrong = [count], [0], []
    lock = threading.Lock()
    context = session.context()

    def work():
        while time.monotonic() < until:
            with lock:
                if left[0] <= 0 or wrong:
                    return
                left[0] -= 1
            try:
                with context.wrap_socket(
                        socket.create_connection(("127.0.0.1", session.port)),
                        server_hostname="127.0.0.1") as s:
                    # So that no ports pile up in TIME_WAIT.
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 b"\1\0\0\0\0\0\0\0")
                    whole(s, "/version")
            except (OSError, ssl.SSLError, AssertionError) as e:
                wrong.append(e)
                return
            with lock:
                done[0] += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong, wrong
    return done[0]


def test_churn_leaves_memory_flat(session):
    until = time.monotonic() + (7200 if FULL else CI_SECONDS)
    warm = churn(session, CHURN // 5, until)
    before = resident()
    done = churn(session, CHURN - warm, until)
    after = resident()
    print(f"{warm + done} connections: {before} KiB, then {after} KiB")
    assert done > 0
    assert after - before < 4096 + before // 10, (before, after)


def test_commands_share_signatures(vault, session, standin):
    """One for all; without HTTP/2 one for each that runs at a time."""
    n = churn(session, COMMANDS, time.monotonic() + CI_SECONDS * 10)
    assert n == COMMANDS
    signs = relay.signatures(vault)
    print(f"{len(signs)} signatures for {n} connections")
    most = max(1 if standin.h2 else 4, COMMANDS // 100)
    assert 1 <= len(signs) <= most
