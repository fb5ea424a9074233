"""The export works: kubectl reads it and reaches a server by it that asks for
client certificates."""

import os
import shutil
import subprocess

import pytest

import harness
import minting
import nginx
from kube import Identity, as_yaml, config

REST = """ssl_client_certificate {ca};
        ssl_verify_client on;
        location /version {
            default_type application/json;
            return 200 '{"gitVersion":"v1.31.0","who":"$ssl_client_s_dn"}';
        }"""


@pytest.fixture
def server(tmp_path):
    """nginx that lets in who has a certificate of its CA; (url, CA)."""
    if not nginx.find():
        pytest.skip("no nginx here")
    ca = minting.Authority("reach CA")
    with nginx.Server(tmp_path, "", REST, ca) as s:
        yield s.url, ca


@pytest.fixture
def kubectl(home):
    program = shutil.which("kubectl")
    if not program:
        pytest.skip("no kubectl here")

    def run(*args, path):
        return subprocess.run(
            [program, "--kubeconfig", path, *args], timeout=60, text=True,
            capture_output=True,
            env={"HOME": str(home), "PATH": os.environ["PATH"]})
    return run


def exported(vault, name):
    path = os.path.join(vault.home, name + ".yaml")
    vault("export", name, "--reason", "reach the server", "--output", path,
          code=0)
    return path


@pytest.mark.parametrize("alg", ["rsa2048", "p256", "ed25519"])
def test_kubectl_reaches_the_server(vault, secrets, server, kubectl, alg):
    url, ca = server
    vault.policy(harness.MAY_EXPORT)
    identity = Identity(alg, ca=ca, common="kim", secrets=secrets)
    vault.add(as_yaml(config(identity, server=url)), "a", "--exportable")
    path = exported(vault, "a")
    seen = kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster."
                   "server}", path=path)
    assert seen.stdout == url, seen
    done = kubectl("get", "--raw", "/version", path=path)
    assert done.returncode == 0 and "CN=kim" in done.stdout, done


def test_without_the_key_it_does_not(vault, server, kubectl):
    """The server does ask: a key of another CA is refused."""
    url, ca = server
    vault.policy(harness.MAY_EXPORT)
    other = Identity()
    document = config(other, server=url)
    document["clusters"][0]["cluster"] = Identity(ca=ca).cluster(url)
    vault.add(as_yaml(document), "a", "--exportable")
    done = kubectl("get", "--raw", "/version", path=exported(vault, "a"))
    assert done.returncode != 0


def test_fetched_from_the_cloud(cloud_vault, standin, server, kubectl):
    """The whole way: cloud, vault, policy, export, kubectl."""
    url, ca = server
    cluster = standin.cloud.add("reach", alg="rsa2048", internal=url,
                                external=None, authority=ca)
    try:
        cloud_vault.fetch("reach", "--exportable", code=0)
    finally:
        standin.cloud.clusters.remove(cluster)
    cloud_vault.policy(harness.MAY_EXPORT)
    done = kubectl("get", "--raw", "/version",
                   path=exported(cloud_vault, "reach"))
    assert standin.cloud.user_id in done.stdout, done
