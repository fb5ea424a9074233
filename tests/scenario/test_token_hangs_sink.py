"""While a token does not answer, the record is handed on (test_sinks.py) as
ever, and nobody waits by turning in a circle. (As test_token_hangs.py, whose
token this is.)"""

import http.server
import os
import threading
import time

import pytest

from test_sinks import configured, until  # noqa: F401
from test_token_hangs import is_answered, serving
from test_token_journal import fake_build, vault  # noqa: F401


class Gate(http.server.BaseHTTPRequestHandler):
    """Answers when it is opened."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.server.bodies.append(
            self.rfile.read(int(self.headers["Content-Length"])))
        self.server.opened.wait()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def gate():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gate)
    server.bodies, server.opened = [], threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.opened.set()
    server.shutdown()
    server.server_close()


def seconds_of(pid):
    """Of the processor, that it used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def test_a_sink_that_answers_meanwhile(vault, gate, configured):
    config = configured(f"http://127.0.0.1:{gate.server_port}/in")
    with serving(vault, "--config", config) as service:
        until(lambda: gate.bodies)
        waits = service.hang("Tokens.begin", "TokenList")
        said = service.call("Export", name="sealed", dry_run=False,
                            reason="beside the token")
        assert "error" not in said, said
        assert not any(b"beside the token" in b for b in gate.bodies)
        gate.opened.set()
        pid = service.broker.pid()
        began, used = time.monotonic(), seconds_of(pid)
        until(lambda: any(b"beside the token" in b for b in gate.bodies) or
              is_answered(waits))
        while time.monotonic() - began < 1:
            time.sleep(.1)
        used = seconds_of(pid) - used
        assert not is_answered(waits)
        assert used < (time.monotonic() - began) / 4
        service.go()
        service.call("Status")
