"""Other users of this machine, by number: connections to a broker's socket that
the kernel says are theirs."""

import os
import socket

import pytest

ALICE, BOB, CAROL = 64001, 64002, 64003

needs_root = pytest.mark.skipif(os.geteuid() != 0,
                                reason="needs root to be somebody else")


def open_way(path):
    """Everybody may go to this socket: its policy alone holds them back."""
    os.chmod(path, 0o666)
    where = os.path.dirname(path)
    while where not in ("/", "/tmp") and os.stat(where).st_uid == os.getuid():
        os.chmod(where, 0o755)
        where = os.path.dirname(where)


def connect_as(path, uid, gid=None, groups=()):
    """A connection whose other end is `uid`, as SO_PEERCRED tells it: a child
    becomes that user, connects, and hands the socket over."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    pid = os.fork()
    if pid == 0:
        try:
            # From there: another run of pytest may close the way again.
            os.chdir(os.path.dirname(path))
            os.setgroups(list(groups))
            os.setgid(uid if gid is None else gid)
            os.setuid(uid)
            s = socket.socket(socket.AF_UNIX)
            s.connect(os.path.basename(path))
            socket.send_fds(theirs, [b"x"], [s.fileno()])
            os._exit(0)
        finally:
            os._exit(1)
    theirs.close()
    with ours:
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    _, status = os.waitpid(pid, 0)
    assert status == 0 and len(fds) == 1, status
    made = socket.socket(fileno=fds[0])
    made.settimeout(60)
    return made


def permit(name, uids, actions, **more):
    return {"name": name, "effect": "permit", "subjects": {"uids": uids},
            "actions": actions, **more}
