"""The export works: kubectl reads it and reaches a server by it that asks for
client certificates."""

import os
import shutil
import socket
import subprocess
import time

import pytest

import harness
import minting
from kube import Identity, as_yaml, config

NGINX = """daemon off;
master_process off;
pid {d}/pid;
error_log {d}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {d}/t1;
    proxy_temp_path {d}/t2;
    fastcgi_temp_path {d}/t3;
    uwsgi_temp_path {d}/t4;
    scgi_temp_path {d}/t5;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {d}/server.pem;
        ssl_certificate_key {d}/server.key;
        ssl_client_certificate {d}/ca.pem;
        ssl_verify_client on;
        location /version {{
            default_type application/json;
            return 200 '{{"gitVersion":"v1.31.0","who":"$ssl_client_s_dn"}}';
        }}
    }}
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def server(tmp_path):
    """nginx that lets in who has a certificate of its CA; (url, CA)."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not program:
        pytest.skip("no nginx here")
    folder = tmp_path / "nginx"
    folder.mkdir()
    ca = minting.Authority("reach CA")
    key, cert = ca.server(["127.0.0.1"])
    (folder / "server.key").write_bytes(key)
    (folder / "server.pem").write_bytes(cert)
    (folder / "ca.pem").write_bytes(ca.pem)
    port = free_port()
    (folder / "conf").write_text(NGINX.format(d=folder, port=port))
    p = subprocess.Popen([program, "-c", str(folder / "conf"), "-p",
                          str(folder), "-e", str(folder / "error.log")],
                         stdin=subprocess.DEVNULL)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.02)
    yield f"https://127.0.0.1:{port}", ca
    p.terminate()
    p.wait(10)


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
