"""Connections of other users to a broker's socket, by number: no user has to
exist. Needs root."""

import contextlib
import json
import os
import resource
import socket

import pytest

from wire import answer

FIRST = 700000                     # nobody has these numbers


def needs_root():
    if os.geteuid() != 0:
        pytest.skip("needs root to be somebody else")


def open_way(vault, path):
    """Lets other users reach the socket, whatever folder it lies in."""
    os.chmod(path, 0o666)
    where = os.path.dirname(path)
    while where != "/" and os.stat(where).st_uid == os.getuid() and \
            where != "/tmp":
        os.chmod(where, 0o755)
        where = os.path.dirname(where)
    for folder in ("data", "config"):
        os.chmod(os.path.join(vault.home, folder), 0o700)


@contextlib.contextmanager
def being(uid, gids=()):
    """What this process connects meanwhile is that user's (SO_PEERCRED holds
    the effective uid of connect(2))."""
    groups = os.getgroups()
    os.setgroups(list(gids))
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def connect(path, uid, gids=(), seconds=60):
    """Through a descriptor of the folder: the folders above it need not be open
    to the user."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(seconds)
    folder = os.open(os.path.dirname(path), os.O_PATH)
    try:
        with being(uid, gids):
            s.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    finally:
        os.close(folder)
    return s


def request(method, parameters=None):
    return json.dumps({"method": "io.certvault.Broker." + method,
                       "parameters": parameters or {}}).encode() + b"\0"


def ask(s, method, parameters=None):
    s.sendall(request(method, parameters))
    return answer(s)


def may_hold(n):
    """Room for `n` descriptors here, and as many in the programs that are
    started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < n:
        pytest.skip(f"no more than {hard} descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, n), hard))
