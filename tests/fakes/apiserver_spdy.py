"""SPDY/3.1 of the stand-in API server: as much as exec and port-forward use.

Frames and header blocks: the SPDY protocol, draft 3.1 (The Chromium Projects),
sections 2.2, 2.6 and 2.6.10.1; streams have no flow control here, as in the
library that Kubernetes uses.
"""

import asyncio
import struct
import zlib

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY = 1, 2, 3, 4, 6, 7
FIN = 1
FRAME = 1 << 24

# Section 2.6.10.1: 4-byte lengths before words, then text without.
WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding "
    "accept-language accept-ranges age allow authorization cache-control "
    "connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect "
    "expires from host if-match if-modified-since if-none-match if-range "
    "if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server "
    "te trailer transfer-encoding upgrade user-agent vary via warning "
    "www-authenticate method get status").split() + [
        "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie",
        "keep-alive", "origin"]
REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414"
    "415416417502504505203 Non-Authoritative Information204 No Content301 "
    "Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not "
    "Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, "
    "Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,public"
    "privatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,"
    "enq=0.")
DICTIONARY = b"".join(struct.pack(">I", len(w)) + w.encode()
                      for w in WORDS) + REST.encode()
# The number by which zlib streams name it (RFC 1950, 2.2).
assert zlib.adler32(DICTIONARY) == 0xe3c6a7c2


class Stream:
    def __init__(self, session, number, headers):
        self.session, self.number, self.headers = session, number, headers
        self.data = asyncio.Queue()    # bytes; None: the other side is done
        self.sent_fin = False

    async def read(self):
        return await self.data.get()

    async def write(self, data):
        for at in range(0, len(data), 32768):
            await self.session.frame_data(self.number, data[at:at + 32768])

    async def end(self):
        if not self.sent_fin:
            self.sent_fin = True
            await self.session.frame_data(self.number, b"", FIN)


class Session:
    """`read(n)` gives exactly n bytes or raises; `write(bytes)` waits."""

    def __init__(self, read, write):
        self.read, self.write = read, write
        self.streams = {}
        self.arrived = asyncio.Queue()  # streams that the other side opened
        self.packer = zlib.compressobj(zdict=DICTIONARY)
        self.unpacker = zlib.decompressobj(zdict=DICTIONARY)

    async def frame(self, kind, flags, body):
        await self.write(struct.pack(">HHI", 0x8003, kind,
                                     flags << 24 | len(body)) + body)

    async def frame_data(self, number, data, flags=0):
        await self.write(struct.pack(">II", number, flags << 24 | len(data))
                         + data)

    def unpack(self, block):
        raw = self.unpacker.decompress(block)
        (count,) = struct.unpack_from(">I", raw)
        at, headers, words = 4, {}, []
        for _ in range(2 * count):
            (length,) = struct.unpack_from(">I", raw, at)
            words.append(raw[at + 4:at + 4 + length].decode())
            at += 4 + length
        for name, value in zip(words[::2], words[1::2]):
            headers[name.lower()] = value
        return headers

    def pack(self, headers):
        raw = struct.pack(">I", len(headers))
        for pair in headers.items():
            for word in pair:
                raw += struct.pack(">I", len(word)) + word.encode()
        return self.packer.compress(raw) + \
            self.packer.flush(zlib.Z_SYNC_FLUSH)

    async def run(self):
        """Until the other side hangs up."""
        try:
            while True:
                first, second = struct.unpack(">II", await self.read(8))
                flags, length = second >> 24, second & 0xffffff
                if length > FRAME:
                    raise ConnectionError("frame too long")
                body = await self.read(length)
                if first >> 31:
                    await self.control(first & 0xffff, flags, body)
                else:
                    self.arrive(first, flags, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for stream in self.streams.values():
                stream.data.put_nowait(None)
            self.arrived.put_nowait(None)

    def arrive(self, number, flags, body):
        stream = self.streams.get(number)
        if stream is None:
            return
        if body:
            stream.data.put_nowait(body)
        if flags & FIN:
            stream.data.put_nowait(None)

    async def control(self, kind, flags, body):
        if kind == SYN_STREAM:
            (number,) = struct.unpack_from(">I", body)
            stream = Stream(self, number, self.unpack(body[10:]))
            self.streams[number] = stream
            await self.frame(SYN_REPLY, 0, struct.pack(">I", number) +
                             self.pack({}))
            if flags & FIN:
                stream.data.put_nowait(None)
            self.arrived.put_nowait(stream)
        elif kind == PING:
            await self.frame(PING, 0, body)
        elif kind == RST_STREAM:
            (number,) = struct.unpack_from(">I", body)
            stream = self.streams.pop(number, None)
            if stream:
                stream.data.put_nowait(None)
        elif kind == GOAWAY:
            raise ConnectionError("gone away")
