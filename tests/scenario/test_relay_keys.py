"""Every kind of key in every place through the relay, with TLS 1.2 and 1.3:
the server sees a good certificate, and the log a signature for it."""

import os

import pytest
from cryptography import x509

import kube
import relay
from held import Held, certified, csr_key

pytestmark = pytest.mark.skipif(bool(relay.missing()),
                                reason=str(relay.missing()))
ALGORITHMS = ("rsa2048", "rsa4096", "p256", "p384", "ed25519")
LEAKY = {"name": "leaky", "effect": "permit",
         "subjects": {"uids": [os.getuid()]},
         "actions": ["import"], "entries": {"leaky": True}}


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    with relay.Standin(tmp_path_factory.mktemp("api")) as s:
        yield s


def with_tls(standin, version):
    """The same server, at the same address, with this version alone."""
    standin.stop()
    standin.args = ("--tls", version)
    standin.start()
    standin.reset()


def use(standin, vault, name, who):
    """A request by each version of TLS; each wants a signature."""
    with relay.Session(vault, name) as session:
        kubectl = session.kubectl()
        for version in ("1.2", "1.3"):
            before = relay.signatures(vault)
            with_tls(standin, version)
            assert "v1.32" in kubectl.text("get", "--raw", "/version")
            (seen,) = {(c["cn"], c["tls"]) for c in standin.seen("connection")}
            assert seen == (who, "TLSv" + version)
            made = relay.signatures(vault)[len(before):]
            assert len(made) == 1, made
            purpose = made[0]["details"]["purpose"]
            assert purpose.startswith("tls" + version.replace(".", "")), made


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_sealed(vault, secrets, upstream, alg):
    identity = upstream.identity(alg, common="kim-" + alg, secrets=secrets)
    vault.add(kube.as_yaml(kube.config(identity, server=upstream.url)), "a")
    use(upstream, vault, "a", "kim-" + alg)


def put(held, standin, alg):
    """A key of that kind on the token, by whichever way; its name in the
    certificate, or None where the token takes no such key."""
    token, who = held.token, "kim-" + alg
    if "leaks" in token.can:
        held.vault.policy(LEAKY)
    if "import " + alg in token.can:
        identity = standin.identity(alg, common=who,
                                    secrets=held.vault.secrets)
        held.json("import", "-", "--name", alg, "--to", "token:" + held.uri,
                  input=kube.as_yaml(kube.config(identity,
                                                 server=standin.url)))
        return who
    ca = held.vault.write("ca.pem", standin.authority.pem)
    cluster = ("--server", standin.url, "--cluster-ca", ca)
    if "generate " + alg in token.can:
        request = os.path.join(held.vault.home, "request.pem")
        held("generate", alg, "--token", held.uri, "--alg", alg, "--csr",
             request, code=0)
        with open(request, "rb") as f:
            public = csr_key(f.read())
        cert = held.vault.write("cert.pem",
                                certified(standin.authority, public, who))
        held("install", alg, "--cert", cert, *cluster, code=0)
        os.unlink(request)
        return who
    if "holds " + alg in token.can:
        public = x509.load_pem_x509_certificate(
            token.certificate(alg)).public_key()
        cert = held.vault.write("cert.pem",
                                certified(standin.authority, public, who))
        held("adopt", alg, "--key", held.key_uri(token.ids[alg]), "--cert",
             cert, *cluster, code=0)
        return who
    return None


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_on_a_token(release_vault, token, upstream, alg):
    vault = release_vault
    held = Held(vault, token)
    who = put(held, upstream, alg)
    if who is None:
        pytest.skip(f"{token.name} takes no {alg} key")
    vault.flags = []
    try:
        held("agent", "start", code=0)
        held("token", "login", held.uri, code=0)
        use(upstream, vault, alg, who)
    finally:
        vault("agent", "stop", code=0)
