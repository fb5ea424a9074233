"""A token that lies or breaks (H42 to H50): nothing of what it says is taken
for done, nothing leaves that was not verified, nothing is left on it that the
vault does not know."""

import os

import pytest

import harness
import tokens
from held import Held
from test_token_ways import again, signs, some_key

ATTACKS = ("read-secret read-primes wrap-cbc-pad wrap-key-wrap "
           "wrap-key-wrap-pad wrap-kwp wrap-rsa wrap-twin copy-extractable "
           "copy-plain copy-public set-extractable set-plain derive digest "
           "decrypt").split()
# What each hole is found out as, with an RSA key; the key came out by `leaked`.
LEAKS = set(ATTACKS) - {"copy-plain", "copy-public", "set-plain", "digest",
                        "decrypt"}
MUST_FAIL = ("create=nothing", "create=half", "extractable=1", "value=readable",
             "wrap=leaks", "copy=leaks", "set=leaks", "length=max",
             "length=grow", "id=huge", "sign=wrong", "sign=zero", "sign=short",
             "sign=long", "sign=empty", "capacity=0",
             "fault=C_CreateObject rv:0x31\nfault=C_UnwrapKey rv:0x31",
             "once=C_CreateObject rv-after:0x5\nonce=C_UnwrapKey rv-after:0x5")


@pytest.fixture
def held(release_vault, misbehaving):
    return Held(release_vault, misbehaving)


def nothing_unknown(held):
    """Once the token behaves again and somebody has logged in, all that is on
    it belongs to an entry."""
    held.token.control()
    done = held("token", "login", held.uri)
    assert done.code == 0, done
    held("list", code=0)
    known = [e for e in held.json("list")["items"]
             if e["location"] == "token" and e["state"] == "ready"]
    keys = held.private_keys()
    assert len(keys) == len(known), (keys, known)
    if not known:
        assert not held.token.objects(), held.token.objects()
    return known


@pytest.mark.parametrize("lie", MUST_FAIL)
@pytest.mark.parametrize("unwrap", ["1", "0"] if harness.FULL else ["1"],
                         ids=lambda u: "unwrapped" if u == "1" else "created")
def test_import_believes_nothing(held, lie, unwrap):
    held("token", "login", held.uri, code=0)
    # What is created first is the key for wrapping, where there is unwrapping.
    if unwrap == "0":
        lie = lie.replace("once=C_CreateObject", "fault=C_CreateObject")
    held.token.control(f"unwrap={unwrap}", *lie.split("\n"))
    _, done = held.add("p256", code=None)
    assert done.code in (harness.UNAVAILABLE, harness.INTEGRITY,
                         harness.DENIED, harness.INVALID), done
    assert "hint" in done.error or "state" in done.error, done
    assert nothing_unknown(held) == []
    # The same key gets in once the token is honest.
    held.token.control()
    held.add("p256", "after")
    assert len(nothing_unknown(held)) == 1


def test_the_attributes_are_read_back(held):
    """A key that says it is extractable is no key that was asked for: not a
    leaky one either, which a policy could permit."""
    held("token", "login", held.uri, code=0)
    held.token.control("extractable=1")
    _, done = held.add("p256", code=harness.INTEGRITY)
    assert "CKA_EXTRACTABLE" in done.note, done
    assert nothing_unknown(held) == []


@pytest.mark.parametrize("hole", ATTACKS)
def test_each_attack_is_made(held, hole):
    """One hole at a time: it is found, and by that name."""
    held.token.control("leak=" + hole)
    report = held.json("token", "probe", held.uri, "--destructive-test", "--yes")
    report = report.get("report", report)
    by_name = {a["name"]: a["result"] for a in report["findings"]["attacks"]}
    assert set(by_name) == set(ATTACKS)
    bad = {n: r for n, r in by_name.items() if r in ("leaked", "misused")}
    if not bad and hole in ("read-primes", "decrypt"):
        pytest.skip("the scratch key is no RSA key")
    assert hole in bad, by_name
    if hole in LEAKS:
        assert by_name[hole] == "leaked" and report["leaky"]


@pytest.mark.parametrize("hole", ["wrap-cbc-pad", "read-secret",
                                  "copy-extractable", "set-extractable"])
def test_a_leaky_token_is_refused(held, hole):
    held.token.control("leak=" + hole)
    _, done = held.add("rsa2048", code=harness.DENIED)
    assert nothing_unknown(held) == []


@pytest.mark.parametrize("lie", ["sign=wrong", "sign=zero", "sign=short",
                                 "sign=long", "sign=empty", "handles=stale"])
def test_no_signature_leaves_unverified(held, lie):
    public = some_key(held)
    some_key(held, "other")
    with held.broker() as b:
        held(*held.to(b), "token", "login", held.uri, code=0)
        assert signs(held, b, public) == "ok"
        held.token.control(lie)
        assert signs(held, b, public) in ("Integrity", "Unavailable")
        held.token.control()
        said = signs(held, b, public)
        if said != "ok":
            held(*held.to(b), "token", "login", held.uri, code=0)
            said = signs(held, b, public)
        assert said == "ok"


@pytest.mark.parametrize("fault", [
    "fault=C_Sign hang", "once=C_Sign kill", "once=C_Sign crash",
    "once=C_SignInit sessions",
    "once=C_SignInit logout", "once=C_FindObjectsInit rv:0xb3",
    "once=C_Sign rv:0x5"])
def test_a_broken_module_is_replaced(held, fault):
    """The broker lives on, no PIN is tried by itself, and after a login the
    key signs again."""
    if "hang" in fault and not harness.FULL:
        pytest.skip("waits for a minute: only in the full run")
    public = some_key(held)
    with held.broker() as b:
        login = (*held.to(b), "token", "login", held.uri)
        held(*login, code=0)
        assert signs(held, b, public) == "ok"
        before = len(held.token.attempts())
        held.token.control(fault)
        signs(held, b, public)
        bad = [a for a in held.token.attempts()[before:] if a[2] != "right"]
        assert not bad
        held.token.control()
        assert b.process.poll() is None
        if signs(held, b, public) != "ok":
            again(held, *login)
            assert signs(held, b, public) == "ok"


@pytest.mark.parametrize("lie", ["list=none", "list=null-all", "list=version:9",
                                 "list=error", "list=null:C_Sign"])
def test_a_module_that_is_none(held, lie):
    held.token.control(lie)
    done = held("-o", "json", "token", "objects", held.uri)
    assert done.code in (harness.CONFIG, harness.UNAVAILABLE,
                         harness.NOT_FOUND), done


def test_a_library_that_is_no_module(held):
    held.configure(modules=[{"name": "none", "path":
                             tokens.built("no_list.so")}])
    done = held("-o", "json", "token", "objects", held.uri)
    assert done.code in (harness.CONFIG, harness.NOT_FOUND), done


@pytest.mark.parametrize("how", ["relative", "writable", "others", "missing",
                                 "link"])
def test_modules_that_are_not_opened(held, how, tmp_path):
    """H42: refused before anything is loaded."""
    import shutil
    path = str(tmp_path / "module.so")
    shutil.copy(held.token.module, path)
    if how == "relative":
        path = "module.so"
    elif how == "writable":
        os.chmod(path, 0o777)
    elif how == "others":
        if os.geteuid() != 0:
            pytest.skip("only root can give files away")
        os.chown(path, 65534, 65534)
    elif how == "missing":
        path += ".not"
    else:
        os.chmod(tmp_path, 0o777)
    entry = dict(held.token.modules[0], path=path)
    held.configure(modules=[entry])
    held.token.control("calls=1")
    done = held("-o", "json", "token", "objects", held.uri)
    assert done.code in (harness.CONFIG, harness.NOT_FOUND), done
    assert held.token.calls() == []


def test_duplicate_ids_are_refused(held):
    """H47: another program's key with our id, or ours twice."""
    public = some_key(held)
    entry = held.entry("held")
    key_id = entry["token_uri"].split("id=%")[1].split(";")[0].replace("%", "")
    held.token.pkcs11_tool("--keypairgen", "--key-type", "EC:secp256r1", "--id",
                           key_id.lower(), "--label", "other")
    with held.broker() as b:
        held(*held.to(b), "token", "login", held.uri, code=0)
        assert signs(held, b, public) in ("ok", "Integrity")
