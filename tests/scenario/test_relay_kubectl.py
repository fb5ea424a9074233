"""kubectl through the relay: all that it does with the stand-in API server by
a key file, it does with a key that it cannot see; and what it may not do."""

import json
import os
import re
import signal
import ssl
import time

import pytest

import harness
import kube
import minting
import relay
import relay_checks
from relay_checks import streams  # noqa: F401

pytestmark = pytest.mark.skipif(bool(relay.missing()),
                                reason=str(relay.missing()))

H2, H1 = "h2,http/1.1", "http/1.1"


@pytest.fixture(scope="module", params=[H2, H1], ids=["to-h2", "to-h1"])
def upstream(request, tmp_path_factory):
    args = ["--alpn", request.param]
    if request.param == H1:
        args += ["--legacy-discovery"]
    with relay.Standin(tmp_path_factory.mktemp("api"), *args) as s:
        s.h2 = request.param == H2
        yield s


@pytest.fixture
def standin(upstream):
    upstream.reset()
    return upstream


@pytest.fixture
def prod(vault, standin, secrets):
    """A vault whose entry prod leads to the stand-in."""
    identity = standin.identity(common="kim", secrets=secrets)
    vault.add(kube.as_yaml(kube.config(identity, server=standin.url)), "prod")
    return vault


@pytest.fixture
def session(prod):
    with relay.Session(prod, "prod") as s:
        yield s


class TestThroughRelay(relay_checks.Checks):
    """crossed: from HTTP/1.1 to HTTP/2 and back; the rest of the tests here
    are kubectl's own way, from HTTP/2."""

    @pytest.fixture(params=["crossed", *(["straight"] if harness.FULL else [])])
    def kubectl(self, session, standin, request):
        h1 = standin.h2 == (request.param == "crossed")
        return session.kubectl(DISABLE_HTTP2="true" if h1 else "")


def allow(vault, grant, **more):
    """`use` by this grant alone."""
    uid = os.getuid()
    document = {
        "apiVersion": "certvault/v1", "kind": "Policy",
        "metadata": {"name": "t", "version": 1},
        "rules": [
            {"name": "owner", "effect": "permit", "subjects": {"uids": [uid]},
             "actions": ["import", "list", "show", "audit.read", "remove",
                         "policy.apply", "policy.read", "admin"]},
            {"name": "use", "effect": "permit", "subjects": {"uids": [uid]},
             "actions": ["use"], "grant": grant, **more}]}
    path = vault.write("policy.yaml", json.dumps(document))
    vault("policy", "apply", path, code=0)


def config_map(name):
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap",
                       "metadata": {"name": name, "namespace": "default"}})


def requests(vault):
    """The leaves of requests."""
    return [r for r in vault.records()
            if "audit_id" in r.get("details", {})]


def test_exec_runs_a_command(prod, standin):
    done = prod("exec", "prod", "--", relay.kubectl(), "get", "ns", code=0)
    assert "default" in done.text
    assert all(r["cn"] == "kim" for r in standin.requests())


def test_the_audit_id_joins_both_logs(prod, standin):
    allow(prod, {"record": "all"})
    with relay.Session(prod, "prod") as session:
        kubectl = session.kubectl()
        kubectl("get", "pods", "-n", "default")
        kubectl("apply", "-f", "-", input=config_map("joined"))
        kubectl("delete", "cm", "joined", "--wait=false")
        assert session.get("/version", "Audit-ID: of-my-own") \
            .startswith(b"HTTP/1.1 200")
    there = {}
    for r in standin.requests():
        ids = [v for k, v in r["all"] if k == "audit-id"]
        assert len(ids) == 1, r
        assert ids[0] not in there
        there[ids[0]] = r
    grants = {re.fullmatch(r"([0-9a-f]{32})-\d+", i)[1] for i in there}
    assert len(grants) == 1
    ours = {r["details"]["audit_id"]: r for r in requests(prod)}
    assert set(ours) == set(there)
    verbs = {(r["details"]["verb"], r["details"].get("resource"))
             for r in ours.values()}
    assert ("delete", "configmaps") in verbs
    assert ("list", "pods") in verbs
    for audit_id, r in ours.items():
        method = there[audit_id]["method"]
        assert {"get": "GET", "list": "GET", "delete": "DELETE",
                "create": "POST", "patch": "PATCH"}.get(
                    r["details"]["verb"], method) == method
        assert r["phase"] == "event" and r["outcome"] == "ok", r


def test_no_audit_id_is_given_twice(prod, standin):
    """Not by a relay that takes over from one that was killed, either."""
    with relay.Session(prod, "prod") as session:
        assert session.get("/version").startswith(b"HTTP/1.1 200")
        (pid,) = [p for p, name in harness.our_processes() if name == "relay"]
        os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + harness.TIMEOUT
        answered = b""
        while not answered.startswith(b"HTTP/1.1 200"):
            assert time.monotonic() < end, answered
            try:
                answered = session.get("/version")
            except (OSError, ssl.SSLError):
                time.sleep(0.05)       # the port is nobody's for a moment
    ids = [v for r in standin.requests() for k, v in r["all"]
           if k == "audit-id"]
    assert len(ids) >= 2 and len(set(ids)) == len(ids), ids


def test_writes_are_recorded_unless_told_otherwise(prod, session):
    kubectl = session.kubectl()
    kubectl("get", "pods")
    assert requests(prod) == []
    kubectl("apply", "-f", "-", input=config_map("written"))
    kubectl("exec", "demo", "--", "true")
    found = [(r["details"]["verb"], r["details"]["resource"],
              r["details"].get("object")) for r in requests(prod)]
    assert found[0][:2] == ("create", "configmaps")
    assert found[-1][1:] == ("pods", "demo")
    kubectl("delete", "cm", "written")


def denials(vault):
    return [r for r in requests(vault) if r.get("decision") == "deny"]


def refused(prod, standin, kubectl, *args):
    """kubectl says why, the record has it, the server never saw it."""
    before = len(denials(prod))
    standin.reset()
    done = kubectl(*args, code=1)
    said = done.stderr.decode()
    assert "Forbidden" in said or "forbidden" in said, said
    found = denials(prod)
    assert len(found) > before
    return said, found[-1]


def test_read_only(prod, standin):
    with relay.Session(prod, "prod", "--read-only") as session:
        kubectl = session.kubectl()
        assert "demo" in kubectl.text("get", "pods")
        said, leaf = refused(prod, standin, kubectl, "delete", "pod", "demo")
        assert "read" in said
        assert leaf["details"]["verb"] == "delete"
        assert "demo" in kubectl.text("get", "pods")
        refused(prod, standin, kubectl, "exec", "demo", "--", "true")
        assert not [r for r in standin.requests()
                    if r["method"] != "GET" or "/exec" in r["target"]]


@pytest.mark.parametrize("limit", [
    {"verbs": ["get", "list", "watch"]}, {"namespaces": ["default"]},
    {"resources": ["pods", "pods/log"]}], ids=lambda x: next(iter(x)))
def test_the_policys_grant(prod, standin, limit):
    allow(prod, limit)
    with relay.Session(prod, "prod") as session:
        kubectl = session.kubectl()
        assert "demo" in kubectl.text("get", "pods", "-n", "default")
        kubectl("logs", "demo", "-n", "default")
        denied = {"verbs": ["delete", "pod", "demo", "-n", "default"],
                  "namespaces": ["get", "pods", "-n", "kube-system"],
                  "resources": ["get", "cm", "-n", "default"]}
        refused(prod, standin, kubectl, *denied[next(iter(limit))])
        for r in standin.requests():
            assert r["method"] == "GET", r
            assert "kube-system/pods" not in r["target"], r
            assert "configmaps" not in r["target"], r


@pytest.mark.parametrize("flags", [["--as=admin"], ["--token=stolen"],
                                   ["--as=a", "--as-group=g"]],
                         ids=lambda f: f[-1])
def test_nobody_else_can_be_claimed(prod, standin, session, flags):
    standin.reset()
    done = session.kubectl()("get", "ns", *flags, code=1)
    assert b"orbidden" in done.stderr, done
    assert not standin.requests()


def test_a_certificate_that_the_server_does_not_know(vault, standin):
    stranger = kube.Identity("p256", common="kim")
    stranger.ca = standin.authority
    vault.add(kube.as_yaml(kube.config(stranger, server=standin.url)), "odd")
    with relay.Session(vault, "odd") as session:
        done = session.kubectl()("get", "ns", code=1)
        assert b"Unauthorized" in done.stderr or b"logged in" in done.stderr
    assert not standin.seen("failed")


def test_a_server_that_is_not_there(vault, standin):
    vault.add(kube.as_yaml(kube.config(
        standin.identity(), server="https://127.0.0.1:1")), "gone")
    with relay.Session(vault, "gone") as session:
        done = session.kubectl()("get", "--raw", "/version", code=1)
        assert b"127.0.0.1:1" in done.stderr, done


def test_a_server_with_another_ca(vault, standin):
    """Nothing is signed for it, and it is written down."""
    identity = standin.identity()
    identity.ca = minting.Authority("another CA")
    vault.add(kube.as_yaml(kube.config(identity, server=standin.url)), "odd")
    with relay.Session(vault, "odd") as session:
        done = session.kubectl()("get", "--raw", "/version", code=1)
        assert b"certificate" in done.stderr, done
    assert not relay.signatures(vault)
    assert [r for r in vault.records() if r["phase"] == "event"
            and "cannot be verified" in r["details"].get("because", "")]
    assert not standin.requests()


@pytest.mark.parametrize("h2", [True, False], ids=["h2", "h1"])
def test_nginx(vault, tmp_path, h2):
    if not relay.nginx.find():
        pytest.skip("no nginx here")
    with relay.mutual_nginx(tmp_path / "n", h2) as server:
        identity = kube.Identity("rsa2048", ca=server.authority, common="kim")
        vault.add(kube.as_yaml(kube.config(identity, server=server.url)), "n")
        with relay.Session(vault, "n") as session:
            for way in ("", "true"):
                said = json.loads(session.kubectl(DISABLE_HTTP2=way).text(
                    "get", "--raw", "/version"))
                assert "CN=kim" in said["who"]
                assert said["proto"] == ("HTTP/2.0" if h2 else "HTTP/1.1")
                assert re.fullmatch(r"[0-9a-f]{32}-\d+", said["audit"])


def test_kubectl_as_it_is_set_up_once(prod, standin):
    """kubeconfig, then kubectl alone: the exec plugin starts an agent."""
    prod.flags = []
    path = os.path.join(prod.home, "once.yaml")
    prod("kubeconfig", "prod", "--output", path, code=0)
    with open(path, encoding="utf-8") as f:
        assert "PRIVATE KEY" not in f.read()
    kubectl = relay.Kubectl(prod.home, env={**prod.env(), "KUBECONFIG": path})
    try:
        assert "default" in kubectl.text("get", "ns")
        assert kubectl("exec", "-i", "demo", "--", "cat",
                       input="hello").stdout == b"hello"
        assert all(r["cn"] == "kim" for r in standin.requests())
        standin.reset()
        assert "default" in kubectl.text("get", "ns")
        assert standin.requests() and not standin.seen("connection"), \
            "the pool is not warm"
    finally:
        prod("agent", "stop", code=0)


def test_pythons_client(session, standin):
    """The same KUBECONFIG for another client: list, watch, exec."""
    kubernetes = pytest.importorskip("kubernetes")
    from kubernetes.stream import stream
    api = kubernetes.client.CoreV1Api(
        kubernetes.config.new_client_from_config(session.kubeconfig))
    assert [p.metadata.name for p in api.list_namespaced_pod("default").items
            ] == ["demo", "other"]
    standin.say(touch="demo")
    for event in kubernetes.watch.Watch().stream(
            api.list_namespaced_pod, "default", resource_version="1",
            timeout_seconds=30):
        if event["type"] == "MODIFIED":
            break
    assert stream(api.connect_get_namespaced_pod_exec, "demo", "default",
                  command=["echo", "hello"], stdout=True, stderr=True,
                  stdin=False, tty=False) == "hello\n"
    assert all(r["cn"] == "kim" for r in standin.requests())
