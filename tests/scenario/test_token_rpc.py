"""H51: a server behind p11-kit's RPC that answers with rubbish. The module's
process may end of it; nothing else does, nothing is believed, and with a server
that is well all is as it was."""

import os
import struct

import pytest

import harness
import rpc_proxy
import tokens
from harness import BUSY, INTEGRITY, INVALID, NOT_FOUND, UNAVAILABLE
from held import Held
from kube import Identity, as_yaml, config
from test_token_login import Asked
from test_token_ways import again, signs

SAMPLE = 8
OBJECTS = ("token", "objects")
UINT = struct.Struct(">I")
MAX = 2**32 - 1


@pytest.fixture
def held(release_vault, tmp_path):
    kind = [k for k in tokens.KINDS if k.name == "remote"][0]
    if kind.missing():
        pytest.skip(f"remote: {kind.missing()}")
    token = kind(tmp_path / "token")
    token.start()
    proxy = rpc_proxy.Proxy(token.path("proxy"), token.path("p11"))
    token.module_env = {"P11_KIT_SERVER_ADDRESS":
                        "unix:path=" + token.path("proxy")}
    made = Held(release_vault, token)
    made.proxy = proxy
    made.identity, _ = made.add("p256", "a")
    made.objects = made.json(*OBJECTS, made.uri)
    made.frames = list(proxy.seen)
    yield made
    proxy.stop()
    token.stop()


def spoil(held, how, *args):
    held.proxy.spoil, held.proxy.spoilt = how, 0
    done = held("-o", "json", *(args or (*OBJECTS, held.uri)))
    held.proxy.spoil = lambda n, frame: None
    return done


def recover(held):
    """Where the answer to C_Login was spoilt nobody knows whether the PIN was
    right: it is not sent again before a person says so."""
    done = held("token", "login", held.uri)
    if done.code:
        assert "was cut off" in done.note, done
        asked = Asked(held, "token", "login", held.uri).pin(held.token.pin)
        assert asked.end() == 0, asked.seen


def is_well(held):
    """Another command, over a server that is well."""
    assert held.json(*OBJECTS, held.uri) == held.objects
    assert not harness.wait_for_none()


class Told:
    """What commands said over spoilt answers: 69, or the truth where it could be
    had over a new connection. `reached`: so many were spoilt at all."""

    def __init__(self, held):
        self.held, self.reached, self.failed = held, 0, 0

    def of(self, done, where):
        if not self.held.proxy.spoilt:
            return                     # another conversation than before
        self.reached += 1
        self.failed += done.code != 0
        if done.code == 0:
            assert done.json == self.held.objects, (where, done)
        else:
            assert done.code == UNAVAILABLE, (where, done)
            recover(self.held)

    def end(self):
        print(f"{self.reached} spoilt, {self.failed} failed")
        assert self.failed, "nothing was spoilt"
        is_well(self.held)


def chosen(held, rng):
    """Answers by their place: one of each signature, or in CI a few."""
    kinds = {}
    for n, frame in enumerate(held.frames):
        kinds.setdefault((frame.call, frame.signature), n)
    some = sorted(kinds.values())
    return some if harness.FULL else sorted(rng.sample(some, 3))


def test_cut_at_each_byte(held):
    rng, told = harness.seeded(), Told(held)
    for at in chosen(held, rng):
        size = len(held.frames[at].bytes())
        places = range(size) if harness.FULL else \
            sorted({0, 5, size - 1, *rng.sample(range(size), 2)})
        for cut in places:
            done = spoil(held, lambda n, f: f.bytes()[:cut] if n == at
                         else None)
            told.of(done, (at, cut))
    told.end()


@pytest.mark.parametrize("what", ["options", "body", "both"])
def test_a_length_of_4_gib(held, what):
    rng, told = harness.seeded(), Told(held)
    for at in chosen(held, rng):
        def longer(n, f):
            if n != at:
                return None
            return rpc_proxy.HEAD.pack(
                f.number, MAX if what != "body" else len(f.options),
                MAX if what != "options" else len(f.body)) + f.options + f.body
        told.of(spoil(held, longer), (what, at))
    told.end()


@pytest.mark.parametrize("call", [0, 1, 999, MAX])
def test_an_unknown_call(held, call):
    """The answer to another call than was made, or to none that there is."""
    rng, told = harness.seeded(), Told(held)
    for at in chosen(held, rng):
        def other(n, f):
            if n != at or f.call == call:
                return None
            body = UINT.pack(call) + f.body[4:]
            return rpc_proxy.HEAD.pack(f.number, len(f.options), len(body)) + \
                f.options + body
        told.of(spoil(held, other), (call, at))
    told.end()


def test_a_nested_template(held):
    """50,000 deep, where attributes are read."""
    places = [n for n, f in enumerate(held.frames) if "aA" in f.signature]
    told = Told(held)
    for at in places[:1] if not harness.FULL else places[:6]:
        done = spoil(held, lambda n, f: rpc_proxy.nested(f, 50000)
                     if n == at else None)
        told.of(done, at)
    told.end()


def test_counts_and_lengths_within(held):
    """Each four bytes of an answer's arguments become 2^32-1: counts, lengths,
    types. What the module makes of it may be false, but is no crash of ours."""
    rng = harness.seeded()
    places = [(at, k) for at in chosen(held, rng)
              for k in range(held.frames[at].arguments,
                             len(held.frames[at].body) - 3)]
    for at, k in places if harness.FULL else \
            rng.sample(places, min(SAMPLE, len(places))):
        def big(n, f):
            if n != at or len(f.body) < k + 4:
                return None
            body = f.body[:k] + UINT.pack(MAX) + f.body[k + 4:]
            return rpc_proxy.HEAD.pack(f.number, len(f.options), len(body)) + \
                f.options + body
        done = spoil(held, big)
        assert done.code in (0, UNAVAILABLE, NOT_FOUND, INTEGRITY, INVALID,
                             BUSY), ((at, k), done)
        recover(held)
    is_well(held)


def test_while_a_key_is_taken_in(held):
    """An import over a server that goes mad in the middle: the next login ends
    it, and no key is lost."""
    rng = harness.seeded()
    new = Identity("p256", secrets=held.vault.secrets)
    path = held.vault.write("kube", as_yaml(config(new)))
    args = ("import", path, "--name", "b", "--to", "token:" + held.uri)
    held(*args, "--dry-run", code=0)
    before = len(held.proxy.seen)
    for at in sorted(rng.sample(range(before, before + 60),
                                40 if harness.FULL else 3)):
        done = spoil(held, lambda n, f: f.bytes()[:7] if n == at else None,
                     *args)
        recover(held)
        entries = {e["name"]: e["state"] for e in held.json("list")["items"]}
        assert entries in ({"a": "ready"}, {"a": "ready", "b": "ready"}), \
            (at, done, entries)
        assert len(held.private_keys()) == len(entries), (at, entries)
        if "b" in entries:
            held("rm", "b", "--yes", code=0)
    assert held.vault.verify()["ok"]


def test_a_broker_that_runs_goes_on(held):
    """It serves others, and the token again when its server is well."""
    public = held.identity.cert.public_key()
    with held.broker() as b:
        held(*held.to(b), "token", "login", held.uri, code=0)
        assert signs(held, b, public, "a") == "ok"
        held.proxy.spoil = lambda n, f: f.bytes()[:-1]
        held.token.restart()
        assert signs(held, b, public, "a") != "ok"
        held(*held.to(b), "list", code=0)
        pid = b.process.pid
        held.proxy.spoil = lambda n, f: None
        os.kill(pid, 0)
        again(held, *held.to(b), "token", "login", held.uri)
        assert signs(held, b, public, "a") == "ok"
