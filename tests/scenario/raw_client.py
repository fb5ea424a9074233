"""Clients of the relay that keep to no rule: they connect with any certificate,
as any user, and say any bytes."""

import json
import os
import socket
import ssl
import subprocess
import sys


def context(cert=None, key=None, version=None):
    """A TLS client that believes every server."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    if version is not None:
        c.minimum_version = c.maximum_version = version
    if cert is not None:
        c.load_cert_chain(cert, key)
    return c


def say(port, data, made, seconds=60):
    """What comes back for `data`, to the end of the connection; b"" where TLS
    comes to nothing."""
    got = b""
    try:
        with socket.create_connection(("127.0.0.1", port), seconds) as raw, \
                made.wrap_socket(raw, server_hostname="127.0.0.1") as s:
            s.sendall(data)
            while more := s.recv(65536):
                got += more
    except (ssl.SSLError, ConnectionError):
        pass
    return got


def flood(port, count, cert=None, key=None):
    """`count` connections, each with a request: how many were answered."""
    made = context(cert, key)
    data = (f"GET /version HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            "Connection: close\r\n\r\n").encode()
    return sum(b"HTTP/1.1" in say(port, data, made) for _ in range(count))


def flood_as(uid, port, count, cert=None, key=None):
    """The same as another user of this machine, who has the files' contents
    (bytes) all the same."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", PROGRAM], user=uid, group=uid,
        extra_groups=[], cwd="/", capture_output=True, timeout=600,
        env={"PATH": os.environ["PATH"]}, input=json.dumps({
            "source": open(__file__, encoding="utf-8").read(),
            "port": port, "count": count,
            "cert": cert and cert.decode(), "key": key and key.decode()})
        .encode())
    assert done.returncode == 0, done
    return json.loads(done.stdout)


# It can read none of our files: its code comes over standard input too.
PROGRAM = """
import json, os, sys, tempfile
order = json.load(sys.stdin)
known = {"__name__": "raw_client", "__file__": ""}
exec(order["source"], known)
with tempfile.TemporaryDirectory(dir="/tmp") as d:
    files = []
    for name in ("cert", "key"):
        if order[name]:
            files.append(os.path.join(d, name))
            with open(files[-1], "w") as f:
                f.write(order[name])
    print(known["flood"](order["port"], order["count"], *files))
"""
