"""Proxies of others with the relay's work to do: TLS to the client, TLS with a
client certificate to the server. Each on a port of the loopback, in a folder of
its own, ended by its number."""

import os
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "scenario"))
import harness  # noqa: E402, F401  (sets the path of the fakes)
import minting  # noqa: E402
import nginx  # noqa: E402
import tokens  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")


def cpu_of(pids):
    """Seconds of processor time that processes have had."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii",
                  errors="replace") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def pss_of(pids):
    """Bytes of memory that are theirs (shared pages by their share)."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            for line in f:
                if line.startswith("Pss:"):
                    total += 1024 * int(line.split()[1])
    return total


def below(pid):
    """It and its children."""
    found = [pid]
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            for child in f.read().split():
                found += below(int(child))
    except FileNotFoundError:
        pass
    return found


class World:
    """What all of them share: a server that asks for certificates of its CA
    (`upstream`), the local CA of their fronts, and the client's files.

    `token`, `key_id`: the same client key on SoftHSM, for who can use it."""

    def __init__(self, folder, upstream, identity, token=None, key_id=None):
        self.folder, self.upstream = folder, upstream
        self.identity, self.token, self.key_id = identity, token, key_id
        self.local = minting.Authority("front CA")
        self.front_ca = self.write("front-ca.pem", self.local.pem)
        key, cert = self.local.server(["127.0.0.1", "localhost"])
        self.write("front.key", key)
        self.write("front.pem", cert)
        self.write("front-both.pem", cert + key)
        self.write("up.pem", identity.cert_pem)
        self.write("up.key", identity.key_pem)
        self.write("up-both.pem", identity.cert_pem + identity.key_pem)
        self.write("up-ca.pem", identity.ca.pem)
        key = minting.make_key("p256")
        self.write("caller.key", minting.key_pem(key))
        self.write("caller.pem",
                   minting.cert_pem(self.local.client(key, "caller")))

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data.encode() if isinstance(data, str) else data)
        os.chmod(self.path(name), 0o600)
        return self.path(name)


class Peer:
    """`strict`: the front asks for a certificate of the caller, as the relay
    does; else anybody may use it."""

    name = "?"
    program = "?"
    env = {}

    def __init__(self, world, strict=False):
        self.world, self.strict = world, strict
        self.port = nginx.free_port()
        self.ca = world.front_ca
        self.cert, self.key = (world.path("caller.pem"),
                               world.path("caller.key"))

    @classmethod
    def missing(cls):
        return None if tokens.program(cls.program) else f"no {cls.program}"

    def argv(self):
        raise NotImplementedError

    def __enter__(self):
        self.folder = os.path.join(self.world.folder,
                                   f"{type(self).__name__}-{self.port}")
        os.mkdir(self.folder)
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(
                self.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={"PATH": tokens.PATH, **self.env},
                preexec_fn=tokens.die_with_parent)
        tokens.wait_for(lambda: tokens.listening(self.port), self.name,
                        self.process)
        return self

    def __exit__(self, *args):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        shutil.rmtree(self.folder)

    def pids(self):
        return below(self.process.pid)

    def conf(self, text):
        path = os.path.join(self.folder, "conf")
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        return path


FRONT = """listen 127.0.0.1:{port} ssl;
        ssl_certificate {w}/front.pem;
        ssl_certificate_key {w}/front.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        {verify}"""
BACK = """proxy_ssl_certificate {w}/up.pem;
        proxy_ssl_certificate_key {key};
        proxy_ssl_trusted_certificate {w}/up-ca.pem;
        proxy_ssl_verify on;
        proxy_ssl_name localhost;
        proxy_ssl_protocols TLSv1.2 TLSv1.3;
        proxy_ssl_session_reuse off;"""


class Nginx(Peer):
    name = "nginx L7, upstream pool"
    program = "nginx"
    pool = "keepalive 64;"
    version = "proxy_http_version 1.1; proxy_set_header Connection \"\";"

    def upstream_key(self):
        return self.world.path("up.key")

    def parts(self):
        verify = "ssl_verify_client on; ssl_client_certificate " \
            f"{self.world.front_ca};" if self.strict else ""
        return (FRONT.format(port=self.port, w=self.world.folder,
                             verify=verify),
                BACK.format(w=self.world.folder, key=self.upstream_key()))

    def body(self):
        front, back = self.parts()
        return f"""http {{
    access_log off;
    client_body_temp_path {self.folder}/t1;
    proxy_temp_path {self.folder}/t2;
    fastcgi_temp_path {self.folder}/t3;
    uwsgi_temp_path {self.folder}/t4;
    scgi_temp_path {self.folder}/t5;
    keepalive_requests 100000000;
    upstream up {{
        server 127.0.0.1:{self.world.upstream};
        {self.pool}
    }}
    server {{
        {front}
        location / {{
        proxy_pass https://up;
        {self.version}
        proxy_max_temp_file_size 0;
        {back}
        }}
    }}
}}
"""

    head = ""

    def argv(self):
        path = self.conf(f"""daemon off;
master_process off;
pid {self.folder}/pid;
error_log {self.folder}/error.log;
{self.head}
events {{ worker_connections 4096; }}
{self.body()}""")
        return [nginx.find(), "-c", path, "-p", self.folder, "-e",
                os.path.join(self.folder, "error.log")]


class NginxNoPool(Nginx):
    name = "nginx L7, no pool"
    pool = version = ""


class NginxToken(NginxNoPool):
    """Each request's upstream connection is signed for by the token."""

    name = "nginx L7, no pool, engine:pkcs11 on SoftHSM"
    head = "env SOFTHSM2_CONF;\nenv OPENSSL_CONF;"

    @property
    def env(self):
        conf = self.world.write("engine.cnf", f"""openssl_conf = i
[i]
engines = e
[e]
pkcs11 = p
[p]
engine_id = pkcs11
MODULE_PATH = {self.world.token.tool_module}
init = 1
""")
        return {**self.world.token.tool_env, "OPENSSL_CONF": conf}

    def upstream_key(self):
        token = self.world.token
        spaced = "".join("%" + self.world.key_id[i:i + 2]
                         for i in range(0, len(self.world.key_id), 2))
        return (f'"engine:pkcs11:pkcs11:token={token.label};id={spaced};'
                f'type=private;pin-value={token.pin}"')


class NginxStream(Nginx):
    name = "nginx stream"

    @classmethod
    def missing(cls):
        return super().missing() or (None if cls.module() else
                                     "no libnginx-mod-stream")

    @staticmethod
    def module():
        path = "/usr/lib/nginx/modules/ngx_stream_module.so"
        return path if os.path.exists(path) else None

    @property
    def head(self):
        return f"load_module {self.module()};"

    def body(self):
        front, back = self.parts()
        return f"""stream {{
    server {{
        {front}
        proxy_pass 127.0.0.1:{self.world.upstream};
        proxy_ssl on;
        {back}
    }}
}}
"""


class Haproxy(Peer):
    name = "haproxy http, reuse"
    program = "haproxy"
    mode = "mode http\n    option http-keep-alive\n    http-reuse always"

    def argv(self):
        w = self.world.folder
        verify = f"ca-file {self.world.front_ca} verify required" \
            if self.strict else ""
        path = self.conf(f"""global
    maxconn 4000
    nbthread 1
defaults
    timeout connect 10s
    timeout client 600s
    timeout server 600s
    {self.mode.splitlines()[0]}
frontend f
    bind 127.0.0.1:{self.port} ssl crt {w}/front-both.pem {verify}
    default_backend b
backend b
    {self.mode}
    server s 127.0.0.1:{self.world.upstream} ssl verify required \
ca-file {w}/up-ca.pem crt {w}/up-both.pem verifyhost localhost \
no-ssl-reuse
""")
        return [tokens.program("haproxy"), "-db", "-f", path]


class HaproxyTcp(Haproxy):
    name = "haproxy tcp"
    mode = "mode tcp"


class Stunnel(Peer):
    """TLS to plain and plain to TLS, both in one process."""

    name = "stunnel x2"
    program = "stunnel4"

    def argv(self):
        w, middle = self.world.folder, nginx.free_port()
        verify = f"CAfile = {self.world.front_ca}\nverifyChain = yes" \
            if self.strict else ""
        path = self.conf(f"""foreground = yes
pid =
debug = err
sessionCacheSize = 1
[front]
accept = 127.0.0.1:{self.port}
connect = 127.0.0.1:{middle}
cert = {w}/front.pem
key = {w}/front.key
{verify}
[back]
client = yes
accept = 127.0.0.1:{middle}
connect = 127.0.0.1:{self.world.upstream}
cert = {w}/up.pem
key = {w}/up.key
CAfile = {w}/up-ca.pem
verifyChain = yes
checkHost = localhost
sessionResume = no
""")
        return [tokens.program("stunnel4"), path]


KINDS = (Nginx, NginxNoPool, NginxToken, NginxStream, Haproxy, HaproxyTcp,
         Stunnel)


def wait_quiet(pids, seconds=3):
    """Until the processes have nothing left to do."""
    before = cpu_of(pids)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.05)
        now = cpu_of(pids)
        if now == before:
            return
        before = now
