"""RSA keys on tokens that have no PSS mechanism: raw RSA with padding made by
certvault where the token has that; else TLS 1.2 with PKCS#1 v1.5, and nothing
at all where the server wants 1.3."""

import pytest

import kube
import relay
from held import Held

pytestmark = pytest.mark.skipif(bool(relay.missing()),
                                reason=str(relay.missing()))


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    with relay.Standin(tmp_path_factory.mktemp("api")) as s:
        yield s


@pytest.fixture
def held(vault, misbehaving, upstream, secrets):
    """An entry on a token that can do everything; the tests take it away."""
    held = Held(vault, misbehaving)
    identity = upstream.identity("rsa2048", common="kim", secrets=secrets)
    held.json("import", "-", "--name", "a", "--to", "token:" + held.uri,
              input=kube.as_yaml(kube.config(identity, server=upstream.url)))
    vault.flags = []
    yield held
    vault("agent", "stop", code=0)


def with_tls(standin, *args):
    standin.stop()
    standin.args = args
    standin.start()
    standin.reset()


def ask(held, upstream, code=0):
    """One request; (TLS version, signature algorithm) of it."""
    vault = held.vault
    held("agent", "start", code=0)
    held("token", "login", held.uri, code=0)
    before = relay.signatures(vault)
    with relay.Session(vault, "a") as session:
        done = session.kubectl()("get", "--raw", "/version", code=code)
    made = relay.signatures(vault)[len(before):]
    seen = {c["tls"] for c in upstream.seen("connection")}
    return done, seen, {r["details"]["algorithm"] for r in made}


@pytest.mark.parametrize("pss", ("honest", "raw"))
def test_pss_by_the_token_or_made_here(held, upstream, pss):
    held.token.control("pss=" + pss)
    for version in ("1.3", "1.2"):
        with_tls(upstream, "--tls", version)
        _, seen, algorithms = ask(held, upstream)
        assert seen == {"TLSv" + version}
        (algorithm,) = algorithms
        assert algorithm.startswith("rsa_pss_rsae_"), algorithms
        held.vault("agent", "stop", code=0)


def test_without_either_tls12(held, upstream):
    """The server has TLS 1.3 as well."""
    held.token.control("pss=none")
    with_tls(upstream)
    _, seen, algorithms = ask(held, upstream)
    assert seen == {"TLSv1.2"}
    (algorithm,) = algorithms
    assert algorithm.startswith("rsa_pkcs1_"), algorithms


def test_never_weaker(held, upstream):
    held.token.control("pss=none")
    with_tls(upstream, "--tls", "1.3")
    done, seen, algorithms = ask(held, upstream, code=1)
    assert not algorithms and "TLSv1.3" not in seen
    assert b"protocol version" in done.stderr, done
