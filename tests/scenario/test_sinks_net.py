"""Sinks over what can go wrong between here and there: HTTPS with certificates
that are not its, answers that are none, and sockets of this machine."""

import http.server
import json
import os
import re
import shutil
import socket
import ssl
import threading

import pytest

import harness
import kube
from harness import REMOTE
from test_sinks import (Datagrams, agent, check_stream, configured, leaves,
                        parse, pki, receivers, sinks_of, tls_server, until)

__all__ = ["agent", "configured", "pki", "receivers"]


class Answers(http.server.BaseHTTPRequestHandler):
    """By what the server's `answers` has next: a status, "hang-up" (no
    answer), "half" (one that ends in its middle), "stall" (none while it
    waits)."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        answer = server.answers.pop(0) if server.answers else 200
        if server.token not in (None, self.headers["Authorization"]):
            answer = 401
        server.asked.append((answer, body))
        if answer in ("hang-up", "half", "stall"):
            if answer == "half":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Len")
            if answer == "stall":
                server.resume.wait(120)
            self.close_connection = True
            return
        self.send_response(answer)
        if 300 <= answer < 400:
            self.send_header("Location", server.elsewhere)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Collector(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked, self.answers, self.elsewhere = [], [], "/"
        self.token = None              # what it wants to be told
        self.resume = threading.Event()
        self.context = context
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def get_request(self):
        """By the context of now."""
        s, address = super().get_request()
        if self.context:
            s = self.context.wrap_socket(s, server_side=True)
        return s, address

    def handle_error(self, request, client_address):
        pass

    @property
    def url(self):
        return (f"http{'s' if self.context else ''}://127.0.0.1:"
                f"{self.server_port}/in")

    @property
    def lines(self):
        """Of what it has said yes to."""
        return [x for answer, body in self.asked if answer == 200
                for x in body.splitlines()]


@pytest.fixture
def collectors():
    made = []
    yield lambda *a: made.append(Collector(*a)) or made[-1]
    for c in made:
        c.resume.set()
        c.shutdown()
        c.server_close()


# --- HTTPS ---

def test_https_speaks_to_who_it_should_be_alone(vault, collectors, configured,
                                                pki):
    for name, ca in (("other", True), ("good", False)):
        c = collectors(tls_server(pki, name))
        config = configured(c.url + (f"#ca={pki}/ca.pem" if ca else ""))
        done = vault("--config", config, "audit", "send", code=REMOTE)
        assert "certificate" in done.note, done
        assert not c.asked
    c = collectors(tls_server(pki, "good"))
    config = configured(f"{c.url}#ca={pki}/ca.pem")
    vault("--config", config, "audit", "send", code=0)
    assert len(c.lines) >= 2
    assert c.lines == leaves(vault)[:len(c.lines)]


def test_what_a_wrong_certificate_keeps_back_is_a_gap(agent, collectors, pki):
    """It is told to the record, to whoever asks, and in the stream itself
    when the right one is there again."""
    c = collectors(tls_server(pki, "other"))
    name = c.url
    config = agent.begin_with(f"{name}#ca={pki}/ca.pem&behind=4")
    for _ in range(9):
        agent("list", code=0)
    until(lambda: sinks_of(agent, config)[name]["state"] == "failing", 60)
    assert "certificate" in sinks_of(agent, config)[name]["error"]
    until(lambda: sinks_of(agent, config)[name]["gaps"], 120)
    assert not c.asked
    c.context = tls_server(pki, "good")
    # One that had begun before may still fail.
    until(lambda: agent("--config", config, "audit", "send").code == 0, 120)
    assert c.lines
    told = [json.loads(x) for x in leaves(agent)]
    told = [x["details"] for x in told if x["action"] == "sink"]
    assert told and all(t["sink"] == name for t in told)
    gap = json.loads(c.lines[0])["gap"]
    assert gap["from"] == 0 and gap["count"] == gap["to"] + 1
    assert sum(t["count"] for t in told) == gap["count"]
    assert sinks_of(agent, config)[name]["gaps"] == gap["count"]
    until(lambda: len(c.lines) > 1)
    log, seq = leaves(agent), gap["to"] + 1
    for line in c.lines[1:]:
        assert line == log[seq]
        seq += 1


def test_answers_that_are_none_are_asked_again(vault, collectors, configured,
                                               pki):
    """What it was not said yes to comes again, whole; nothing goes to where a
    redirect points."""
    elsewhere = collectors()
    c = collectors(tls_server(pki, "good"))
    c.elsewhere = elsewhere.url
    config = configured(f"{c.url}#ca={pki}/ca.pem")
    bad = [500, 503, 429, 404, 301, 307, 308, "hang-up", "half"]
    for answer in bad + (["stall"] if harness.FULL else []):
        c.answers = [answer] * 50
        asked = len(c.asked)
        done = vault("--config", config, "audit", "send", code=REMOTE)
        assert len(c.asked) > asked, done
        if isinstance(answer, int):
            assert str(answer) in done.note, done
    c.answers = []
    vault("--config", config, "audit", "send", code=0)
    assert c.lines == leaves(vault)[:len(c.lines)]
    assert all(c.lines[0] == body.splitlines()[0] for _, body in c.asked)
    assert not elsewhere.asked


def test_a_credential_goes_by_a_command(vault, collectors, configured, pki,
                                        tmp_path):
    """As docs/operations.md has it: in a header file, and in nobody's
    arguments, environment or record."""
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    vault.secrets.add("the collector's token", "token-of-the-collector")
    header = tmp_path / "collector.header"
    header.write_text("Authorization: Bearer token-of-the-collector\n")
    header.chmod(0o400)
    c = collectors(tls_server(pki, "good"))
    c.token = "Bearer token-of-the-collector"
    with open(os.path.join(harness.SOURCE, "docs", "operations.md"),
              encoding="utf-8") as f:
        recipe = re.search(r"\n    #!/bin/sh\n    exec curl .*?\n\n", f.read(),
                           re.DOTALL)[0]
    recipe = recipe.strip().replace("\n    ", "\n")
    for old, new in (("/etc/certvault/collector.header", str(header)),
                     ("https://logs.example.org/in",
                      f"--cacert {pki}/ca.pem {c.url}")):
        assert old in recipe
        recipe = recipe.replace(old, new)
    command = tmp_path / "to-collector"
    command.write_text(recipe + "\n")
    command.chmod(0o755)
    config = configured(f"command:{command}")
    c.answers = [500]
    vault("--config", config, "audit", "send")
    vault("--config", config, "audit", "send", code=0)
    assert len(c.lines) >= 2 and c.lines == leaves(vault)[:len(c.lines)]
    header.chmod(0o600)
    header.write_text("Authorization: Bearer another\n")
    vault("list", code=0)
    vault("--config", config, "audit", "send", code=REMOTE)


# --- sockets of this machine ---

def requests(vault, n):
    """As many records, without a process for each."""
    s = vault.connect()
    request = json.dumps({"method": "io.certvault.Broker.List",
                          "parameters": {}}).encode() + b"\0"
    for _ in range(n // 100):
        s.sendall(request * 100)
        got = 0
        while got < 100:
            got += s.recv(1 << 20).count(b"\0")
    s.close()


def test_a_socket_gets_each_leaf_whole(vault, tmp_path, configured):
    """Not cut as over UDP: a socket of this machine takes a long one too."""
    r = Datagrams(tmp_path / "log")
    config = configured(f"syslog+unix:{tmp_path}/log")
    labels = [x for i in range(64)
              for x in ("--label", f"{'k' * 60}{i:02}={'v' * 63}")]
    vault.add(kube.as_yaml(kube.config(kube.Identity(
        "p256", secrets=vault.secrets))), "a", *labels)
    vault("list", code=0)
    vault("--config", config, "audit", "send", code=0)
    assert max(map(len, leaves(vault))) > 8000
    until(lambda: len(r.got) >= 4)
    assert check_stream(r.got, vault) >= 4
    r.end()


def test_a_socket_that_is_not_there_or_no_datagram_one(vault, tmp_path,
                                                       configured):
    path = tmp_path / "log"
    config = configured(f"syslog+unix:{path}")
    done = vault("--config", config, "audit", "send", code=REMOTE)
    assert "No such file" in done.note and str(path) in done.note
    with socket.socket(socket.AF_UNIX) as stream:
        stream.bind(str(path))
        stream.listen()
        done = vault("--config", config, "audit", "send", code=REMOTE)
        assert str(path) in done.note
    done = vault("--config", config, "audit", "send", code=REMOTE)
    assert str(path) in done.note
    path.unlink()
    r = Datagrams(path)
    vault("--config", config, "audit", "send", code=0)
    until(lambda: len(r.got) >= 2)
    check_stream(r.got, vault)
    r.end()


def listed(vault):
    """How many commands `list` the log has; what they waited for is in it."""
    return sum(json.loads(x)["action"] == "list" for x in leaves(vault))


def test_a_receiver_that_is_started_anew(agent, tmp_path):
    """As syslogd does: it removes its socket and makes another."""
    path = tmp_path / "log"
    first = Datagrams(path)
    agent.begin_with(f"syslog+unix:{path}")
    agent("list", code=0)
    # What it has not taken by then goes with it.
    until(lambda: listed(agent) == 1)
    until(lambda: len(first.got) == len(leaves(agent)))
    check_stream(first.got, agent)
    path.unlink()
    first.end()
    second = Datagrams(path)
    agent("list", code=0)
    until(lambda: listed(agent) == 2)
    size = len(leaves(agent))
    until(lambda: second.got and parse(second.got[-1])[3] >= size - 1, 60)
    assert check_stream(first.got + second.got, agent, again=True) >= size
    second.end()


def test_a_receiver_that_takes_nothing_for_a_while(agent, tmp_path):
    """Its queue is full: those who come to the door do not notice, and then
    each leaf comes once."""
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(path))
        name = f"syslog+unix:{path}"
        config = agent.begin_with(name)
        requests(agent, 1000)
        until(lambda: listed(agent) == 1000, 60)
        size = len(leaves(agent))
        until(lambda: sinks_of(agent, config)[name]["state"] in
              ("sending", "failing"))
        assert sinks_of(agent, config)[name]["seq"] < size
        got = []
        s.settimeout(60)
        while not got or parse(got[-1])[3] < size - 1:
            got.append(s.recv(1 << 20))
        assert check_stream(got, agent) >= size


def test_in_the_real_sandbox(release_vault, collectors, receivers, configured,
                             pki, tmp_path):
    """What intake may do there is enough for every kind."""
    vault = release_vault
    c = collectors(tls_server(pki, "good"))
    tls, tcp = receivers(context=tls_server(pki, "good")), receivers()
    udp, log = Datagrams(), Datagrams(tmp_path / "log")
    journal = Datagrams(tmp_path / "journal")
    out, command = tmp_path / "lines", tmp_path / "command"
    command.write_text(f"#!/bin/sh\nexec cat >> {out}\n")
    command.chmod(0o755)
    config = configured(
        f"{c.url}#ca={pki}/ca.pem", f"syslog+tcp://localhost:{tcp.port}",
        f"syslog+tls://127.0.0.1:{tls.port}?ca={pki}/ca.pem",
        f"syslog+udp://127.0.0.1:{udp.port}", f"syslog+unix:{tmp_path}/log",
        f"journald:{tmp_path}/journal", f"command:{command}")
    vault("list", code=0)
    vault("--config", config, "audit", "send", code=0)
    n = len(c.lines)
    assert n >= 3 and c.lines == leaves(vault)[:n]
    assert out.read_bytes().splitlines() == c.lines
    until(lambda: len(tls.messages) == len(tcp.messages) == len(udp.got) ==
          len(log.got) == len(journal.got) == n)
    for got in (tls.messages, tcp.messages, udp.got, log.got):
        assert check_stream(got, vault) == n
    for r in (udp, log, journal):
        r.end()
