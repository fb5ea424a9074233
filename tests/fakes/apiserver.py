"""A stand-in for kube-apiserver, over mutual TLS on the loopback.

    apiserver.py FOLDER [--port N] [--alpn h2,http/1.1] [--tls 1.2|1.3]
                 [--streams N] [--legacy-discovery] [--name NAME]...
                 [--life SECONDS]

FOLDER holds server.pem, server.key and client-ca.pem; it gets requests.log (a
JSON line for each request when it arrives and for each connection) and pods/
(where `exec` runs). It prints one JSON line when it is ready, reads a JSON
object a line from standard input (see Server.ordered), and ends when that is
closed, on SIGTERM, or after --life seconds.

As kube-apiservers do, it asks for a client certificate and lets the handshake
end well whatever comes: who is not known gets a Status 401 for each request.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time

from OpenSSL import SSL, crypto

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import apiserver_http1  # noqa: E402
import apiserver_http2  # noqa: E402
import apiserver_kube  # noqa: E402

PIECE = 65536


class Peer:
    """Who is at the other end, as its certificate says."""

    def __init__(self, connection):
        self.tls = connection.get_protocol_version_name()
        self.alpn = connection.get_alpn_proto_negotiated().decode()
        self.cipher = connection.get_cipher_name()
        self.reused = bool(connection.session_reused()) \
            if hasattr(connection, "session_reused") else None
        cert = connection.get_peer_certificate()
        self.name, self.groups, self.why = None, [], "no certificate"
        if cert is None:
            return
        bad = connection.get_app_data()
        self.why = bad[0] if bad else None
        subject = cert.get_subject().get_components()
        self.common = dict(subject).get(b"CN", b"").decode()
        if not bad:
            self.name = self.common
            self.groups = [v.decode() for k, v in subject if k == b"O"]

    def __str__(self):
        return f"{self.name} {self.tls} {self.alpn}"


class Connection(asyncio.Protocol):
    """TLS between a socket and a reader of plain bytes. pyOpenSSL, because
    Python's own ssl ends the handshake where a certificate is bad."""

    def __init__(self, server):
        self.server = server
        self.tls = SSL.Connection(server.context, None)
        self.tls.set_app_data([])
        self.tls.set_accept_state()
        self.reader = asyncio.StreamReader(limit=1 << 20)
        self.open = False
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.task = None
        self.gone = asyncio.Event()
        self.peer = None

    def connection_made(self, transport):
        self.transport = transport
        transport.set_write_buffer_limits(high=256 * 1024)
        self.reader.set_transport(transport)

    def data_received(self, data):
        try:
            while data:
                data = data[self.tls.bio_write(data):]
                self._turn()
        except SSL.Error as e:
            self.server.note(kind="failed", why=str(e))
            self._flush()
            self.transport.abort()

    def _turn(self):
        try:
            if not self.open:
                self.tls.do_handshake()
                self._opened()
            while True:
                self.reader.feed_data(self.tls.recv(PIECE))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.reader.feed_eof()
        self._flush()

    def _opened(self):
        self.open = True
        self.peer = Peer(self.tls)
        self.server.connections += 1
        self.number = self.server.connections
        self.server.note(kind="connection", conn=self.number,
                         cn=self.peer.name, why=self.peer.why,
                         tls=self.peer.tls, alpn=self.peer.alpn)
        speak = apiserver_http2.serve if self.peer.alpn == "h2" \
            else apiserver_http1.serve
        self.task = asyncio.ensure_future(self._serve(speak))

    async def _serve(self, speak):
        try:
            await speak(self, self.server)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.close()

    def _flush(self):
        while True:
            try:
                data = self.tls.bio_read(PIECE)
            except SSL.WantReadError:
                return
            if not self.transport.is_closing():
                self.transport.write(data)

    def send(self, data):
        """At once; `drained` waits until there is room again."""
        if self.transport.is_closing():
            raise ConnectionResetError
        view = memoryview(data)
        while len(view):
            view = view[self.tls.send(view[:PIECE].tobytes()):]
        self._flush()

    async def drained(self):
        await self.may_write.wait()
        if self.transport.is_closing():
            raise ConnectionResetError

    def close(self):
        if self.transport.is_closing():
            return
        try:
            self.tls.shutdown()
            self._flush()
        except SSL.Error:
            pass
        self.transport.close()

    def pause_writing(self):
        self.may_write.clear()

    def resume_writing(self):
        self.may_write.set()

    def eof_received(self):
        self.reader.feed_eof()

    def connection_lost(self, error):
        if not self.reader.at_eof():
            self.reader.feed_eof()
        self.may_write.set()
        self.gone.set()
        if self.open:
            self.server.note(kind="closed", conn=self.number)


class Server:
    def __init__(self, args):
        self.args = args
        self.folder = args.folder
        self.log = open(os.path.join(self.folder, "requests.log"), "a",
                        encoding="utf-8", buffering=1)
        self.connections = self.requests = 0
        self.context = self._context()
        self.kube = apiserver_kube.Kube(self.folder, args.legacy_discovery)

    def _context(self):
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_chain_file(self._file("server.pem"))
        context.use_privatekey_file(self._file("server.key"))
        with open(self._file("client-ca.pem"), "rb") as f:
            ca = crypto.load_certificate(crypto.FILETYPE_PEM, f.read())
        context.get_cert_store().add_cert(ca)
        context.add_client_ca(ca)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        if self.args.tls == "1.2":
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
        if self.args.tls == "1.3":
            context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_session_id(b"stand-in")

        def look(connection, cert, number, depth, fine):
            if not fine:
                connection.get_app_data().append(f"error {number}")
            return True

        def choose(connection, offered):
            for name in self.args.alpn.split(","):
                if name.encode() in offered:
                    return name.encode()
            return SSL.NO_OVERLAPPING_PROTOCOLS

        context.set_verify(SSL.VERIFY_PEER, look)
        context.set_alpn_select_callback(choose)
        return context

    def _file(self, name):
        return os.path.join(self.folder, name)

    def note(self, **what):
        self.log.write(json.dumps({"time": time.time(), **what}) + "\n")

    async def handle(self, request, reply):
        """One request; both protocols come here."""
        self.requests += 1
        peer = request.connection.peer
        self.note(kind="request", n=self.requests,
                  conn=request.connection.number, cn=peer.name,
                  alpn=peer.alpn, method=request.method,
                  target=request.target, headers=request.headers,
                  body=len(request.body))
        if peer.name is None:
            await apiserver_kube.refuse(reply, 401, "Unauthorized",
                                        "Unauthorized")
            return
        await self.kube.handle(request, reply)

    def ordered(self, line):
        """{"log": TEXT[, "pod": NAME]}: one more line of a pod's log;
        {"touch": NAME}: a pod changes, its watchers see it."""
        order = json.loads(line)
        pod = order.get("pod", "demo")
        if "log" in order:
            self.kube.add_log(pod, order["log"])
        if "touch" in order:
            self.kube.touch(order["touch"])
        print(json.dumps({"done": True}), flush=True)


async def run(args):
    server = Server(args)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Connection(server),
                                        "127.0.0.1", args.port, backlog=1024)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)

    async def obey():
        while line := await orders.readline():
            server.ordered(line)
        ended.set()

    obeying = asyncio.ensure_future(obey())
    print(json.dumps({"port": listener.sockets[0].getsockname()[1]}),
          flush=True)
    try:
        await asyncio.wait_for(ended.wait(), args.life)
    except asyncio.TimeoutError:
        pass
    obeying.cancel()
    listener.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--alpn", default="h2,http/1.1")
    parser.add_argument("--tls", choices=("1.2", "1.3"))
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--legacy-discovery", action="store_true")
    parser.add_argument("--life", type=float, default=3600)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
