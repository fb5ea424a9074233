"""Grants: who gets one, what they are held to, how they end. The relay is a
stand-in that asks what the test tells it."""

import base64
import datetime
import glob
import json
import os
import signal
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import harness
import signing
from conftest import CloudVault
from kube import Identity, as_yaml, config
from relay_stub import Stub, install, sign_parameters, use
from wire import Broker


@pytest.fixture
def rig(home, secrets, tmp_path):
    build = install(tmp_path / "installed", harness.BUILD)
    v = harness.Vault(home, secrets, build=build)
    v.identity = Identity("p256", secrets=secrets)
    v.add(as_yaml(config(v.identity)), "a")
    v.broker = Broker(v, "--key-file", v.key_file)
    v.to = ("--broker", "unix:" + v.broker.path)
    v.stub = Stub(build)
    yield v
    assert v.broker.end() == 0
    v.verify()
    leaked = secrets.found_below(v.folder)
    assert not leaked, leaked


def given(answer):
    assert "error" not in answer, answer
    return answer["parameters"]


def leaves(v, **wanted):
    """What the record holds of `use`, `details` and all."""
    return [r for r in v.json("audit", "query", *v.to, "--action", "use")
            ["items"] if all(r.get(k) == w or r["details"].get(k) == w
                             for k, w in wanted.items())]


def test_a_grant(rig):
    s = rig.broker.connect()
    got = given(use(rig.broker, on=s, reason="why-not"))
    grant = got["grant"]
    listen, = rig.stub.orders("Listen")
    opened, = rig.stub.orders("Open")
    order = opened["grant"]
    assert got["server"] == f"https://127.0.0.1:{listen['port']}"
    assert 20000 <= listen["port"] < 30000
    assert order["id"] == grant["id"] and len(grant["id"]) == 32
    assert order["uid"] == os.getuid() and order["entry"] == "a"
    assert order["context"] == "main" and order["record"] == "writes"
    up = order["upstream"]
    assert up["server"] == "https://10.0.0.1:6443" and up["verify"] == "ca"
    assert up["algorithms"] == ["ecdsa_secp256r1_sha256"]
    assert x509.load_pem_x509_certificate(up["certificates"].encode()) == \
        rig.identity.cert
    assert base64.b64decode(up["spki"]) == \
        rig.identity.cert.public_key().public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo)
    assert 0 < order["ends_ms"] / 1000 - time.clock_gettime(
        time.CLOCK_BOOTTIME) <= 8 * 3600 and grant["seconds"] <= 8 * 3600
    leaf, = leaves(rig, phase="decision")
    assert leaf["seq"] == got["audit_seq"] and leaf["reason"] == "why-not"
    assert leaf["details"]["grant"] == grant["id"]
    assert leaf["details"]["offer"] == "owner"
    assert leaf["details"]["record"] == "writes"
    s.close()
    assert rig.stub.closed(grant["id"])["why"]


def chain(rig, got):
    """(server CA, server, client CA, client)."""
    listen = rig.stub.orders("Listen")[-1]
    return [x509.load_pem_x509_certificate(text.encode()) for text in (
        got["ca"], listen["certificate"], listen["client_ca"],
        got["certificate"])]


def openssl(tmp_path, ca, leaf, *args):
    for name, text in (("ca.pem", ca), ("leaf.pem", leaf)):
        (tmp_path / name).write_text(text)
    return subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile",
         str(tmp_path / "ca.pem"), *args, str(tmp_path / "leaf.pem")],
        capture_output=True).returncode == 0


def test_certificates_of_the_hop(rig, tmp_path):
    s = rig.broker.connect()
    got = given(use(rig.broker, on=s, duration=600))
    listen = rig.stub.orders("Listen")[-1]
    ca, server, client_ca, client = chain(rig, got)
    assert openssl(tmp_path, got["ca"], listen["certificate"], "-purpose",
                   "sslserver", "-verify_ip", "127.0.0.1")
    assert openssl(tmp_path, got["ca"], listen["certificate"], "-purpose",
                   "sslserver", "-verify_hostname", "localhost")
    assert not openssl(tmp_path, got["ca"], listen["certificate"], "-purpose",
                       "sslclient")
    assert openssl(tmp_path, listen["client_ca"], got["certificate"],
                   "-purpose", "sslclient")
    assert not openssl(tmp_path, listen["client_ca"], got["certificate"],
                       "-purpose", "sslserver")
    assert not openssl(tmp_path, got["ca"], got["certificate"])
    assert 3640 <= (ca.not_valid_after - ca.not_valid_before).days <= 3660
    assert 29 <= (server.not_valid_after - server.not_valid_before).days <= 31
    left = client.not_valid_after - datetime.datetime.utcnow()
    assert 0 < left.total_seconds() <= 601  # a whole second, rounded up
    assert client.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0] \
        .value == f"uid:{os.getuid()}"
    assert client.subject.get_attributes_for_oid(
        NameOID.ORGANIZATION_NAME)[0].value == "certvault hop"
    uris = client.extensions.get_extension_for_class(
        x509.SubjectAlternativeName).value.get_values_for_type(
            x509.UniformResourceIdentifier)
    assert uris == ["certvault:grant:" + got["grant"]["id"]]
    assert list(client.extensions.get_extension_for_class(
        x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    key = serialization.load_pem_private_key(base64.b64decode(got["secret"]),
                                             None)
    assert key.public_key().public_numbers() == \
        client.public_key().public_numbers()
    key = serialization.load_pem_private_key(
        base64.b64decode(listen["secret"]), None)
    assert key.public_key().public_numbers() == \
        server.public_key().public_numbers()
    # The CA of the kubeconfigs stays; nothing of it lies there in the clear.
    again = given(use(rig.broker, on=s))
    assert again["ca"] == got["ca"]
    s.close()


def test_the_ca_outlives_the_broker(rig):
    s = rig.broker.connect()
    first = given(use(rig.broker, on=s))
    port = rig.stub.orders("Listen")[0]["port"]
    s.close()
    assert rig.broker.end() == 0
    rig.broker = Broker(rig, "--key-file", rig.key_file)
    s = rig.broker.connect()
    second = given(use(rig.broker, on=s))
    assert second["ca"] == first["ca"]
    assert rig.stub.orders("Listen")[0]["port"] == port
    assert second["grant"]["id"] != first["grant"]["id"]
    s.close()


def test_the_relay_signs(rig):
    s = rig.broker.connect()
    got = given(use(rig.broker, on=s))
    id_ = got["grant"]["id"]
    data = signing.tls13()
    answer = rig.stub.sign(id_, data=data)
    signing.verify(rig.identity.cert.public_key(), "ecdsa_secp256r1_sha256",
                   data, signing.signature(answer))
    data = signing.tls12()
    answer = rig.stub.sign(id_, "tls12-client", data=data)
    signing.verify(rig.identity.cert.public_key(), "ecdsa_secp256r1_sha256",
                   data, signing.signature(answer))
    leaf, = leaves(rig, seq=answer["parameters"]["audit_seq"])
    assert leaf["decision"] == "permit" and leaf["entry"] == "a"
    assert leaf["actor"]["uid"] == os.getuid()
    assert leaf["details"]["grant"] == id_
    assert leaf["details"]["server"] == "10.0.0.1:6443"
    s.close()
    rig.stub.closed(id_)
    end, = [r for r in leaves(rig, phase="event", grant=id_)
            if r["details"].get("method") == "UseEnd"]
    assert end["details"]["signatures"] == 2
    assert "error" in rig.stub.sign(id_)


def asks(id_):
    """(what, parameters) that must be refused."""
    yield "unknown", sign_parameters("0" * 32)
    yield "no id", sign_parameters("")
    yield "not hex", sign_parameters("x" * 40)
    yield "purpose", sign_parameters(id_, "csr")
    yield "purpose", sign_parameters(id_, "challenge", signing.challenge())
    yield "purpose", sign_parameters(id_, "anything")
    yield "digest", sign_parameters(id_, data=os.urandom(32))
    yield "digest", sign_parameters(id_, "tls12-client", os.urandom(32))
    yield "digest", sign_parameters(id_, "tls12-client", os.urandom(64))
    yield "not TLS", sign_parameters(id_, data=b"x" * 130)
    yield "server's", sign_parameters(id_, data=signing.tls13().replace(
        b"client", b"server"))
    yield "garbage", sign_parameters(id_, "tls12-client",
                                     b"\1\0" + os.urandom(300))
    yield "algorithm", sign_parameters(id_, algorithm="rsa_pss_rsae_sha256")
    yield "algorithm", sign_parameters(id_, algorithm="ecdsa_secp384r1_sha384")
    yield "no key", sign_parameters(id_, server_spki="x")
    yield "more", sign_parameters(id_, more=1)


def test_what_the_relay_is_refused(rig):
    s = rig.broker.connect()
    id_ = given(use(rig.broker, on=s))["grant"]["id"]
    for what, parameters in asks(id_):
        before = len(leaves(rig))
        answer = rig.stub({"ask": "Sign", "parameters": parameters})
        assert "error" in answer and "signature" not in \
            answer["parameters"], (what, answer)
        new = leaves(rig)[before:]
        assert any(r.get("decision") == "deny" or r.get("outcome") == "failed"
                   for r in new), (what, new)
    assert "error" not in rig.stub.sign(id_)
    s.close()


def test_requests(rig):
    s = rig.broker.connect()
    id_ = given(use(rig.broker, on=s))["grant"]["id"]
    request = {"grant": id_, "audit_id": id_ + "-1", "verb": "create",
               "group": "apps", "resource": "deployments", "subresource": "",
               "namespace": "payments", "name": "x",
               "path": "/apis/apps/v1/namespaces/payments/deployments",
               "permit": True}
    first = given(rig.stub.ask("Request", **request))
    refused = given(rig.stub.ask("Request", **{
        **request, "audit_id": id_ + "-2", "permit": False,
        "why": "the grant is read-only"}))
    assert refused["audit_seq"] > first["audit_seq"]
    leaf, = leaves(rig, seq=first["audit_seq"])
    assert leaf["phase"] == "event" and leaf["details"]["verb"] == "create"
    assert leaf["details"]["object"] == "x"
    leaf, = leaves(rig, seq=refused["audit_seq"])
    assert leaf["decision"] == "deny"
    assert leaf["details"]["audit_id"] == id_ + "-2"
    answer = rig.stub.ask("Request", **{**request, "grant": "f" * 32})
    assert answer["error"].endswith(".Denied")
    # Many at once, mixed: each in its order.
    many = [{"method": "Request", "parameters": {
        **request, "audit_id": f"{id_}-{n}"}} if n % 3 else
            {"method": "Sign", "parameters": sign_parameters(id_)}
            for n in range(30)]
    answers = rig.stub({"asks": many})
    assert all("error" not in a for a in answers)
    seqs = [a["parameters"]["audit_seq"] for a in answers]
    assert seqs == sorted(seqs) and len(set(seqs)) == 30
    for ask, a in zip(many, answers):
        assert ("signature" in a["parameters"]) == (ask["method"] == "Sign")
    s.close()


def test_strangers_and_refusals(rig):
    s = rig.broker.connect()
    id_ = given(use(rig.broker, on=s))["grant"]["id"]
    given(rig.stub.ask("Strangers", uid=4711, count=3,
                       why="no certificate"))
    given(rig.stub.ask("Strangers", count=1, why="a foreign certificate"))
    given(rig.stub.ask("Refused", grant=id_, server="10.0.0.1:6443",
                       why="its certificate is another's"))
    given(rig.stub.ask("Alive", clients=1, requests=2))
    told = [r for r in rig.json("audit", "query", *rig.to, "--action",
                                "broker")["items"]
            if r["details"].get("method") == "relay"]
    assert told[0]["actor"]["uid"] == 4711
    assert told[0]["details"]["denials"] == 3
    assert told[1]["details"]["because"] == "a foreign certificate"
    event, = leaves(rig, server="10.0.0.1:6443", phase="event")
    assert event["error"] == "remote"
    s.close()


def test_its_end(rig):
    """UseEnd; and one's own grants alone."""
    s = rig.broker.connect()
    id_ = given(use(rig.broker, on=s))["grant"]["id"]
    end = rig.broker.call("io.certvault.Broker.UseEnd", {"grant": "0" * 32},
                          on=s)
    assert end["error"].endswith(".NotFound")
    given(rig.broker.call("io.certvault.Broker.UseEnd", {"grant": id_}, on=s))
    assert rig.stub.closed(id_, harness.within(1))
    assert "error" in rig.stub.sign(id_)
    id_ = given(use(rig.broker, on=s, duration=1))["grant"]["id"]
    assert rig.stub.closed(id_)["why"] == "its time is over"
    s.close()


ENDS = {
    "rm": (("rm", "a", "--yes"), "removed"),
    "rename": (("rename", "a", "b"), "renamed"),
    "lock": (("lock",), None),
    "pin": (("pin", "a", "--context", "main", "--spki",
             base64.b64encode(b"p" * 32).decode()), "context"),
}


@pytest.mark.parametrize("how", sorted(ENDS))
@pytest.mark.parametrize("kind", ["exec", "credential"])
def test_what_ends_it(rig, how, kind):
    s = rig.broker.connect()
    id_ = given(use(rig.broker, on=s, kind=kind))["grant"]["id"]
    command, why = ENDS[how]
    began = time.monotonic()
    done = rig(*command, *rig.to, code=0)
    assert done.code == 0
    if why:
        assert why in rig.stub.closed(id_)["why"]
    else:
        wait_for_end(rig, id_)
    assert time.monotonic() - began < harness.within(5)
    end = wait_for_end(rig, id_)
    assert end["details"]["because"]
    s.close()


def wait_for_end(rig, id_, seconds=harness.TIMEOUT):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for r in leaves(rig, phase="event", grant=id_):
            if r["details"].get("method") == "UseEnd":
                return r
        time.sleep(0.05)
    raise AssertionError(f"no leaf of the end of {id_}")


def rule(**more):
    return {"name": "use-a", "effect": "permit",
            "subjects": {"uids": [os.getuid()]}, "actions": ["use"],
            "entries": {"names": ["a"]}, **more}


def policy(rig, version, *rules):
    every = ("fetch import list show issue renew rotate revoke remove edit "
             "approve audit.read policy.read policy.apply admin")
    path = rig.write("policy.yaml", json.dumps({
        "apiVersion": "certvault/v1", "kind": "Policy",
        "metadata": {"name": "test", "version": version},
        "rules": [{"name": "owner", "effect": "permit",
                   "subjects": {"uids": [os.getuid()]},
                   "actions": every.split()}, *rules]}))
    return rig("policy", "apply", path, *rig.to, code=0)


def test_what_policy_gives(rig):
    policy(rig, 1, rule(grant={"max_duration": "1h", "read_only": True,
                               "verbs": ["get", "list"],
                               "namespaces": ["payments"],
                               "resources": ["pods"], "record": "all"},
                        when={"contexts": ["main"], "mode": ["service"],
                              "reason": "required"}))
    s = rig.broker.connect()
    denied = use(rig.broker, on=s)
    assert denied["error"].endswith(".Denied")
    denied = use(rig.broker, on=s, reason="x", duration=7200)
    assert denied["error"].endswith(".Denied")
    assert not os.path.exists(rig.stub.path), "a relay for a denial?"
    got = given(use(rig.broker, on=s, reason="x"))
    order = rig.stub.orders("Open")[0]["grant"]
    assert order["read_only"] and got["grant"]["read_only"]
    assert order["verbs"] == ["get", "list"]
    assert order["namespaces"] == ["payments"]
    assert order["resources"] == ["pods"] and order["record"] == "all"
    assert 3540 <= got["grant"]["seconds"] <= 3600
    assert got["grant"]["rule"] == "use-a"
    leaf, = leaves(rig, seq=got["audit_seq"])
    assert leaf["details"]["verbs"] == ["get", "list"]
    assert leaf["details"]["read_only"] is True
    # What is limited is not signed for whoever asks without the relay.
    answer = signing.sign(rig.broker, "a", "tls13-client",
                          "ecdsa_secp256r1_sha256", signing.tls13(),
                          reason="x")
    assert answer["error"].endswith(".Denied"), answer
    # Another policy that would not give it.
    policy(rig, 2, rule(when={"contexts": ["other"]}))
    assert "policy" in rig.stub.closed(got["grant"]["id"])["why"]
    s.close()


def test_other_terms_end_it(rig):
    policy(rig, 1, rule())
    s = rig.broker.connect()
    id_ = given(use(rig.broker, on=s))["grant"]["id"]
    policy(rig, 2, rule(), {**rule(), "name": "more", "actions": ["show"]})
    assert "error" not in rig.stub.sign(id_)
    policy(rig, 3, rule(grant={"read_only": True}))
    assert "terms" in rig.stub.closed(id_)["why"]
    s.close()


def test_credential_takes_it_again(rig):
    s, t = rig.broker.connect(), rig.broker.connect()
    first = given(use(rig.broker, on=s, kind="credential"))
    again = given(use(rig.broker, on=t, kind="credential"))
    assert first["grant"]["id"] == again["grant"]["id"]
    assert first["certificate"] == again["certificate"]
    assert first["audit_seq"] != again["audit_seq"]
    assert len(rig.stub.orders("Open")) == 1
    other = given(use(rig.broker, on=t, kind="credential", read_only=True))
    assert other["grant"]["id"] != first["grant"]["id"]
    s.close()
    t.close()
    time.sleep(0.2)
    assert "error" not in rig.stub.sign(first["grant"]["id"])
    # On other terms it is a new one.
    policy(rig, 1, rule(grant={"max_duration": "30m"}))
    third = given(use(rig.broker, kind="credential"))
    assert third["grant"]["id"] != first["grant"]["id"]


def test_refusals_before_anything_is_given(rig):
    s = rig.broker.connect()
    assert use(rig.broker, "nobody", on=s)["error"].endswith(".NotFound")
    assert use(rig.broker, on=s, context="x")["error"].endswith(".NotFound")
    assert use(rig.broker, on=s, kind="x")["error"].endswith(".Invalid")
    assert use(rig.broker, on=s, duration=-1)["error"].endswith(".Invalid")
    insecure = config(Identity("p256"), server="https://10.0.0.9:6443")
    del insecure["clusters"][0]["cluster"]["certificate-authority-data"]
    insecure["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True
    rig("import", "-", "--name", "bare", *rig.to, input=as_yaml(insecure),
        code=0)
    denied = use(rig.broker, "bare", on=s)
    assert denied["error"].endswith(".Denied"), denied
    assert "certvault pin" in denied["parameters"]["hint"]
    assert denied["parameters"]["audit_seq"] >= 0
    pin = base64.b64encode(b"p" * 32).decode()
    rig("pin", "bare", "--context", "main", "--spki", pin, *rig.to, code=0)
    given(use(rig.broker, "bare", on=s))
    up = rig.stub.orders("Open")[-1]["grant"]["upstream"]
    assert up["verify"] == "pin" and up["pins"] == [pin]
    s.close()


def test_locked(rig):
    rig("lock", *rig.to, code=0)
    locked = use(rig.broker)
    assert locked["error"].endswith(".Locked")
    assert locked["parameters"]["slots"]


def test_keyless(rig):
    got = given(rig.broker.call("io.certvault.Broker.Keyless", {"name": "a"}))
    assert got["entry"] == "a"
    assert got["contexts"] == [{"name": "main", "default": True}]
    again = given(rig.broker.call("io.certvault.Broker.Keyless",
                                  {"name": "a", "context": "main"}))
    assert again["server"] == got["server"] and again["ca"] == got["ca"]
    s = rig.broker.connect()
    used = given(use(rig.broker, on=s))
    assert used["server"] == got["server"] and used["ca"] == got["ca"]
    s.close()
    policy(rig, 1)
    denied = rig.broker.call("io.certvault.Broker.Keyless", {"name": "a"})
    assert denied["error"].endswith(".Denied")


def relay_pid(v):
    pids = [pid for pid, name in harness.our_processes() if name == "relay"]
    assert len(pids) == 1, pids
    return pids[0]


def test_a_relay_that_dies_is_started_again(rig):
    s = rig.broker.connect()
    id_ = given(use(rig.broker, on=s))["grant"]["id"]
    port = rig.stub.orders("Listen")[0]["port"]
    before = relay_pid(rig)
    os.kill(before, signal.SIGKILL)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            opened = rig.stub.orders("Open")
            if opened and relay_pid(rig) != before:
                break
        except (OSError, AssertionError, ValueError):
            pass
        time.sleep(0.05)
    assert rig.stub.orders("Listen")[0]["port"] == port
    assert rig.stub.orders("Open")[0]["grant"]["id"] == id_
    assert "error" not in rig.stub.sign(id_)
    assert [r for r in rig.json("audit", "query", *rig.to, "--action",
                                "broker")["items"]
            if "relay ended" in r["details"].get("because", "")]
    s.close()


def test_a_relay_that_hangs_is_ended(rig):
    s = rig.broker.connect()
    given(use(rig.broker, on=s))
    before = relay_pid(rig)
    rig.stub({"silent": "Open"})
    got = use(rig.broker, on=s)
    assert got["error"].endswith(".Unavailable"), got
    given(use(rig.broker, on=s))
    assert relay_pid(rig) != before
    s.close()


def test_the_broker_is_killed(rig):
    s = rig.broker.connect()
    given(use(rig.broker, on=s))
    os.kill(rig.broker.pid(), signal.SIGKILL)
    rig.broker.process.communicate(timeout=60)
    assert not harness.wait_for_none(), "the relay outlived its broker"
    rig.broker = Broker(rig, "--key-file", rig.key_file)
    s = rig.broker.connect()
    given(use(rig.broker, on=s))
    s.close()


def test_another_key_of_the_server(rig):
    s = rig.broker.connect()
    id_ = given(use(rig.broker, on=s))["grant"]["id"]
    one, other = (base64.b64encode(c * 32).decode() for c in (b"1", b"2"))
    for spki in (one, one, other, one):
        assert "error" not in rig.stub.sign(id_, server_spki=spki)
    changed = leaves(rig, phase="event", server_spki=other)
    assert len(changed) == 1, changed
    shown = rig.json("show", "a", *rig.to)
    assert shown["contexts"][0]["server_keys"] == [one, other]
    assert any("another key" in h["what"] for h in shown["history"])
    told = rig("doctor", *rig.to)
    assert "several keys" in told.text + told.note, told
    # That it was written down is no reason to end the grant.
    time.sleep(1.5)
    assert "error" not in rig.stub.sign(id_)
    s.close()
    # Who says which one is right is not told of it any more.
    context = shown["contexts"][0]["name"]
    rig("pin", "a", "--context", context, "--spki", other, *rig.to, code=0)
    pinned = rig.json("show", "a", *rig.to)["contexts"][0]
    assert (pinned["verify"], pinned["pin"]) == ("pin", other)
    assert "server_keys" not in pinned
    told = rig("doctor", *rig.to)
    assert "several keys" not in told.text + told.note, told


def test_status(rig):
    s = rig.broker.connect()
    id_ = given(use(rig.broker, on=s))["grant"]["id"]
    status = given(rig.broker.call("io.certvault.Broker.Status"))["status"]
    assert status["relay"]["running"] is True
    assert [g["id"] for g in status["grants"]] == [id_]
    s.close()


# --- another broker of the same vault ---

@pytest.fixture
def private(home, secrets, tmp_path):
    """No service: a private broker with a grant, which a test talks to."""
    build = install(tmp_path / "installed", harness.BUILD)
    v = harness.Vault(home, secrets, build=build)
    v.identity = Identity("p256", secrets=secrets)
    v.add(as_yaml(config(v.identity)), "a")
    v.stub = Stub(build)
    return v


WAITS = """
import json, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
f = s.makefile("rwb")
def ask(order):
    f.write(json.dumps(order).encode() + b"\\n"); f.flush()
    return json.loads(f.readline())
print(json.dumps(ask({"orders": True})), flush=True)
sys.stdin.readline()
"""


def running(v, *args):
    """exec, whose command shows the relay's orders and waits for a line."""
    script = v.write("waits.py", WAITS)
    process = v.start("exec", "a", *args, "--", "/usr/bin/python3", script,
                      v.stub.path, stdin=subprocess.PIPE)
    orders = json.loads(process.stdout.readline())
    grant, = [o["parameters"]["grant"] for o in orders
              if o["method"] == "Open"]
    return process, grant["id"], orders


def test_a_private_broker(private, secrets):
    process, id_, orders = running(private, "--reason", "privately")
    listen, = [o["parameters"] for o in orders if o["method"] == "Listen"]
    assert listen["port"] == 0
    assert "error" not in private.stub.sign(id_)
    out, err = process.communicate(b"\n", timeout=60)
    assert process.returncode == 0, err
    assert not secrets.found_in(out + err)
    told = private.records("--action", "use")
    assert [r["phase"] for r in told if r["details"].get("grant") == id_ and
            r["details"].get("method") == "UseEnd"] == ["event"]
    # Outcomes too: what waited when the broker ended is in the log.
    ops = {r["op"] for r in told if r["phase"] == "decision"}
    assert ops == {r["op"] for r in told if r["phase"] == "outcome"}
    private.verify()


ELSEWHERE = {
    "lock": ("lock",), "rm": ("rm", "a", "--yes"), "rename": ("rename", "a", "b"),
}


@pytest.mark.parametrize("how", sorted(ELSEWHERE))
def test_another_broker_ends_it(private, how):
    """What another process did is seen by the log and the store."""
    process, id_, _ = running(private)
    began = time.monotonic()
    private(*ELSEWHERE[how], code=0)
    closed = private.stub.closed(id_)
    assert time.monotonic() - began < harness.within(5) and closed["why"]
    assert "error" in private.stub.sign(id_)
    process.communicate(b"\n", timeout=60)


def test_another_policy_ends_it(private):
    process, id_, _ = running(private)
    private.policy({"name": "never", "effect": "forbid",
                    "subjects": {"users": ["*"]}, "actions": ["use"],
                    "entries": {"names": ["*"]}})
    assert "policy" in private.stub.closed(id_)["why"]
    process.communicate(b"\n", timeout=60)


def test_the_command_line_is_killed(private):
    """With its connection goes the grant, the relay and the broker."""
    process, id_, _ = running(private)
    process.kill()
    process.communicate()
    assert not harness.wait_for_none()
    told = private.records("--action", "use")
    assert [r for r in told if r["details"].get("method") == "UseEnd"
            and r["details"]["grant"] == id_]


def test_the_clouds_ca_vouches_for_the_context_without_one(
        home, secrets, standin, tmp_path):
    """externalCluster of CCE says that nothing is to be verified: the CA that
    the same answer gave for its siblings does it, under their names."""
    build = install(tmp_path / "installed", harness.BUILD)
    v = CloudVault(home, secrets, build=build)
    v.standin, v.stub = standin, Stub(build)
    v.extra.update({"HUAWEICLOUD_SDK_AK": standin.cloud.ak,
                    "HUAWEICLOUD_SDK_SK": standin.cloud.sk})
    v.fetch("prod", "--name", "prod", code=0)
    contexts = {c["name"]: c for c in v.json("show", "prod")["contexts"]}
    assert contexts["external"]["verify"] == "none"
    broker = Broker(v, "--key-file", v.key_file)
    s = broker.connect()
    given(use(broker, "prod", on=s, context="external"))
    given(use(broker, "prod", on=s, context="internal"))
    given(use(broker, "prod", on=s))
    external, internal, default = (
        o["grant"]["upstream"] for o in v.stub.orders("Open"))
    assert external["server"] == contexts["external"]["server"]
    assert external["verify"] == "ca" and external["ca"] == internal["ca"]
    hosts = [c["server"].split("//")[1].rsplit(":", 1)[0]
             for c in contexts.values() if c["verify"] == "ca"]
    assert sorted(set(hosts)) == sorted(external["names"])
    assert internal["names"] == [] and default["names"] == []
    chosen, = [c for c in contexts.values() if c["default"]]
    assert default["server"] == chosen["server"]
    s.close()
    assert broker.end() == 0


@pytest.mark.parametrize("replaced", [False, True])
def test_the_vault_process_dies(rig, replaced):
    """With the open vault go the CA of all certificates, and the grants; also
    where another process was started for the log's sake before it was seen.
    The broker opens it again by its own key, if it still has that."""
    s = rig.broker.connect()
    id_ = given(use(rig.broker, on=s))["grant"]["id"]
    os.rename(rig.key_file, rig.key_file + ".away")
    for pid, name in harness.our_processes():
        if name == "token":
            os.kill(pid, signal.SIGKILL)
    for _ in range(3 if replaced else 0):
        rig("audit", "checkpoint", *rig.to)
    assert "locked" in wait_for_end(rig, id_)["details"]["because"]
    assert "error" in rig.stub.sign(id_)
    locked = use(rig.broker, on=s)
    assert locked["error"].endswith(".Locked")
    os.rename(rig.key_file + ".away", rig.key_file)
    # The service opens it again with its own key, for a new grant.
    again = given(use(rig.broker, on=s))["grant"]["id"]
    assert again != id_ and "signature" in given(rig.stub.sign(again))
    s.close()


class Agent(Broker):
    """An agent that ends after so many idle seconds."""

    def __init__(self, vault, idle):  # noqa: another way to start
        self.wrapped = False
        self.process = subprocess.Popen(
            [harness.program("certvaultd", vault.build), "--agent", "--vault",
             vault.folder, "--idle", str(idle)], env=vault.env(),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, start_new_session=True)
        folder = os.path.join(vault.home, "run", "certvault")
        end = time.monotonic() + 60
        while time.monotonic() < end:
            found = glob.glob(os.path.join(folder, "*.sock"))
            if found:
                self.path = found[0]
                return
            time.sleep(0.02)
        raise AssertionError(self.process.poll())


def test_who_uses_the_relay_keeps_the_agent(private):
    """And when nobody does it ends, its grants with it, told."""
    agent = Agent(private, 5)
    with open(private.key_file, "rb") as f:
        secret = base64.b64encode(f.read()).decode()
    given(agent.call("io.certvault.Broker.Unlock", {
        "key": {"kind": "file", "secret": secret}}))
    id_ = given(use(agent, kind="credential"))["grant"]["id"]
    for n in range(40):                       # twice as long as it would wait
        time.sleep(0.25)
        given(private.stub.ask("Alive", clients=1, requests=n))
    assert agent.process.poll() is None
    assert "error" not in private.stub.sign(id_)
    assert agent.process.wait(60) == 0
    agent.process.stderr.close()
    ends = [r for r in private.records("--action", "use")
            if r["details"].get("method") == "UseEnd"]
    assert [r["details"]["grant"] for r in ends] == [id_]
    assert ends[0]["details"]["because"] == "the broker has ended"
    private.verify()
