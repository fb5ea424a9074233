"""Entries on tokens over a stand-in for the token program: every way in and
out, cut off at every step of it, ended at the next login. What real tokens make
of it is in test_token_entries.py."""

import json
import os
import shutil
import sqlite3

import pytest
from cryptography import x509

import harness
import minting
import signing
from harness import DENIED, INTEGRITY, INVALID, NOT_FOUND, UNAVAILABLE, Vault
from held import certified
from kube import Identity, as_yaml, config, several
from wire import Broker

URI = ("pkcs11:model=fake;manufacturer=certvault%20tests;serial=0001;"
       "token=fake")
TO = "token:pkcs11:token=fake"


class Token:
    """What the stand-in has on its token, and what it is to do wrong."""

    def __init__(self, folder):
        self.folder = folder

    def plan(self, **what):
        with open(os.path.join(self.folder, "plan.json"), "w",
                  encoding="utf-8") as f:
            json.dump(what, f)

    @property
    def plan_now(self):
        with open(os.path.join(self.folder, "plan.json"),
                  encoding="utf-8") as f:
            return json.load(f)

    @property
    def state(self):
        try:
            with open(os.path.join(self.folder, "state.json"),
                      encoding="utf-8") as f:
                return json.load(f)
        except FileNotFoundError:
            return {"objects": [], "calls": []}

    @property
    def objects(self):
        return self.state["objects"]

    @property
    def keys(self):
        return [o for o in self.objects if o["class"] == "private"]

    def put(self, *objects):
        state = self.state
        state["objects"] += objects
        with open(os.path.join(self.folder, "state.json"), "w",
                  encoding="utf-8") as f:
            json.dump(state, f)


@pytest.fixture(scope="session")
def fake_build(tmp_path_factory):
    """The programs, with the stand-in in the place of the token program."""
    root = tmp_path_factory.mktemp("build")
    for folder in ("bin", "libexec/certvault"):
        os.makedirs(root / folder)
    for name in harness.PROGRAMS:
        source = harness.program(name)
        target = root / os.path.relpath(source, harness.BUILD)
        if name != "token" and os.path.exists(source):
            try:
                os.link(source, target)
            except OSError:
                shutil.copy(source, target)
    libexec = root / "libexec/certvault"
    shutil.copy(os.path.join(harness.SOURCE, "tests/fakes/fake_module.py"),
                libexec / "token")
    os.chmod(libexec / "token", 0o755)
    (libexec / "real").write_text(harness.program("token"))
    return str(root)


@pytest.fixture
def vault(home, secrets, fake_build):
    v = Vault(home, secrets, build=fake_build)
    v.token = Token(os.path.join(fake_build, "libexec/certvault"))
    for name in ("state.json", "plan.json"):
        path = os.path.join(v.token.folder, name)
        if os.path.exists(path):
            os.unlink(path)
    yield v
    v.verify()
    leaked = secrets.found_below(v.folder)
    assert not leaked, leaked


def dump(v):
    db = sqlite3.connect(f"file:{v.path('vault.db')}?mode=ro", uri=True)
    try:
        return [line for line in db.iterdump()]
    finally:
        db.close()


def journal(v):
    db = sqlite3.connect(f"file:{v.path('vault.db')}?mode=ro", uri=True)
    try:
        return [json.loads(r[0]) for r in
                db.execute("select doc from journal")]
    finally:
        db.close()


def login(v):
    """What the next command on this token does first."""
    return v("-o", "json", "import", "-", "--name", "x", "--to", TO,
             "--dry-run", input=as_yaml(config(Identity())))


def make(v, name="a", *args, code=0, **options):
    v.identity = Identity(secrets=v.secrets)
    return v("-o", "json", "import", "-", "--name", name, "--to", TO, *args,
             input=as_yaml(config(v.identity)), code=code, **options)


# --- ways in ---

def test_import(vault):
    make(vault, "a", "--label", "env=prod")
    entry = vault.json("show", "a")
    assert entry["location"] == "token" and entry["state"] == "ready"
    assert entry["provenance"] == "unwrapped" and entry["leaky"] is False
    assert entry["exportable"] is False
    assert entry["token_uri"].startswith(URI + ";id=%")
    assert entry["token_uri"].endswith(";type=private")
    assert "key_ref" not in entry
    (key,) = vault.token.keys
    assert key["label"] == f"certvault:{vault_id(vault)[:8]}:{key['id']}"
    assert journal(vault) == []
    decision, outcome = [r for r in vault.records("--action", "import")
                         if r.get("entry") == "a"]
    assert decision["details"]["location"] == "token"
    assert outcome["outcome"] == "ok"
    assert outcome["details"]["provenance"] == "unwrapped"
    assert "/cvseal" not in json.dumps(entry)


def vault_id(v):
    db = sqlite3.connect(f"file:{v.path('vault.db')}?mode=ro", uri=True)
    try:
        return db.execute("select value from meta where key='vault_id'") \
            .fetchone()[0]
    finally:
        db.close()


def test_no_token_key_leaves(vault):
    vault.policy(harness.MAY_EXPORT)
    make(vault)
    error = vault.error(DENIED, "export", "a", "--reason", "x")
    assert "token" in error["hint"], error
    make(vault, "b", "--exportable", code=harness.USAGE)


def test_several_in_one_file(vault):
    keys = [Identity(secrets=vault.secrets) for _ in range(3)]
    path = vault.write("kube", as_yaml(several(keys, ["p", "q", "r"])))
    vault("import", path, "--name", "m-{context}", "--to", TO, code=0)
    assert vault.names() == ["m-p", "m-q", "m-r"]
    assert len(vault.token.keys) == 3
    assert vault.token.state["calls"].count("Target") == 1
    keys = [Identity(secrets=vault.secrets) for _ in range(2)]
    vault("import", "-", "--name", "n-{context}", "--to", TO,
          input=as_yaml(several(keys, ["p", "q"])), code=0)
    assert len(vault.token.keys) == 5 and journal(vault) == []


def test_one_key_under_two_authorities(vault):
    """The same key for two clusters: two entries, each with its own object."""
    first = Identity(secrets=vault.secrets)
    second = Identity(key=first.key)
    vault("import", "-", "--name", "m-{context}", "--to", TO,
          input=as_yaml(several([first, second], ["p", "q"])), code=0)
    assert vault.names() == ["m-p", "m-q"] and len(vault.token.keys) == 2


def test_shred_after_the_token_was_asked(vault):
    identity = Identity(secrets=vault.secrets)
    path = vault.write("kube", as_yaml(config(identity)))
    vault("import", path, "--name", "a", "--to", TO, "--shred", "--yes", code=0)
    with open(path, "rb") as f:
        assert b"client-key-data" not in f.read()
    calls = vault.token.state["calls"]
    assert calls.index("Examine") > calls.index("Import")


def test_no_shred_where_the_token_lies(vault):
    identity = Identity(secrets=vault.secrets)
    path = vault.write("kube", as_yaml(config(identity)))
    vault.token.plan(refuse="Examine")
    vault("import", path, "--name", "a", "--to", TO, "--shred", "--yes",
          code=INVALID)
    with open(path, "rb") as f:
        assert b"client-key-data" in f.read()


def test_what_the_token_cannot_take(vault):
    vault.token.plan(accepts=["RSA"])
    error = make(vault, code=INVALID).error
    assert "CKM_FAKE" in error["message"], error
    assert not vault.token.objects and vault.names() == []
    assert journal(vault) == []


@pytest.mark.parametrize("leaky_rule", [False, True])
def test_leaky(vault, leaky_rule):
    if leaky_rule:
        vault.policy({"name": "leaky", "effect": "permit",
                      "subjects": {"uids": [os.getuid()]},
                      "actions": ["import"], "entries": {"leaky": True}})
    vault.token.plan(leaky=True)
    if leaky_rule:
        make(vault)
        assert vault.json("show", "a")["leaky"] is True
        outcome = vault.records("--action", "import")[-1]
        assert outcome["details"]["leaky"] is True
    else:
        make(vault, code=DENIED)
        assert not vault.token.objects and vault.names() == []
    assert journal(vault) == []


def test_policy_sees_the_provenance(vault):
    vault("policy", "apply", vault.write("p.yaml", json.dumps({
        "apiVersion": "certvault/v1", "kind": "Policy",
        "metadata": {"name": "t", "version": 1},
        "rules": [{"name": "born-only", "effect": "permit",
                   "subjects": {"users": ["*"]}, "actions": ["import"],
                   "entries": {"provenance": ["born"]}},
                  {"name": "rest", "effect": "permit",
                   "subjects": {"users": ["*"]},
                   "actions": ["use", "list", "show", "audit.read"]}]})),
          code=0)
    make(vault, code=DENIED)
    assert "Accepts" not in vault.token.state["calls"]
    vault("generate", "b", "--token", "pkcs11:token=fake", "--csr",
          os.path.join(vault.home, "b.csr"), code=0)


def test_the_same_twice(vault):
    make(vault)
    text = as_yaml(config(vault.identity))
    for name in ("a", "b"):
        vault("import", "-", "--name", name, "--to", TO, input=text,
              code=INVALID)
    vault("import", "-", "--name", "b", input=text, code=INVALID)
    assert len(vault.token.keys) == 1


def test_defaults_to(vault):
    os.makedirs(os.path.join(vault.home, "config/certvault"), mode=0o700,
                exist_ok=True)
    with open(os.path.join(vault.home, "config/certvault/certvault.yaml"), "w",
              encoding="utf-8") as f:
        f.write(f"defaults: {{to: '{TO}'}}\n")
    text = as_yaml(config(Identity(secrets=vault.secrets)))
    vault("import", "-", "--name", "a", input=text, code=0)
    assert vault.json("show", "a")["location"] == "token"
    text = as_yaml(config(Identity(secrets=vault.secrets)))
    vault("import", "-", "--name", "b", "--to", "sealed", input=text, code=0)
    assert vault.json("show", "b")["location"] == "sealed"


# --- born there, and adopted ---

def certify(v, csr, ca):
    with open(csr, "rb") as f:
        request = x509.load_pem_x509_csr(f.read())
    assert request.is_signature_valid
    return request, minting.cert_pem(ca.client(Held(request.public_key()),
                                               "alice"))


class Held:
    """A key of which only the public half is known here."""

    def __init__(self, public):
        self.public = public

    def public_key(self):
        return self.public


@pytest.mark.parametrize("alg", ["p256", "p384", "rsa2048"])
def test_generate_install_sign(vault, alg, tmp_path):
    ca = minting.Authority("kube CA")
    csr = str(tmp_path / "a.csr")
    vault("generate", "a", "--token", "pkcs11:token=fake", "--alg", alg,
          "--csr", csr, "--subject", "CN=alice,O=sre,O=ops\\,2", "--label",
          "env=prod", code=0)
    entry = vault.json("show", "a")
    assert entry["state"] == "pending" and entry["provenance"] == "born"
    assert entry["labels"] == {"env": "prod"}
    assert vault.json("list")["items"][0]["state"] == "pending"
    assert b"valid until" not in vault("show", "a", code=0).out
    request, cert = certify(vault, csr, ca)
    assert request.subject.rfc4514_string() == "O=ops\\,2,O=sre,CN=alice"
    # The request can be made again; the key is the same.
    vault("generate", "a", "--csr", csr, code=harness.INVALID)
    vault("generate", "a", "--csr", csr, "--yes", code=0)
    again, _ = certify(vault, csr, ca)
    assert signing.spki_sha256(again.public_key()) == \
        signing.spki_sha256(request.public_key())
    cert = vault.write("cert.pem", cert)
    ca_file = vault.write("ca.pem", ca.pem)
    other = vault.write("other.pem", Identity(ca=ca).cert_pem)
    vault("install", "a", "--cert", other, "--server", "https://10.0.0.1:6443",
          "--cluster-ca", ca_file, code=INVALID)
    vault("install", "a", "--cert", cert, "--server", "https://10.0.0.1:6443",
          "--cluster-ca", ca_file, code=0)
    entry = vault.json("show", "a")
    assert entry["state"] == "ready" and entry["provenance"] == "born"
    assert entry["contexts"][0]["verify"] == "ca"
    assert [h["what"] for h in entry["history"]] == ["generate", "install"]
    broker = Broker(vault, "--key-file", vault.key_file)
    algorithm = signing.ALGORITHMS[alg][0]
    data = signing.challenge()
    got = signing.signature(signing.sign(broker, "a", "challenge", algorithm,
                                         data))
    assert broker.end() == 0
    signing.verify(request.public_key(), algorithm, data, got)
    vault("install", "a", "--cert", cert, "--server", "https://10.0.0.1:6443",
          "--cluster-ca", ca_file, code=INVALID)


@pytest.mark.parametrize("meanwhile", [("rename", "a", "b"),
                                       ("rm", "a", "--keep-key", "--yes")])
def test_install_undoes_nothing(vault, tmp_path, meanwhile):
    """While the token is asked about the key, the entry changes."""
    csr = str(tmp_path / "a.csr")
    vault("generate", "a", "--token", "pkcs11:token=fake", "--csr", csr, code=0)
    with open(csr, "rb") as f:
        request = x509.load_pem_x509_csr(f.read())
    ca = minting.Authority("cluster CA")
    vault.token.plan(run=["Examine.begin",
                          vault.argv("--no-input", *meanwhile), vault.env()])
    vault("install", "a", "--cert", vault.write("cert.pem", certified(
        ca, request.public_key())), "--server", "https://10.0.0.1:6443",
        "--cluster-ca", vault.write("ca.pem", ca.pem), code=NOT_FOUND)
    assert "run" not in json.dumps(vault.token.plan_now)
    names = {e["name"]: e["state"] for e in vault.json("list")["items"]}
    assert names == ({"b": "pending"} if meanwhile[0] == "rename" else {})


def test_generate_refuses(vault, tmp_path):
    csr = str(tmp_path / "a.csr")
    make(vault, "a")
    n = len(vault.token.objects)
    vault("generate", "a", "--token", "pkcs11:token=fake", "--csr", csr,
          code=INVALID)
    vault("generate", "b", "--token", "pkcs11:token=fake", "--csr", csr,
          "--subject", "nonsense", code=INVALID)
    vault("show", "b", code=NOT_FOUND)
    vault("generate", "c", "--csr", csr, code=NOT_FOUND)
    assert len(vault.token.objects) == n == 2


def adoptable(v, alg="p256"):
    identity = Identity(alg, form="pkcs8", secrets=v.secrets)
    v.token.put({"class": "private", "id": "01", "label": "card",
                 "key": identity.key_pem.decode()})
    return identity


def test_adopt(vault):
    identity = adoptable(vault)
    cluster = vault.write("cluster.yaml", as_yaml(config(identity)))
    cert = vault.write("cert.pem", identity.cert_pem)
    before = vault.token.objects
    vault("adopt", "a", "--key", "pkcs11:token=fake;id=%01", "--cluster",
          cluster, code=NOT_FOUND)
    vault("adopt", "a", "--key", "pkcs11:token=fake;id=%01", "--cluster",
          cluster, "--cert", vault.write("o.pem", Identity().cert_pem),
          code=INVALID)
    vault("adopt", "a", "--key", "pkcs11:token=fake;id=%01", "--cluster",
          cluster, "--cert", cert, "--label", "k=v", code=0)
    entry = vault.json("show", "a")
    assert entry["provenance"] == "adopted" and entry["labels"] == {"k": "v"}
    assert vault.token.objects == before
    vault("rm", "a", "--yes", code=0)
    assert vault.token.objects == before and vault.names() == []
    removed = vault.records("--action", "remove")[0]
    assert removed["details"]["key_kept"] is True
    vault("adopt", "a", "--key", "pkcs11:token=fake;object=card", "--cert",
          cert, "--server", "https://10.0.0.1:6443", "--cluster-ca",
          vault.write("ca.pem", identity.ca.pem), code=0)
    vault("rm", "a", "--yes", "--destroy-key", code=0)
    assert not vault.token.keys


# --- out ---

def test_rm(vault):
    make(vault, "a")
    make(vault, "b")
    vault.add(as_yaml(config(Identity(secrets=vault.secrets))), "c")
    vault("rm", "a", "--yes", "--dry-run", code=0)
    assert len(vault.token.keys) == 2
    vault("rm", "a", "c", "--yes", code=0)
    assert vault.names() == ["b"] and len(vault.token.keys) == 1
    vault("rm", "b", "--keep-key", "--yes", code=0)
    assert vault.names() == [] and len(vault.token.keys) == 1
    vault.token.plan(absent=True)


def test_rm_leaves_the_key_to_another_entry(vault):
    """An entry over a key that another one brought there, for its cluster."""
    make(vault, "a")
    ref = vault.token.keys[0]["id"]
    key = ";id=" + "".join("%" + ref[i:i + 2] for i in range(0, len(ref), 2))
    vault("adopt", "b", "--key", "pkcs11:token=fake" + key, "--cert",
          vault.write("c.pem", vault.identity.cert_pem), "--cluster",
          vault.write("cluster", as_yaml(config(Identity()))), code=0)
    error = vault.error(INVALID, "rm", "a", "--yes")
    assert "b" in error["message"] and "--keep-key" in error["hint"], error
    vault.error(INVALID, "rm", "b", "--yes", "--destroy-key")
    assert vault.names() == ["a", "b"] and len(vault.token.keys) == 1
    vault("rm", "a", "b", "--yes", code=0)
    assert vault.names() == [] and not vault.token.keys


def test_rm_without_its_token(vault):
    make(vault)
    vault.token.plan(absent=True)
    error = vault.error(UNAVAILABLE, "rm", "a", "--yes")
    assert error["state"] == "nothing was removed", error
    assert "--keep-key" in error["hint"], error
    assert vault.names() == ["a"]
    vault("token", "lost", "pkcs11:token=fake", code=0)
    assert vault.json("show", "a")["state"] == "lost"
    vault("rm", "a", "--yes", code=0)
    assert vault.names() == []


# --- lost and found ---

def test_lost_and_found(vault):
    make(vault)
    vault.error(NOT_FOUND, "token", "lost", "pkcs11:token=other")
    vault.error(NOT_FOUND, "token", "lost", "pkcs11:")
    done = vault("-o", "json", "token", "lost", "pkcs11:token=fake", code=0)
    assert done.json["items"][0]["state"] == "lost" and "fetch" in done.note
    broker = Broker(vault, "--key-file", vault.key_file)
    signing.signature(signing.sign(broker, "a", "challenge",
                                   "ecdsa_secp256r1_sha256",
                                   signing.challenge()))
    assert broker.end() == 0
    assert vault.json("show", "a")["state"] == "ready"


def test_a_key_that_is_gone(vault):
    make(vault)
    state = vault.token.state
    state["objects"] = []
    with open(os.path.join(vault.token.folder, "state.json"), "w",
              encoding="utf-8") as f:
        json.dump(state, f)
    broker = Broker(vault, "--key-file", vault.key_file)
    got = signing.sign(broker, "a", "challenge", "ecdsa_secp256r1_sha256",
                       signing.challenge())
    assert got["error"].endswith(".NotFound"), got
    assert broker.end() == 0
    assert vault.json("show", "a")["state"] == "lost"


def test_pin_is_asked_for_once(vault):
    make(vault)
    vault.token.plan(login=True)
    broker = Broker(vault, "--key-file", vault.key_file)
    args = ("a", "challenge", "ecdsa_secp256r1_sha256", signing.challenge())
    got = signing.sign(broker, *args)
    assert got["error"].endswith(".PinRequired"), got
    assert got["parameters"]["token_uri"] == URI
    done = broker.call("io.certvault.Broker.TokenLogin", {
        "token_uri": URI, "secret": "MTIzNA==", "source": "tty"})
    assert "error" not in done, done
    signing.signature(signing.sign(broker, *args))
    assert broker.end() == 0
    # What wanted a PIN left no permit.
    uses = [r for r in vault.records("--action", "use")]
    assert [r["phase"] for r in uses] == ["decision", "outcome"], uses


# --- cut off ---

IMPORT = ("Snapshot.begin", "Import.begin", "Import.half", "Import.named",
          "Import.created", "Import.certified", "Import.end")


@pytest.mark.parametrize("point", IMPORT)
def test_import_cut_off(vault, point):
    make(vault, "other")
    before = vault.token.objects
    vault.token.plan(die=point)
    done = make(vault, "a", code=None)
    begun = point != "Snapshot.begin"
    # What only reads is asked again, of a process that knows no target.
    assert done.code == (UNAVAILABLE if begun else INTEGRITY), done
    assert len(journal(vault)) == begun
    items = {e["name"]: e["state"] for e in vault.json("list")["items"]}
    assert items == ({"other": "ready", "a": "pending"} if begun
                     else {"other": "ready"})
    if begun:
        report = vault("-o", "json", "doctor")
        assert "a" in [i for i in report.json["items"]
                       if i["check"] == "tokens"][0]["message"], report
    login(vault)
    whole = point in ("Import.created", "Import.certified", "Import.end")
    assert vault.names() == (["a", "other"] if whole else ["other"])
    if whole:
        assert vault.json("show", "a")["state"] == "ready"
        assert len(vault.token.keys) == 2
        outcome = [r for r in vault.records("--action", "import")
                   if r.get("entry") == "a"][-1]
        assert outcome["outcome"] == "ok"
    login(vault)
    login(vault)
    if not whole:
        assert vault.token.objects == before
    assert journal(vault) == []
    was, objects = dump(vault), vault.token.objects
    login(vault)
    assert (dump(vault), vault.token.objects) == (was, objects)
    gc = [r for r in vault.records() if r["action"] == "gc-destroy"]
    assert bool(gc) == (begun and not whole), gc


def test_half_an_object_is_told_before_it_goes(vault):
    vault.token.put({"class": "private", "id": "", "label": "",
                     "key": None, "made by": "another"})
    vault.token.plan(die="Import.half")
    make(vault, "a", code=UNAVAILABLE)
    # What another program makes meanwhile has marks of its own.
    vault.token.put({"class": "private", "id": "07", "label": "theirs",
                     "key": None})
    login(vault)
    (row,) = journal(vault)
    assert row["kind"] == "debris" and len(row["objects"]) == 1
    assert len(vault.token.objects) == 3
    report = vault("-o", "json", "doctor").json
    said = [i for i in report["items"] if i["check"] == "tokens"]
    assert any("not explained" in i["message"] for i in said), said
    assert vault.json("list")["items"] == []
    # No login is asked for here, so this is no later one.
    said = vault("token", "objects", "pkcs11:token=fake", code=0)
    assert "not explained" in said.note, said
    assert len(vault.token.objects) == 3
    login(vault)
    assert journal(vault) == []
    assert len(vault.token.objects) == 2
    (event,) = [r for r in vault.records() if r["action"] == "journal"]
    assert event["details"]["items"] == 1


def test_what_is_not_our_kind_is_not_debris(vault):
    """Others make things without a mark, too."""
    vault.token.plan(die="Import.half")
    make(vault, "a", code=UNAVAILABLE)
    vault.token.put({"class": "data", "id": "", "label": "", "key": None})
    for _ in range(3):
        login(vault)
    assert [o["class"] for o in vault.token.objects] == ["data"]
    assert journal(vault) == []


def test_debris_that_changed_is_left(vault):
    vault.token.plan(die="Import.half")
    make(vault, "a", code=UNAVAILABLE)
    login(vault)
    state = vault.token.state
    state["objects"][0]["label"] = "now it is somebody's"
    with open(os.path.join(vault.token.folder, "state.json"), "w",
              encoding="utf-8") as f:
        json.dump(state, f)
    login(vault)
    assert len(vault.token.objects) == 1 and journal(vault) == []


@pytest.mark.parametrize("point", ["Generate.begin", "Generate.half",
                                   "Generate.created", "Generate.end"])
def test_generate_cut_off(vault, point, tmp_path):
    vault.token.plan(die=point)
    csr = str(tmp_path / "a.csr")
    vault("generate", "a", "--token", "pkcs11:token=fake", "--csr", csr,
          code=UNAVAILABLE)
    login(vault)
    login(vault)
    if point in ("Generate.created", "Generate.end"):
        assert vault.json("show", "a")["state"] == "pending"
        vault("generate", "a", "--csr", csr, code=0)
        assert os.path.exists(csr)
    else:
        assert vault.names() == [] and not vault.token.objects
    assert journal(vault) == []


@pytest.mark.parametrize("point", ["Destroy.begin", "Destroy.one",
                                   "Destroy.end"])
def test_rm_cut_off(vault, point):
    make(vault, "a")
    vault.token.plan(die=point)
    vault("rm", "a", "--yes", code=UNAVAILABLE)
    login(vault)
    login(vault)
    if point == "Destroy.begin":
        assert vault.names() == ["a"] and len(vault.token.keys) == 1
        vault("rm", "a", "--yes", code=0)
    assert vault.names() == [] and not vault.token.objects
    assert journal(vault) == []


def test_the_token_refuses(vault):
    vault.token.plan(refuse="Import")
    make(vault, "a", code=INVALID)
    assert vault.names() == [] and journal(vault) == []
    outcome = [r for r in vault.records("--action", "import")
               if r.get("entry") == "a"][-1]
    assert outcome["outcome"] == "failed"


# --- from the cloud ---

@pytest.fixture
def cloud(vault, standin):
    vault.standin = standin
    vault.extra.update({"HUAWEICLOUD_SDK_AK": standin.cloud.ak,
                        "HUAWEICLOUD_SDK_SK": standin.cloud.sk})
    return vault


def fetch(v, name="a", *args, **options):
    s = v.standin
    cluster = () if "--cluster" in args else ("--cluster", "prod")
    return v("-o", "json", "fetch", *cluster, "--name", name, "--to", TO, *args,
             "--region", s.cloud.region, "--endpoint", s.url,
             "--iam-endpoint", s.url, "--ca-file", s.ca_file, **options)


def minted(v):
    return sum(len(c.issued) for c in v.standin.cloud.clusters)


def test_fetch(cloud):
    before = minted(cloud)
    fetch(cloud, "a", "--label", "env=prod", code=0)
    entry = cloud.json("show", "a")
    assert entry["location"] == "token" and entry["provenance"] == "unwrapped"
    assert entry["source"]["kind"] == "cce" and entry["labels"] == \
        {"env": "prod"}
    assert minted(cloud) == before + 1 and len(cloud.token.keys) == 1
    # One decision, made before the certificate was, and its one outcome.
    ops = [r["phase"] for r in cloud.records("--action", "fetch")
           if r.get("entry") == "a"]
    assert ops == ["decision", "outcome"], ops


@pytest.mark.parametrize("plan, code", [({"accepts": []}, INVALID),
                                        ({"absent": True}, NOT_FOUND)])
def test_nothing_is_minted_for_a_token_that_cannot_take_it(cloud, plan, code):
    before = minted(cloud)
    cloud.token.plan(**plan)
    fetch(cloud, code=code)
    assert minted(cloud) == before
    assert cloud.names() == []


def test_nothing_is_minted_where_policy_forbids_tokens(cloud):
    before = minted(cloud)
    cloud.policy({"name": "sealed-only", "effect": "forbid",
                  "subjects": {"users": ["*"]}, "actions": ["fetch"],
                  "entries": {"provenance": ["imported", "unwrapped"]}})
    fetch(cloud, code=DENIED)
    assert minted(cloud) == before and not cloud.token.objects


def test_fetch_cut_off(cloud):
    cloud.token.plan(die="Import.created")
    assert fetch(cloud).code == UNAVAILABLE
    login(cloud)
    assert cloud.json("show", "a")["state"] == "ready"
    ops = [(r["phase"], r.get("outcome"))
           for r in cloud.records("--action", "fetch") if r.get("entry") == "a"]
    assert ops == [("decision", None), ("outcome", "ok")], ops


def test_fetch_that_the_token_refuses(cloud):
    cloud.token.plan(leaky=True)
    done = fetch(cloud, code=DENIED)
    assert "issued a certificate" in done.error["state"], done
    assert not cloud.token.objects and journal(cloud) == []
