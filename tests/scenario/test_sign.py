"""Signatures of sealed keys: made through policy and record, only of what a
client key is for, many of them with one sync."""

import base64
import json
import os
import signal

import pytest

import harness
import signing
from kube import Identity, as_yaml, config
from wire import Broker, answer

TYPES = ("rsa2048", "p256", "p384", "p521", "ed25519")


@pytest.fixture
def signer(vault, secrets):
    vault.keys = {}
    for alg in TYPES:
        vault.keys[alg] = Identity(alg, secrets=secrets)
        vault.add(as_yaml(config(vault.keys[alg])), alg)
    broker = Broker(vault, "--key-file", vault.key_file)
    vault.to = ("--broker", "unix:" + broker.path)
    vault.broker = broker
    yield vault
    assert broker.end() == 0


def public(vault, alg):
    return vault.keys[alg].cert.public_key()


@pytest.mark.parametrize("alg", TYPES)
def test_others_verify_it(signer, alg, tmp_path):
    for algorithm in signing.ALGORITHMS[alg]:
        purpose, data = ("challenge", signing.challenge()) \
            if "pkcs1" in algorithm else ("tls13-client", signing.tls13(48))
        got = signing.signature(signing.sign(signer.broker, alg, purpose,
                                             algorithm, data))
        signing.verify(public(signer, alg), algorithm, data, got)
        assert signing.openssl_verify(tmp_path, public(signer, alg), algorithm,
                                      data, got)
        assert not signing.openssl_verify(tmp_path, public(signer, alg),
                                          algorithm, data + b"x", got)


def forms(vault):
    key = public(vault, "p256")
    other = public(vault, "p384")
    good = signing.tls13()
    info = signing.request_info(key)
    yield "tls13-client", good, True
    yield "tls13-client", good[:-1], False
    yield "tls13-client", good + b"\0" * 16, True
    yield "tls13-client", good[1:], False
    yield "tls13-client", good.replace(b"client", b"server"), False
    yield "tls13-client", b"x" * 32, False                # a digest
    yield "tls12-client", good, False
    yield "tls12-client", signing.tls12(), True
    yield "tls12-client", signing.tls12()[:-1], False
    yield "tls12-client", signing.tls12() + signing.message(20, b"x"), False
    yield "tls12-client", signing.message(16, b"x"), False
    yield "csr", info, True
    yield "csr", info + b"\0", False
    yield "csr", info[:-1], False
    yield "csr", signing.request_info(other), False       # another's key
    yield "csr", signing.challenge(), False
    yield "challenge", signing.challenge(), True
    yield "challenge", signing.challenge(31), False
    yield "challenge", signing.challenge(4097), False
    yield "challenge", info, False
    yield "anything", signing.challenge(), False
    yield "", signing.challenge(), False


def test_only_what_the_key_is_for(signer):
    for purpose, data, good in forms(signer):
        got = signing.sign(signer.broker, "p256", purpose,
                           "ecdsa_secp256r1_sha256", data)
        assert ("error" not in got) == good, (purpose, data, got)
        if not good:
            assert got["error"].endswith(".Invalid"), got
    for algorithm in ("ecdsa_secp384r1_sha384", "rsa_pss_rsae_sha256",
                      "ed25519", "sha1", ""):
        got = signing.sign(signer.broker, "p256", "challenge", algorithm,
                           signing.challenge())
        assert got["error"].endswith(".Invalid"), (algorithm, got)
    got = signing.sign(signer.broker, "rsa2048", "tls13-client",
                       "rsa_pkcs1_sha256", signing.tls13())
    assert got["error"].endswith(".Invalid"), got


def test_the_record_has_decision_and_outcome(signer):
    data = signing.tls13()
    got = signing.sign(signer.broker, "p256", "tls13-client",
                       "ecdsa_secp256r1_sha256", data, context="main",
                       reason="deploy", ticket="OPS-1")
    seq = got["parameters"]["audit_seq"]
    leaves = [json.loads(signer("audit", "record", str(n), *signer.to,
                                code=0).text) for n in (seq, seq + 1)]
    decision, outcome = leaves
    assert decision["action"] == "use" and decision["decision"] == "permit"
    assert decision["details"] == {"purpose": "tls13-client",
                                   "algorithm": "ecdsa_secp256r1_sha256"}
    assert decision["context"] == "main" and decision["reason"] == "deploy"
    assert outcome["op"] == decision["op"] and outcome["outcome"] == "ok"
    assert base64.b64encode(data).decode() not in json.dumps(leaves)


def test_denied_and_unknown(signer):
    signer("policy", "apply", signer.write("p.yaml", json.dumps({
        "apiVersion": "certvault/v1", "kind": "Policy",
        "metadata": {"name": "t", "version": 2},
        "rules": [{"name": "r", "effect": "permit",
                   "subjects": {"users": ["*"]},
                   "actions": ["use"], "entries": {"names": ["p256", "gone"]},
                   "when": {"contexts": ["main", "none"]}},
                  {"name": "read", "effect": "permit",
                   "subjects": {"users": ["*"]},
                   "actions": ["audit.read", "list"]}]})), *signer.to, code=0)

    def error(*args, **more):
        return signing.sign(signer.broker, *args, signing.challenge(),
                            **more)["error"].rsplit(".", 1)[1]

    assert error("rsa2048", "challenge", "rsa_pkcs1_sha256") == "Denied"
    # What is there is told to those alone who might use it.
    assert error("nobody", "challenge", "ed25519") == "Denied"
    assert error("gone", "challenge", "ed25519", context="main") == "NotFound"
    assert error("p256", "challenge", "ecdsa_secp256r1_sha256",
                 context="other") == "Denied"
    assert error("p256", "challenge", "ecdsa_secp256r1_sha256",
                 context="none") == "NotFound"
    assert "error" not in signing.sign(
        signer.broker, "p256", "challenge", "ecdsa_secp256r1_sha256",
        signing.challenge(), context="main")
    denials = signer.json("audit", "query", "--action", "use", "--outcome",
                          "denied", *signer.to)["items"]
    assert len(denials) == 3, denials


def test_locked(signer):
    signer("lock", *signer.to, code=0)
    got = signing.sign(signer.broker, "p256", "challenge",
                       "ecdsa_secp256r1_sha256", signing.challenge())
    assert got["error"].endswith(".Locked"), got
    assert got["parameters"]["slots"], got
    permits = [r for r in signer.json("audit", "query", "--action", "use",
                                      *signer.to)["items"]]
    assert not permits, permits


def test_answers_keep_their_order(signer):
    """Several requests in one piece, with another kind among them."""
    s = signer.broker.connect()
    wanted, sent = [], b""
    for i in range(9):
        if i in (3, 7):
            sent += json.dumps({"method": "io.certvault.Broker.Show",
                                "parameters": {"name": "p384"}}).encode() + b"\0"
            wanted.append(None)
            continue
        data = signing.challenge()
        wanted.append(data)
        sent += json.dumps({"method": "io.certvault.Broker.Sign", "parameters": {
            "name": "ed25519", "purpose": "challenge", "algorithm": "ed25519",
            "data": base64.b64encode(data).decode()}}).encode() + b"\0"
    s.sendall(sent)
    got, rest = [], b""
    while len(got) < len(wanted):
        rest += s.recv(65536)
        *whole, rest = rest.split(b"\0")
        got += [json.loads(m) for m in whole]
    for data, one in zip(wanted, got):
        if data is None:
            assert one["parameters"]["entry"]["name"] == "p384"
        else:
            signing.verify(public(signer, "ed25519"), "ed25519", data,
                           signing.signature(one))
    s.close()


def test_a_caller_that_hangs_up_harms_nobody(signer):
    """Half of them are gone before their answer can be sent."""
    sockets = [signer.broker.connect() for _ in range(8)]
    data = [signing.challenge() for _ in sockets]
    for s, d in zip(sockets, data):
        s.sendall(json.dumps({
            "method": "io.certvault.Broker.Sign", "parameters": {
                "name": "rsa2048", "purpose": "challenge",
                "algorithm": "rsa_pss_rsae_sha256",
                "data": base64.b64encode(d).decode()}}).encode() + b"\0")
    for s in sockets[::2]:
        s.close()
    for s, d in list(zip(sockets, data))[1::2]:
        signing.verify(public(signer, "rsa2048"), "rsa_pss_rsae_sha256", d,
                       signing.signature(answer(s)))
        s.close()


def test_what_holds_the_key_dies(vault):
    """A signature or an error: an answer without either was given where the
    vault was found locked and opened by the time of the answer."""
    identity = Identity("p256")
    vault.add(as_yaml(config(identity)), "mine")
    broker = Broker(vault, "--key-file", vault.key_file)
    ask = {"name": "mine", "purpose": "challenge", "data": base64.b64encode(
        signing.challenge()).decode(), "algorithm": "ecdsa_secp256r1_sha256"}
    codes = []
    try:
        for _ in range(6):
            said = broker.call("io.certvault.Broker.Sign", ask)
            assert "error" in said or "signature" in said["parameters"], said
            codes.append(said["parameters"].get("code", "ok"))
            for pid, name in harness.our_processes():
                if name == "token":
                    os.kill(pid, signal.SIGKILL)
    finally:
        broker.end()
    assert codes[0] == "ok" and set(codes) <= {"ok", "busy", "locked",
                                               "unavailable"}, codes
