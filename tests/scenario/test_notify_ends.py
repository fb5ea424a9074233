"""What is left of a notify command that has ended: nothing."""

import os
import select

import pytest

import harness
from approval_rig import until
from wire import Broker


def ready(fd, seconds=60):
    p = select.poll()
    p.register(fd, select.POLLIN)
    assert p.poll(seconds * 1000), "it did not come"


@pytest.fixture
def served(home, secrets, tmp_path):
    """A service whose notify command tells its pid, and ends when told to."""
    v = harness.Vault(home, secrets)
    pid, go = (str(tmp_path / name) for name in ("pid", "go"))
    os.mkfifo(pid)
    os.mkfifo(go)
    program = tmp_path / "notify"
    program.write_text(f"#!/bin/sh\necho $$ > {pid}\nread x < {go}\n")
    program.chmod(0o700)
    b = Broker(v, "--key-file", v.key_file, "--config", v.write(
        "certvault.yaml", f"notify: {{command: {program}}}\n"))
    v.to = ("--broker", "unix:" + b.path)
    v.pid, v.go = (os.open(f, os.O_RDWR | os.O_NONBLOCK) for f in (pid, go))
    yield v
    os.close(v.pid)
    os.close(v.go)
    assert b.end() == 0
    v.verify()


def test_it_is_waited_for(served):
    """Nothing is started after it: the spawner must hear of its end."""
    v = served
    v(*v.to, "lock", "--all", code=0)
    ready(v.pid)
    pid = int(os.read(v.pid, 100))
    # What signs the checkpoint was ended by the freeze, and is started again.
    v(*v.to, "audit", "checkpoint", code=0)
    command = os.pidfd_open(pid)
    try:
        os.write(v.go, b"\n")
        ready(command)                      # it has ended
    finally:
        os.close(command)
    assert until(lambda: not os.path.exists(f"/proc/{pid}")), \
        "it stays as a zombie"
