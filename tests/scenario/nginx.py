"""nginx on the loopback, over TLS."""

import os
import shutil
import socket
import subprocess
import time

from harness import free_port  # and it sets the path of the fakes
import minting

CONFIG = """daemon off;
master_process off;
pid {d}/pid;
error_log {d}/error.log;
events {{ }}
http {{
    access_log off;
    default_type {default_type};
    client_body_temp_path {d}/t1;
    proxy_temp_path {d}/t2;
    fastcgi_temp_path {d}/t3;
    uwsgi_temp_path {d}/t4;
    scgi_temp_path {d}/t5;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port} ssl {listen};
        ssl_certificate {d}/server.pem;
        ssl_certificate_key {d}/server.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        {rest}
    }}
}}
"""


def find():
    return shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")


class Server:
    """`rest`: directives of the server block. `url`, `ca` (a file) lead to
    it."""

    def __init__(self, folder, listen, rest, authority=None,
                 default_type="text/plain", names=("127.0.0.1",)):
        self.folder = os.path.join(str(folder), "nginx")
        os.mkdir(self.folder)
        self.authority = authority or minting.Authority("nginx CA")
        key, cert = self.authority.server(list(names))
        self.ca = self._write("ca.pem", self.authority.pem)
        self._write("server.key", key)
        self._write("server.pem", cert)
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.conf = self._write("conf", CONFIG.format(
            d=self.folder, port=self.port, listen=listen,
            rest=rest.replace("{ca}", self.ca),
            default_type=default_type).encode())

    def _write(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def __enter__(self):
        log = os.path.join(self.folder, "error.log")
        self.process = subprocess.Popen(
            [find(), "-c", self.conf, "-p", self.folder, "-e", log],
            stdin=subprocess.DEVNULL)
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("nginx did not start: see " + log)

    def __exit__(self, *args):
        self.process.terminate()
        self.process.wait(60)
