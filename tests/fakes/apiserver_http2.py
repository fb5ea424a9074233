"""HTTP/2 of the stand-in API server, over the h2 library."""

import asyncio

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from apiserver_http1 import BODY, Request


class Reply:
    upgraded = False

    def __init__(self, talk, stream):
        self.talk, self.stream = talk, stream
        self.gone = asyncio.Event()

    def _send_head(self, status, headers, end=False):
        self.talk.h2.send_headers(
            self.stream, [(":status", str(status)),
                          *((k.lower(), str(v)) for k, v in headers)], end)
        self.talk.flush()

    async def whole(self, status, headers, body):
        self._check()
        if self.talk.method[self.stream] == "HEAD":
            body = b""
        self._send_head(status, [*headers, ("content-length", len(body))],
                        not body)
        if body:
            await self.write(body, True)
        await self.talk.connection.drained()

    async def start(self, status, headers):
        self._check()
        self._send_head(status, headers)
        await self.talk.connection.drained()

    def _check(self):
        if self.gone.is_set():
            raise ConnectionResetError

    async def write(self, data, end=False):
        """Waits for the windows of stream and connection."""
        while data:
            self._check()
            room = min(self.talk.h2.local_flow_control_window(self.stream),
                       self.talk.h2.max_outbound_frame_size)
            if room <= 0:
                self.talk.window.clear()
                await self.talk.window.wait()
                continue
            piece, data = data[:room], data[room:]
            self.talk.h2.send_data(self.stream, piece, end and not data)
            self.talk.flush()
            await self.talk.connection.drained()

    async def end(self):
        self._check()
        self.talk.h2.end_stream(self.stream)
        self.talk.flush()


class Talk:
    """One connection."""

    def __init__(self, connection, server):
        self.connection, self.server = connection, server
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding="utf-8"))
        self.window = asyncio.Event()
        self.heads, self.bodies, self.method = {}, {}, {}
        self.replies = {}

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.connection.send(data)

    def begin(self):
        self.h2.local_settings = h2.settings.Settings(
            client=False, initial_values={
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS:
                    self.server.args.streams,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 1 << 20,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 256 * 1024})
        self.h2.initiate_connection()
        self.flush()

    def event(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.heads[event.stream_id] = event.headers
            self.bodies[event.stream_id] = bytearray()
        elif isinstance(event, h2.events.DataReceived):
            body = self.bodies.get(event.stream_id)
            self.h2.acknowledge_received_data(
                event.flow_controlled_length, event.stream_id)
            if body is not None:
                body += event.data
                if len(body) > BODY:
                    self.h2.reset_stream(event.stream_id)
                    self.forget(event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.request(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.forget(event.stream_id)
        elif isinstance(event, (h2.events.WindowUpdated,
                                h2.events.RemoteSettingsChanged)):
            self.window.set()

    def forget(self, stream):
        self.heads.pop(stream, None)
        self.bodies.pop(stream, None)
        reply = self.replies.pop(stream, None)
        if reply:
            reply.gone.set()
            self.window.set()

    def request(self, stream):
        if stream not in self.heads:
            return
        head = self.heads.pop(stream)
        pseudo = {k: v for k, v in head if k.startswith(":")}
        headers = [[k, v] for k, v in head if not k.startswith(":")]
        if ":authority" in pseudo:
            headers.insert(0, ["host", pseudo[":authority"]])
        self.method[stream] = pseudo[":method"]
        request = Request(self.connection, pseudo[":method"], pseudo[":path"],
                          headers, bytes(self.bodies.pop(stream)))
        reply = self.replies[stream] = Reply(self, stream)
        asyncio.ensure_future(self.answer(request, reply))

    async def answer(self, request, reply):
        try:
            await self.server.handle(request, reply)
        except (ConnectionError, h2.exceptions.ProtocolError):
            pass
        finally:
            self.replies.pop(reply.stream, None)
            self.method.pop(reply.stream, None)

    async def run(self):
        self.begin()
        while data := await self.connection.reader.read(65536):
            for event in self.h2.receive_data(data):
                self.event(event)
            self.flush()


async def serve(connection, server):
    talk = Talk(connection, server)
    try:
        await talk.run()
    except h2.exceptions.ProtocolError as e:
        server.note(kind="protocol error", conn=connection.number, why=str(e))
        talk.flush()
    finally:
        for stream in list(talk.replies):
            talk.forget(stream)
