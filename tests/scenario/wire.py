"""A broker on a socket, and a small Varlink client for it."""

import json
import os
import signal
import socket
import subprocess
import time

import harness
import varlink


class Broker:
    def __init__(self, vault, *args):
        self.wrapped = bool(vault.wrap)
        self.path = os.path.join(vault.home, "run", "b.sock")
        self.process = subprocess.Popen(
            [*vault.wrap, *harness.UNDER,
             harness.program("certvaultd", vault.build), "--vault",
             vault.folder, "--socket", self.path, "--foreground", *args],
            env=vault.env(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True)
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            try:
                self.connect().close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(self.process.stderr.read())

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.connect(self.path)          # waits where the queue is full
        s.settimeout(60)
        return s

    def call(self, method, parameters=None, on=None):
        s = on or self.connect()
        try:
            s.sendall(json.dumps({"method": method, "parameters":
                                  parameters or {}}).encode() + b"\0")
            said = answer(s)
            varlink.THE.check(method, said)
            return said
        finally:
            if not on:
                s.close()

    def pid(self):
        """The broker's own, also where it runs under strace."""
        pid = self.process.pid
        if self.wrapped:
            with open(f"/proc/{pid}/task/{pid}/children",
                      encoding="ascii") as f:
                pid = int(f.read().split()[0])
        return pid

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            os.kill(self.pid(), number)
        self.process.communicate(timeout=60)
        return self.process.returncode


def answer(s):
    """One message; None where the other end hung up."""
    got = b""
    while not got.endswith(b"\0"):
        try:
            data = s.recv(65536)
        except ConnectionResetError:
            return None
        if not data:
            return None
        got += data
    return json.loads(got[:-1])
