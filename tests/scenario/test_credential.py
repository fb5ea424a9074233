"""credential: what kubectl runs to get in, and kubeconfigs that name it.

Against a broker of the tests' own, with real kubectl; openssl's s_server stands
where the relay will be."""

import datetime
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

import harness
from fake_broker import Failure
from harness import Certvault, INVALID, NOT_FOUND, UNAVAILABLE, USAGE
from hop import VAULT_ID, GrantBroker, HopCa
from kube import Identity, as_yaml, config

V1 = "client.authentication.k8s.io/v1"
V1BETA1 = "client.authentication.k8s.io/v1beta1"


@pytest.fixture(scope="module")
def hop(tmp_path_factory):
    return HopCa(tmp_path_factory.mktemp("hop"))


@pytest.fixture
def cli(home, secrets):
    cli = Certvault(home, secrets)
    cli.flags = []
    return cli


@pytest.fixture
def broker(cli, hop, secrets):
    with GrantBroker(os.path.join(cli.home, "b.sock"), hop) as b:
        cli.extra["CERTVAULT_BROKER"] = b.address
        secrets.add("the hop's key", b.key)
        yield b


def info(version=V1, **spec):
    return {"KUBERNETES_EXEC_INFO": json.dumps(
        {"kind": "ExecCredential", "apiVersion": version, "spec": spec})}


def ask(cli, *args, env=None, code=0, **options):
    return cli("credential", "prod", "--vault-id", VAULT_ID, *args, env=env,
               code=code, secret=True, **options)


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def expiry(document):
    return datetime.datetime.strptime(
        document["status"]["expirationTimestamp"] + "+0000",
        "%Y-%m-%dT%H:%M:%SZ%z")


# --- the document ---

def test_the_document(cli, broker, hop):
    done = ask(cli)
    assert done.err == b"" and done.out.count(b"\n") == 1
    document = done.json
    assert document["kind"] == "ExecCredential"
    assert document["apiVersion"] == V1
    assert document["status"]["clientCertificateData"] == broker.certificate
    assert document["status"]["clientKeyData"] == broker.key
    assert 580 < (expiry(document) - now()).total_seconds() <= 600
    asked, = broker.asked("Use")
    assert asked["kind"] == "credential" and asked["name"] == "prod"
    assert "duration" not in asked and not broker.asked("UseEnd")
    assert broker.asked("Hello")[0]["vault_id"] == VAULT_ID


@pytest.mark.parametrize("version", [V1, V1BETA1])
def test_it_answers_in_the_version_asked_for(cli, broker, version):
    done = ask(cli, env=info(version, interactive=False))
    assert done.json["apiVersion"] == version
    assert done.json["spec"]["interactive"] is False
    assert broker.asked("Use")[0]["tty"] is False


@pytest.mark.parametrize("text", [
    "{", "[]", '"x"', "{}", json.dumps({"apiVersion": V1 + "alpha1"}),
    json.dumps({"apiVersion": V1BETA1.replace("beta", "gamma")})])
def test_other_versions_are_refused(cli, broker, text):
    done = ask(cli, env={"KUBERNETES_EXEC_INFO": text}, code=INVALID)
    assert done.out == b"" and done.err.count(b"\n") == 1
    assert "KUBERNETES_EXEC_INFO" in done.note
    assert not broker.asked("Use")


def test_not_longer_than_the_grant(cli, broker):
    broker.seconds = 60
    left = (expiry(ask(cli).json) - now()).total_seconds()
    assert 40 < left <= 60


def test_one_line_of_error(cli, broker):
    broker.answers["Use"] = Failure("denied", "no rule permits it",
                                    state="nothing was done",
                                    hint="ask the owner")
    done = ask(cli, code=77)
    assert done.out == b"" and done.err.count(b"\n") == 1
    for word in ("no rule permits it", "nothing was done", "ask the owner"):
        assert word in done.note


def test_another_vault_at_the_address(cli, broker):
    done = cli("credential", "prod", "--vault-id", "f" * 32, code=NOT_FOUND)
    assert "another vault" in done.note and done.out == b""
    assert not broker.asked("Use")


def test_usage(cli, broker):
    assert "--vault-id" in cli("credential", "prod", code=USAGE).note
    ask(cli, "--broker", "exec:", code=USAGE)
    ask(cli, "--no-agent", code=USAGE)


def test_no_broker(cli):
    done = ask(cli, "--broker", f"unix:{cli.home}/none.sock", code=UNAVAILABLE)
    assert done.err.count(b"\n") == 1


def test_nothing_is_written(cli, broker):
    """It runs before every few kubectl: no file, no sync."""
    if not harness.have_strace():
        pytest.skip("strace cannot be used here")
    trace = os.path.join(cli.home, "trace")
    cli.wrap = ["strace", "-f", "-o", trace]
    ask(cli, env={"ASAN_OPTIONS": "detect_leaks=0"})
    with open(trace, encoding="utf-8", errors="replace") as f:
        calls = f.read()
    for bad in ("fsync", "fdatasync", "O_CREAT", "clone(", "execve(\"/usr"):
        assert bad not in calls, bad


# --- the kubeconfig that names it ---

def test_the_kubeconfig(cli, broker, hop):
    broker.namespace = "payments"
    document = cli("-o", "json", "kubeconfig", "prod", code=0).json
    assert cli("kubeconfig", "prod", code=0).text.startswith(
        "apiVersion: v1\nkind: Config\n")
    user, = document["users"]
    command = user["user"]["exec"]
    assert command["apiVersion"] == V1
    assert command["command"] == harness.program()
    assert command["args"] == ["credential", "prod", "--vault-id", VAULT_ID,
                               "--broker", broker.address]
    assert command["interactiveMode"] == "IfAvailable"
    assert "kubeconfig" in command["installHint"]
    # The end keeps what kubectl learned of one cluster from another's.
    assert document["clusters"][0]["cluster"]["server"] == \
        broker.server + "/-/prod"
    assert document["contexts"][0]["context"]["namespace"] == "payments"
    assert b"PRIVATE" not in json.dumps(document).encode()
    assert {p["name"] for p in broker.asked("Keyless")} == {"prod"}


def test_a_context_of_its_own(cli, broker):
    document = cli("-o", "json", "kubeconfig", "prod", "--context", "external",
                   "--exec-api", "v1beta1", code=0).json
    assert document["current-context"] == "prod-external"
    command = document["users"][0]["user"]["exec"]
    assert command["apiVersion"] == V1BETA1
    assert command["args"][4:6] == ["--context", "external"]
    assert document["contexts"][0]["context"]["namespace"] == "apps"
    cli("kubeconfig", "prod", "--context", "none", code=NOT_FOUND)
    cli("kubeconfig", "prod", "--exec-api", "v2", code=USAGE)


def test_to_a_file(cli, broker):
    path = os.path.join(cli.home, "k.yaml")
    cli("kubeconfig", "prod", "--output", path, code=0)
    assert os.stat(path).st_mode & 0o777 == 0o600
    cli("kubeconfig", "prod", "--output", path, code=65)
    cli("--yes", "kubeconfig", "prod", "--output", path, code=0)
    done = subprocess.run(
        ["kubectl", "--kubeconfig", path, "config", "get-contexts", "-o",
         "name"], capture_output=True, text=True, check=True)
    assert done.stdout == "prod\n"


class Server:
    """A TLS server of the hop's CA that wants its client certificates and
    answers /version to whoever has one."""

    def __init__(self, hop):
        certificate, _ = hop.make("server", "/CN=127.0.0.1",
                                  "subjectAltName=IP:127.0.0.1")
        assert certificate
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(hop.path("server.pem"), hop.path("server.key"))
        context.load_verify_locations(hop.path("ca.pem"))
        context.verify_mode = ssl.CERT_REQUIRED
        self.context, self.requests = context, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = "https://127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,),
                             daemon=True).start()

    def _serve(self, connection):
        try:
            with self.context.wrap_socket(connection, server_side=True) as tls:
                data = b""
                while b"\r\n\r\n" not in data:
                    got = tls.recv(4096)
                    if not got:
                        return
                    data += got
                self.requests.append(data.split(b"\r\n")[0])
                body = b'{"major": "1", "minor": "32"}'
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json"
                            b"\r\nContent-Length: %d\r\nConnection: close\r\n"
                            b"\r\n%s" % (len(body), body))
        except OSError:
            pass


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl here")
@pytest.mark.parametrize("api", ["v1", "v1beta1"])
def test_kubectl_comes_in_by_it(cli, broker, hop, api):
    server = Server(hop)
    broker.server = server.address
    path = os.path.join(cli.home, "k.yaml")
    cli("kubeconfig", "prod", "--exec-api", api, "--output", path, code=0)
    done = subprocess.run(
        ["kubectl", "--kubeconfig", path, "get", "--raw", "/version"],
        env=cli.env({"CERTVAULT_BROKER": None}), capture_output=True,
        text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done
    # --raw leaves out what the address has behind its port
    assert server.requests[-1] == b"GET /version HTTP/1.1"
    assert broker.asked("Use")[0]["kind"] == "credential"


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl here")
def test_kubectl_shows_the_refusal(cli, broker):
    broker.answers["Use"] = Failure("denied", "no rule permits it at night")
    path = os.path.join(cli.home, "k.yaml")
    cli("kubeconfig", "prod", "--output", path, code=0)
    done = subprocess.run(
        ["kubectl", "--kubeconfig", path, "get", "--raw", "/version"],
        env=cli.env({"CERTVAULT_BROKER": None}), capture_output=True,
        text=True, stdin=subprocess.DEVNULL)
    assert done.returncode != 0
    assert "no rule permits it at night" in done.stderr


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl here")
def test_kubectl_in_exec(cli, broker, hop):
    server = Server(hop)
    broker.server = server.address
    done = cli("exec", "prod", "--", "kubectl", "get", "--raw", "/version",
               code=0)
    assert done.json["minor"] == "32"


# --- the agent ---

def test_a_locked_vault_where_nobody_can_be_asked(home, secrets):
    v = harness.Vault(home, secrets, init=False)
    v.flags = []
    v.write("pass", "correct horse battery")
    v("init", "--new-passphrase-file", v.home + "/pass", code=0)
    identity = v.json("status")["vault_id"]
    try:
        done = v("credential", "prod", "--vault-id", identity,
                 env=info(interactive=False))
        # It is looked for before anything is opened, or else it is locked.
        assert done.code in (NOT_FOUND, UNAVAILABLE) and done.out == b""
        v("import", "-", "--name", "prod", "--passphrase-file",
          v.home + "/pass", code=0,
          input=as_yaml(config(Identity(secrets=secrets))))
        v("agent", "stop")
        done = v("credential", "prod", "--vault-id", identity,
                 env=info(interactive=False), code=UNAVAILABLE)
        assert done.err.count(b"\n") == 1
        assert "certvault unlock" in done.note
    finally:
        v("agent", "stop")


def test_it_starts_the_agent(vault):
    """Also where nobody may be asked. What it answers is the broker's; here
    that there is no such entry."""
    vault.flags = []
    identity = vault.json("--no-agent", "status")["vault_id"]
    try:
        done = vault("credential", "none", "--vault-id", identity)
        assert done.code in (NOT_FOUND, INVALID) and done.out == b""
        assert done.err.count(b"\n") == 1
        assert vault("agent", "status", code=0)
    finally:
        vault("agent", "stop")
