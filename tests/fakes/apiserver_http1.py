"""HTTP/1.1 of the stand-in API server."""

import http

BODY = 8 << 20


class Request:
    """`headers`: [[lower-case name, value]], in their order."""

    def __init__(self, connection, method, target, headers, body):
        self.connection, self.method, self.target = connection, method, target
        self.headers, self.body = headers, body

    def header(self, name, default=""):
        for key, value in self.headers:
            if key == name:
                return value
        return default


class Reply:
    """An answer of known length, or one that goes on (chunked)."""

    def __init__(self, connection, head_only):
        self.connection, self.head_only = connection, head_only
        self.upgraded = False
        self.chunked = False
        self.gone = connection.gone

    def _head(self, status, headers):
        phrase = http.HTTPStatus(status).phrase
        lines = [f"HTTP/1.1 {status} {phrase}"]
        lines += [f"{k}: {v}" for k, v in headers]
        self.connection.send("\r\n".join(lines + ["", ""]).encode())

    async def whole(self, status, headers, body):
        self._head(status, [*headers, ("Content-Length", len(body))])
        if body and not self.head_only:
            self.connection.send(body)
        await self.connection.drained()

    async def start(self, status, headers):
        self.chunked = True
        self._head(status, [*headers, ("Transfer-Encoding", "chunked")])
        await self.connection.drained()

    async def write(self, data):
        if data:
            self.connection.send(b"%x\r\n%b\r\n" % (len(data), data))
        await self.connection.drained()

    async def end(self):
        self.connection.send(b"0\r\n\r\n")
        await self.connection.drained()

    def upgrade(self, headers):
        """From here on the connection belongs to the caller."""
        self.upgraded = True
        self._head(101, headers)
        return self.connection


async def _chunks(reader):
    body = bytearray()
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        if size == 0:
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
            return bytes(body)
        if len(body) + size > BODY:
            raise ConnectionError("body too long")
        body += await reader.readexactly(size)
        await reader.readexactly(2)


async def _read(connection):
    head = await connection.reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    headers = []
    for line in lines:
        name, _, value = line.partition(":")
        headers.append([name.lower(), value.strip()])
    request = Request(connection, method, target, headers, b"")
    if "chunked" in request.header("transfer-encoding"):
        request.body = await _chunks(connection.reader)
    elif request.header("content-length"):
        length = int(request.header("content-length"))
        if length > BODY:
            raise ConnectionError("body too long")
        request.body = await connection.reader.readexactly(length)
    return request


async def serve(connection, server):
    while True:
        request = await _read(connection)
        reply = Reply(connection, request.method == "HEAD")
        await server.handle(request, reply)
        if reply.upgraded or request.header("connection").lower() == "close":
            return
