"""Sinks: copies of the record for whoever collects logs. What arrives is the
leaves, byte for byte, each of them, in their order; who collects badly slows
nobody down."""

import base64
import hashlib
import http.server
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import threading
import time

import pytest

import harness
import kube
from harness import BUSY, CONFIG, REMOTE
from test_agent import Agents, wait_end
from wire import Broker

RSYSLOGD = next((p for p in ("/usr/sbin/rsyslogd", "/sbin/rsyslogd")
                 if os.path.exists(p)), None)
MODULES = ("/usr/lib/x86_64-linux-gnu/rsyslog", "/usr/lib/rsyslog",
           "/usr/lib/aarch64-linux-gnu/rsyslog")


def rsyslog_module(name):
    return any(os.path.exists(os.path.join(m, name + ".so")) for m in MODULES)


def until(what, seconds=60):
    """Waits until `what` is true; its value."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value or time.monotonic() > end:
            assert value, "it did not come"
            return value
        time.sleep(0.05)


def leaves(vault):
    """The log's records as they are in the file."""
    with open(os.path.join(vault.folder, "audit", "log"), "rb") as f:
        data = f.read()
    found, at = [], 0
    while at + 8 <= len(data):
        n = int.from_bytes(data[at:at + 4], "little")
        if n == 0 or at + 8 + n > len(data):
            break
        found.append(data[at + 8:at + 8 + n])
        at += 8 + n
    return found


SYSLOG = re.compile(
    rb"<(\d+)>1 (\S+) (\S+) certvault - (\S+) \[certvault@32473 "
    rb"(seq|gap)=\"(\d+)\"((?: [a-z]+=\"[^\"]*\")*)\] (.*)", re.DOTALL)


def parse(message):
    """(severity, msgid, kind, seq, the other parameters, MSG)"""
    m = SYSLOG.fullmatch(message)
    assert m, message[:300]
    assert int(m[1]) >> 3 == 13
    assert all(0x20 <= c < 0x7f for c in message), message
    more = dict(re.findall(rb' ([a-z]+)="([^"]*)"', m[7]))
    return int(m[1]) & 7, m[4].decode(), m[5].decode(), int(m[6]), more, m[8]


def frames(data):
    """What octet counting parts (RFC 6587); the rest must be whole too."""
    found = []
    while data:
        n, _, data = data.partition(b" ")
        assert n.isdigit() and len(data) >= int(n), data[:80]
        found.append(data[:int(n)])
        data = data[int(n):]
    return found


class Tcp:
    """A receiver. `reads`: whether it takes anything."""

    def __init__(self, port=0, context=None, reads=True):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(5)
        self.port = self.listener.getsockname()[1]
        self.context, self.reads = context, reads
        self.data, self.open, self.failed = [], [], 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                c = self.listener.accept()[0]
            except OSError:
                return
            try:
                if self.context:
                    c = self.context.wrap_socket(c, server_side=True)
            except OSError:
                self.failed += 1
                continue
            self.open.append(c)
            if self.reads:
                threading.Thread(target=self.take, args=(c,),
                                 daemon=True).start()

    def take(self, c):
        at = len(self.data)
        self.data.append(b"")
        while True:
            try:
                d = c.recv(1 << 16)
            except OSError:
                return
            if not d:
                return
            self.data[at] += d

    @property
    def messages(self):
        return [m for d in self.data for m in frames(d)]

    def reset(self):
        """Ends every connection with what it has not read thrown away."""
        for c in self.open:
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         b"\1\0\0\0\0\0\0\0")
            c.close()
        self.open = []

    def close(self):
        self.listener.close()
        for c in self.open:
            c.close()


class Datagrams:
    """Whoever takes datagrams, over UDP or at `path`."""

    def __init__(self, path=None):
        self.socket = socket.socket(
            socket.AF_UNIX if path else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(str(path) if path else ("127.0.0.1", 0))
        self.port = None if path else self.socket.getsockname()[1]
        self.got = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                message = self.socket.recv(1 << 20)
            except OSError:
                return
            if not message:
                return
            self.got.append(message)

    def end(self):
        """Nobody is there any more: a socket that its thread waits for stays
        open otherwise."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


@pytest.fixture
def receivers():
    made = []
    yield lambda *a, **k: made.append(Tcp(*a, **k)) or made[-1]
    for r in made:
        r.close()


@pytest.fixture
def configured(tmp_path):
    def write(*sinks):
        path = tmp_path / "config.yaml"
        path.write_text(json.dumps({"audit": {"sinks": list(sinks)}}))
        return str(path)
    return write


@pytest.fixture
def agent(home, secrets, configured):
    """A vault with an agent that sends; begun by `agent.begin_with(sinks)`."""
    v = Agents(home, secrets)
    pids = []

    def begin_with(*sinks):
        config = configured(*sinks)
        v("--config", config, "agent", "start", code=0)
        pids.append(v.status()["pid"])
        return config
    v.begin_with = begin_with
    yield v
    v("agent", "stop")
    for pid in pids:
        try:
            wait_end(pid)
        except (ChildProcessError, ProcessLookupError, OSError):
            pass
    v.flags = ["--no-agent"]
    v.verify()


def sinks_of(vault, config):
    done = vault("--config", config, "-o", "json", "status", code=0)
    return {s["name"]: s for s in done.json["metrics"]["sinks"]}


def check_stream(messages, vault, again=False):
    """They are the log's leaves from its beginning, each in its place; with
    `again` some may come twice."""
    log = leaves(vault)
    seen = []
    for m in messages:
        _, msgid, kind, seq, more, msg = parse(m)
        assert kind == "seq" and not more
        assert msg == log[seq] and msgid == json.loads(msg)["action"]
        seen.append(seq)
    if again:
        assert set(seen) == set(range(max(seen) + 1)), seen
    else:
        assert seen == list(range(len(seen)))
    return len(set(seen))


# --- what is sent ---

def test_tcp_sends_each_leaf_once(vault, receivers, configured):
    r = receivers()
    config = configured(f"syslog+tcp://127.0.0.1:{r.port}")
    for _ in range(3):
        vault("list", code=0)
    vault("--config", config, "audit", "send", code=0)
    until(lambda: len(r.messages) >= 4)
    n = check_stream(r.messages, vault)
    # What came since, and only that.
    vault("list", code=0)
    vault("--config", config, "audit", "send", code=0)
    until(lambda: len(r.messages) > n)
    assert check_stream(r.messages, vault) > n


def test_a_record_with_everything_hostile_in_it_is_one_line(
        vault, receivers, configured, tmp_path):
    """H74: what a client can bring into a record begins no message."""
    r = receivers()
    out, command = tmp_path / "lines", tmp_path / "command"
    command.write_text(f"#!/bin/sh\nexec cat >> {out}\n")
    command.chmod(0o755)
    udp, journal = Datagrams(), Datagrams(tmp_path / "journal")
    config = configured(f"syslog+tcp://127.0.0.1:{r.port}",
                        f"syslog+udp://127.0.0.1:{udp.port}",
                        f"journald:{tmp_path}/journal", f"command:{command}")
    hostile = ['a"b', "back\\slash", "]end", "<13>1 - - - - -", "\u00e9\u4e2d",
               "\U0001f511", "%n%s", "x=1 y", "'; --", "a] [b c=\"d\""]
    for text in hostile:
        vault("--reason", text, "--ticket", "OPS-1", "list", code=0)
    for text in ("a\nb", "\x1b[31m", "a\u2028b", "a\u0085b", "a\x7fb"):
        vault("--reason", text, "list", code=harness.INVALID)
    vault("--config", config, "audit", "send", code=0)
    log = leaves(vault)
    n = json.load(open(os.path.join(vault.folder, "audit", "sinks"),
                       encoding="ascii"))["sinks"][0]["seq"]
    until(lambda: len(r.messages) == n)
    assert check_stream(r.messages, vault) == n >= len(hostile)
    until(lambda: len(udp.got) == len(journal.got) == n)
    for seq in range(n):
        assert parse(udp.got[seq])[5] == log[seq]
        fields = journal.got[seq].split(b"\n")
        assert fields[-1] == b"" and fields[0] == b"MESSAGE=" + log[seq]
        for f in fields[:-1]:
            assert re.fullmatch(rb"[A-Z_]+=[\x20-\x7e]*", f), f
        assert f"CERTVAULT_SEQ={seq}".encode() in fields
    assert out.read_bytes() == b"".join(x + b"\n" for x in log[:n])
    reasons = {json.loads(x).get("reason") for x in log[:n]}
    assert set(hostile) <= reasons


def test_what_is_too_long_for_a_datagram_says_so(vault, configured):
    """Truncation is never silent: how long it is, and its hash."""
    udp = Datagrams()
    config = configured(f"syslog+udp://127.0.0.1:{udp.port}")
    labels = [x for i in range(64)
              for x in ("--label", f"{'k' * 60}{i:02}={'v' * 63}")]
    vault.add(kube.as_yaml(kube.config(kube.Identity(
        "p256", secrets=vault.secrets))), "a", *labels)
    vault("list", code=0)
    vault("--config", config, "audit", "send", code=0)
    log = leaves(vault)
    long = [i for i, x in enumerate(log) if len(x) > 8000]
    assert long, [len(x) for x in log]
    until(lambda: len(udp.got) > long[-1] + 1)
    for seq, message in enumerate(udp.got):
        _, _, _, got, more, msg = parse(message)
        assert got == seq
        if seq not in long:
            assert msg == log[seq] and not more
            continue
        assert len(message) == 8000 and log[seq].startswith(msg)
        assert more[b"truncated"] == b"true"
        assert int(more[b"bytes"]) == len(log[seq])
        assert base64.b64decode(more[b"hash"]) == \
            hashlib.sha256(b"\0" + log[seq]).digest()


class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        names = [name.lower() for name in self.headers.keys()]
        assert len(names) == len(set(names)), names  # each is said once
        self.server.asked.append((self.path, dict(self.headers), body))
        status = self.server.answers.pop(0) if self.server.answers else 200
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.asked, server.answers = [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_http_posts_lines_and_counts_answers_of_200(vault, collector,
                                                    configured):
    collector.answers = [500, 302]
    config = configured(
        f"http://127.0.0.1:{collector.server_port}/in/put?source=x")
    done = vault("--config", config, "audit", "send", code=REMOTE)
    assert "302" in done.note
    assert len(collector.asked) == 2
    vault("--config", config, "audit", "send", code=0)
    path, headers, body = collector.asked[-1]
    assert path == "/in/put?source=x"
    assert headers["Content-Type"] == "application/x-ndjson"
    assert "Authorization" not in headers
    lines = body.split(b"\n")
    assert lines[-1] == b"" and lines[:-1] == leaves(vault)[:len(lines) - 1]
    assert all(p == path for p, _, _ in collector.asked)


def test_a_command_that_fails_gets_it_again(vault, tmp_path, configured):
    out, fail = tmp_path / "out", tmp_path / "fail"
    command = tmp_path / "command"
    command.write_text(f"#!/bin/sh\ntest -e {fail} && exit 3\n"
                       f"exec cat >> {out}\n")
    command.chmod(0o755)
    config = configured(f"command:{command}")
    fail.write_text("")
    done = vault("--config", config, "audit", "send", code=REMOTE)
    assert "ended with 3" in done.note
    fail.unlink()
    vault("--config", config, "audit", "send", code=0)
    lines = out.read_bytes().splitlines()
    assert lines == leaves(vault)[:len(lines)] and len(lines) >= 2


# --- TLS ---

@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """A CA, a server's certificate for 127.0.0.1, one for another host."""
    at = tmp_path_factory.mktemp("pki")

    def run(*args):
        subprocess.run(["openssl", *args], cwd=at, check=True,
                       capture_output=True)
    run("req", "-x509", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key", "-out",
        "ca.pem", "-subj", "/CN=test CA", "-days", "2")
    for name, alt in (("good", "IP:127.0.0.1"), ("other", "DNS:other.test")):
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-keyout", name + ".key", "-out", name + ".csr",
            "-subj", "/CN=" + name)
        (at / (name + ".ext")).write_text("subjectAltName=" + alt)
        run("x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey",
            "ca.key", "-CAcreateserial", "-out", name + ".pem", "-days", "2",
            "-extfile", name + ".ext")
    return at


def tls_server(pki, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / (name + ".pem"), pki / (name + ".key"))
    return context


def test_tls_speaks_to_who_it_should_be_alone(vault, receivers, configured,
                                              pki):
    for name, ca in (("other", True), ("good", False)):
        r = receivers(context=tls_server(pki, name))
        config = configured(f"syslog+tls://127.0.0.1:{r.port}" +
                            (f"?ca={pki}/ca.pem" if ca else ""))
        vault("--config", config, "audit", "send", code=REMOTE)
        assert not r.messages
    r = receivers(context=tls_server(pki, "good"))
    config = configured(f"syslog+tls://127.0.0.1:{r.port}?ca={pki}/ca.pem")
    vault("--config", config, "audit", "send", code=0)
    until(lambda: len(r.messages) >= 2)
    assert check_stream(r.messages, vault) >= 2


# --- what may be configured ---

@pytest.mark.parametrize("text", [
    "syslog://h", "syslog+udp://", "syslog+udp://h:0", "syslog+udp://h:65536",
    "syslog+udp://h:1x", "syslog+tcp://user:pw@h:1", "https://u:p@h/x",
    "https://h/x?token=abc", "https://h/x?api_key=abc", "syslog+unix:dev/log",
    "syslog+unix:/" + "x" * 120, "command:cat", "command:/bin/../",
    "syslog+tls://h?ca=ca.pem", "syslog+tcp://h?ca=/ca.pem",
    "syslog+udp://h?behind=0", "syslog+udp://h?behind=1000001",
    "syslog+udp://h?verify=no", "syslog+udp://h h", "ftp://h", "",
    "syslog+udp://[::1", "syslog+udp://h/path"])
def test_config_check_refuses(vault, configured, text):
    done = vault("--config", configured(text), "config", "check", code=CONFIG)
    assert "audit.sinks" in done.note
    assert "pw" not in done.note and "abc" not in done.note


def test_config_check_takes(vault, configured):
    config = configured(
        "syslog+udp://h", "syslog+tcp://[::1]:601", "syslog+tls://h.example",
        "syslog+unix:/dev/log", "journald:", "https://h/x?source=y#behind=9",
        "http://h:8080", "command:/usr/bin/true")
    vault("--config", config, "config", "check", code=0)
    twice = configured("syslog+udp://h", "syslog+udp://h?behind=5")
    vault("--config", twice, "config", "check", code=CONFIG)
    vault("--config", configured(), "audit", "send", code=CONFIG)


# --- in an agent: while others work ---

def test_an_agent_sends_by_itself_and_status_says_how_far(agent, receivers):
    r = receivers()
    name = f"syslog+tcp://127.0.0.1:{r.port}"
    config = agent.begin_with(name)
    for _ in range(5):
        agent("list", code=0)
    until(lambda: len(r.messages) >= 6)
    check_stream(r.messages, agent)
    sink = sinks_of(agent, config)[name]
    assert sink["state"] in ("idle", "sending") and sink["failures"] == 0
    text = agent("--config", config, "status", "--metrics", code=0).text
    assert f'certvault_sink_lag_records{{sink="{name}"}}' in text
    # What another broker wrote is sent by this one.
    before = len(r.messages)
    agent("--no-agent", "list", code=0)
    until(lambda: len(r.messages) > before)
    agent("--no-agent", "--config", config, "audit", "send", code=BUSY)


def test_the_agent_killed_goes_on_where_it_was(agent, receivers):
    r = receivers()
    name = f"syslog+tcp://127.0.0.1:{r.port}"
    agent.begin_with(name)
    for _ in range(3):
        agent("list", code=0)
    until(lambda: len(r.messages) >= 4)
    os.kill(agent.status()["pid"], signal.SIGKILL)
    until(lambda: agent.status() is None)
    agent("--no-agent", "list", code=0)
    agent.begin_with(name)
    agent("list", code=0)
    size = len(leaves(agent))
    until(lambda: len({parse(m)[3] for m in r.messages}) >= size)
    check_stream(r.messages, agent, again=True)


def test_the_service_sends_and_keeps_its_place(vault, receivers, configured,
                                               collector):
    r = receivers()
    config = configured(f"syslog+tcp://127.0.0.1:{r.port}",
                        f"http://127.0.0.1:{collector.server_port}/")
    for round in range(2):
        broker = Broker(vault, "--key-file", vault.key_file, "--config",
                        config)
        try:
            vault("--broker", "unix:" + broker.path, "list", code=0)
            until(lambda: any(json.loads(parse(m)[5])["broker"]["mode"] ==
                              "service" for m in r.messages))
            size = len(leaves(vault))
            until(lambda: len(r.messages) >= size)
            vault("--broker", "unix:" + broker.path, "audit", "send", code=0)
        finally:
            assert broker.end() == 0
        # At a clean end nothing comes twice.
        check_stream(r.messages, vault)
    posted = b"".join(b for _, _, b in collector.asked).splitlines()
    assert posted == leaves(vault)[:len(posted)] and len(posted) > 3


def intakes():
    return [p for p, name in harness.our_processes() if name == "intake"]


def test_its_process_killed_costs_nothing(agent, receivers):
    r = receivers()
    agent.begin_with(f"syslog+tcp://127.0.0.1:{r.port}")
    for _ in range(4):
        agent("list", code=0)
        until(lambda: len(r.messages) > 0)
        for pid in intakes():
            os.kill(pid, signal.SIGKILL)
    size = len(leaves(agent))
    until(lambda: len({parse(m)[3] for m in r.messages}) >= size)
    check_stream(r.messages, agent, again=True)


def test_a_receiver_that_resets_gets_again_what_it_threw_away(agent,
                                                              receivers):
    r = receivers(reads=False)
    name = f"syslog+tcp://127.0.0.1:{r.port}"
    config = agent.begin_with(name)
    for _ in range(3):
        agent("list", code=0)
    # It is acknowledged, and nobody has read it.
    until(lambda: sinks_of(agent, config)[name]["seq"] >= 3)
    r.reads = True
    r.reset()
    agent("list", code=0)
    until(lambda: len({parse(m)[3] for m in r.messages}) >= 4)
    check_stream(r.messages, agent, again=True)


def test_bad_receivers_slow_nobody_down(agent, receivers, collector, tmp_path,
                                        secrets):
    """One never reads, one is not there, one answers 500, one hangs: the door
    is as fast as one without sinks, and what comes is not lost."""
    other = Agents(tmp_path / "other", secrets)

    def took(vault):
        begin = time.monotonic()
        vault("list", code=0)
        return time.monotonic() - begin

    stuck, good = receivers(reads=False), receivers()
    stuck.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    hang = tmp_path / "hang"
    hang.write_text("#!/bin/sh\nexec sleep 600\n")
    hang.chmod(0o755)
    dead = harness.free_port()
    collector.answers = [500] * 10000
    pid = other.begin()
    config = agent.begin_with(
        f"syslog+tcp://127.0.0.1:{stuck.port}",
        f"syslog+tcp://127.0.0.1:{dead}", f"command:{hang}",
        f"http://127.0.0.1:{collector.server_port}/",
        f"syslog+tcp://127.0.0.1:{good.port}")
    agent("list", code=0)
    until(lambda: collector.asked)
    ratios = sorted(took(agent) / took(other) for _ in range(21))
    print(f"the door's time with bad receivers: {ratios[10]:.2f} of that of one "
          "without sinks")
    assert ratios[10] < (1.5 if harness.FULL else 3)
    other("agent", "stop", code=0)
    wait_end(pid)
    until(lambda: len(good.messages) >= 15)
    check_stream(good.messages, agent)
    state = sinks_of(agent, config)
    assert state[f"syslog+tcp://127.0.0.1:{dead}"]["state"] == "failing"
    assert state[f"http://127.0.0.1:{collector.server_port}/"]["lag"] > 0
    doctor = agent("--config", config, "doctor").text
    assert re.search(r"sink +warn .*500", doctor), doctor
    collector.answers = []
    size = len(leaves(agent))

    def arrived():
        return [x for _, _, b in collector.asked for x in b.splitlines()]
    until(lambda: leaves(agent)[size - 1] in arrived(), 60)
    assert set(leaves(agent)[:size]) <= set(arrived())


def test_a_backlog_and_a_receiver_that_stalls(agent, receivers):
    """Many batches; one receiver takes nothing for longer than a batch may
    take, then goes on: over the same connection, each leaf once."""
    n, pause = (10000, 35) if harness.FULL else (3000, 0)
    agent.begin()
    s = agent.connect()
    request = json.dumps({"method": "io.certvault.Broker.List",
                          "parameters": {}}).encode() + b"\0"
    for _ in range(n // 500):
        s.sendall(request * 500)
        got = 0
        while got < 500:
            got += s.recv(1 << 20).count(b"\0")
    s.close()
    pid = agent.status()["pid"]
    agent("agent", "stop", code=0)
    wait_end(pid)
    fast, slow = receivers(), receivers(reads=False)
    slow.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    config = agent.begin_with(*(f"syslog+tcp://127.0.0.1:{r.port}"
                                for r in (fast, slow)))
    until(lambda: sinks_of(agent, config)[
        f"syslog+tcp://127.0.0.1:{fast.port}"]["seq"] > n, 60)
    until(lambda: slow.open)
    if pause:
        time.sleep(pause)      # what is shown is that time passes
    threading.Thread(target=slow.take, args=(slow.open[0],),
                     daemon=True).start()
    until(lambda: sinks_of(agent, config)[
        f"syslog+tcp://127.0.0.1:{slow.port}"]["seq"] > n, 60)
    until(lambda: len(fast.messages) > n)
    assert check_stream(fast.messages, agent) > n
    assert len(slow.open) == 1
    assert check_stream(slow.messages, agent) > n


def test_too_far_behind_is_a_gap_that_is_told(agent, receivers):
    r = receivers()
    for _ in range(12):
        agent("--no-agent", "list", code=0)
    name = f"syslog+tcp://127.0.0.1:{r.port}"
    config = agent.begin_with(name + "?behind=4")
    agent("list", code=0)

    def told():
        return [m for m in r.messages if b'"action":"sink"' in m]
    until(lambda: told())
    got = [parse(m) for m in r.messages]
    severity, msgid, kind, seq, _, msg = got[0]
    assert (kind, msgid, seq, severity) == ("gap", "gap", 0, 4)
    gap = json.loads(msg)["gap"]
    assert gap["from"] == 0 and gap["count"] == gap["to"] + 1 >= 8
    log = leaves(agent)
    assert [g[3] for g in got[1:]] == \
        list(range(gap["to"] + 1, gap["to"] + len(got)))
    assert all(g[5] == log[g[3]] for g in got[1:])
    leaf = json.loads(parse(told()[0])[5])
    assert leaf["phase"] == "event" and leaf["details"] == {**gap,
                                                            "sink": name}
    assert sinks_of(agent, config)[name]["gaps"] == gap["count"]


def test_cursors_of_another_log_begin_anew(vault, receivers, configured):
    """A restored vault, or a file that is not ours to believe."""
    r = receivers()
    config = configured(f"syslog+tcp://127.0.0.1:{r.port}")
    vault("--config", config, "audit", "send", code=0)
    path = os.path.join(vault.folder, "audit", "sinks")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    for spoil in ({"prev": "A" * 43 + "="}, {"offset": 1 << 40},
                  {"offset": 5}):
        with open(path, encoding="ascii") as f:
            kept = json.load(f)
        kept["sinks"][0].update(spoil)
        with open(path, "w", encoding="ascii") as f:
            json.dump(kept, f)
        vault("list", code=0)
        n = len(r.messages)
        vault("--config", config, "audit", "send", code=0)
        until(lambda: len(r.messages) > n + 1)
        assert parse(r.messages[n])[3] == 0
    with open(path, "w", encoding="ascii") as f:
        f.write("{")
    vault("--config", config, "audit", "send", code=0)
    check_stream(r.messages, vault, again=True)


# --- rsyslog ---

class Rsyslog:
    """Debian's, as our child, on loopback ports; one message a line in out."""

    def __init__(self, at, pki, driver):
        self.out = at / "out"
        first = harness.free_port(3)
        self.ports = [first, first + 1, first + 2]
        udp, tcp, tls = self.ports
        (at / "work").mkdir()
        lines = [
            'global(workDirectory="%s/work" maxMessageSize="128k"' % at,
            '  defaultNetstreamDriverCAFile="%s/ca.pem"' % pki,
            '  defaultNetstreamDriverCertFile="%s/good.pem"' % pki,
            '  defaultNetstreamDriverKeyFile="%s/good.key")' % pki,
            'module(load="imudp")', 'module(load="imtcp")',
            'template(name="whole" type="string" string="%inputname% '
            '%structured-data% %msgid% %syslogseverity% %msg%\\n")',
            'ruleset(name="all") {', '  action(type="omfile" file="%s" '
            'template="whole" asyncWriting="off")' % self.out, '}',
            'input(type="imudp" address="127.0.0.1" port="%d" name="udp" '
            'ruleset="all")' % udp,
            'input(type="imtcp" address="127.0.0.1" port="%d" name="tcp" '
            'ruleset="all")' % tcp,
        ]
        if driver:
            lines += [
                'input(type="imtcp" address="127.0.0.1" port="%d" name="tls" '
                'ruleset="all" streamdriver.name="%s" streamdriver.mode="1" '
                'streamdriver.authmode="anon")' % (tls, driver)]
        conf = at / "rsyslog.conf"
        conf.write_text("\n".join(lines) + "\n")
        self.process = subprocess.Popen(
            [RSYSLOGD, "-n", "-f", str(conf), "-i", str(at / "pid")],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for port in self.ports[1:2 + bool(driver)]:
            until(lambda p=port: self.listens(p))

    def listens(self, port):
        assert self.process.poll() is None, self.process.stderr.read()
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    def got(self, name):
        """The messages of one input: (structured data, MSG)."""
        if not self.out.exists():
            return []
        lines = self.out.read_bytes().split(b"\n")
        found = [re.fullmatch(rb"%s (\[.*?\]) (\S+) (\d) (.*)" % name.encode(),
                              x) for x in lines]
        return [(m[1], m[4]) for m in found if m]

    def end(self):
        self.process.terminate()
        self.process.wait(60)
        self.process.stderr.close()


def test_rsyslog_receives_each_leaf(vault, configured, tmp_path, pki):
    if RSYSLOGD is None:
        pytest.skip("no rsyslogd: apt-get install rsyslog rsyslog-openssl")
    driver = next((d for d in ("ossl", "gtls")
                   if rsyslog_module("lmnsd_" + d)), None)
    daemon = Rsyslog(tmp_path, pki, driver)
    try:
        udp, tcp, tls = daemon.ports
        sinks = [f"syslog+udp://127.0.0.1:{udp}",
                 f"syslog+tcp://127.0.0.1:{tcp}"]
        names = ["udp", "tcp"]
        if driver:
            sinks.append(f"syslog+tls://127.0.0.1:{tls}?ca={pki}/ca.pem")
            names.append("tls")
        config = configured(*sinks)
        for i in range(40 if not harness.FULL else 400):
            vault("--reason", f'"q" \u00e9 {i} ]', "list", code=0)
        vault("--config", config, "audit", "send", code=0)
        log = leaves(vault)
        n = json.load(open(os.path.join(vault.folder, "audit", "sinks"),
                           encoding="ascii"))["sinks"][0]["seq"]
        for name in names:
            until(lambda x=name: len(daemon.got(x)) >= n)
            got = daemon.got(name)
            assert [m for _, m in got] == log[:n], name
            assert [d for d, _ in got] == [
                b'[certvault@32473 seq="%d"]' % i for i in range(n)]
    finally:
        daemon.end()
    if not driver:
        pytest.skip("UDP and TCP alone: apt-get install rsyslog-openssl")
