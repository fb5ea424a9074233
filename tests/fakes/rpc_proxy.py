"""Stands between p11-kit-client.so and `p11-kit server` and spoils answers.

The protocol (p11-kit's rpc-transport.c): after one byte each way, messages of a
12 byte head (number, length of the options, length of the body; big endian),
the options, and the body: call, length and text of its signature, arguments.
"""

import os
import socket
import struct
import threading

HEAD = struct.Struct(">III")
WRAP_TEMPLATE = 0x40000211             # an attribute that holds attributes


class Frame:
    def __init__(self, head, options, body):
        self.number = HEAD.unpack(head)[0]
        self.options, self.body = options, body

    @property
    def call(self):
        return struct.unpack(">I", self.body[:4])[0] if len(self.body) >= 4 \
            else None

    @property
    def signature(self):
        n = struct.unpack(">I", self.body[4:8])[0]
        return self.body[8:8 + n].decode("ascii", "replace")

    @property
    def arguments(self):
        """Where they begin in the body."""
        return 8 + struct.unpack(">I", self.body[4:8])[0]

    def bytes(self):
        return HEAD.pack(self.number, len(self.options), len(self.body)) + \
            self.options + self.body


def exactly(s, n):
    got = b""
    while len(got) < n:
        more = s.recv(n - len(got))
        if not more:
            raise EOFError
        got += more
    return got


def read_frame(s):
    head = exactly(s, HEAD.size)
    _, options, body = HEAD.unpack(head)
    return Frame(head, exactly(s, options), exactly(s, body))


class Proxy:
    """`spoil(n, frame)` is asked about the n-th answer of each connection, from
    0: None passes it on, bytes are sent in its place, and then the connection
    ends. `seen` are the answers of the last connection."""

    def __init__(self, path, server):
        self.server = server
        self.spoil = lambda n, frame: None
        self.seen, self.spoilt = [], 0
        if os.path.exists(path):
            os.unlink(path)
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(path)
        self.listening.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,),
                             daemon=True).start()

    def serve(self, client):
        server = socket.socket(socket.AF_UNIX)
        try:
            with client, server:
                server.connect(self.server)
                server.sendall(exactly(client, 1))
                client.sendall(exactly(server, 1))
                self.seen = []
                self.pass_on(client, server)
        except (EOFError, OSError):
            pass

    def pass_on(self, client, server):
        n = 0
        while True:
            server.sendall(read_frame(client).bytes())
            frame = read_frame(server)
            self.seen.append(frame)
            spoilt = self.spoil(n, frame)
            if spoilt is not None:
                self.spoilt += 1
                client.sendall(spoilt)
                return
            client.sendall(frame.bytes())
            n += 1

    def stop(self):
        # A thread that waits in accept(2) is woken by this, not by close(2).
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()


def nested(frame, depth):
    """The answer with an array of attributes, one in the other, in the place of
    its arguments."""
    level = struct.pack(">IIBI", 1, WRAP_TEMPLATE, 1, 24)
    body = frame.body[:frame.arguments] + level * depth + \
        struct.pack(">I", 0) + frame.body[-8:]
    return HEAD.pack(frame.number, len(frame.options), len(body)) + \
        frame.options + body
