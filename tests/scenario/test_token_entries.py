"""Entries on SoftHSM, killed anywhere: at the token's next login each key is
where it was or where it was going, and nothing on the token is unexplained.
(Each step of the journal by itself: test_token_journal.py. Every kind of token:
test_token_ways.py.)"""

import os
import shutil
import sqlite3

import pytest

import harness
import minting
import straced
import tokens
from held import Held, certified, csr_key
from kube import Identity, as_yaml, config

SAMPLE = int(os.environ.get("CV_KILLS", "5"))    # kills a change in CI
SERVER = "https://10.0.0.1:6443"


@pytest.fixture
def softhsm(tmp_path):
    kind = [k for k in tokens.KINDS if k.name == "softhsm"][0]
    if kind.missing():
        pytest.skip(f"softhsm: {kind.missing()}")
    token = kind(tmp_path / "token")
    token.start()
    yield token
    token.stop()


@pytest.fixture
def held(vault, softhsm):
    return Held(vault, softhsm)


def test_doctor_warns_of_it(held):
    held.add("p256", "a")
    said = [i for i in held("-o", "json", "doctor").json["items"]
            if i["check"] == "tokens"]
    assert any("SoftHSM" in i["message"] and i["result"] == "warn"
               for i in said), said


def test_the_token_that_init_was_told(home, secrets, softhsm):
    """Keys go there where nothing else is said, after a restore too."""
    v = harness.Vault(home, secrets, init=False)
    held = Held(v, softhsm)
    init = ("init", "--key", "file:" + v.key_file)
    own = softhsm.uri
    for bad, code in (("softhsm", harness.USAGE), ("pkcs11:", harness.INVALID),
                      ("pkcs11:nonsense", harness.INVALID),
                      (own + ";pin=1234", harness.INVALID),
                      (own + "?module-path=/x.so", harness.INVALID),
                      (own + "?pin-source=file:/x", harness.INVALID)):
        v(*init, "--token", bad, code=code)
        assert not os.path.exists(v.path("vault.db"))
    assert v.json(*init, "--token", own)["token_uri"] == own

    def put(name, *args, vault=()):
        identity = Identity(secrets=secrets)
        return held(*vault, "-o", "json", "import", "-", "--name", name, *args,
                    input=as_yaml(config(identity)))

    assert put("a").json["items"][0]["location"] == "token"
    assert put("b", "--to", "token").json["items"][0]["location"] == "token"
    assert put("c", "--to", "sealed",
               "--exportable").json["items"][0]["location"] == "sealed"
    refused = put("d", "--exportable")
    assert refused.code == harness.USAGE
    assert "--to sealed" in refused.error["hint"]
    held.configure(defaults={"to": "sealed"})
    assert put("e").json["items"][0]["location"] == "sealed"
    held.configure()
    copy = os.path.join(v.home, "copy")
    v("backup", os.path.join(v.home, "b"), code=0)
    v("--vault", copy, "restore", os.path.join(v.home, "b"), "--yes", code=0)
    assert put("f", vault=("--vault", copy)).json[
        "items"][0]["location"] == "token"
    assert len(held.private_keys()) == 3


def test_lost_with_its_token_and_found_again(held):
    identity, _ = held.add("p256", "a")
    held("token", "lost", held.token.uri, code=0)
    assert held.entry("a")["state"] == "lost"
    held.check_signatures("a", identity.cert.public_key(), "p256")
    assert held.entry("a")["state"] == "ready"


def test_a_key_that_another_tool_destroyed(held):
    held.add("p256", "a")
    key_id = held.entry("a")["entry_id"]
    for kind in ("privkey", "pubkey", "cert"):
        held.token.pkcs11_tool("--login", "--pin", held.token.pin,
                               "--delete-object", "--type", kind, "--id",
                               key_id)
    assert not held.private_keys()
    with pytest.raises(AssertionError, match="NotFound|Integrity"):
        held.check_signatures("a", Identity().cert.public_key(), "p256")
    assert held.entry("a")["state"] == "lost"
    held("rm", "a", "--yes", code=0)


def test_what_a_request_cannot_be_made_of_makes_no_key(held):
    folder = os.path.join(held.vault.home, "taken")
    os.mkdir(folder)
    path = os.path.join(held.vault.home, "g.csr")
    for code, subject, where in (
            (harness.INVALID, "junk", path), (harness.INVALID, "CN=", path),
            (harness.INVALID, "CN=g", folder), (harness.USAGE, "CN=g", "-")):
        done = held("-o", "json", "generate", "g", "--token", held.uri,
                    "--yes", "--subject", subject, "--csr", where, code=code)
        assert done.error["state"].startswith("nothing was"), done
    assert not held.private_keys() and held.vault.names() == []
    assert not os.path.exists(path)


def test_an_entry_that_waits_for_its_certificate_says_so(held):
    path = os.path.join(held.vault.home, "g.csr")
    held("generate", "g", "--token", held.uri, "--csr", path, code=0)
    for words in (("exec", "g", "--", "true"), ("kubeconfig", "g"),
                  ("exec", "g", "--context", "c", "--", "true")):
        error = held("-o", "json", *words, code=harness.INVALID).error
        assert "no certificate yet" in error["message"], error
        assert error["hint"] == "certvault install g --cert FILE"


def test_one_name_for_several_files_makes_no_key(held):
    folder = os.path.join(held.vault.home, "configs")
    os.mkdir(folder)
    for i in range(2):
        held.vault.write(f"configs/k{i}", as_yaml(config(Identity())))
    held("import", folder, "--name", "x", "--to", "token:" + held.uri,
         code=harness.USAGE)
    assert not held.private_keys() and held.vault.names() == []


def test_adopt_of_what_fits_several_keys_names_them(held):
    held.add("p256", "a")
    held.add("p256", "b")
    cert = held.vault.write("c.pem", minting.cert_pem(Identity().cert))
    ca = held.vault.write("ca.pem", minting.Authority("some CA").pem)
    error = held("-o", "json", "adopt", "n", "--key", held.uri, "--cert", cert,
                 "--server", SERVER, "--cluster-ca", ca,
                 code=harness.INVALID).error
    assert "several private keys" in error["message"], error
    for name in "ab":
        key_id = bytes.fromhex(held.entry(name)["entry_id"])
        assert "id=" + "".join(f"%{b:02x}" for b in key_id) in error["hint"]
    assert held.vault.names() == ["a", "b"]


# --- killed ---

@pytest.fixture
def prepared(release_vault, softhsm, secrets):
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    held = Held(release_vault, softhsm)
    v = held.vault
    held.first, _ = held.add("p256", "first")
    held.new = Identity("p256", secrets=secrets)
    held.new_file = v.write("kube", as_yaml(config(held.new)))
    held.request = os.path.join(v.home, "request.pem")
    for name, folder in (("vault", v.folder), ("token", softhsm.folder)):
        shutil.copytree(folder, os.path.join(v.home, "was-" + name))
    return held


def restore(held):
    for name, folder in (("vault", held.vault.folder),
                         ("token", held.token.folder)):
        shutil.rmtree(folder)
        shutil.copytree(os.path.join(held.vault.home, "was-" + name), folder)
    if os.path.exists(held.request):
        os.unlink(held.request)


CHANGES = {
    "import": lambda h: ("import", h.new_file, "--name", "second", "--to",
                         "token:" + h.uri),
    "rm": lambda h: ("rm", "first", "--yes"),
    "generate": lambda h: ("generate", "second", "--token", h.uri, "--csr",
                           h.request),
}


def given(held):
    return ("--pin-source", "file:" + held.pin_file)


def journal(held):
    db = sqlite3.connect(f"file:{held.vault.path('vault.db')}?mode=ro",
                         uri=True)
    try:
        return [r[0] for r in db.execute("select doc from journal")]
    finally:
        db.close()


def log_in(held, where):
    """False: SoftHSM has lost its token."""
    done = held("token", "login", held.uri)
    if done.code == harness.UNAVAILABLE and "cut off" in done.note:
        held.forget_logins()
        done = held("token", "login", held.uri)
    if done.code in (harness.NOT_FOUND, harness.UNAVAILABLE):
        print(f"{where}: the token is lost: {done.note.splitlines()[0]}")
        return False
    assert done.code == 0, (where, done)
    return True


def check(held, where):
    # A key that does not work is broken at the second login, what else is left
    # is told then, and destroyed at the third.
    for _ in range(3):
        if not log_in(held, where):
            return False
    entries = {e["name"]: e for e in held.json("list")["items"]}
    assert set(entries) <= {"first", "second"}, (where, entries)
    assert not journal(held), where
    assert len(held.private_keys()) == len(entries), (where, entries)
    for name, e in entries.items():
        assert e["state"] == ("pending" if e["provenance"] == "born"
                              else "ready"), (where, e)
        if e["provenance"] != "born":
            wanted = held.first if name == "first" else held.new
            assert e["key"]["spki_sha256"] == wanted.spki, where
            held.check_signatures(name, wanted.cert.public_key(), "p256")
    assert held.vault.verify()["ok"], where
    return True


@pytest.mark.parametrize("change", CHANGES)
def test_killed_anywhere(prepared, change, tmp_path):
    held = prepared
    v = held.vault
    restore(held)
    out = str(tmp_path / "count")
    v.wrap = straced.command(out, straced.available())
    try:
        assert held(*CHANGES[change](held)).code == 0
    finally:
        v.wrap = []
    with open(out, encoding="ascii") as f:
        calls = straced.parse(f.read())
    everything = sorted({(c.name, c.nth)
                         for c in straced.files_only(calls, str(tmp_path))})
    assert len(everything) > 10, everything
    rng = harness.seeded()
    chosen = everything if harness.FULL else \
        sorted(rng.sample(everything, SAMPLE))
    lost = 0
    for call, nth in chosen:
        restore(held)
        straced.killed_run(v, call, nth, *given(held), *CHANGES[change](held))
        left = harness.wait_for_none()
        assert not left, (call, nth, left)
        lost += not check(held, f"{change} killed at {call} #{nth}")
    print(f"{change}: {len(chosen)} kills of {len(everything)}; SoftHSM lost "
          f"its token {lost} times")


def test_generate_after_a_kill_goes_on(prepared):
    """Whatever was left, the same command works afterwards."""
    held = prepared
    straced.killed_run(held.vault, "fdatasync", 3, *given(held),
                       *CHANGES["generate"](held))
    harness.wait_for_none()
    assert log_in(held, "first") and log_in(held, "second")
    if "second" not in held.vault.names():
        held(*CHANGES["generate"](held), code=0)
    elif not os.path.exists(held.request):
        held("generate", "second", "--csr", held.request, code=0)
    with open(held.request, "rb") as f:
        public = csr_key(f.read())
    authority = minting.Authority("token CA")
    held("install", "second", "--cert",
         held.vault.write("cert.pem", certified(authority, public)), "--server",
         SERVER, "--cluster-ca", held.vault.write("ca.pem", authority.pem),
         code=0)
    held.check_signatures("second", public, "p256")
