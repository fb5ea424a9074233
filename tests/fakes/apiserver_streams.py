"""exec, attach and port-forward of the stand-in API server, over SPDY/3.1 and
over WebSocket.

Over SPDY a stream a direction, named by its headers; over WebSocket a channel
a direction, named by the first byte (v4, v5.channel.k8s.io), or for
port-forward SPDY itself in binary messages. Commands run here, in the pod's
folder; a port of a pod is that port on the loopback.
"""

import asyncio
import base64
import hashlib
import json
import struct

import apiserver_kube
from apiserver_spdy import Session

CHANNELS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
TUNNEL = "SPDY/3.1+portforward.k8s.io"
FORWARD = "portforward.k8s.io"
MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"    # RFC 6455, 1.3
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PIECE = 32768


async def answer(call, sub, folder):
    request = call.request
    upgrade = request.header("upgrade").lower()
    if request.connection.peer.alpn == "h2" or not upgrade:
        raise apiserver_kube.Refused(
            400, "BadRequest", "Upgrade request required")
    if upgrade == "websocket":
        await over_websocket(call, sub, folder)
    elif upgrade == "spdy/3.1":
        await over_spdy(call, sub, folder)
    else:
        raise apiserver_kube.Refused(400, "BadRequest", "unknown upgrade")


class Ways:
    """Where a command's bytes go. `read()`: standard input, None at its end;
    `write(channel, bytes)`."""

    def __init__(self, read, write):
        self.read, self.write = read, write


def result(code):
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": f"command terminated with non-zero exit code: {code}",
            "details": {"causes": [{"reason": "ExitCode",
                                    "message": str(code)}]}}


async def execute(call, sub, folder, ways):
    """Runs it; what it says goes out, then how it ended."""
    argv = call.query.get("command", []) if sub == "exec" else ["cat"]
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, cwd=folder, stdin=pipe if call.flag("stdin")
            else asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    except OSError as e:
        await ways.write(ERROR, json.dumps({
            "metadata": {}, "status": "Failure", "reason": "InternalError",
            "message": str(e), "code": 500}).encode())
        return

    async def out(channel, source):
        while data := await source.read(PIECE):
            await ways.write(channel, data)

    async def into():
        try:
            while data := await ways.read():
                process.stdin.write(data)
                await process.stdin.drain()
        except ConnectionError:
            pass
        process.stdin.close()

    feeding = asyncio.ensure_future(into()) if call.flag("stdin") else None
    try:
        await asyncio.gather(out(STDOUT, process.stdout),
                             out(STDERR, process.stderr))
        await ways.write(ERROR, json.dumps(
            result(await process.wait())).encode())
    except ConnectionError:
        pass                           # nobody is there to be told
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if feeding:
            feeding.cancel()


async def forward(port, data, error):
    """One connection: bytes of `data` to the port and back; what is wrong to
    `error`."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError as e:
        await error.write(f"cannot reach port {port}: {e}".encode())
        await error.end()
        await data.end()
        return

    async def there():
        while piece := await data.read():
            writer.write(piece)
            await writer.drain()
        writer.write_eof()

    async def back():
        while piece := await reader.read(PIECE):
            await data.write(piece)
        await data.end()
        await error.end()

    going = asyncio.ensure_future(there())
    try:
        await back()
    except ConnectionError:
        pass
    finally:
        going.cancel()
        writer.close()


async def forward_all(session):
    """Pairs of streams (data, error) by their request's number."""
    waiting, running = {}, []
    while stream := await session.arrived.get():
        number = stream.headers.get("requestid")
        pair = waiting.setdefault(number, {})
        pair[stream.headers["streamtype"]] = stream
        if len(pair) == 2:
            del waiting[number]
            running.append(asyncio.ensure_future(forward(
                int(stream.headers["port"]), pair["data"], pair["error"])))
    for task in running:
        task.cancel()


# --- SPDY ---

async def over_spdy(call, sub, folder):
    offered = [v for k, v in call.request.headers
               if k == "x-stream-protocol-version"]
    offered = [p.strip() for v in offered for p in v.split(",")]
    known = (FORWARD,) if sub == "portforward" else CHANNELS
    chosen = [p for p in known if p in offered]
    if not chosen:
        raise apiserver_kube.Refused(403, "Forbidden",
                                     f"no protocol of {offered}")
    connection = call.reply.upgrade([
        ("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1"),
        ("X-Stream-Protocol-Version", chosen[0])])

    async def write(data):
        connection.send(data)
        await connection.drained()

    session = Session(connection.reader.readexactly, write)
    reading = asyncio.ensure_future(session.run())
    try:
        if sub == "portforward":
            await forward_all(session)
        else:
            await exec_spdy(call, sub, folder, session, connection)
    finally:
        connection.close()
        await reading


async def exec_spdy(call, sub, folder, session, connection):
    wanted = {"error"}
    wanted |= {n for n in ("stdin", "stdout", "stderr") if call.flag(n)}
    if call.flag("tty"):
        wanted = wanted - {"stderr"} | {"resize"}
    streams = {}
    while set(streams) < wanted:
        stream = await session.arrived.get()
        if stream is None:
            return
        streams[stream.headers["streamtype"]] = stream
    names = {STDOUT: "stdout", STDERR: "stderr", ERROR: "error"}

    async def write(channel, data):
        stream = streams.get(names[channel])
        if stream:
            await stream.write(data)

    async def nothing():
        return None

    read = streams["stdin"].read if "stdin" in streams else nothing
    working = asyncio.ensure_future(
        execute(call, sub, folder, Ways(read, write)))
    gone = asyncio.ensure_future(connection.gone.wait())
    await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
    if not working.done():
        working.cancel()
        return
    for name in ("stdout", "stderr", "error"):
        if name in streams:
            await streams[name].end()
    # The client hangs up when it has seen the end.
    await asyncio.wait({gone}, timeout=5)
    gone.cancel()


# --- WebSocket (RFC 6455) ---

class WebSocket:
    def __init__(self, connection):
        self.connection = connection
        self.rest = b""

    async def send(self, data, opcode=2):
        length = len(data)
        if length < 126:
            head = struct.pack(">BB", 0x80 | opcode, length)
        elif length < 65536:
            head = struct.pack(">BBH", 0x80 | opcode, 126, length)
        else:
            head = struct.pack(">BBQ", 0x80 | opcode, 127, length)
        self.connection.send(head + data)
        await self.connection.drained()

    async def _frame(self):
        read = self.connection.reader.readexactly
        first, second = await read(2)
        length = second & 127
        if length == 126:
            (length,) = struct.unpack(">H", await read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", await read(8))
        if not second & 128 or length > 1 << 24:
            raise ConnectionError("a frame that is not masked, or too long")
        mask = await read(4)
        body = await read(length)
        key = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
        body = (int.from_bytes(body, "big") ^ key).to_bytes(length, "big")
        return first >> 7, first & 15, body

    async def message(self):
        """The next one; None at the end."""
        whole = b""
        while True:
            final, opcode, body = await self._frame()
            if opcode == 8:
                await self.send(body[:2], 8)
                return None
            if opcode == 9:
                await self.send(body, 10)
            elif opcode != 10:
                whole += body
                if final:
                    return whole

    async def exactly(self, n):
        """As one stream of bytes."""
        while len(self.rest) < n:
            more = await self.message()
            if more is None:
                raise asyncio.IncompleteReadError(self.rest, n)
            self.rest += more
        out, self.rest = self.rest[:n], self.rest[n:]
        return out


async def over_websocket(call, sub, folder):
    request = call.request
    offered = [p.strip() for k, v in request.headers
               if k == "sec-websocket-protocol" for p in v.split(",")]
    known = (TUNNEL,) if sub == "portforward" else CHANNELS
    chosen = [p for p in known if p in offered]
    if not chosen:
        raise apiserver_kube.Refused(400, "BadRequest",
                                     f"no protocol of {offered}")
    key = request.header("sec-websocket-key")
    accept = base64.b64encode(hashlib.sha1(
        (key + MAGIC).encode()).digest()).decode()
    connection = call.reply.upgrade([
        ("Upgrade", "websocket"), ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept),
        ("Sec-WebSocket-Protocol", chosen[0])])
    socket = WebSocket(connection)
    try:
        if sub == "portforward":
            session = Session(socket.exactly, socket.send)
            reading = asyncio.ensure_future(session.run())
            await forward_all(session)
            await reading
        else:
            await exec_websocket(call, sub, folder, socket, chosen[0])
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        connection.close()


async def exec_websocket(call, sub, folder, socket, protocol):
    stdin = asyncio.Queue(16)

    async def arrive():
        try:
            while message := await socket.message():
                if message[0] == STDIN and message[1:]:
                    await stdin.put(message[1:])
                elif message[0] == CLOSE and protocol == CHANNELS[0]:
                    await stdin.put(None)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        await stdin.put(None)

    async def write(channel, data):
        await socket.send(bytes([channel]) + data)

    reading = asyncio.ensure_future(arrive())
    working = asyncio.ensure_future(
        execute(call, sub, folder, Ways(stdin.get, write)))
    gone = asyncio.ensure_future(socket.connection.gone.wait())
    await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    if not working.done():
        working.cancel()
    else:
        working.result()
        await socket.send(struct.pack(">H", 1000), 8)
    reading.cancel()
