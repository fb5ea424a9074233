"""kubeconfig --merge and --unmerge: what becomes of the user's own file."""

import concurrent.futures
import fcntl
import glob
import json
import os
import shutil
import stat
import subprocess

import pytest
import yaml

import harness
from harness import BUSY, Certvault, INVALID, IO, NOT_FOUND, USAGE
from hop import VAULT_ID, GrantBroker, HopCa

OTHERS = """\
# The head comment.
apiVersion: v1
kind: Config
clusters:
- cluster:
    server: https://lab.example   # the lab
    x-of-somebody: {a: [1, 2], b: yes}
  name: lab

# Between two.
- name: büro
  cluster: {server: "https://büro.example"}
contexts:
  - context: {cluster: lab, user: lab, namespace: "1e3"}
    name: lab
current-context: lab
preferences: {}
some-unknown: |
  kept
    as it is
users:
- name: lab
  user:
    token: secret-token
# The tail comment.
"""


@pytest.fixture(scope="module")
def hop(tmp_path_factory):
    return HopCa(tmp_path_factory.mktemp("hop"))


@pytest.fixture
def cli(home, secrets):
    return Certvault(home, secrets)


@pytest.fixture
def broker(cli, hop):
    with GrantBroker(os.path.join(cli.home, "b.sock"), hop) as b:
        cli.extra["CERTVAULT_BROKER"] = b.address
        yield b


@pytest.fixture
def kube(cli):
    """A kubeconfig to merge into: path, and helpers."""
    return Kube(os.path.join(cli.home, "kube", "config"))


class Kube:
    def __init__(self, path):
        self.path = path
        os.makedirs(os.path.dirname(path), exist_ok=True)

    def write(self, text, mode=0o600):
        with open(self.path, "wb") as f:
            f.write(text.encode() if isinstance(text, str) else text)
        os.chmod(self.path, mode)
        return self

    def read(self):
        with open(self.path, "rb") as f:
            return f.read()

    @property
    def tree(self):
        return yaml.safe_load(self.read())

    def backups(self):
        return sorted(glob.glob(self.path + ".certvault-backup-*"))

    def names(self, what="contexts"):
        return [i["name"] for i in self.tree[what] or []]

    def others(self):
        return sorted(set(os.listdir(os.path.dirname(self.path))) -
                      {"config"} - set(map(os.path.basename, self.backups())))


def kubectl(kube, *args):
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl here")
    return subprocess.run(["kubectl", "--kubeconfig", kube.path, *args],
                          capture_output=True, text=True, check=True).stdout


# --- in and out again ---

def test_in_and_out_byte_for_byte(cli, broker, kube):
    kube.write(OTHERS)
    done = cli("kubeconfig", "prod", "--merge", kube.path, code=0)
    assert "use-context prod" in done.note
    text = kube.read().decode()
    tree = kube.tree
    # Every line that was there is there, in its order.
    rest = iter(text.splitlines())
    for line in OTHERS.splitlines():
        assert line in rest, line
    assert tree["current-context"] == "lab"
    assert [c["name"] for c in tree["clusters"]] == ["lab", "büro", "prod"]
    assert kube.names() == ["lab", "prod"]
    user = tree["users"][1]["user"]
    assert user["exec"]["args"][:4] == ["credential", "prod", "--vault-id",
                                        VAULT_ID]
    backup, = kube.backups()
    with open(backup, encoding="utf-8") as f:
        assert f.read() == OTHERS
    assert stat.S_IMODE(os.stat(backup).st_mode) == 0o600
    assert kubectl(kube, "config", "get-contexts", "-o", "name").split() == \
        ["lab", "prod"]
    assert "prod" in kubectl(kube, "config", "view", "--minify", "--context",
                             "prod")
    cli("kubeconfig", "prod", "--unmerge", kube.path, code=0)
    assert kube.read().decode() == OTHERS
    assert kube.others() == []


def test_in_and_out_of_lists_that_are_empty(cli, broker, kube):
    """Null, which a list without its last item reads as, is not what was."""
    text = "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n"
    kube.write(text)
    cli("kubeconfig", "prod", "--merge", kube.path, code=0)
    cli("kubeconfig", "prod", "--unmerge", kube.path, code=0)
    assert kube.read().decode() == text
    cli("kubeconfig", "prod", "--merge", kube.path, code=0)
    merged = kube.read()
    assert merged.count(b"users: \n") == 1
    kube.write(merged.replace(b"users: \n", b"users: # of mine\n"))
    cli("kubeconfig", "prod", "--unmerge", kube.path, code=0)
    assert kube.tree["users"] == [] and b"# of mine" in kube.read()


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_a_comment_behind_an_empty_list_stays(cli, broker, kube, end):
    text = "clusters: [] # a\ncontexts: []   # b\nusers: [] # of mine" + end
    kube.write(text)
    for way in ("--merge", "--unmerge"):
        cli("kubeconfig", "prod", way, kube.path, code=0)
        for comment in (b" # a\n", b"   # b\n", b" # of mine"):
            assert comment in kube.read(), kube.read()
    assert kube.read().decode().rstrip() == text.rstrip()


def test_twice_is_once(cli, broker, kube):
    kube.write(OTHERS)
    cli("kubeconfig", "prod", "--merge", kube.path, code=0)
    before = kube.read()
    assert "nothing to change" in cli("kubeconfig", "prod", "--merge",
                                      kube.path, code=0).text
    assert kube.read() == before and len(kube.backups()) == 1


def test_a_new_port_and_what_the_user_changed(cli, broker, kube):
    """Ours are found by their mark; what the user added to them stays."""
    kube.write(OTHERS)
    cli("kubeconfig", "prod", "--merge", kube.path, code=0)
    kubectl(kube, "config", "rename-context", "prod", "live")
    kubectl(kube, "config", "set-context", "live", "--namespace=mine")
    kubectl(kube, "config", "use-context", "live")
    broker.server = "https://127.0.0.1:2"
    done = cli("kubeconfig", "prod", "--merge", kube.path, code=0)
    assert "use-context" not in done.note
    tree = kube.tree
    assert kube.names() == ["lab", "live"]
    context, = [c["context"] for c in tree["contexts"] if c["name"] == "live"]
    assert context["namespace"] == "mine" and context["cluster"] == "prod"
    cluster, = [c["cluster"] for c in tree["clusters"] if c["name"] == "prod"]
    assert cluster["server"] == broker.server + "/-/prod"
    done = cli("kubeconfig", "prod", "--unmerge", kube.path, code=0)
    assert "current context is still live" in done.note
    assert kube.names() == ["lab"]
    assert kube.tree["current-context"] == "live"


def test_several_entries_and_contexts(cli, broker, kube):
    for name in ("a", "b", "c/d"):
        cli("kubeconfig", name, "--merge", kube.path, code=0)
    cli("kubeconfig", "a", "--context", "external", "--merge", kube.path,
        code=0)
    assert kube.names() == ["a", "b", "c/d", "a-external"]
    cli("kubeconfig", "a", "--context", "external", "--unmerge", kube.path,
        code=0)
    assert kube.names() == ["a", "b", "c/d"]
    cli("kubeconfig", "b", "--unmerge", kube.path, code=0)
    assert kube.names() == ["a", "c/d"] == kube.names("clusters")
    for name in ("a", "c/d"):
        cli("kubeconfig", name, "--unmerge", kube.path, code=0)
    assert kube.names() == []
    kubectl(kube, "config", "view")
    cli("kubeconfig", "a", "--unmerge", kube.path, code=NOT_FOUND)


def test_a_context_of_the_users_own_over_ours(cli, broker, kube):
    cli("kubeconfig", "prod", "--merge", kube.path, code=0)
    kubectl(kube, "config", "set-context", "pay", "--cluster=prod",
            "--user=prod", "--namespace=pay")
    done = cli("kubeconfig", "prod", "--unmerge", kube.path, code=0)
    assert "pay is not ours" in done.note
    assert kube.names() == ["pay"]


# --- forms of files ---

FORMS = {
    "none": None,
    "empty": "",
    "comment": "# mine\n",
    "no line feed": "apiVersion: v1\nkind: Config\nusers: []",
    "nulls": "apiVersion: v1\nclusters: null\ncontexts:\nusers: ~  # none\n",
    "empty lists": "clusters: []  # none\ncontexts: [ ]\nusers:\n  []\n",
    "flow": "clusters: [{name: x, cluster: {server: https://x}}]\n"
            "contexts: [ {name: x, context: {cluster: x, user: x}}, ]\n"
            "users: [{name: x, user: {token: t}} ] # behind\n",
    "indented": "clusters:\n    - name: x\n      cluster: {server: https://x}\n"
                "contexts:\n    - name: x\n      context:\n"
                "        cluster: x\n        user: x\nusers: null\n",
    "json": '{"kind": "Config", "clusters": [], "x": {"n": 1.5, "b": true}}',
    "empty json": "{}",
    "crlf": "apiVersion: v1\r\nclusters:\r\n- name: x\r\n  cluster:\r\n"
            "    server: https://x\r\nusers: []\r\n",
    "literal": "users:\n- name: x\n  user:\n    token: |\n      abc\n      de\n"
               "\n\nclusters: []\n",
    "strings": "clusters:\n- {name: 'x', cluster: {server: 'https://x', n: 0x1,"
               " o: 017, y: yes, f: 1.50}}\nusers: []\n",
    "tail": "clusters:\n- name: x\n  cluster:\n    server: https://x # why\n"
            "  # inside\n\n# after\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(cli, broker, kube, form):
    if FORMS[form] is not None:
        kube.write(FORMS[form])
    before = kube.tree if FORMS[form] is not None else None
    cli("kubeconfig", "prod", "--merge", kube.path, code=0)
    tree = kube.tree
    assert "prod" in kube.names() and "prod" in kube.names("users")
    for key, value in (before or {}).items():
        if key in ("clusters", "contexts", "users"):
            assert tree[key][:-1] == (value or [])
        else:
            assert tree[key] == value
    assert "prod" in kubectl(kube, "config", "get-contexts", "-o",
                             "name").split()
    cli("kubeconfig", "prod", "--unmerge", kube.path, code=0)
    tree = kube.tree
    for key, value in (before or {}).items():
        assert tree[key] == ([] if value is None else value)
    kubectl(kube, "config", "view")
    assert kube.others() == []


HOSTILE = {
    "alias": "a: &x 1\nb: *x\n",
    "anchor": "clusters: &c []\n",
    "tag": "clusters: !!seq []\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "merge key": "x: {a: 1}\ny:\n  <<: {b: 2}\n",
    "twice": "clusters: []\nclusters: []\n",
    "no kubeconfig": "kind: Pod\n",
    "a list": "- a\n",
    "text": "hello\n",
    "no utf-8": b"a: \xff\n",
    "control": b"a: \"\x01\"\n",
    "clusters no list": "clusters: {a: 1}\n",
    "item no name": "clusters:\n- cluster: {}\n",
    "item no mapping": "users:\n- 1\n",
    "dash alone": "clusters:\n-\n  name: x\n  cluster: {}\n",
    "bomb": "{" * 200 + "}" * 200,
    "unclosed": "clusters: [\n",
    "huge": b"# " + b"x" * (4 << 20) + b"\n",
}


@pytest.mark.parametrize("form", HOSTILE)
def test_hostile_files_are_left_alone(cli, broker, kube, form):
    kube.write(HOSTILE[form])
    before = kube.read()
    done = cli("kubeconfig", "prod", "--merge", kube.path, code=INVALID)
    assert kube.read() == before
    assert kube.backups() == [] and kube.others() == []
    assert kube.path in done.note


def test_many_items(cli, broker, kube):
    n = 3000
    kube.write("clusters:\n" + "".join(
        f"- name: c{i}\n  cluster: {{server: https://c{i}}} # ä{i}\n"
        for i in range(n)))
    cli("kubeconfig", "prod", "--merge", kube.path, code=0, timeout=60)
    assert len(kube.tree["clusters"]) == n + 1
    cli("kubeconfig", "prod", "--unmerge", kube.path, code=0, timeout=60)
    assert len(kube.tree["clusters"]) == n


@pytest.mark.parametrize("way", ["--merge", "--unmerge", "--output"])
def test_a_dash_is_no_file(cli, broker, tmp_path, way):
    done = cli("kubeconfig", "prod", way, "-", code=USAGE, cwd=tmp_path)
    assert "./-" in done.note and not (tmp_path / "-").exists()
    assert broker.calls == []


# --- names that are taken ---

@pytest.mark.parametrize("what", ["clusters", "users", "contexts"])
def test_a_name_that_is_not_ours(cli, broker, kube, what):
    key = what[:-1]
    kube.write(f"{what}:\n- name: prod\n  {key}: {{x: 1}}\n")
    before = kube.read()
    done = cli("kubeconfig", "prod", "--merge", kube.path, code=INVALID)
    assert "not ours" in done.note and "--yes" in done.note
    assert kube.read() == before
    cli("--yes", "kubeconfig", "prod", "--merge", kube.path, code=0)
    assert "x" not in kube.tree[what][0][key]
    assert len(kube.backups()) == 1


def test_of_another_vault(cli, broker, kube):
    cli("kubeconfig", "prod", "--merge", kube.path, code=0)
    kube.write(kube.read().replace(VAULT_ID.encode(), b"f" * 32))
    cli("kubeconfig", "prod", "--merge", kube.path, code=INVALID)
    cli("kubeconfig", "prod", "--unmerge", kube.path, code=0)
    assert kube.names() == []


# --- which file ---

def test_the_list_in_kubeconfig(cli, broker, kube):
    a, b, c = (os.path.join(os.path.dirname(kube.path), n) for n in "abc")
    env = {"KUBECONFIG": f"{a}::{b}:{c}"}
    cli("kubeconfig", "prod", "--merge", env=env, code=0)
    assert os.path.exists(c) and not os.path.exists(a)
    os.rename(c, b)
    cli("kubeconfig", "other", "--merge", env=env, code=0)
    assert not os.path.exists(c)
    assert [i["name"] for i in yaml.safe_load(open(b, "rb"))["users"]] == \
        ["prod", "other"]
    # as kubectl does
    if shutil.which("kubectl"):
        subprocess.run(["kubectl", "config", "set-cluster", "k",
                        "--server=https://k"], env={**cli.env(), **env},
                       check=True, capture_output=True)
        assert "https://k" in open(b, encoding="utf-8").read()
        assert sorted(os.path.basename(p) for p in (a, b, c)
                      if os.path.exists(p)) == ["b"]


def test_the_file_of_the_list_that_has_it(cli, broker, kube):
    """As kubectl changes a thing where it is."""
    a, b = (os.path.join(os.path.dirname(kube.path), n) for n in "ab")
    env = {"KUBECONFIG": f"{a}:{b}"}
    cli("kubeconfig", "prod", "--merge", b, code=0)
    with open(a, "w", encoding="utf-8") as f:
        f.write(OTHERS)
    broker.server = "https://127.0.0.1:2"
    cli("kubeconfig", "prod", "--merge", env=env, code=0)
    assert open(a, encoding="utf-8").read() == OTHERS
    assert "127.0.0.1:2" in open(b, encoding="utf-8").read()
    cli("kubeconfig", "prod", "--unmerge", env=env, code=0)
    assert open(a, encoding="utf-8").read() == OTHERS
    assert "prod" not in open(b, encoding="utf-8").read()
    cli("kubeconfig", "prod", "--unmerge", env=env, code=NOT_FOUND)


def test_the_default_file_is_made(cli, broker):
    cli("kubeconfig", "prod", "--merge", code=0)
    path = os.path.join(cli.home, ".kube", "config")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    assert "current-context" not in yaml.safe_load(open(path, "rb"))
    cli("kubeconfig", "prod", "--unmerge", code=0)


def test_a_link_is_followed(cli, broker, kube):
    real = os.path.join(cli.home, "dotfiles.yaml")
    with open(real, "w", encoding="utf-8") as f:
        f.write(OTHERS)
    os.symlink(real, kube.path)
    cli("kubeconfig", "prod", "--merge", kube.path, code=0)
    assert os.path.islink(kube.path)
    assert kube.names() == ["lab", "prod"]
    assert glob.glob(real + ".certvault-backup-*")
    os.unlink(real)
    cli("kubeconfig", "prod", "--merge", kube.path, code=IO)


def test_modes(cli, broker, kube):
    kube.write(OTHERS, mode=0o644)
    cli("kubeconfig", "prod", "--merge", kube.path, code=0)
    assert stat.S_IMODE(os.stat(kube.path).st_mode) == 0o600


def test_odd_places(cli, broker, kube):
    os.mkfifo(kube.path)
    cli("kubeconfig", "prod", "--merge", kube.path, code=INVALID)
    os.unlink(kube.path)
    os.mkdir(kube.path)
    cli("kubeconfig", "prod", "--merge", kube.path, code=INVALID)
    cli("kubeconfig", "prod", "--unmerge", kube.path + "/none",
        code=NOT_FOUND)
    cli("kubeconfig", "prod", "--merge=a", "b", code=USAGE)
    cli("kubeconfig", "prod", "--merge", "--unmerge", code=USAGE)
    cli("kubeconfig", "prod", "b", code=USAGE)


def test_the_word_behind_equals(cli, broker, kube):
    cli("kubeconfig", "prod", "--merge=" + kube.path, code=0)
    cli("kubeconfig", "--unmerge=" + kube.path, "prod", code=0)


def test_dry_run(cli, broker, kube):
    kube.write(OTHERS)
    done = cli("-o", "json", "--dry-run", "kubeconfig", "prod", "--merge",
               kube.path, code=0)
    assert done.json["changed"] is True and done.json["dry_run"] is True
    assert kube.read().decode() == OTHERS and kube.backups() == []


def test_as_json(cli, broker, kube):
    kube.write(OTHERS)
    document = cli("-o", "json", "kubeconfig", "prod", "--merge", kube.path,
                   code=0).json
    assert document["kind"] == "KubeconfigChange"
    assert document["file"] == kube.path and document["context"] == "prod"
    assert document["current_context"] == "lab"
    assert kube.path + document["backup"][len("config"):] == kube.backups()[0]


# --- what goes wrong ---

def test_kubectl_is_at_it(cli, broker, kube):
    kube.write(OTHERS)
    open(kube.path + ".lock", "w").close()
    done = cli("kubeconfig", "prod", "--merge", kube.path, code=BUSY)
    assert ".lock" in done.note
    assert kube.read().decode() == OTHERS and kube.backups() == []


def test_a_folder_that_cannot_be_written(cli, broker, kube):
    """root writes everywhere: so a file system that nobody can write to."""
    kube.write(OTHERS)
    folder = os.path.dirname(kube.path)
    if os.geteuid() != 0 or subprocess.run(
            ["unshare", "-m", "true"], capture_output=True).returncode:
        os.chmod(folder, 0o500)
        wrap = []
    else:
        wrap = ["unshare", "-m", "sh", "-c",
                f"mount --bind {folder} {folder} && "
                f'mount -o remount,bind,ro {folder} && exec "$@"', "sh"]
    cli.wrap = wrap
    done = cli("kubeconfig", "prod", "--merge", kube.path)
    cli.wrap = []
    os.chmod(folder, 0o700)
    if b"permission denied" in done.err.lower() and done.code != IO:
        pytest.skip("nothing can be mounted here")
    assert done.code == IO, done
    assert kube.read().decode() == OTHERS
    assert kube.backups() == [] and kube.others() == []


def test_a_full_disk(cli, broker, kube):
    if os.geteuid() != 0:
        pytest.skip("only root mounts a small file system")
    folder = os.path.dirname(kube.path)
    filler = os.path.join(folder, "filler")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none",
                       folder], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        kube.write(OTHERS)
        for left in range(0, 5):
            with open(filler, "wb", buffering=0) as f:
                try:
                    while f.write(b"x" * 4096):
                        pass
                except OSError:
                    pass
            os.truncate(filler, max(0, os.stat(filler).st_size // 4096
                                    - left) * 4096)
            done = cli("kubeconfig", "prod", "--merge", kube.path)
            text = kube.read().decode()
            if done.code == 0:
                break
            assert done.code == IO, done
            assert text == OTHERS
            assert kube.backups() == [] and kube.others() == ["filler"]
        assert done.code == 0 and left > 0
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("call", ["fchmod", "fsync", "renameat"])
def test_killed_at_each_step(home, secrets, broker, kube, call):
    """The old file or the new one, whole, and the next run works."""
    if not harness.have_strace():
        pytest.skip("strace cannot be used here")
    if not os.path.exists(harness.program("intake", harness.RELEASE)):
        pytest.skip("the release tree is not built")
    cli = Certvault(home, secrets, build=harness.RELEASE)
    cli.extra["CERTVAULT_BROKER"] = broker.address
    kube.write(OTHERS)
    cli("kubeconfig", "prod", "--merge", kube.path, code=0)
    new = kube.read()
    for path in kube.backups():
        os.unlink(path)
    killed = []
    for when in range(1, 10):
        kube.write(OTHERS)
        cli.wrap = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}",
                    "-e", f"inject={call}:signal=KILL:when={when}"]
        done = subprocess.run(
            cli.argv("kubeconfig", "prod", "--merge", kube.path),
            env=cli.env(), capture_output=True, stdin=subprocess.DEVNULL,
            timeout=60)
        text = kube.read()
        assert text in (OTHERS.encode(), new), (call, when)
        for path in kube.backups():
            with open(path, "rb") as f:
                assert f.read() == OTHERS.encode()
            os.unlink(path)
        if done.returncode == 0:
            break
        killed.append(text == new)
    assert len(killed) >= 2 and done.returncode == 0
    cli.wrap = []
    kube.write(OTHERS)
    cli("kubeconfig", "prod", "--merge", kube.path, code=0)
    assert kube.read() == new
    # What those who were killed had begun to write is gone with it.
    assert kube.others() == []


def test_what_a_killed_run_left_is_taken_away(cli, broker, kube):
    """Its own alone: not what somebody holds, nor what only looks like it."""
    def path(name):
        return os.path.join(os.path.dirname(kube.path), name)

    kube.write(OTHERS)
    for name in (".certvault.0123abcd.tmp", ".certvault.00000000.tmp",
                 ".certvault.0123ABCD.tmp", ".certvault.0123abcd.tmp.x",
                 ".certvault.0123abc.tmp", "x.certvault.0123abcd.tmp"):
        with open(path(name), "w", encoding="ascii") as f:
            f.write("x")
    os.link(path("x.certvault.0123abcd.tmp"), path(".certvault.11111111.tmp"))
    os.symlink("config", path(".certvault.22222222.tmp"))
    os.mkfifo(path(".certvault.33333333.tmp"))
    os.mkdir(path(".certvault.44444444.tmp"))
    before = set(kube.others())
    with open(path(".certvault.00000000.tmp"), encoding="ascii") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        cli("kubeconfig", "prod", "--merge", kube.path, code=0)
    assert before - set(kube.others()) == {".certvault.0123abcd.tmp"}
    cli("kubeconfig", "prod", "--unmerge", kube.path, code=0)
    assert before - set(kube.others()) == {".certvault.0123abcd.tmp",
                                           ".certvault.00000000.tmp"}


def left_behind(vault, env):
    found = vault("-o", "json", "doctor", env=env).json["items"]
    return [i for i in found if i["check"] == "left behind"]


def test_what_anothers_run_left_is_named_as_root(vault):
    """It may hold keys, and no run of this user takes it away."""
    if os.getuid() != 0:
        pytest.skip("needs root")
    folders = [os.path.join(vault.home, f) for f in (".kube", "one", "two")]
    for folder in folders:
        os.mkdir(folder, 0o700)
    names = [f"{folder}/.certvault.0123abcd.tmp" for folder in folders] + [
        vault.path(".vault.db.0123abcd.tmp"),
        vault.path("audit/.log.key.0123abcd.tmp")]
    others = [f"{folders[1]}/{name}" for name in (
        ".certvault.0123abcd.tmp.x", ".certvault.0123ABCD.tmp", "x.tmp",
        ".log.key.0123abcd.tmp", ".certvault.0123abcde.tmp")]
    mine = folders[0] + "/.certvault.89abcdef.tmp"
    for path in (*names, *others, mine):
        with open(path, "wb"):
            pass
        if path != mine:
            os.chown(path, 65534, 65534)
    os.symlink(folders[2] + "/config", vault.home + "/link")
    with open(folders[2] + "/config", "wb"):
        pass
    env = {"KUBECONFIG": f"{folders[1]}/a:{folders[1]}/b:{vault.home}/link"}
    told = left_behind(vault, env)
    assert sorted(i["message"].split()[0] for i in told) == sorted(names)
    for item in told:
        path = item["message"].split()[0]
        assert item["result"] == "warn" and "uid 65534" in item["message"]
        assert f"rm '{path}'" in item["hint"], item
    with open(names[0], "rb") as held:          # by who is at work
        fcntl.flock(held, fcntl.LOCK_EX)
        assert len(left_behind(vault, env)) == len(names) - 1
    for path in names:
        os.unlink(path)
    assert left_behind(vault, env) == []


def test_many_at_once(cli, broker, kube):
    """None is lost."""
    kube.write(OTHERS)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        done = list(pool.map(
            lambda n: (n, cli("kubeconfig", n, "--merge", kube.path)),
            [f"e{i}" for i in range(12)]))
    assert {d.code for _, d in done} == {0}, done
    assert set(kube.names()) == {n for n, _ in done} | {"lab"}


def test_no_secret_of_others_is_shown(cli, broker, kube, secrets):
    secrets.add("another's token", "secret-token-of-another-user")
    kube.write(OTHERS.replace("secret-token", "secret-token-of-another-user"))
    cli("kubeconfig", "prod", "--merge", kube.path, code=0)
    kube.write("users:\n- name: x\n  user: {token: "
               "secret-token-of-another-user}\n  oops: [\n")
    cli("kubeconfig", "prod", "--merge", kube.path, code=INVALID)
    assert json.dumps(broker.calls).count("secret-token") == 0
