"""A broker that answers as it is told and remembers what it was asked.

It speaks io.certvault.Broker (NUL-terminated JSON objects) on a Unix socket, so
that the command line can be tested by itself.

    with FakeBroker(path) as broker:
        broker.answers["List"] = {"items": []}
        broker.answers["Show"] = Failure("not-found", "there is none")
        broker.answers["Export"] = [Failure("locked", ...), {...}]   # in turn
        broker.answers["Import"] = lambda parameters: {"items": [...]}
        ...
        broker.calls            # [(method, parameters), ...]
"""

import json
import os
import socket
import threading

INTERFACE = "io.certvault.Broker."
NAMES = {"not-found": "NotFound"}


class Failure:
    """An error answer."""

    def __init__(self, code, message="it was told to fail", **more):
        self.code = code
        self.parameters = {"code": code, "message": message, **more}

    @property
    def name(self):
        return INTERFACE + NAMES.get(self.code, self.code.capitalize())


class FakeBroker:
    GREETING = {"vault_id": "0" * 32, "folder": "/nowhere", "mode": "service",
                "version": "fake", "state": "ready", "locked": True,
                "public_key": "A" * 43 + "=", "pid": os.getpid()}

    def __init__(self, path):
        self.path = str(path)
        self.answers = {"Hello": dict(self.GREETING)}
        self.calls = []
        self.raw = None      # bytes sent instead of the next answer, then the
                             # connection is closed
        self._listener = None
        self._threads = []
        self._connections = set()

    def __enter__(self):
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        os.chmod(self.path, 0o666)
        self._listener.listen(16)
        self._start(self._accept)
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def hang_up(self):
        """Closes every connection, as a broker that ends does."""
        for connection in list(self._connections):
            connection.shutdown(socket.SHUT_RDWR)

    @property
    def address(self):
        return "unix:" + self.path

    def asked(self, method):
        """The parameters of each call of a method."""
        return [p for m, p in self.calls if m == method]

    def _start(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, connection)

    def _serve(self, connection):
        self._connections.add(connection)
        try:
            self._talk(connection)
        finally:
            self._connections.discard(connection)

    def _talk(self, connection):
        with connection:
            waiting = b""
            while True:
                try:
                    data = connection.recv(65536)
                except OSError:
                    return
                if not data:
                    return
                waiting += data
                while b"\0" in waiting:
                    message, waiting = waiting.split(b"\0", 1)
                    try:
                        self._reply(connection, json.loads(message))
                    except OSError:
                        return

    def _reply(self, connection, message):
        method = message["method"].removeprefix(INTERFACE)
        parameters = message.get("parameters", {})
        self.calls.append((method, parameters))
        if self.raw is not None and method != "Hello":
            connection.sendall(self.raw)
            self.raw = None
            connection.shutdown(socket.SHUT_RDWR)
            return
        answer = self.answers.get(method, Failure("internal", "no answer"))
        if isinstance(answer, list):
            answer = answer.pop(0)
        if callable(answer):
            answer = answer(parameters)
        if isinstance(answer, Failure):
            out = {"error": answer.name, "parameters": answer.parameters}
        else:
            out = {"parameters": answer}
        connection.sendall(json.dumps(out).encode() + b"\0")
