"""docs/operations.md: every command in it is run, as it stands there.

The lines are taken out of the document and run by a shell, section by section,
on a vault that is as that section expects it. Only what a reader would put in
is put in: where the stick is mounted, the token's name, the date. A section
that has no story here must name the tests that run its commands; a new section
or command without either fails."""

import hashlib
import os
import re
import shutil
import subprocess

import pytest

import harness
import merkle
import minting
import test_archive
import tokens
from held import Held, certified, csr_key
from kube import Identity, as_yaml, config
from test_log_key_kills import held

__all__ = ["held"]

DOCUMENT = os.path.join(harness.SOURCE, "docs", "operations.md")

# Sections whose commands other scenarios run: they want a cluster, a service
# manager or root.
ELSEWHERE = {
    "The agent": ("test_agent.py",),
    "kubectl and the relay": ("test_relay_kubectl.py", "test_exec.py",
                              "test_kubeconfig_merge.py", "test_use.py",
                              "test_grants.py", "test_audit.py"),
    "When something is wrong: the freeze": ("test_freeze.py", "test_audit.py",
                                            "test_grants.py"),
    "As a service": ("test_socket.py", "test_service_uids_root.py"),
    "The log's key on a token": ("test_log_key_token.py",),
}


def sections():
    """{heading: [command line]} of the indented blocks that hold commands."""
    found, heading, held = {}, None, ""
    with open(DOCUMENT, encoding="utf-8") as f:
        for line in f:
            line = line.rstrip("\n")
            if line.startswith("#"):
                heading = line.lstrip("# ")
                continue
            if not line.startswith("    "):
                continue
            line = re.sub(r"\s+# .*$", "", held + line.strip())
            held = ""
            if line.endswith("\\"):
                held = line[:-1]
                continue
            if re.match(r"(\S+=\S+ )?(sudo )?(certvault|mv|certvaultd|"
                        r"cp -a|mkdir|tr|cmp)\b",
                        line):
                found.setdefault(heading, []).append(line)
    return found


def names_of(line):
    """The words of the command that a line runs."""
    words = [w for w in line.split()[1:] if not w.startswith("-")]
    return [w for w in words[:2] if re.fullmatch(r"[a-z-]+", w)]


class Reader:
    """Somebody who does what the document says."""

    def __init__(self, vault):
        self.v = vault
        self.put = {"/media/usb": os.path.join(vault.home, "usb"),
                    "$(date +%F)": "2026-11-22"}
        self.after = {}                # part of a line: what is done then
        os.mkdir(self.put["/media/usb"])
        bin_folder = os.path.join(vault.home, "bin")
        os.mkdir(bin_folder)
        vault.write("new-pass", "a new passphrase for this vault\n")
        path = os.path.join(bin_folder, "certvault")
        with open(path, "w", encoding="utf-8") as f:
            # Nobody is there to be asked: yes to questions, what would be
            # typed from a file.
            f.write("#!/bin/sh\n"
                    'case "$1 $2" in "slot add"|"slot change")\n'
                    '    set -- "$@" --new-passphrase-file "$HOME/new-pass";;\n'
                    "esac\n"
                    f'exec "{harness.program(build=vault.build)}" --no-agent '
                    '--no-input --yes "$@"\n')
        os.chmod(path, 0o755)
        self.env = {**vault.env(), "PATH": bin_folder + ":" +
                    vault.env()["PATH"]}

    def attempt(self, line):
        text = line
        for what in sorted(self.put, key=len, reverse=True):
            text = text.replace(what, self.put[what])
        return subprocess.run(["bash", "-e", "-c", text], cwd=self.v.home,
                              env=self.env, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=120)

    def run(self, line):
        done = self.attempt(line)
        assert done.returncode == 0, (line, done)
        for part, step in self.after.items():
            if part in line:
                step()
        return done.stdout

    def do(self, heading, lines=None):
        told = {}
        for line in lines or sections()[heading]:
            told[line] = self.run(line)
        return told


@pytest.fixture
def reader(vault, secrets):
    vault.policy(harness.MAY_EXPORT)
    vault.add(as_yaml(config(Identity("p256", secrets=secrets))), "prod",
              "--exportable")
    vault.add(as_yaml(config(Identity("p256", secrets=secrets))), "lab")
    return Reader(vault)


def raise_version(reader):
    """What a person does in an editor."""
    path = os.path.join(reader.v.home, "policy.yaml")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    changed = re.sub(r'("?version"?: *)(\d+)',
                     lambda m: m.group(1) + str(int(m.group(2)) + 1), text, 1)
    assert changed != text
    with open(path, "w", encoding="utf-8") as f:
        f.write(changed)


def backed_up(reader):
    reader.do("Backup")


def the_drill(reader):
    backed_up(reader)
    told = reader.do("The drill")
    assert any("prod" in out for line, out in told.items() if " list" in line)
    assert not os.listdir(os.path.join(reader.v.home, "drill"))
    reader.v("list", code=0)                    # the real one is untouched


def needed(reader):
    backed_up(reader)
    reader.do("When it is needed")
    assert reader.v.names() == ["lab", "prod"]
    assert os.path.exists(reader.v.folder + ".damaged/audit/log")


def the_end(reader):
    reader.v.spoilt = True
    reader.do("The end of a vault")
    assert not os.path.exists(reader.v.path("vault.db"))


def leaver(reader):
    user = subprocess.run(["id", "-un"], capture_output=True,
                          text=True).stdout.strip()
    reader.put["--user bob"] = "--user " + user
    reader.put["--actor bob"] = "--actor " + user
    reader.v("export", "prod", "--reason", "mine", code=0, secret=True)
    reader.after["policy show"] = lambda: raise_version(reader)
    told = reader.do("Somebody leaves")
    assert all("prod" in out for line, out in told.items()
               if "exposure" in line or "--action export" in line), told


def review(reader):
    reader.put["--user bob"] = "--user root"
    reader.v.write("cases.yaml", """
apiVersion: certvault/v1
kind: PolicyTest
cases:
- {user: nobody, action: export, entry: {name: prod}, expect: deny}
""")
    reader.after["policy show"] = lambda: raise_version(reader)
    reader.do("A policy is reviewed")


def audited(reader):
    """By the README of the bundle too."""
    reader.v("show", "prod", code=0)
    told = reader.do("The auditor's visit")
    assert sum("yes" in out for out in told.values()) == 3
    text = os.path.join(reader.v.home, "prod-quarter", "README.txt")
    with open(text, encoding="utf-8") as f:
        lines = f.read().split("CHECK IT")[1].split("\n")
    script = "".join(x[4:] + "\n" for x in lines if x.startswith("    "))
    done = subprocess.run(["sh", "-e", "-c", script], env=reader.env,
                          cwd=os.path.dirname(text), capture_output=True,
                          check=False)
    assert done.returncode == 0, done


def slots(reader):
    reader.v("slot", "add", "file:" + os.path.join(reader.v.home, "k2"), code=0)
    reader.put["remove s2"] = "remove s3"       # the one that it has just added
    reader.do("Keys that open the vault")


def grown(reader):
    """A log of some hundred records, where the document has 200,000."""
    test_archive.fill(reader.v, 600)
    reader.put.update({"--before 200000": "--before 600"})
    reader.do("The log has grown")
    assert test_archive.beginning(reader.v)[0] == 512


CUT = "A power cut damaged the log's end"


def damaged(reader, part):
    with open(os.path.join(reader.v.home, "damaged", part), "rb") as f:
        return f.read()


def whole_records(shown):
    """As the document tells the reader to find them."""
    return re.findall(r'\{"action":.*"v":1\}', shown)


def told_in_the_record(reader, byte):
    cut = damaged(reader, "log.cut")
    digest = damaged(reader, "digest").decode().strip()
    assert digest.replace(" ", "") == hashlib.sha256(cut).hexdigest()
    said = [r for r in reader.v.records() if r.get("reason", "").startswith(
        f"power cut: {len(cut)} bytes behind byte {byte} cut off, ")]
    assert said and said[0]["reason"].endswith(digest), said
    assert "answered acts may be among them" in said[0]["reason"]


def cut_off(reader):
    """The end as a power cut may leave it: behind the last checkpoint a record
    whose last sector holds something else. Then a longer cut is refused."""
    reader.do("The auditor's visit", [
        "certvault audit checkpoint > /media/usb/checkpoint-$(date +%F)"])
    log = reader.v.path("audit/log")
    good = os.path.getsize(log)
    record = merkle.frame(b'{"v":1,' + b" " * 900)
    with open(log, "ab") as f:
        f.write(record[:512] + b"\x01stale" * 80)
    report = reader.v("-o", "json", "audit", "verify",
                      code=harness.INTEGRITY).json
    error = report["errors"][0]
    assert {e["what"] for e in report["errors"]} <= {"crc", "frame"}
    assert error["offset"] == good
    assert error["seq"] >= report["checkpoint_size"]
    assert reader.v("label", "prod", "x=y").code == harness.INTEGRITY
    reader.put["BYTE"] = str(error["offset"])
    keep, look, cut, tell = sections()[CUT]
    assert reader.attempt(cut).returncode == 2      # there is no copy yet
    assert os.path.getsize(log) > good
    for line in (keep, look, cut, tell):
        assert not whole_records(reader.run(line))
    told_in_the_record(reader, good)
    reader.v("label", "prod", "x=y", code=0)
    reader.v.verify()
    # A copy that is no copy of this log any more is none to cut by.
    assert reader.attempt(keep).returncode == 1
    size = os.path.getsize(log)
    assert reader.attempt(cut).returncode == 1
    assert os.path.getsize(log) == size
    # What a checkpoint covers is refused, whoever cuts it.
    shutil.rmtree(os.path.join(reader.v.home, "damaged"))
    reader.put["BYTE"] = str(good // 2)
    reader.run(keep)
    assert whole_records(reader.run(look))
    assert reader.attempt(cut).returncode == harness.INTEGRITY
    assert os.path.getsize(log) == good // 2
    assert reader.v("label", "prod", "x=z").code == harness.INTEGRITY
    reader.v.spoilt = True


def plain(heading):
    return lambda reader: reader.do(heading)


STORIES = {
    "Backup": backed_up,
    "The drill": the_drill,
    "When it is needed": needed,
    "The end of a vault": the_end,
    "Somebody leaves": leaver,
    "A policy is reviewed": review,
    "Keys that open the vault": slots,
    "The auditor asks": plain("The auditor asks"),
    "The auditor's visit": audited,
    "Another key for the log": plain("Another key for the log"),
    "Certificates that end": plain("Certificates that end"),
    "The disk is full, or the log is not where it was":
        plain("The disk is full, or the log is not where it was"),
    "The log has grown": grown,
    CUT: cut_off,
}


@pytest.fixture
def at_a_token(reader, tmp_path):
    """The same with a token called work, and an entry on it."""
    kind = [k for k in tokens.KINDS if k.name == "softhsm"][0]
    if kind.missing():
        pytest.skip(f"softhsm: {kind.missing()}")
    token = kind(tmp_path / "token")
    token.start()
    held = Held(reader.v, token)
    reader.held = held
    reader.v.write("new.pin", "87654321\n")
    reader.v("rm", "prod", "--yes", code=0)
    reader.identity, _ = held.add("p256", "prod")
    key = held.entry("prod")["token_uri"].split("?")[0] + \
        "?module-name=" + token.name
    reader.put.update({"pkcs11:token=work;id=%01": key,
                       "pkcs11:token=PIV;id=%01": key,
                       "pkcs11:token=work": held.uri})
    reader.env["CERTVAULT_PIN_FILE"] = held.pin_file
    reader.v.write("kubeconfig.yaml", as_yaml(config(reader.identity)))
    reader.v.write("prod.pem", reader.identity.cert_pem)
    reader.v.spoilt = True
    yield reader
    token.stop()


def pin(reader):
    reader.after["change-pin"] = lambda: os.replace(
        os.path.join(reader.v.home, "new.pin"), reader.held.pin_file)
    reader.do("A PIN is changed")


def lost(reader):
    told = reader.do("A card is lost")
    assert any("lost" in out for out in told.values())
    assert reader.v.names() == ["lab"]


def signed_by_somebody(reader, name):
    """What whoever signs requests does with NAME.csr."""
    authority = minting.Authority()
    with open(os.path.join(reader.v.home, name + ".csr"), "rb") as f:
        pem = certified(authority, csr_key(f.read()))
    reader.v.write(name + ".pem", pem)


def swap(reader):
    reader.after["generate"] = lambda: signed_by_somebody(reader, "prod-2")
    reader.do("An HSM is replaced")
    assert reader.v.names() == ["lab", "prod-2"]


def ways_in(reader):
    """Each of the ways by itself: all of them make an entry of the same name."""
    kube = os.path.join(reader.v.home, ".kube")
    os.mkdir(kube)
    with open(os.path.join(kube, "config"), "w", encoding="utf-8") as f:
        f.write(as_yaml(config(Identity("p256", secrets=reader.v.secrets))))

    def make_room():
        reader.v("rm", "prod", "--keep-key", "--yes", code=0)

    reader.after.update({"import": make_room, "adopt": make_room,
                         "generate": lambda: signed_by_somebody(reader,
                                                                "prod")})
    reader.do("Keys on tokens")
    assert reader.held.entry("prod")["provenance"] == "born"


def pins(reader):
    reader.do("Tokens and their PINs")


AT_A_TOKEN = {
    "A PIN is changed": pin,
    "A card is lost": lost,
    "An HSM is replaced": swap,
    "Tokens and their PINs": pins,
    "Keys on tokens": ways_in,
}


@pytest.mark.parametrize("heading", STORIES)
def test_as_it_is_written(reader, heading):
    STORIES[heading](reader)


@pytest.mark.parametrize("part", ("record", "length"))
def test_a_cut_shows_what_was_answered(held, part):
    """The log's key is on a token that nobody has logged in to: what was
    released is in the record, and under no checkpoint. Damage to it looks like
    that of a power cut; whoever goes by the document sees that it is none, and
    whoever cuts all the same says so in the record."""
    reader = Reader(held.vault)
    reader.v.spoilt = True
    reader.v.policy(harness.MAY_EXPORT)
    reader.v.add(as_yaml(config(Identity("p256", secrets=reader.v.secrets))),
                 "prod", "--exportable")
    reader.do("The auditor's visit", [
        "certvault audit checkpoint > /media/usb/checkpoint-$(date +%F)"])
    held("audit", "key", "rotate", "--to", "token:" + held.uri, code=0)
    for i in range(3):
        held("export", "prod", "--reason", f"drill {i}", "--output",
             os.path.join(reader.v.home, f"out{i}"), pin=False, code=0)
    covered = reader.v("-o", "json", "audit", "verify",
                       code=0).json["checkpoint_size"]
    log = reader.v.path("audit/log")
    with open(log, "rb") as f:
        frames, _ = merkle.frames(f.read())
    first = min(i for i, (_, record) in enumerate(frames)
                if i >= covered and b'"action":"export"' in record)
    byte = frames[first][0]
    with open(log, "r+b") as f:
        f.seek(byte + (40 if part == "record" else 0))
        f.write(b"\xff")
    report = reader.v("-o", "json", "audit", "verify",
                      code=harness.INTEGRITY).json
    assert report["errors"][0]["offset"] == byte
    assert report["errors"][0]["seq"] == first >= report["checkpoint_size"]
    assert (part == "record") == any(e["what"] == "prev"
                                     for e in report["errors"])
    reader.put["BYTE"] = str(byte)
    keep, look, cut, tell = sections()[CUT]
    reader.run(keep)
    seen = whole_records(reader.run(look))
    assert sum('"action":"export"' in r for r in seen) >= 3, seen
    reader.run(cut)
    reader.run(tell)
    assert not reader.v.records("--action", "export")
    told_in_the_record(reader, byte)
    reader.v.verify()


@pytest.mark.parametrize("heading", AT_A_TOKEN)
def test_as_it_is_written_at_a_token(at_a_token, heading):
    AT_A_TOKEN[heading](at_a_token)


# What the table of limits says, and where it comes from.
LIMITS = {
    "UID_CLIENTS": "256 of one user", "UID_BURST": "600 at once",
    "UID_REQUESTS": "200 a second", "FRAME_CLIENT": "8 MiB, whole",
    "FRAME_S": "30 s |", "GRANTS": "1,024 of all users",
    "GRANTS_FEW": "64 gets none", "GRANTS_KEPT": "the last 256",
    "REQUESTS": "32 open", "REQUESTS_DAY": "200 within",
    "READING_S": "3,600 s from", "BUNDLE_PROOFS": "1,000 of each",
    "BUNDLE_POLICIES": "1,000 of each", "HTTP_TOTAL_S": "60 s each",
    "RETRY_TOTAL_S": "120 s with", "MODULE_S": "30 s, 120 s",
    "MODULE_LONG_S": "120 s where", "MODULE_RESTART_S": "30 s |",
    "IMPORT_FILES": "20,000 files", "KUBECONFIG": "4 MiB each",
    "REASON": "256 bytes", "TICKET": "64 bytes |",
}


def test_limits_are_those_of_the_code():
    path = os.path.join(harness.SOURCE, "vault", "base", "limits.h")
    with open(path, encoding="ascii") as f:
        code = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    code = code.replace("\\\n", " ")
    with open(DOCUMENT, encoding="utf-8") as f:
        table = f.read().split("## What one caller may have at most")[1] \
            .split("\n## ")[0]
    for name, words in LIMITS.items():
        value, = re.findall(rf"#define CV_LIMIT_{name}\s+(.*)", code)
        number, = re.findall(r"[\d,]+", value)
        said = re.findall(r"[\d,]*\d", words)
        assert number in [n.replace(",", "") for n in said], (name, value)
        assert words in table, words


def test_every_command_has_its_test():
    here = {**STORIES, **AT_A_TOKEN}
    found = sections()
    assert set(here) <= set(found), "a section is gone"
    for heading, lines in found.items():
        if heading in here:
            continue
        assert heading in ELSEWHERE, f"no test runs: {heading}: {lines}"
        text = ""
        for name in ELSEWHERE[heading]:
            with open(os.path.join(harness.HERE, name), encoding="utf-8") as f:
                text += f.read()
        for line in lines:
            for word in names_of(line):
                assert f'"{word}' in text or word in ("prod", "bob"), \
                    (heading, line, word)
