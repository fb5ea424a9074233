"""A broker that serves, many requests at once, and strace on it."""

import contextlib
import json
import os
import signal
import subprocess

import pytest

import harness
import straced
from kube import Identity, as_yaml, config
from wire import Broker, answer

BROKER = "io.certvault.Broker."
CALLS = ("write", "pwrite64", "writev", "sendto", "sendmsg", "fdatasync")


def request(method, **parameters):
    return json.dumps({"method": BROKER + method,
                       "parameters": parameters}).encode() + b"\0"


def export(reason="x", name="a", **more):
    return request("Export", **{"name": name, "dry_run": False, **more,
                                **({"reason": reason} if reason else {})})


@pytest.fixture
def served(release_vault, secrets):
    """A service with an entry that may be exported for a reason."""
    v = release_vault
    v.policy(harness.MAY_EXPORT)
    v.identity = Identity("p256", secrets=secrets)
    v.add(as_yaml(config(v.identity)), "a", "--exportable")
    v.broker = Broker(v, "--key-file", v.key_file)
    yield v
    v.broker.end()


def at_once(broker, messages, connect=None):
    """Each by a connection of its own, all of them there before the broker
    looks; the answers, None where it hung up."""
    sockets = [connect() if connect else broker.connect() for _ in messages]
    os.kill(broker.pid(), signal.SIGSTOP)
    try:
        for s, m in zip(sockets, messages):
            s.sendall(m)
    finally:
        os.kill(broker.pid(), signal.SIGCONT)
    got = [answer(s) for s in sockets]
    for s in sockets:
        s.close()
    return got


@contextlib.contextmanager
def traced(broker, path, *extra):
    """The broker alone under strace, from here to the end of the block."""
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    argv = straced.command(path, CALLS, extra)
    argv = [a for a in argv if a not in ("-f", "-qq")] + [
        "-p", str(broker.pid())]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as p:
        assert b"attached" in p.stderr.readline()
        try:
            yield
        finally:
            p.send_signal(signal.SIGINT)
            p.communicate(timeout=60)


def read_trace(path):
    """`-p` without `-f` leaves the pid out."""
    with open(path, encoding="ascii", errors="replace") as f:
        return straced.parse("".join("1 " + line for line in f))
