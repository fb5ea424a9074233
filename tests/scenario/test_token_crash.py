"""Killed at any PKCS#11 call, and at any write: at the next login all is where
it was or where it was going; no key is lost, none is used for another, and
what is left on the token is known to the vault."""

import os

import pytest
from cryptography.hazmat.primitives import serialization

import harness
import minting
import straced
from held import Held, PublicOnly, certified
from kube import Identity, as_yaml, config, several
from test_token_login import Asked
from test_token_ways import signs
from wire import Broker

SAMPLE = 4
CHANGES = ("import", "created", "rm", "sign", "generate", "batch", "fetch",
           "adopt")
# Made together: all of them are there, or none is.
BATCHES = {"batch": {"batch-p", "batch-q", "batch-r"},
           "fetch": {"fetched-externalTLSVerify", "fetched-internal"}}


@pytest.fixture
def cloud(standin_server, secrets):
    """A cluster whose answer is one key under two authorities. (Not `standin`:
    what is killed while it talks is no fault.)"""
    standin_server.reset()
    cluster = standin_server.cloud.add("kills", alg="p256")
    cluster.outside = minting.Authority("the outside CA")
    secrets.add("SK", standin_server.cloud.sk)
    yield standin_server
    standin_server.cloud.clusters.remove(cluster)


@pytest.fixture
def prepared(release_vault, misbehaving, secrets, cloud):
    held = Held(release_vault, misbehaving)
    held.cloud = cloud
    held.vault.extra.update({"HUAWEICLOUD_SDK_AK": cloud.cloud.ak,
                             "HUAWEICLOUD_SDK_SK": cloud.cloud.sk})
    v = held.vault
    held.first, _ = held.add("p256", "first")
    held.new = Identity("p256", secrets=secrets)
    held.new_file = v.write("kube", as_yaml(config(held.new)))
    held.batch = [Identity("p256", secrets=secrets) for _ in range(3)]
    held.batch_file = v.write("several",
                              as_yaml(several(held.batch, ["p", "q", "r"])))
    held.vendors = serialization.load_der_public_key(
        held.token.generate("p256", "ad", "vendor"))
    authority = minting.Authority("token CA")
    held.cert = v.write("cert.pem", certified(authority, held.vendors))
    held.ca = v.write("ca.pem", authority.pem)
    held.request = os.path.join(v.home, "request.pem")
    held.keep()
    return held


def restore(held):
    held.restore()
    if os.path.exists(held.request):
        os.unlink(held.request)


def arguments(held, change):
    if change in ("import", "created"):
        return ("import", held.new_file, "--name", "second", "--to",
                "token:" + held.uri)
    if change == "batch":
        return ("import", held.batch_file, "--name", "batch-{context}", "--to",
                "token:" + held.uri)
    if change == "fetch":
        s = held.cloud
        return ("fetch", "--cluster", "kills", "--name", "fetched-{context}",
                "--to", "token:" + held.uri, "--region", s.cloud.region,
                "--endpoint", s.url, "--iam-endpoint", s.url, "--ca-file",
                s.ca_file)
    if change == "adopt":
        return ("adopt", "adopted", "--key", held.key_uri("ad"), "--cert",
                held.cert, "--server", "https://10.0.0.1:6443", "--cluster-ca",
                held.ca)
    if change == "rm":
        return ("rm", "first", "--yes")
    return ("generate", "second", "--token", held.uri, "--alg", "p256", "--csr",
            held.request)


def switches(change):
    return ["unwrap=0"] if change == "created" else []


def act(held, change):
    """The change; for `sign`, a broker that is asked for a signature."""
    if change != "sign":
        return held(*arguments(held, change))
    with held.broker() as b:
        done = held(*held.to(b), "token", "login", held.uri)
        signs(held, b, held.first.cert.public_key(), "first")
    return done


def publics(held):
    """{(SPKI, entry): its public key}: what may be there."""
    found = {(held.first.spki, "first"): held.first.cert.public_key(),
             (held.new.spki, "second"): held.new.cert.public_key(),
             (minting.spki_sha256(PublicOnly(held.vendors)), "adopted"):
                 held.vendors}
    for context, identity in zip("pqr", held.batch):
        found[identity.spki, "batch-" + context] = identity.cert.public_key()
    for cert in held.cloud.cloud.cluster("kills").issued:
        for name in BATCHES["fetch"]:
            found[minting.spki_sha256(cert), name] = cert.public_key()
    return found


def check(held, where):
    """After a kill, and a login."""
    held.token.control()
    done = held("token", "login", held.uri)
    if done.code != 0:
        # It died between writing the login down and the end of it, or the
        # token did between counting a try and giving it back: a person says
        # that the PIN is sure.
        assert "was cut off" in done.note or \
            "few tries are left" in done.note, (where, done)
        before = len(held.token.attempts())
        asked = Asked(held, "token", "login", held.uri).pin(held.token.pin)
        assert asked.end() == 0, (where, asked.seen)
        assert [a[2] for a in held.token.attempts()[before:]] == ["right"]
    entries = {e["name"]: e for e in held.json("list")["items"]}
    held("list", code=0)
    known = {"first", "second", "adopted"}.union(*BATCHES.values())
    assert set(entries) <= known, (where, entries)
    for names in BATCHES.values():
        assert names & set(entries) in (set(), names), (where, entries)
    ready = [e for e in entries.values() if e["state"] == "ready"]
    pending = [e for e in entries.values() if e["state"] == "pending"]
    assert not [e for e in entries.values() if e["state"] == "lost"], where
    keys = held.private_keys()
    # Besides those of entries there is the vendor's.
    ours = [e for e in ready + pending if e["name"] != "adopted"]
    assert len(keys) == len(ours) + 1, (where, keys, entries)
    with held.broker() as b:
        held(*held.to(b), "token", "login", held.uri, code=0)
        for e in ready:
            if e["provenance"] != "born":
                public = publics(held)[e["key"]["spki_sha256"], e["name"]]
                assert signs(held, b, public, e["name"]) == "ok", (where, e)
    report = held.vault.verify()
    assert report["ok"], (where, report)
    # Not lost: in the vault, or still in the file.
    with open(held.new_file, "rb") as f:
        assert b"client-key-data" in f.read() or "second" in entries, where
    with open(held.batch_file, "rb") as f:
        assert f.read().count(b"client-key-data") == 3, where
    return sorted(entries)


@pytest.mark.parametrize("change", CHANGES)
def test_killed_at_each_pkcs11_call(prepared, change):
    held = prepared
    restore(held)
    held.token.control("calls=1", *switches(change))
    assert act(held, change).code == 0
    calls = held.token.calls()
    names = {int(c[1]): c[2] for c in calls}
    everything = sorted(names)
    assert len(everything) >= 10, calls
    logins = [n for n in everything if names[n] == "C_Login"]
    rng = harness.seeded()
    chosen = everything if harness.FULL else \
        sorted(rng.sample(everything, SAMPLE))
    for n in chosen:
        if n in logins:
            continue                   # test_token_pins.py has those
        for how in ("kill", "kill-after"):
            restore(held)
            held.token.control(f"once={n} {how}", *switches(change))
            act(held, change)
            left = harness.wait_for_none()
            assert not left, (n, left)
            check(held, f"{change}: {how} at {names[n]} #{n}")
    print(f"{change}: {len(everything)} calls")


@pytest.mark.parametrize("change", ["import", "rm", "generate", "batch",
                                    "fetch", "adopt"])
def test_killed_at_each_write(prepared, change, tmp_path):
    """Command line, broker and token process, at each of their writes."""
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    held = prepared
    v = held.vault
    given = ("--pin-source", "file:" + held.pin_file)
    restore(held)
    out = str(tmp_path / "count")
    v.wrap = straced.command(out, straced.available())
    try:
        assert held(*arguments(held, change)).code == 0
    finally:
        v.wrap = []
    with open(out, encoding="ascii") as f:
        calls = straced.parse(f.read())
    everything = sorted({(c.name, c.nth)
                         for c in straced.files_only(calls, v.home)})
    rng = harness.seeded()
    chosen = everything if harness.FULL else \
        sorted(rng.sample(everything, min(SAMPLE, len(everything))))
    for call, nth in chosen:
        restore(held)
        straced.killed_run(v, call, nth, *given, *arguments(held, change))
        left = harness.wait_for_none()
        assert not left, (call, nth, left)
        check(held, f"{change}: killed at {call} #{nth}")
    print(f"{change}: {len(chosen)} kills of {len(everything)}")


def sign_below(held, wrap):
    """A login and a signature, by a broker that something stands in front of;
    what came of it."""
    held.vault.wrap = wrap
    try:
        b = Broker(held.vault, *held.started())
    except AssertionError:
        return "it did not begin"
    finally:
        held.vault.wrap = []
    try:
        held(*held.to(b), "token", "login", held.uri)
        return signs(held, b, held.first.cert.public_key(), "first")
    except OSError:
        return "it hung up"
    finally:
        try:
            b.end()
        except (OSError, IndexError):
            b.process.communicate(timeout=60)    # it ends with what was killed


def test_a_signature_is_killed_at_each_write(prepared, tmp_path):
    """The broker and whatever it started, from its start to its end."""
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    held = prepared
    restore(held)
    out = str(tmp_path / "count")
    assert sign_below(held, straced.command(out, straced.available())) == "ok"
    with open(out, encoding="ascii") as f:
        calls = straced.parse(f.read())
    everything = sorted({(c.name, c.nth)
                         for c in straced.files_only(calls, held.vault.home)})
    assert len(everything) >= 10, everything
    chosen = everything if harness.FULL else \
        sorted(harness.seeded().sample(everything, SAMPLE))
    cut = 0
    for call, nth in chosen:
        restore(held)
        cut += sign_below(held, [
            "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call,
            "-e", "signal=none", "-e",
            f"inject={call}:signal=SIGKILL:when={nth}"]) != "ok"
        left = harness.wait_for_none()
        assert not left, (call, nth, left)
        check(held, f"sign: killed at {call} #{nth}")
    print(f"sign: {len(chosen)} kills of {len(everything)}, {cut} without one")
