"""kubectl with a context that `kubeconfig --merge` wrote, through the real
relay: it starts the agent by itself, and two clusters do not mix."""

import os
import shutil
import socket
import subprocess

import pytest

import harness
import small_cluster
from kube import Identity, as_yaml, config

pytestmark = pytest.mark.skipif(
    not shutil.which("kubectl") or
    not os.path.exists(harness.program("relay")),
    reason="no kubectl here, or no relay built")


@pytest.fixture
def two(vault, tmp_path):
    """A vault with the entries a and b, each of a cluster of its own."""
    vault.flags = []
    vault.servers = {}
    for name in "ab":
        identity = Identity(secrets=vault.secrets)
        server = small_cluster.Server(str(tmp_path), identity.ca)
        vault.servers[name] = server
        vault.add(as_yaml(config(identity, server=server.url)), name)
    vault("agent", "stop")
    vault.kube = os.path.join(vault.home, "kubeconfig")
    for name in "ab":
        vault("kubeconfig", name, "--merge", vault.kube, code=0)
    vault("agent", "stop")
    yield vault
    vault("agent", "stop")
    for server in vault.servers.values():
        server.shutdown()
        server.server_close()


def kubectl(vault, context, *args, code=0):
    done = subprocess.run(
        ["kubectl", "--kubeconfig", vault.kube, "--context", context, *args],
        env=vault.env(), capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL)
    assert done.returncode == code, done
    return done


def test_kubectl_gets_in_by_itself(two):
    """No agent runs at first: the plugin starts it."""
    assert "shop" in kubectl(two, "a", "get", "namespaces").stdout
    assert kubectl(two, "b", "get", "ns", "shop", "-o",
                   "name").stdout == "namespace/shop\n"
    records = two.records("--action", "use")
    assert {r["entry"] for r in records if r.get("entry")} == {"a", "b"}


def test_what_kubectl_learned_does_not_mix(two):
    kubectl(two, "a", "get", "namespaces")
    kubectl(two, "b", "get", "namespaces")
    kept = os.path.join(two.home, ".kube", "cache", "discovery")
    place, = os.listdir(kept)
    assert sorted(os.listdir(os.path.join(kept, place, "_"))) == ["a", "b"]


def test_an_entry_that_is_gone(two):
    kubectl(two, "a", "get", "namespaces")
    two("rm", "a", "--yes", code=0)
    said = kubectl(two, "a", "get", "namespaces", code=1).stderr
    assert "no entry a" in said
    assert "shop" in kubectl(two, "b", "get", "namespaces").stdout


def test_a_refusal_is_shown(two):
    two.policy({"name": "not-a", "effect": "forbid",
                "subjects": {"users": ["*"]}, "actions": ["use"],
                "entries": {"names": ["a"]}})
    said = kubectl(two, "a", "get", "namespaces", code=1).stderr
    assert "certvault:" in said and "not-a" in said
    kubectl(two, "b", "get", "namespaces")


def configure(vault, text):
    folder = os.path.join(vault.home, "config", "certvault")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with open(os.path.join(folder, "certvault.yaml"), "w",
              encoding="ascii") as f:
        f.write(text)


def test_the_configured_port(two):
    port = harness.free_port()
    configure(two, f"relay: {{port: {port}, idle: 30s, pool: 2}}\n")
    two("kubeconfig", "a", "--merge", two.kube, code=0)
    with open(two.kube, encoding="utf-8") as f:
        assert f"https://127.0.0.1:{port}/-/a" in f.read()
    assert "shop" in kubectl(two, "a", "get", "namespaces").stdout


def test_a_port_that_is_taken(two):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
        configure(two, f"relay: {{port: {port}}}\n")
        said = kubectl(two, "a", "get", "namespaces", code=1).stderr
        assert f"port {port} is taken" in said and "uid" in said


def test_lock_is_told(two):
    two("agent", "start", code=0)
    p = two.start("exec", "a", "--", "sh", "-c",
                  "echo ready; read x; kubectl get namespaces",
                  stdin=subprocess.PIPE)
    assert p.stdout.readline() == b"ready\n"
    two("lock", code=0)
    line = p.stderr.readline()
    while b"before its time" not in line:
        assert line
        line = p.stderr.readline()
    p.stdin.write(b"\n")
    out, err = p.communicate(timeout=60)
    assert p.returncode == 1 and out == b"", err


def test_exec_over_a_private_broker_leaves_nothing(two):
    done = two("--no-agent", "exec", "a", "--", "kubectl", "get", "namespaces",
               code=0)
    assert "shop" in done.text
    assert not os.path.exists(os.path.join(two.home, ".kube", "cache",
                                           "certvault"))
    run = os.path.join(two.home, "run", "certvault")
    assert [f for f in os.listdir(run) if f.startswith("exec-")] == []
