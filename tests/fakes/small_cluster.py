"""As much of an API server as `kubectl get namespaces` asks for, over mutual
TLS on the loopback: for quickstart. apiserver.py is the one for tests."""

import http.server
import json
import os
import ssl
import tempfile
import threading

NAMES = ["default", "kube-system", "shop"]


def _resource(name, kind):
    return {"name": name, "singularName": "namespace", "kind": kind,
            "shortNames": ["ns"], "namespaced": False,
            "verbs": ["get", "list", "delete"]}


def _namespace(name):
    return {"kind": "Namespace", "apiVersion": "v1",
            "metadata": {"name": name,
                         "creationTimestamp": "2026-02-02T08:12:40Z"},
            "status": {"phase": "Active"}}


ANSWERS = {
    "/version": {"major": "1", "minor": "31", "gitVersion": "v1.31.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1",
                "resources": [_resource("namespaces", "Namespace")]},
    "/api/v1/namespaces": {"kind": "NamespaceList", "apiVersion": "v1",
                           "metadata": {"resourceVersion": "1"},
                           "items": [_namespace(n) for n in NAMES]},
    **{f"/api/v1/namespaces/{n}": _namespace(n) for n in NAMES},
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self):
        answer = ANSWERS.get(self.path.partition("?")[0])
        body = json.dumps(answer or {
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "reason": "NotFound", "code": 404,
            "message": "there is no such thing here"}).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    """Lets in whom `authority` has signed for. Ends with the process."""

    daemon_threads = True

    def __init__(self, folder, authority):
        super().__init__(("127.0.0.1", 0), Handler)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.load_verify_locations(
            cadata=authority.pem.decode("ascii"))
        key, cert = authority.server(["127.0.0.1"])
        fd, path = tempfile.mkstemp(dir=folder)
        with os.fdopen(fd, "wb") as f:
            f.write(cert + key)
        self.context.load_cert_chain(path)
        os.unlink(path)
        self.url = "https://127.0.0.1:%d" % self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request, client_address):
        # In the connection's own thread: a handshake may take its time.
        try:
            with self.context.wrap_socket(request, server_side=True) as tls:
                self.RequestHandlerClass(tls, client_address, self)
        except OSError:
            pass
