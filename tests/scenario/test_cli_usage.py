"""The command line by itself: what is typed, printed, asked; a broker stands in
where one is needed."""

import ctypes
import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import termios
import time

import pytest
import yaml

import harness
from fake_broker import Failure, FakeBroker
from terminal import Terminal
from harness import (CONFIG, DENIED, INTEGRITY, INVALID, IO, NOT_FOUND,
                     UNAVAILABLE, USAGE, Certvault)

MAN = os.path.join(harness.SOURCE, "cli", "man", "certvault.1")
UUID = "4d1ecb2c-229a-11e8-9c75-0255ac100ceb"


@pytest.fixture
def cli(home, secrets):
    return Certvault(home, secrets)


@pytest.fixture
def broker(home):
    with FakeBroker(home / "broker.sock") as b:
        yield b


@pytest.fixture
def to(cli, broker):
    """The command line, talking to the stand-in."""
    cli.extra["CERTVAULT_BROKER"] = broker.address
    return cli


def commands():
    """The names that --help lists."""
    out = subprocess.run([harness.program(), "--help"], capture_output=True,
                         text=True, check=True).stdout
    listed = out.split("\n\n")[2]
    return [re.split(r"\s{2,}", line.strip())[0]
            for line in listed.split("\n") if line]


def flags_of(text):
    return set(re.findall(r"^  (?:-\w, )?(--[a-z-]+|-o)\b", text, re.M))


# --- what is typed ---

def test_no_command(cli):
    done = cli(code=USAGE)
    assert not done.out and "--help" in done.note


@pytest.mark.parametrize("words", [
    ["frobnicate"], ["slot"], ["slot", "frobnicate"], ["list", "a", "b"],
    ["show"], ["rename", "a"], ["version", "x"], ["-Z", "list"],
    ["list", "--frobnicate"], ["list", "--label"], ["-o"], ["-o", "xml",
                                                            "version"],
    ["version", "--yes=1"], ["--cluster-id", UUID, "fetch"], ["help", "x"],
    ["completion", "tcsh"]])
def test_usage_errors(cli, words):
    done = cli(*words, code=USAGE)
    assert not done.out
    assert done.note.startswith("certvault: ")
    error = cli("-o", "json", *words, code=USAGE).error \
        if words[0] != "-o" else {"code": "usage"}
    assert error["code"] == "usage"


def test_what_is_no_uri_of_a_token(home, secrets):
    v = harness.Vault(home, secrets)
    done = v("token", "login", "work", code=USAGE)
    assert "begins with pkcs11:" in done.note
    assert "certvault token list" in done.note


@pytest.mark.parametrize("words", [
    ["sync"],
    ["rotate", "a"], ["renew", "a"]])
def test_what_later_versions_have(cli, words):
    done = cli(*words, code=USAGE)
    assert "not in this version" in done.note
    if words[0] not in ("policy", "audit", "init", "list"):
        assert words[0] not in [c.split()[0] for c in commands()]


@pytest.mark.parametrize("words", [
    ["--reas", "x", "list"], ["list", "--lab", "a=b"], ["--vau=x", "list"],
    ["--no-inpu", "list"], ["--dry", "rm", "a"], ["list", "--o", "json"]])
def test_flags_are_never_abbreviated(cli, words):
    assert "unknown flag" in cli(*words, code=USAGE).note


@pytest.mark.parametrize("flag", ["ak", "sk", "token", "password", "pin",
                                  "passphrase", "security-token"])
def test_secrets_are_no_arguments_and_are_not_repeated(cli, flag):
    cli.secrets.add("typed", "Hunter2Hunter2")
    for words in ([f"--{flag}", "Hunter2Hunter2"], [f"--{flag}=Hunter2Hunter2"]):
        done = cli("fetch", "--cluster", "c", *words, code=USAGE)
        assert "argument" in done.note
        cli(*words, "list", code=USAGE)
    cli("list", "pkcs11:token=x?pin-value=Hunter2Hunter2", code=USAGE)


def test_global_flags_stand_anywhere(to, broker):
    broker.answers["List"] = {"items": []}
    for words in (["-o", "json", "list"], ["list", "-o", "json"],
                  ["list", "-ojson"], ["-qo=json", "list"],
                  ["--reason", "r", "list", "--ticket=T", "-o", "json"]):
        assert to(*words, code=0).json["items"] == []
    assert broker.asked("List")[-1] == {"labels": {}, "reason": "r",
                                        "ticket": "T"}


def test_two_dashes_end_the_flags(to, broker):
    broker.answers["Show"] = Failure("not-found")
    to("show", "--", "-x", code=USAGE)
    assert not broker.asked("Show")
    to("show", "--", "x", code=NOT_FOUND)


@pytest.mark.parametrize("bad", ["../x", "a%2eb", "a?b", "a#b", "a\r\nb", "",
                                 "x" * 65536, UUID + "0", UUID[:-1],
                                 UUID.replace("-", "_"), UUID[:-1] + "g"])
def test_cluster_ids_are_checked_before_any_socket(to, broker, bad):
    to("fetch", "--cluster-id=" + bad, code=USAGE)
    to("fetch", "--cluster", "c", "--project-id=" + bad, code=USAGE)
    assert broker.calls == []


@pytest.mark.parametrize("bad", ["0", "-2", "1828", "9223372036854775808",
                                 "1e2", '"30"', "", "1.5", "8h", "-1d", " 7"])
def test_durations_are_checked_before_any_socket(to, broker, bad):
    to("fetch", "--cluster", "c", "--duration=" + bad, code=USAGE)
    assert broker.calls == []


@pytest.mark.parametrize("words", [
    [], ["--cluster", "c", "--cluster-id", UUID],
    ["--cluster", "c", "--duration", "1", "--expire-at", "2030-01-01"],
    ["--cluster", "c", "--expire-at", "2000-01-01"],
    ["--cluster", "c", "--expire-at", "8h"],
    ["--cluster", "c", "--api", "v4"],
    ["--cluster", "c", "--api", "v3-get", "--duration", "1"],
    ["--cluster", "c", "--to", "card"], ["--cluster", "c", "--label", "x"],
    ["--cluster", "c", "--label", "a=1", "--label", "a=2"],
    ["--cluster", "c", "--region", "a/b"],
    ["--cluster", "c", "--endpoint", "https://user:x@host"],
    ["--cluster", "c", "--iam-user", "u"],
    ["--cluster", "c", "--password-file", "f"],
    ["--cluster", "c", "--as-service", "--endpoint", "https://h"]])
def test_fetch_is_checked_before_any_socket(to, broker, words):
    to("fetch", *words, code=USAGE)
    assert broker.calls == []


@pytest.mark.parametrize("name", ["", ".a", "a//b", "a/../b", "x" * 128, "a b",
                                  "a\n", "\u00e4"])
def test_names_are_checked_before_any_socket(to, broker, name):
    for words in (["show"], ["export"], ["rename", "x"], ["rm", "x"],
                  ["audit", "who"]):
        to(*words, "--yes", "--", name, code=USAGE)
    assert broker.calls == []


@pytest.mark.parametrize("words", [
    ["rename", "a", "b"], ["label", "a", "k=v"], ["init"],
    ["slot", "remove", "s1"], ["slot", "recovery"],
    ["pin", "a", "--context", "c", "--spki", "x"],
    ["lock"], ["lock", "--all"], ["unlock"], ["unlock", "--all"],
    ["agent", "start"], ["agent", "stop"],
    ["audit", "key", "rotate"], ["audit", "checkpoint"], ["audit", "rebuild"],
    ["audit", "anchor"], ["audit", "send"], ["audit", "archive"],
    ["audit", "report", "--html", "f"], ["audit", "export", "--output", "f"],
    ["audit", "prove", "3", "--output", "f"],
    ["audit", "prove", "--entry", "a", "--output", "d"],
    ["policy", "fmt", "--write", "f"], ["policy", "sign", "f"],
    ["policy", "key", "f"]])
def test_a_dry_run_is_never_ignored(to, broker, words):
    done = to("--dry-run", "--yes", *words, code=USAGE)
    assert "dry run" in done.note and broker.calls == []


@pytest.mark.parametrize("reason", ["x" * 257, "-----BEGIN PRIVATE KEY-----",
                                    "A" * 40, "a\nb", "\x1b[2J"])
def test_reasons_that_are_secrets_are_not_sent(to, broker, reason):
    to("list", "--reason", reason, code=INVALID)
    assert broker.calls == []


def test_an_empty_argv(cli):
    libc = ctypes.CDLL(None)
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open("/dev/null", os.O_RDWR), 2)
        libc.execve(harness.program().encode(), (ctypes.c_char_p * 1)(None),
                    (ctypes.c_char_p * 1)(None))
        os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == USAGE


# --- help, version, completion, the man page ---

def test_help(cli):
    for words in (["--help"], ["-h"], ["help"]):
        done = cli(*words, code=0)
        assert "usage: certvault" in done.text and not done.err
    assert "slot add" in cli("slot", "--help", code=0).text
    assert "export" not in cli("slot", "--help", code=0).text


def test_every_command_has_help_with_examples(cli):
    names = commands()
    assert len(names) > 30
    for name in names:
        done = cli(*name.split(), "--help", code=0)
        assert done.text.startswith(f"usage: certvault [FLAGS] {name}")
        assert f"\n  certvault " in done.text, name
        assert cli("help", *name.split(), code=0).out == done.out
        assert not done.err


def test_as_a_plugin_of_kubectl(cli):
    path = os.path.join(os.path.dirname(harness.program()),
                        "kubectl-certvault")
    out = subprocess.run([path, "fetch", "--help"], capture_output=True,
                         text=True, check=True).stdout
    assert out.startswith("usage: kubectl certvault [FLAGS] fetch")
    assert "  kubectl certvault fetch" in out


def test_version(cli):
    text = cli("version", code=0).text
    assert re.fullmatch(r"certvault \d+\.\d+\.\d+\n", text)
    assert cli("--version", code=0).text == text
    assert cli("-o", "json", "version", code=0).json["version"] == \
        text.split()[1]


def test_the_man_page_names_every_command_and_flag(cli):
    with open(MAN, encoding="utf-8") as f:
        page = f.read()
    for name in commands():
        assert re.search(rf"\b{name}\b", page), name
        for flag in flags_of(cli(*name.split(), "--help", code=0).text):
            assert flag[1:] in page, (name, flag)       # .Fl -name
    for flag in flags_of(cli("--help", code=0).text):
        assert flag[1:] in page, flag
    for code in list(range(64, 67)) + [69, 70] + list(range(74, 79)):
        assert re.search(rf"^\.It {code}\b", page, re.M), code


def complete(cli, *words):
    """What bash offers for these words, the last one begun."""
    script = cli("completion", "bash", code=0).text
    quoted = " ".join("'" + w + "'" for w in ("certvault", *words))
    script += (f"\nCOMP_WORDS=({quoted})\nCOMP_CWORD={len(words)}\n_certvault\n"
               "printf '%s\\n' \"${COMPREPLY[@]}\"\n")
    done = subprocess.run(["bash", "-c", script], capture_output=True,
                          text=True, check=True)
    assert not done.stderr
    return done.stdout.split()


def test_bash_completion(cli):
    assert set(complete(cli, "")) >= {"fetch", "slot", "audit", "version"}
    assert complete(cli, "fe") == ["fetch"]
    assert complete(cli, "slot", "") == ["list", "add", "remove", "change",
                                         "recovery"]
    assert complete(cli, "--vault", "/x", "audit", "ver") == ["verify"]
    assert complete(cli, "fetch", "--clus") == ["--cluster-id", "--cluster"]
    assert complete(cli, "list", "--clus") == []
    assert complete(cli, "list", "--rea") == ["--reason"]
    assert complete(cli, "fetch", "--api", "v3") == ["v3", "v3-get"]
    assert complete(cli, "-o", "j") == ["json"]
    assert complete(cli, "completion", "") == ["bash", "zsh", "fish"]
    assert complete(cli, "import", "/etc/host") != []
    assert "/etc" in complete(cli, "--vault", "/et")
    assert not [w for w in complete(cli, "--") if "token" in w]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_sound(cli, shell, tmp_path):
    script = cli("completion", shell, code=0).text
    for name in commands():
        assert name.split()[-1] in script, name
    if subprocess.run(["sh", "-c", f"command -v {shell}"],
                      capture_output=True).returncode != 0:
        pytest.skip(f"no {shell} here")
    path = tmp_path / "script"
    path.write_text(script)
    subprocess.run([shell, "-n", str(path)], check=True)


# --- what is printed ---

ENTRY = {"name": "prod", "labels": {"env": "prod"},
         "source": {"kind": "file", "digest": "0" * 64}, "location": "sealed",
         "state": "ready", "provenance": "sealed", "leaky": False,
         "key": {"type": "RSA", "bits": 2048, "spki_sha256": "0" * 64},
         "certificate": {"subject": "CN=kim", "issuer": "CN=ca", "serial": "1",
                         "not_before": "2026-01-01T00:00:00Z",
                         "not_after": "2020-01-01T00:00:00Z"},
         "contexts": [{"name": "internal", "server": "https://10.0.0.1:5443",
                       "verify": "ca", "default": True}],
         "exportable": False, "created": "2026-01-01T00:00:00Z",
         "updated": "2026-01-01T00:00:00Z"}
HOSTILE = "a\x1b[2J\n\u202e\x7f\u2028\"'\\ - : # \U0001f511 no"


def test_formats(to, broker):
    broker.answers["List"] = {"items": [ENTRY]}
    assert to("list", "-o", "json", code=0).json == {
        "apiVersion": "certvault/v1", "kind": "EntryList", "items": [ENTRY]}
    assert to("list", "-o", "name", code=0).text == "prod\n"
    assert yaml.safe_load(to("list", "-o", "yaml", code=0).out) == \
        to("list", "-o", "json", code=0).json
    lines = to("list", code=0).text.split("\n")
    assert lines[0].split() == ["NAME", "STATE", "KEY", "EXPIRES", "SERVER",
                                "LABELS"]
    assert re.split(r"\s{2,}", lines[1]) == [
        "prod", "ready", "RSA 2048", "expired", "https://10.0.0.1:5443",
        "env=prod"]
    broker.answers["List"] = {"items": []}
    done = to("list", code=0)
    assert not done.out and "no entries" in done.note
    assert not to("-q", "list", code=0).err


def test_control_characters_reach_no_terminal(to, broker):
    broker.answers["List"] = {"items": [{**ENTRY, "name": HOSTILE,
                                         "labels": {"k": HOSTILE}}]}
    for words in ([], ["-o", "name"]):
        out = to("list", *words, code=0).text
        assert "\x1b" not in out and "\u202e" not in out and "\x7f" not in out
        assert "\\x1b[2J\\x0a" in out
    for form in ("json", "yaml"):
        out = to("list", "-o", form, code=0).out
        assert all(32 <= c < 127 or c == 10 for c in out), form
        document = json.loads(out) if form == "json" else yaml.safe_load(out)
        assert document["items"][0]["name"] == HOSTILE


@pytest.mark.parametrize("text", [
    "", "no", "Yes", "null", "~", "1", "0x1f", "1e3", "1:30", "2026-01-01",
    "-", "- a", "a: b", "a #b", "'", '"', "{", "[x]", "&a", "*a", "!t", "|",
    ">", "%", "@", "`", " a", "a ", "a\tb", "a\nb\n", "\u0085", "\u00e4",
    "\U0001f511", ".5", "+1", "1_000", "<<", "=", "on", "y", "a" * 500])
def test_yaml_strings_come_back(to, broker, text):
    broker.answers["List"] = {"items": [{"name": text, text: [text, [text], {},
                                                              [], None, True]}]}
    out = to("list", "-o", "yaml", code=0).out
    assert yaml.safe_load(out)["items"] == broker.answers["List"]["items"]


@pytest.mark.parametrize("code,number", [
    ("failed", 1), ("internal", 1), ("usage", 64), ("invalid", 65),
    ("exists", 65), ("expired", 65), ("not-found", 66), ("unavailable", 69),
    ("auth", 69), ("integrity", 70), ("io", 74), ("busy", 75), ("remote", 76),
    ("denied", 77), ("config", 78)])
def test_errors(to, broker, code, number):
    more = {"hint": "do this", "state": "as before", "audit_seq": 7,
            "request_id": "req-1", "retry_after": 2.5}
    broker.answers["Show"] = Failure(code, "it failed\x1b[2J", **more)
    error = to("show", "a", "-o", "json", code=number).error
    assert error == {"code": code, "message": "it failed?[2J", **more}
    done = to("show", "a", code=number)
    assert done.note == ("certvault: it failed?[2J (request req-1)\n"
                         "state: as before\nhint: do this\n")
    assert not done.out


@pytest.mark.parametrize("raw", [b"\0", b"[]\0", b"{}\0{}\0", b"nonsense\0",
                                 b'{"parameters":{}}\0', b"{",
                                 b'{"parameters":{"items":1}}\0',
                                 b'{"error":"x"}\0'])
def test_a_broker_that_talks_nonsense(to, broker, raw):
    broker.raw = raw
    done = to("slot", "list", "-o", "json")
    assert done.code not in (0, 64), done
    assert not done.out


def test_output_that_is_lost_is_an_error(to, broker):
    broker.answers["List"] = {"items": [ENTRY]}
    with open("/dev/full", "wb") as full:
        for words in (["list"], ["-o", "json", "list"], ["version"],
                      ["--help"], ["completion", "bash"]):
            to(*words, stdout=full, code=IO)
    for words in (["list"], ["version"]):
        p = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *to.argv(*words)],
                           env=to.env(), capture_output=True)
        assert p.returncode == IO, p
    read, write = os.pipe()
    os.close(read)
    to("list", stdout=write, code=IO)
    os.close(write)


def test_streams_that_are_closed_at_the_start(to, broker):
    broker.answers["List"] = {"items": []}
    p = subprocess.run(["sh", "-c", '"$@" <&- 2>&-', "sh",
                        *to.argv("list", "-o", "json")], env=to.env(),
                       capture_output=True)
    assert p.returncode == 0 and json.loads(p.stdout)["items"] == []


# --- which broker ---

def test_addresses(cli, broker):
    broker.answers["List"] = {"items": []}
    cli("--broker", broker.address, "list", code=0)
    cli("--broker", "unix:" + broker.path + ".none", "list", code=UNAVAILABLE)
    cli("--broker", "tcp:1", "list", code=USAGE)
    cli("--broker", "ssh-unix:h:/p", "list", code=CONFIG)
    cli("--broker", "unix:" + "x" * 200, "list", code=USAGE)
    cli("--broker", "exec:", "list", code=NOT_FOUND)
    # A vault and a broker that serves another one.
    cli("--broker", broker.address, "--vault", "/elsewhere", "list",
        code=CONFIG)
    broker.answers["Hello"]["folder"] = "/elsewhere"
    cli("--broker", broker.address, "--vault", "/elsewhere", "list", code=0)


@pytest.mark.skipif(os.getuid() != 0, reason="wants another user's server")
def test_a_server_of_another_user_in_an_open_folder(cli, tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    for parent in [tmp_path, *tmp_path.parents][:-2]:
        parent.chmod(parent.stat().st_mode | 0o011)
    path = folder / "s"
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        with FakeBroker(path) as b:
            b.answers["List"] = {"items": []}
            os.write(tell, b"x")
            signal.pause()
    os.read(ready, 1)
    try:
        cli("--broker", f"unix:{path}", "list", code=0)
        folder.chmod(0o777)
        done = cli("--broker", f"unix:{path}", "list", code=CONFIG)
        assert "65534" in done.note
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)
        os.close(tell)


# --- opening the vault ---

def locked(*kinds, **more):
    slots = [{"id": f"s{i}", "kind": k, "created": "2026-01-01T00:00:00Z",
              **more.get(k, {})} for i, k in enumerate(kinds)]
    return Failure("locked", "the vault is locked", slots=slots)


SLOT = {"slot": {"id": "s2", "kind": "passphrase"}}


def keys(broker):
    """(kind, secret) of each Unlock."""
    import base64
    return [(p["key"]["kind"], base64.b64decode(p["key"]["secret"]))
            for p in broker.asked("Unlock")]


def secret_file(cli, name, text):
    path = os.path.join(cli.home, name)
    with open(path, "wb") as f:
        f.write(text)
    os.chmod(path, 0o600)
    return path


EXPORT = {"kubeconfig": {"kind": "Config", "users": [
    {"name": "u", "user": {"client-key-data": "S2V5S2V5S2V5S2V5"}}]},
    "entry": ENTRY, "audit_seq": 12}


def test_a_passphrase_from_a_file(to, broker):
    path = secret_file(to, "pass", b"correct horse\n")
    to.secrets.add("passphrase", "correct horse")
    for words, env, text in (
            (["--passphrase-file", path], {}, None),
            ([], {"CERTVAULT_PASSPHRASE_FILE": path}, None),
            (["--passphrase-file", "-"], {}, "correct horse\n"),
            (["--passphrase-file", path],
             {"CERTVAULT_PASSPHRASE_FILE": "/none"}, None)):
        broker.calls.clear()
        broker.answers["Export"] = [locked("passphrase"), EXPORT]
        broker.answers["Unlock"] = {"slot_id": "s0"}
        to("export", "a", *words, env=env, input=text, code=0)
        assert keys(broker) == [("passphrase", b"correct horse")]
        assert len(broker.asked("Export")) == 2


def test_a_wrong_passphrase_from_a_file_is_tried_once(to, broker):
    broker.answers["Export"] = locked("passphrase")
    broker.answers["Unlock"] = Failure("auth", "it opens no slot")
    path = secret_file(to, "pass", b"wrong")
    to("export", "a", "--passphrase-file", path, code=UNAVAILABLE)
    assert len(keys(broker)) == 1 and len(broker.asked("Export")) == 1


def test_the_call_is_repeated_once(to, broker):
    broker.answers["Export"] = locked("passphrase")
    broker.answers["Unlock"] = {"slot_id": "s0"}
    path = secret_file(to, "pass", b"right")
    to("export", "a", "--passphrase-file", path, code=UNAVAILABLE)
    assert len(broker.asked("Export")) == 2 and len(keys(broker)) == 1


@pytest.mark.parametrize("text", [b"", b"\n", b"a\0b", b"a\nb", b"x" * 1025])
def test_passphrase_files_that_are_none(to, broker, text):
    broker.answers["Export"] = locked("passphrase")
    path = secret_file(to, "pass", text)
    to("export", "a", "--passphrase-file", path, code=INVALID)
    assert keys(broker) == []


def test_a_key_file(to, broker):
    path = secret_file(to, "key", b"k" * 32)
    moved = secret_file(to, "moved", b"m" * 32)
    slot = {"file": {"path": path}}
    for words, env, key in (([], {}, b"k" * 32),
                            (["--key-file", moved], {}, b"m" * 32),
                            ([], {"CERTVAULT_KEY_FILE": moved}, b"m" * 32)):
        broker.calls.clear()
        broker.answers["Export"] = [locked("file", **slot), EXPORT]
        broker.answers["Unlock"] = {"slot_id": "s0"}
        to("export", "a", *words, env=env, code=0)
        assert keys(broker) == [("file", key)]
    broker.answers["Export"] = locked("file", file={"path": path + ".none"})
    done = to("export", "a", "--no-input", code=UNAVAILABLE)
    assert "--key-file" in done.note
    short = secret_file(to, "short", b"k" * 31)
    to("export", "a", "--key-file", short, code=INVALID)


def test_what_is_no_passphrase_may_be_the_recovery_code(to, broker):
    broker.answers["Export"] = [locked("passphrase", "recovery"), EXPORT]
    broker.answers["Unlock"] = [Failure("auth"), {"slot_id": "s1"}]
    path = secret_file(to, "pass", b"CODE")
    to("export", "a", "--passphrase-file", path, code=0)
    assert keys(broker) == [("passphrase", b"CODE"), ("recovery", b"CODE")]


def test_no_input_asks_nobody(to, broker):
    broker.answers["Export"] = locked("passphrase")
    done = to("export", "a", "--no-input", code=UNAVAILABLE)
    assert "--passphrase-file" in done.note
    assert keys(broker) == []


def test_no_input_asks_nobody_even_on_a_terminal(to, broker):
    broker.answers["SlotList"] = locked("passphrase")
    for words, code in ((["slot", "list"], UNAVAILABLE), (["rm", "a"], USAGE)):
        t = Terminal(to, "--no-input", *words)
        assert t.end(5) == code
        assert b"assphrase: " not in t.seen and b"[y/N]" not in t.seen
    assert keys(broker) == []


def test_a_secret_file_that_others_can_read_is_told(to, broker):
    broker.answers["Export"] = [locked("passphrase"), EXPORT]
    broker.answers["Unlock"] = {"slot_id": "s0"}
    path = secret_file(to, "pass", b"right")
    os.chmod(path, 0o644)
    assert "can read" in to("export", "a", "--passphrase-file", path,
                            code=0).note


def test_standard_input_serves_once(to, broker):
    broker.answers["SlotAdd"] = [locked("passphrase"), SLOT]
    to("slot", "add", "passphrase", "--new-passphrase-file", "-",
       "--passphrase-file", "-", input="x\n", code=USAGE)


def test_a_passphrase_is_typed_without_echo(to, broker, tmp_path):
    broker.answers["Export"] = [locked("passphrase"), EXPORT]
    broker.answers["Unlock"] = [Failure("auth"), {"slot_id": "s0"}]
    with open(tmp_path / "out", "wb") as out:
        t = Terminal(to, "export", "a", stdout=out.fileno())
        t.until(b"Passphrase: ")
        assert not t.echoes()
        t.type(b"wrong one\n")
        t.until(b"does not open")
        t.until(b"Passphrase: ")
        t.type(b"right one\n")
        assert t.end() == 0
    assert b"wrong one" not in t.seen and b"right one" not in t.seen
    assert keys(broker) == [("passphrase", b"wrong one"),
                            ("passphrase", b"right one")]
    assert yaml.safe_load((tmp_path / "out").read_bytes()) == \
        EXPORT["kubeconfig"]


def test_three_times_and_no_more(to, broker):
    broker.answers["SlotAdd"] = locked("passphrase")
    broker.answers["Unlock"] = Failure("auth", "it opens no slot")
    path = secret_file(to, "new", b"new")
    t = Terminal(to, "slot", "add", "passphrase", "--new-passphrase-file", path)
    for _ in range(3):
        t.until(b"Passphrase: ")
        t.type(b"wrong\n")
    assert t.end() == UNAVAILABLE
    assert len(keys(broker)) == 3


def test_ctrl_c_gives_the_echo_back(to, broker):
    broker.answers["SlotAdd"] = locked("passphrase")
    path = secret_file(to, "new", b"new")
    t = Terminal(to, "slot", "add", "passphrase", "--new-passphrase-file", path)
    t.until(b"Passphrase: ")
    # Closing the other end would hide the settings: look while it is open.
    keep = os.open(os.ttyname(t.master) if False else
                   os.readlink(f"/proc/{t.pid}/fd/0"), os.O_RDWR | os.O_NOCTTY)
    assert not t.echoes()
    t.type(b"begun\x03")
    assert os.waitstatus_to_exitcode(os.waitpid(t.pid, 0)[1]) == 130
    assert t.echoes()
    os.close(keep)
    os.close(t.master)
    assert keys(broker) == []


QUESTIONS = {
    "passphrase": (["export", "a"], b"Passphrase: ", "nothing was done"),
    "new": (["slot", "add", "passphrase"], b"New passphrase: ",
            "nothing was done"),
    "key file": (["slot", "add", "file:KEY"], b"Passphrase: ",
                 "the vault is as it was; the new key file stays"),
    "yes": (["rm", "a"], b"[y/N] ", "nothing was done"),
}


@pytest.mark.parametrize("form", ["table", "json"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_ctrl_c_at_a_question(to, broker, question, form, tmp_path):
    words, asked, state = QUESTIONS[question]
    broker.answers["Export"] = locked("passphrase")
    broker.answers["SlotAdd"] = locked("passphrase")
    words = [w.replace("KEY", str(tmp_path / "new.key")) for w in words]
    with open(tmp_path / "out", "wb") as out:
        t = Terminal(to, *words, "-o", form, stdout=out.fileno())
        t.until(asked)
        t.type(b"begun\x03")
        t.until(b"interrupted")
        assert t.end() == 130
    assert keys(broker) == [] and broker.asked("Remove") == []
    if form == "json":
        error = json.loads(t.seen[t.seen.index(b'{"error"'):])["error"]
        assert error["code"] == "interrupted" and error["state"] == state
    else:
        assert f"\r\nstate: {state}\r\n" in t.seen.decode(), t.seen
        assert b"\ncertvault: interrupted" in t.seen


def test_an_answered_question_is_none_any_more(to, broker, tmp_path):
    """Then the broker is at work."""
    import threading
    asked, go = threading.Event(), threading.Event()

    def wait(_):
        asked.set()
        go.wait(60)
        return {"items": []}

    broker.answers["Remove"] = wait
    t = Terminal(to, "rm", "a")
    t.until(b"[y/N] ")
    t.type(b"y\n")
    assert asked.wait(60)
    t.type(b"\x03")
    t.until(b"while the broker was at work")
    assert t.end() == 130
    go.set()


def test_ctrl_c_while_waiting(to, broker):
    import threading
    asked, go = threading.Event(), threading.Event()

    def wait(_):
        asked.set()
        go.wait(60)
        return {"items": []}

    broker.answers["SlotList"] = wait
    t = Terminal(to, "slot", "list")
    assert asked.wait(60)
    t.type(b"\x03")
    assert t.end() == 130
    go.set()


def test_a_new_passphrase_is_asked_for_twice(to, broker):
    broker.answers["SlotAdd"] = SLOT
    t = Terminal(to, "slot", "add", "passphrase")
    for question, text in ((b"New passphrase: ", b"one\n"),
                           (b"The same again: ", b"other\n"),
                           (b"New passphrase: ", b"two\n"),
                           (b"The same again: ", b"two\n")):
        t.until(question)
        t.type(text)
    assert t.end() == 0
    import base64
    (call,) = broker.asked("SlotAdd")
    assert base64.b64decode(call["key"]["secret"]) == b"two"


# --- questions ---

def test_rm_asks(to, broker):
    broker.answers["Remove"] = {"items": [ENTRY]}
    done = to("rm", "a", "--no-input", code=USAGE)
    assert "--yes" in done.note and "nothing was done" in done.note
    to("rm", "a", code=USAGE)       # no terminal is no yes either
    assert broker.calls == []
    for typed, code in ((b"n\n", 1), (b"\n", 1), (b"maybe\n", 1), (b"y\n", 0),
                        (b"yes\n", 0)):
        broker.calls.clear()
        t = Terminal(to, "rm", "a")
        t.until(b"[y/N]")
        t.type(typed)
        assert t.end() == code
        assert len(broker.asked("Remove")) == (code == 0)
    to("rm", "a", "b", "--yes", code=0)
    assert broker.asked("Remove")[-1] == {
        "names": ["a", "b"], "dry_run": False, "destroy_key": False,
        "keep_key": False}
    to("rm", "a", "--dry-run", "--no-input", code=0)
    assert broker.asked("Remove")[-1]["dry_run"] is True


# --- export ---

def test_export_to_a_file(to, broker):
    broker.answers["Export"] = EXPORT
    path = os.path.join(to.home, "out.yaml")
    os.umask(0)
    try:
        to("export", "a", "--output", path, code=0)
    finally:
        os.umask(0o022)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path, "rb") as f:
        assert yaml.safe_load(f) == EXPORT["kubeconfig"]
    # What is there is not replaced unless told to, and then not asked for.
    broker.calls.clear()
    to("export", "a", "--output", path, code=INVALID)
    assert broker.calls == []
    to("export", "a", "--output", path, "--yes", "-o", "json", code=0)
    with open(path, "rb") as f:
        assert json.load(f) == EXPORT["kubeconfig"]
    assert sorted(os.listdir(to.home)) == sorted(
        ["broker.sock", "config", "data", "out.yaml", "run"])


def test_export_follows_no_link(to, broker):
    broker.answers["Export"] = EXPORT
    target = secret_file(to, "target", b"stays")
    path = os.path.join(to.home, "link")
    os.symlink(target, path)
    for words in ([], ["--yes"]):
        to("export", "a", "--output", path, *words, code=INVALID)
    with open(target, "rb") as f:
        assert f.read() == b"stays"
    assert broker.calls == []


def test_export_where_nothing_can_be_written(to, broker):
    broker.answers["Export"] = EXPORT
    done = to("export", "a", "--output", os.path.join(to.home, "none", "x"))
    assert done.code in (NOT_FOUND, IO) and broker.calls == []
    to("export", "a", "-o", "name", code=USAGE)
    with open("/dev/full", "wb") as full:
        done = to("export", "a", stdout=full, code=IO)
        assert "record" in done.note
    p = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *to.argv("export", "a")],
                       env=to.env(), capture_output=True)
    assert p.returncode == IO
    assert len(broker.asked("Export")) == 1     # the closed one asked nobody


def test_a_receipt_that_cannot_be_written(to, broker):
    """The folder goes away while the broker answers: what was done is said."""
    folder = os.path.join(to.home, "gone")
    out, receipt = os.path.join(to.home, "o"), os.path.join(folder, "r")

    def answer(parameters):
        assert parameters["receipt"] is True
        os.rmdir(folder)
        return {**EXPORT, "receipt": "c2sp.org/tlog-proof@v1\n"}

    broker.answers["Export"] = answer
    os.mkdir(folder)
    done = to("export", "a", "--output", out, "--receipt", receipt, code=IO)
    assert b"the kubeconfig was written" in done.err
    assert b"audit prove" in done.err and os.path.exists(out)
    # Nor the kubeconfig: the receipt is written all the same.
    broker.answers["Export"] = {**EXPORT, "receipt": "c2sp.org/x\n"}
    with open("/dev/full", "wb") as full:
        done = to("export", "a", "--receipt", receipt + "2", stdout=full,
                  code=NOT_FOUND)
        assert len(broker.asked("Export")) == 1
        os.mkdir(folder)
        to("export", "a", "--receipt", receipt, stdout=full, code=IO)
    with open(receipt, encoding="utf-8") as f:
        assert f.read() == "c2sp.org/x\n"
    # An older broker gives none.
    broker.answers["Export"] = EXPORT
    to("export", "a", "--output", out, "--yes", "--receipt", receipt + "3",
       code=INVALID)


def test_export_to_a_terminal(to, broker):
    broker.answers["Export"] = EXPORT
    t = Terminal(to, "export", "a")
    assert t.end() == USAGE
    assert b"--output" in t.seen and broker.calls == []


# --- what is sent to a cloud ---

def test_only_the_clouds_own_variables_are_sent(to, broker):
    env = {"HUAWEICLOUD_SDK_AK": "ak", "HUAWEICLOUD_SDK_SK": "sk",
           "HUAWEICLOUD_SDK_REGION_CCE_X": "https://h", "CLOUD_SDK_AK": "a2",
           "CLOUD_SDK_SK": "s2", "HUAWEICLOUD_SDK_PROJECT_ID": "",
           "AWS_SECRET_ACCESS_KEY": "not-yours", "HW_SECRET_KEY": "not-yours",
           "https_proxy": "http://h"}
    broker.answers["Fetch"] = {"items": [{"entry": ENTRY}], "notes": ["a note"]}
    done = to("fetch", "--cluster", "c", "--region", "r-1", "--label", "a=b",
              env=env, code=0)
    assert "a note" in done.note
    (call,) = broker.asked("Fetch")
    assert call["cloud"]["environment"] == {
        "HUAWEICLOUD_SDK_AK": "ak", "HUAWEICLOUD_SDK_SK": "sk",
        "HUAWEICLOUD_SDK_REGION_CCE_X": "https://h", "CLOUD_SDK_AK": "a2",
        "CLOUD_SDK_SK": "s2"}
    assert call["cloud"]["region"] == "r-1"
    assert "not-yours" not in str(call)
    assert (call["cluster"], call["duration"], call["exportable"],
            call["labels"]) == ("c", 1, False, {"a": "b"})


def test_files_of_the_cloud(to, broker):
    broker.answers["Fetch"] = {"items": [], "notes": []}
    secret_file(to, "profile", b"[basic]\nak = x\n")
    token = secret_file(to, "token", b"T" * 16384)
    ca = secret_file(to, "ca", b"-----BEGIN CERTIFICATE-----\n")
    password = secret_file(to, "password", b"pass word\n")
    to("fetch", "--cluster-id", UUID, "--profile",
       os.path.join(to.home, "profile"), "--token-file", token, "--ca-file", ca,
       "--expire-at", "2027-01-01" if time.gmtime().tm_year < 2027 else
       f"{time.gmtime().tm_year + 1}-01-01", code=0)
    cloud = broker.asked("Fetch")[-1]["cloud"]
    assert cloud["profile"] == "[basic]\nak = x\n"
    assert cloud["token"] == "T" * 16384
    assert cloud["ca_pem"].startswith("-----BEGIN")
    assert "duration" not in broker.asked("Fetch")[-1]
    to("fetch", "--cluster", "c", "--iam-user", "kim", "--iam-domain", "acme",
       "--password-file", password, "--api", "v3-get", code=0)
    call = broker.asked("Fetch")[-1]
    assert call["cloud"]["user"] == {"name": "kim", "domain": "acme",
                                     "password": "pass word"}
    assert "duration" not in call
    to("fetch", "--cluster", "c", "--ca-file", ca + ".none", code=NOT_FOUND)
    to("fetch", "--cluster", "c", "--profile", os.path.join(to.home, "run"),
       code=INVALID)


# --- the configuration ---

def configure(cli, text, mode=0o600):
    path = os.path.join(cli.home, "config", "certvault", "certvault.yaml")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)
    return path


def test_without_a_configuration(cli):
    done = cli("config", "check", code=0)
    assert not done.out and "no configuration" in done.note
    assert cli("config", "show", "-o", "json", code=0).json == {}
    cli("config", "check", "--config", "/none", code=NOT_FOUND)


def test_nowhere_for_a_configuration(cli):
    cli.extra.update(HOME=None, XDG_CONFIG_HOME=None)
    for command in ("check", "show"):
        done = cli("config", command, code=0)
        assert "no configuration at all" in done.note
        assert "XDG_CONFIG_HOME" in done.note and "fine" in done.note


def test_a_configuration_is_checked(cli):
    path = configure(cli, "vault: /v\naudit: {sinks: ['journald:'], "
                          "anchors: ['file:/a']}\n")
    done = cli("config", "check", code=0)
    assert done.text == f"{path}: ok\n" and not done.note
    assert yaml.safe_load(cli("config", "show", code=0).out) == {
        "vault": "/v", "audit": {"sinks": ["journald:"],
                                 "anchors": ["file:/a"]}}
    for text, key in (("{port: 0}", "port"), ("{port: 65536}", "port"),
                      ("{port: a}", "port"), ("{port: 1.5}", "port"),
                      ("{idle: 60}", "idle"), ("{idle: 2d}", "idle"),
                      ("{pool: 0}", "pool"), ("{pool: -1}", "pool")):
        configure(cli, f"relay: {text}\n")
        assert "relay." + key in cli("config", "check", code=CONFIG).note
    configure(cli, "relay: {port: 20443, idle: 15m, pool: 4}\n")
    assert not cli("config", "check", code=0).note
    configure(cli, "cloud: {endpont: x}\n")
    for words in (["config", "check"], ["config", "show"], ["list"]):
        assert "cloud.endpont" in cli(*words, code=CONFIG).note
    configure(cli, "vault: [\n")
    assert "line" in cli("config", "check", code=INVALID).note
    configure(cli, "- a\n")
    cli("config", "check", code=INVALID)
    for mode in (0o620, 0o602):
        configure(cli, "vault: /v\n", mode)
        assert "chmod" in cli("config", "check", code=CONFIG).note


def test_what_the_configuration_says_is_used(to, broker):
    ca = secret_file(to, "ca", b"-----BEGIN CERTIFICATE-----\n")
    configure(to, f"""
cloud: {{endpoint: "https://cce", iam_endpoint: "https://iam", ca_file: {ca}}}
regions: [{{id: r-1, endpoint: "https://cce.r-1"}}]
defaults: {{duration: 7}}
""")
    broker.answers["Fetch"] = {"items": [], "notes": []}
    to("fetch", "--cluster", "c", code=0)
    call = broker.asked("Fetch")[-1]
    assert call["duration"] == 7
    assert call["cloud"]["endpoint"] == "https://cce"
    assert call["cloud"]["iam_endpoint"] == "https://iam"
    assert call["cloud"]["ca_pem"].startswith("-----BEGIN")
    assert yaml.safe_load(call["cloud"]["regions"]) == {
        "CCE": [{"id": "r-1", "endpoint": "https://cce.r-1"}]}
    to("fetch", "--cluster", "c", "--endpoint", "https://typed", "--duration",
       "2", code=0)
    call = broker.asked("Fetch")[-1]
    assert call["cloud"]["endpoint"] == "https://typed"
    assert call["duration"] == 2
    # The service uses its own, not the caller's.
    to("fetch", "--cluster", "c", "--as-service", code=0)
    assert set(broker.asked("Fetch")[-1]["cloud"]) <= {"region", "project_id",
                                                       "api"}


def test_the_configurations_vault(cli):
    configure(cli, f"vault: {cli.home}/elsewhere\n")
    cli("list", code=NOT_FOUND)
    cli("init", "--key", f"file:{cli.home}/key", code=0)
    assert os.path.isdir(os.path.join(cli.home, "elsewhere"))
    assert cli("list", "-o", "json", code=0).json["items"] == []
    cli("--vault", f"{cli.home}/third", "list", code=NOT_FOUND)


# --- the record ---

LEAVES = [{"v": 1, "seq": i, "action": "export", "phase": "decision",
           "decision": "permit", "time": "2026-01-01T00:00:00Z",
           "actor": {"uid": 0, "user": "kim"}} for i in range(3)]


def test_audit_filters(to, broker):
    broker.answers["AuditQuery"] = {"items": LEAVES}
    assert to("audit", "query", "--actor", "kim", "--since", "2026-01-01",
              "--until", "2026-01-02T00:00:00+02:00", "--limit", "3",
              "--outcome", "denied", "-o", "json", code=0).json["items"] == \
        LEAVES
    assert broker.asked("AuditQuery")[-1]["filter"] == {
        "actor": "kim", "outcome": "denied", "limit": 3, "since": 1767225600,
        "until": 1767304800}
    for bad in (["--since", "x"], ["--limit", "0"], ["--limit", "-1"],
                ["--until", "1"]):
        to("audit", "query", *bad, code=USAGE)


def test_audit_tail(to, broker):
    broker.answers["AuditTail"] = {"items": LEAVES}
    lines = to("audit", "tail", "-o", "json", code=0).text.split("\n")
    assert [json.loads(line) for line in lines if line] == LEAVES
    assert broker.asked("AuditTail") == [{"last": 10}]
    p = to.start("audit", "tail", "-f", "-n", "2", "-o", "name")
    for i in range(6):
        assert p.stdout.readline() == b"%d\n" % (i % 3)
    p.send_signal(signal.SIGINT)
    assert p.wait(60) == 130
    p.stdout.close()
    p.stderr.close()
    assert broker.asked("AuditTail")[1:3] == [{"last": 2}, {"after": 2}]


def test_audit_record_prints_the_leaf_and_one_line_feed(to, broker):
    broker.answers["AuditRecord"] = {"leaf": '{"a":"\u00e4"}'}
    assert to("audit", "record", "3", code=0).out == '{"a":"\u00e4"}\n'.encode()
    assert broker.asked("AuditRecord") == [{"seq": 3}]
    to("audit", "record", "x", code=USAGE)


def test_the_log_is_verified_by_its_folder(to, broker):
    done = to("audit", "verify", code=USAGE)
    assert "--vault" in done.note


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_private_broker_that_cannot_begin_says_why(cli, form):
    """Once, and in JSON mode in the one document that there is."""
    path = os.path.join(cli.home, "bad.yaml")
    with open(path, "w", encoding="ascii") as f:
        f.write("modules: nonsense\n")
    os.chmod(path, 0o600)
    done = cli("--no-input", "--vault", os.path.join(cli.home, "v"), "--config",
               path, "-o", form, "init", "--key",
               "file:" + os.path.join(cli.home, "key"), code=CONFIG)
    assert done.note.count("modules") == 1 and path in done.note, done
    assert "could not begin" not in done.note
    if form == "json":
        error = json.loads(done.note)["error"]
        assert error["code"] == "config" and "modules" in error["message"]


def test_doctor(to, broker):
    broker.answers["Status"] = {"status": {"mode": "service", "version": "x",
                                           "entries": 1, "log_size": 2,
                                           "locked": True, "seccomp": True,
                                           "landlock_abi": 3}}
    done = to("doctor", "-o", "json")
    checks = {c["check"]: c["result"] for c in done.json["items"]}
    assert checks["vault"] == "ok" and checks["locked memory"] == "ok"
    assert set(checks.values()) <= {"ok", "warn", "fail"}
    assert done.code == (1 if "fail" in checks.values() else 0)
    broker.answers["Status"] = Failure("integrity", "it was changed")
    done = to("doctor", code=1)
    assert "it was changed" in done.text
