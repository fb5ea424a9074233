"""What is printed: to full disks and closed pipes, in odd places, of odd
names."""

import json
import os
import subprocess

import pytest

import harness
from harness import IO
from kube import Identity, as_yaml, config


@pytest.fixture
def held(vault, secrets):
    vault.policy(harness.MAY_EXPORT)
    vault.add(as_yaml(config(Identity(secrets=secrets))), "a", "--exportable")
    return vault


COMMANDS = [("list",), ("show", "a"), ("-o", "json", "list"),
            ("-o", "yaml", "show", "a"), ("audit", "query"),
            ("audit", "status"), ("policy", "show"), ("version",), ("--help",),
            ("completion", "bash"), ("slot", "list"), ("doctor",),
            ("audit", "verify"), ("export", "a", "--reason", "x")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_h84_a_full_disk_is_74(held, command):
    with open("/dev/full", "wb") as full:
        done = held(*command, stdout=full)
    assert done.code == IO, done
    assert done.err.strip(), "silent"


@pytest.mark.parametrize("command", [("list",), ("version",)])
def test_h84_a_closed_standard_output_is_74(held, command):
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh",
                           *held.argv("--no-input", *command)],
                          env=held.env(), stdin=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == IO, done


def test_h84_a_pipe_that_is_closed_early(held):
    """Never 0, never a signal that nobody sees."""
    for i in range(30):
        held("label", "a", f"some-long-label-key-number-{i}=" + "v" * 60,
             code=0)
    p = held.start("-o", "json", "audit", "query")
    p.stdout.close()
    err = p.stderr.read()
    p.stderr.close()
    assert p.wait(60) == IO, err


@pytest.mark.parametrize("env", [{"LANG": "C", "LC_ALL": "C"},
                                 {"LC_ALL": "xx_NOWHERE.utf8"},
                                 {"LANG": None}, {"COLUMNS": "1"},
                                 {"TERM": "dumb"}, {"TZ": "Asia/Tokyo"}])
def test_h84_odd_surroundings(held, env):
    assert held("list", code=0, env=env).out
    assert held("-o", "json", "list", code=0, env=env).out == \
        held("-o", "json", "list", code=0).out


def test_h85_json_is_ascii_and_reads_back(vault):
    names = ["ctx\u00e9", "\U0001f510", "a\u0301"]
    identity = Identity()
    document = config(identity, names[0])
    for n in names[1:]:
        document["clusters"].append({"name": n, "cluster": identity.cluster()})
        document["contexts"].append({"name": n, "context": {"cluster": n,
                                                            "user": "u"}})
    vault.add(as_yaml(document), "a")
    for form in ("json", "yaml"):
        out = vault("-o", form, "show", "a", code=0).out
        assert all(32 <= c < 127 or c == 10 for c in out), out
    contexts = vault.json("show", "a")["contexts"]
    assert sorted(c["name"] for c in contexts) == sorted(names)


def test_h85_del_in_a_name(vault):
    document = config(Identity(), "a\x7fb")
    done = vault("import", "-", "--name", "a", input=as_yaml(document))
    assert done.code == harness.INVALID, done


def test_no_colour_but_on_a_terminal(held):
    for command in (("list",), ("doctor",), ("audit", "query")):
        done = held(*command)
        assert b"\x1b" not in done.out + done.err


def test_quiet_and_talk_to_standard_error(held, secrets):
    done = held("import", "-", "--name", "b", code=0,
                input=as_yaml(config(Identity(secrets=secrets))))
    quiet = held("-q", "import", "-", "--name", "c", code=0,
                 input=as_yaml(config(Identity(secrets=secrets))))
    assert quiet.err == b""
    assert done.code == 0
    # A failure is told even so.
    assert held("-q", "show", "none").err


def test_errors_in_json(held):
    done = held("-o", "json", "show", "none", code=harness.NOT_FOUND)
    assert done.out == b""
    error = json.loads(done.err)["error"]
    assert {"code", "message", "hint"} <= set(error)
    text = held("show", "none").note
    assert text.startswith("certvault: ") and error["message"] in text


def test_doctor(held):
    done = held("-o", "json", "doctor")
    assert done.code in (0, 1, harness.CONFIG), done
    assert done.json


def test_version(vault):
    assert "0." in vault("version", code=0).text
    assert vault("--version", code=0).out == vault("version", code=0).out


def test_fds_closed_at_the_start(held):
    """H60: descriptors 0 to 2 closed."""
    done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh",
                           *held.argv("--no-input", "list")], env=held.env(),
                          timeout=60)
    assert done.returncode == IO, done


def test_h60_few_descriptors(held):
    done = subprocess.run(["sh", "-c", 'ulimit -n 4; exec "$@"', "sh",
                           *held.argv("--no-input", "list")], env=held.env(),
                          stdin=subprocess.DEVNULL, timeout=60,
                          capture_output=True)
    assert done.returncode not in (0,) or done.stdout
    assert done.returncode >= 0 and done.returncode < 128


def test_h59_hostile_environment(held, secrets):
    log = os.path.join(held.home, "keylog")
    env = {"SSLKEYLOGFILE": log, "OPENSSL_CONF": "/etc/hostname",
           "LD_LIBRARY_PATH": "/nonexistent", "MALLOC_TRACE": log,
           "CURL_HOME": held.home, "GCONV_PATH": held.home,
           "LOCPATH": held.home, "TZ": ":/etc/shadow",
           "SQLITE_TMPDIR": held.home, "TMPDIR": held.home}
    held("list", code=0, env=env)
    held("import", "-", "--name", "b", code=0, env=env,
         input=as_yaml(config(Identity(secrets=secrets))))
    held("export", "a", "--reason", "x", code=0, env=env, secret=True)
    assert not os.path.exists(log)
