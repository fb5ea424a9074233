"""Kubeconfigs come in: files, folders, standard input; --shred."""

import base64
import os
import stat

import pytest
import yaml

import harness
import minting
from harness import INVALID, NOT_FOUND, USAGE
from kube import Identity, as_json, as_yaml, config, several


@pytest.mark.parametrize("alg", ["rsa2048", "rsa3072", "p256", "p384", "p521",
                                 "ed25519"])
@pytest.mark.parametrize("form", ["pkcs8", "traditional"])
def test_every_kind_of_key(vault, secrets, alg, form):
    if alg == "ed25519" and form == "traditional":
        form = None
    identity = Identity(alg, form, secrets=secrets)
    vault.policy(harness.MAY_EXPORT)
    (item,) = vault.add(as_yaml(config(identity)), "a", "--exportable")["items"]
    entry = vault.json("show", "a")
    assert entry["key"]["spki_sha256"] == identity.spki
    kind = {"r": "RSA", "p": "EC", "e": "ED25519"}[alg[0]]
    assert entry["key"]["type"] == kind
    assert entry["location"] == "sealed"
    assert entry["provenance"] == "sealed" or entry["provenance"] == "imported"
    assert entry["source"]["kind"] == "file"
    # What comes out again is the same key.
    out = vault("export", "a", "--reason", "x", "-o", "json", code=0,
                secret=True).json
    user = out["users"][0]["user"]
    from cryptography.hazmat.primitives.serialization import \
        load_pem_private_key
    key = load_pem_private_key(base64.b64decode(user["client-key-data"]), None)
    assert minting.key_der(key) == minting.key_der(identity.key)
    assert base64.b64decode(user["client-certificate-data"]) == \
        identity.cert_pem


def test_yaml_and_json_and_standard_input(vault, secrets):
    for i, form in enumerate((as_yaml, as_json)):
        identity = Identity(secrets=secrets)
        path = vault.write(f"kube{i}", form(config(identity)))
        vault("import", path, "--name", f"file-{i}", code=0)
        identity = Identity(secrets=secrets)
        vault("import", "-", "--name", f"stdin-{i}", code=0,
              input=form(config(identity)))
    assert vault.names() == ["file-0", "file-1", "stdin-0", "stdin-1"]


def test_a_chain_of_two(vault):
    identity = Identity()
    document = config(identity)
    chain = identity.cert_pem + identity.ca.pem
    document["users"][0]["user"]["client-certificate-data"] = \
        base64.b64encode(chain).decode()
    vault.add(as_yaml(document), "a")
    assert vault.json("show", "a")["key"]["spki_sha256"] == identity.spki


def test_several_identities_in_one_file(vault, secrets):
    identities = [Identity(secrets=secrets) for _ in range(3)]
    names = ["red", "green", "blue"]
    text = as_yaml(several(identities, names))
    vault("import", "-", "--name", "lab", code=USAGE, input=text)
    assert vault.names() == []
    vault("import", "-", "--name", "lab-{context}", code=0, input=text)
    assert vault.names() == ["lab-blue", "lab-green", "lab-red"]
    assert vault.json("show", "lab-green")["key"]["spki_sha256"] == \
        identities[1].spki


def test_only_the_contexts_that_are_named(vault):
    identities = [Identity() for _ in range(3)]
    text = as_yaml(several(identities, ["red", "green", "blue"]))
    vault("import", "-", "--name", "a", "--context", "green", code=0,
          input=text)
    assert vault.json("show", "a")["key"]["spki_sha256"] == identities[1].spki
    vault("import", "-", "--name", "b", "--context", "none", code=NOT_FOUND,
          input=text)
    assert vault.names() == ["a"]


def test_one_key_in_many_contexts_is_one_entry(vault):
    identity = Identity()
    document = config(identity, "one")
    for name in ("two", "three"):
        document["clusters"].append({"name": name, "cluster": identity.cluster(
            f"https://{name}.example:6443")})
        document["contexts"].append({"name": name, "context": {
            "cluster": name, "user": "u"}})
    vault.add(as_yaml(document), "a")
    entry = vault.json("show", "a")
    assert sorted(c["name"] for c in entry["contexts"]) == [
        "one", "three", "two"]
    assert [c["name"] for c in entry["contexts"] if c["default"]] == ["one"]
    assert {c["verify"] for c in entry["contexts"]} == {"ca"}


def test_the_same_identity_twice_is_refused(vault):
    identity = Identity()
    vault.add(as_yaml(config(identity)), "first")
    before = vault.json("list")
    error = vault.error(INVALID, "import", "-", "--name", "second",
                        input=as_yaml(config(identity)))
    assert error["code"] == "exists" and "first" in error["message"]
    assert vault.json("list") == before
    # The same key on another cluster is another identity.
    other = Identity(key=identity.key)
    vault.add(as_yaml(config(other)), "second")
    assert vault.names() == ["first", "second"]


def test_a_name_in_use_is_refused(vault):
    vault.add(as_yaml(config(Identity())), "a")
    error = vault.error(INVALID, "import", "-", "--name", "a",
                        input=as_yaml(config(Identity())))
    assert error["code"] == "exists"
    assert len(vault.names()) == 1


@pytest.mark.parametrize("name", ["", ".a", "a//b", "a/../b", "x" * 128, "a b",
                                  "-a", "a\n", "\u00e4"])
def test_names(vault, name):
    done = vault("import", "-", "--name=" + name, input=as_yaml(config(Identity())))
    assert done.code in (USAGE, INVALID), done
    assert vault.names() == []


def test_labels(vault):
    vault.add(as_yaml(config(Identity())), "a", "--label", "env=prod",
              "--label", "team=pay")
    assert vault.json("show", "a")["labels"] == {"env": "prod", "team": "pay"}
    vault("import", "-", "--name", "b", "--label", "novalue", code=USAGE,
          input=as_yaml(config(Identity())))
    assert vault.names() == ["a"]


def test_dry_run_changes_nothing(vault):
    before = vault.snapshot()
    done = vault("import", "-", "--name", "a", "--dry-run", code=0,
                 input=as_yaml(config(Identity())))
    assert done.out or done.err
    assert vault.names() == [] and vault.snapshot() == before


def test_a_folder(vault, secrets):
    folder = os.path.join(vault.home, "configs")
    os.mkdir(folder)
    identities = {}
    for i in range(5):
        identities[f"k{i}"] = Identity(secrets=secrets)
        vault.write(f"configs/k{i}.yaml",
                    as_yaml(config(identities[f"k{i}"], f"c{i}")))
    vault("import", folder, "--name", "set/{file}-{context}", code=0)
    assert len(vault.names()) == 5
    assert {vault.json("show", n)["key"]["spki_sha256"]
            for n in vault.names()} == {i.spki for i in identities.values()}


def test_a_folder_with_a_bad_file_takes_the_good_ones(vault):
    folder = os.path.join(vault.home, "configs")
    os.mkdir(folder)
    vault.write("configs/good", as_yaml(config(Identity(), "good")))
    vault.write("configs/bad", "kind: Config\nusers: [")
    done = vault("import", folder, "--name", "{context}")
    assert done.code == INVALID, done
    assert "bad" in done.note
    assert vault.names() in ([], ["good"])


def test_one_name_for_what_several_files_hold(vault):
    folder = os.path.join(vault.home, "configs")
    os.mkdir(folder)
    vault.write("configs/k1", as_yaml(config(Identity(), "c1")))
    vault.write("configs/none", "no kubeconfig")
    vault.write("configs/z2", as_yaml(config(Identity(), "c2")))
    for more in ((), ("--dry-run",)):
        error = vault.error(USAGE, "import", folder, "--name", "x", *more)
        assert "--name" in error["message"] and "{file}" in error["hint"]
    assert vault.names() == []
    # With one result there is nothing to tell apart.
    os.unlink(os.path.join(folder, "z2"))
    assert vault("import", folder, "--name", "x").code == INVALID
    assert vault.names() == ["x"]


def test_dry_run_of_a_folder_made_nothing(vault):
    folder = os.path.join(vault.home, "configs")
    os.mkdir(folder)
    for i in range(2):
        vault.write(f"configs/k{i}", as_yaml(config(Identity(), f"c{i}")))
    vault.write("configs/none", "no kubeconfig")
    error = vault.error(INVALID, "import", folder, "--dry-run")
    assert "nothing" in error["state"] and "were made" not in error["state"]
    assert vault.names() == []
    error = vault.error(INVALID, "import", folder)
    assert error["state"] == "2 entries were made"


def test_what_is_not_there(vault):
    vault("import", os.path.join(vault.home, "none"), "--name", "a",
          code=NOT_FOUND)
    fifo = os.path.join(vault.home, "fifo")
    os.mkfifo(fifo)
    done = vault("import", fifo, "--name", "a")
    assert done.code in (INVALID, USAGE), done


OTHERS = {
    "token": {"token": "eyJhbGciOiJub25lIn0.not.taken"},
    "password": {"username": "u", "password": "not-taken-either"},
    "exec": {"exec": {"apiVersion": "client.authentication.k8s.io/v1",
                      "command": "./certvault-test-was-here",
                      "interactiveMode": "Never"}},
    "auth-provider": {"auth-provider": {"name": "oidc", "config": {}}},
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_users_are_reported_and_left_alone(vault, secrets, kind):
    identity = Identity(secrets=secrets)
    document = config(identity)
    document["users"].append({"name": "other", "user": OTHERS[kind]})
    document["contexts"].append({"name": "other", "context": {
        "cluster": "c", "user": "other"}})
    for value in OTHERS[kind].values():
        if isinstance(value, str) and "not" in value:
            secrets.add("another user's secret", value)
    done = vault("import", "-", "--name", "a", code=0, input=as_yaml(document))
    assert "other" in done.note
    assert vault.names() == ["a"]
    assert [c["name"] for c in vault.json("show", "a")["contexts"]] == ["main"]


@pytest.mark.parametrize("kind", OTHERS)
def test_nothing_else_in_the_file_is_65(vault, secrets, kind):
    document = config(Identity(secrets=secrets))
    document["users"][0]["user"] = OTHERS[kind]
    vault("import", "-", "--name", "a", code=INVALID, input=as_yaml(document))
    assert vault.names() == []


def shredded(vault, path, *args, **options):
    return vault("import", path, "--name", "{context}", "--shred", "--yes",
                 *args, **options)


def test_shred_takes_the_key_out_of_the_file(vault, secrets):
    identity = Identity(secrets=secrets)
    document = config(identity)
    document["users"].append({"name": "other", "user": {"token": "stays"}})
    document["contexts"].append({"name": "other", "context": {
        "cluster": "c", "user": "other", "namespace": "ns"}})
    document["extra"] = {"kept": [1, "two", None, True]}
    for form in (as_yaml, as_json):
        name = form.__name__
        path = vault.write(name, form(document), mode=0o640)
        if form is as_json:
            vault("rm", "main", "--yes", code=0)
        shredded(vault, path, code=0)
        with open(path, "rb") as f:
            text = f.read()
        assert not secrets.found_in(text)
        left = yaml.safe_load(text)
        assert left["extra"] == document["extra"]
        assert {"name": "other", "user": {"token": "stays"}} in left["users"]
        assert document["contexts"][1] in left["contexts"]
        assert "client-key-data" not in str(left)
        assert os.listdir(os.path.dirname(path)).count(name) == 1


def test_shred_asks(vault, secrets):
    identity = Identity(secrets=secrets)
    path = vault.write("kube", as_yaml(config(identity)))
    vault("import", path, "--name", "a", "--shred", code=USAGE)
    with open(path, encoding="ascii") as f:
        assert "client-key-data" in f.read()
    assert vault.names() == []


def test_shred_keeps_the_file_where_the_vault_cannot_be_opened(home, secrets):
    """Only after the vault's copy was opened and compared."""
    v = harness.Vault(home, secrets)
    identity = Identity(secrets=secrets)
    path = v.write("kube", as_yaml(config(identity)))
    os.rename(v.key_file, v.key_file + ".away")
    done = shredded(v, path)
    assert done.code != 0, done
    with open(path, encoding="ascii") as f:
        assert f.read() == as_yaml(config(identity))


def test_shred_of_standard_input_is_a_usage_error(vault):
    vault("import", "-", "--name", "a", "--shred", "--yes", code=USAGE,
          input=as_yaml(config(Identity())))
    assert vault.names() == []


def test_a_locked_vault_takes_in(home, secrets):
    """The public half is enough."""
    v = harness.Vault(home, secrets)
    os.rename(v.key_file, v.key_file + ".away")
    identity = Identity(secrets=secrets)
    v.add(as_yaml(config(identity)), "a", "--exportable")
    os.rename(v.key_file + ".away", v.key_file)
    v.policy(harness.MAY_EXPORT)
    v("export", "a", "--reason", "x", code=0, secret=True)


def test_default_context_of_a_cce_kubeconfig(vault):
    identity = Identity()
    document = minting.kubeconfig(identity.ca.pem, identity.cert_pem,
                                  identity.key_pem, "https://10.0.0.1:5443",
                                  "https://203.0.113.9:5443")
    vault.add(as_yaml(document), "a")
    contexts = {c["name"]: c for c in vault.json("show", "a")["contexts"]}
    assert contexts["externalTLSVerify"]["default"]
    assert contexts["external"]["verify"] == "none"
    assert contexts["internal"]["verify"] == "ca"


def test_the_file_is_not_changed_without_shred(vault):
    path = vault.write("kube", as_yaml(config(Identity())), mode=0o644)
    with open(path, "rb") as f:
        before = f.read()
    vault("import", path, "--name", "a", code=0)
    with open(path, "rb") as f:
        assert f.read() == before
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644


def test_shred_of_a_file_with_another_name(vault, secrets):
    """The other name would keep the keys: it is told before any is taken."""
    identity = Identity(secrets=secrets)
    path = vault.write("kube", as_yaml(config(identity)))
    os.link(path, path + ".twin")
    error = vault.error(INVALID, "import", path, "--name", "a", "--shred",
                        "--yes")
    assert "2 names (hard links)" in error["message"], error
    assert "none of them was taken in" in error["state"], error
    assert "without --shred" in error["hint"], error
    assert vault.names() == []
    with open(path, encoding="ascii") as f:
        assert f.read() == as_yaml(config(identity))
    os.unlink(path + ".twin")
    shredded(vault, path, code=0)


def test_refusals_in_a_folder_say_what_to_do(vault):
    folder = os.path.join(vault.home, "configs")
    os.mkdir(folder)
    vault.write("configs/good", as_yaml(config(Identity(), "good")))
    for name in ("bad", "worse"):
        vault.write("configs/" + name, "kind: Config\nusers: [")
    error = vault.error(INVALID, "import", folder)
    assert "2 of them were refused" in error["message"], error
    assert error["state"] == "1 entries were made"
    assert "named above" in error["hint"], error


@pytest.fixture
def shut(vault):
    """A file that this user may not read. Root may, but for this."""
    path = vault.write("shut", as_yaml(config(Identity())), mode=0)
    if os.geteuid() == 0:
        vault.wrap = ["setpriv", "--bounding-set",
                      "-dac_override,-dac_read_search"]
    return path


def test_what_may_not_be_read_is_as_good_as_not_there(vault, shut):
    for args in (("import", shut), ("import", shut, "--shred", "--yes"),
                 ("policy", "check", shut), ("policy", "apply", shut),
                 ("restore", shut), ("audit", "verify", "--archive", shut),
                 ("slot", "add", "file:" + shut),
                 ("slot", "add", "passphrase", "--new-passphrase-file", shut)):
        error = vault.error(NOT_FOUND, *args)
        assert "Permission denied" in error["message"], (args, error)
        assert error["hint"], (args, error)
    error = vault.error(harness.CONFIG, "--config", shut, "list")
    assert "Permission denied" in error["message"], error


def test_of_a_folder_the_rest_is_taken(vault, shut):
    folder = os.path.join(vault.home, "configs")
    os.mkdir(folder)
    os.rename(shut, os.path.join(folder, "a"))
    vault.write("configs/b", as_yaml(config(Identity(), "b")))
    error = vault.error(NOT_FOUND, "import", folder)
    assert error["state"] == "1 entries were made" and error["hint"], error
    assert vault.names() == ["b"]
    os.chmod(folder, 0)
    error = vault.error(NOT_FOUND, "import", folder)
    assert "Permission denied" in error["message"], error
    os.chmod(folder, 0o700)


def test_a_kubeconfig_that_may_not_be_read_is_not_replaced(vault, shut):
    """It is not taken for one that is not there."""
    vault.add(as_yaml(config(Identity())), "a")
    for way in ("--merge", "--unmerge"):
        vault.error(harness.IO, "kubeconfig", "a", way, shut)
    with open(shut, encoding="ascii") as f:
        assert "client-key-data" in f.read()
