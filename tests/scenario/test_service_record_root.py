"""Where the service's record goes, each kind of anchor and of sink, as its
units run it: the broker's user writes only where the unit lets it, and what
speaks to the network is another's process. Needs root."""

import json
import os
import shutil
import stat
import subprocess
import types

import pytest

import harness
import merkle
import test_service_root
import tokens
import unit_rig
from harness import REMOTE
from test_service_root import SERVICE, rig
from test_sinks import (Datagrams, check_stream, leaves, pki, receivers,
                        tls_server, until)
from test_sinks_net import collectors
from witness import Witness

pytestmark = test_service_root.pytestmark
__all__ = ["collectors", "pki", "receivers", "rig"]
NET = unit_rig.USERS["certvault-net"]


@pytest.fixture
def witness():
    w = Witness()
    yield w
    w.stop()


def as_service(*words, **options):
    return subprocess.run(words, user=SERVICE, group=SERVICE, extra_groups=[],
                          check=True, capture_output=True, **options).stdout


def folder(rig, name):
    path = rig.path(name)
    os.mkdir(path, 0o700)
    os.chown(path, SERVICE, SERVICE)
    return path


def script(rig, name, text):
    path = rig.path("/etc/certvault/" + name)
    with open(path, "w", encoding="ascii") as f:
        f.write("#!/bin/sh\n" + text + "\n")
    os.chmod(path, 0o755)
    return path


def start(rig, config):
    rig.watch()
    rig.configure(json.dumps(config) + "\n")
    rig.unit = rig.start()
    rig.admin = rig.by(SERVICE)
    rig.admin("policy", "apply", rig.policy, code=0)


def anchored(rig, code=0):
    done = rig.admin("-o", "json", "audit", "anchor", code=code)
    return {i["kind"]: i for i in json.loads(done.out)["items"]}


def has_it(item, size=1):
    """So long a log is anchored there; the next one may be on its way."""
    return item["state"] in ("ok", "running") and item.get("size", 0) >= size


def soft_token(rig):
    """A token of the service's own, and its `modules:`."""
    why = tokens.SoftHsm.missing()
    if why:
        pytest.skip(why)
    at = folder(rig, "/srv/token")
    os.mkdir(at + "/tokens", 0o700)
    os.chown(at + "/tokens", SERVICE, SERVICE)
    with open(at + "/conf", "w", encoding="ascii") as f:
        f.write(f"directories.tokendir = {at}/tokens\n"
                "objectstore.backend = file\n")
    env = {"SOFTHSM2_CONF": at + "/conf"}
    as_service("softhsm2-util", "--init-token", "--free", "--label", "anchors",
               "--so-pin", "12345678", "--pin", "123456",
               env={**os.environ, **env})
    return [{"name": "soft", "env": env,
             "path": tokens.library("softhsm/libsofthsm2.so",
                                    "libsofthsm2.so")}]


def test_every_kind_of_anchor(rig, witness):
    if shutil.which("git") is None:
        pytest.skip("no git here")
    os.mkdir(rig.path("/srv"), 0o755)
    modules = soft_token(rig)
    notes, kept = folder(rig, "/srv/notes"), folder(rig, "/srv/kept")
    repository = folder(rig, "/srv/audit.git")
    as_service("git", "init", "-q", "--bare", repository, env={"HOME": "/"})
    rig.writable = [rig.path("/srv")]
    command = script(rig, "keep", f"id -u >{kept}/uid && cat >{kept}/new && "
                     f"mv {kept}/new {kept}/note")
    start(rig, {"modules": modules, "audit": {"anchors": [
        f"file:{notes}/anchors", f"command:{command}", f"git:{repository}",
        "token:pkcs11:token=anchors", witness.anchor]}})
    key = rig.admin("audit", "key", code=0).text.strip()
    witness.trust(key)
    got = anchored(rig)
    kinds = {"file", "command", "git", "token", "witness"}
    assert set(got) == kinds and all(has_it(i) for i in got.values()), got
    # As the broker's user, to be read by it alone.
    st = os.stat(notes + "/anchors")
    assert (st.st_uid, stat.S_IMODE(st.st_mode)) == (SERVICE, 0o600)
    with open(kept + "/uid", encoding="ascii") as f:
        assert int(f.read()) == SERVICE
    with open(kept + "/note", "rb") as f:
        assert merkle.open_note(f.read(), key)[1] >= got["command"]["size"]
    note = as_service("git", "-C", repository, "log", "-p", "--all",
                      env={"HOME": "/"})
    assert b"checkpoint" in note
    assert {i.value("User") for i in rig.intakes} <= {"certvault-net"}
    said = json.loads(rig.admin("-o", "json", "audit", "status", code=0).out)
    assert said["anchored"] in kinds, said     # who has the youngest of all
    # A second checkpoint: each of them continues the first.
    rig.admin("list", code=0)
    later = anchored(rig)
    assert all(has_it(i, got[k]["size"] + 1) for k, i in later.items()), later
    assert rig.unit.end() == 0
    done = rig.certvault(SERVICE, "--no-agent", "--config",
                         rig.path("/etc/certvault/certvault.yaml"), "--vault",
                         rig.vault, "-o", "json", "audit", "verify", code=0)
    assert json.loads(done.out)["anchored"] == "witness"


def test_an_anchor_that_its_unit_does_not_let_it_write(rig):
    """Without ReadWritePaths= in a drop-in it says so, and all else goes on."""
    os.mkdir(rig.path("/srv"), 0o755)
    notes, repository = folder(rig, "/srv/notes"), folder(rig, "/srv/git")
    as_service("git", "init", "-q", "--bare", repository, env={"HOME": "/"})
    command = script(rig, "keep", f"exec cat >{notes}/note")
    start(rig, {"audit": {"anchors": [
        f"file:{notes}/anchors", f"command:{command}", f"git:{repository}"]}})
    got = anchored(rig, REMOTE)
    assert {i["state"] for i in got.values()} <= {"failed", "running"}, got
    assert "Read-only file system" in got["file"]["message"]
    assert all(i["message"] for i in got.values())
    rig.admin("list", code=0)
    said = json.loads(rig.admin("-o", "json", "audit", "status", code=0).out)
    assert said["anchored"] == "none"


def test_every_kind_of_sink(rig, collectors, receivers, pki):
    """Those of the network by certvault-net, a command by the broker's user,
    and nothing in between is lost."""
    os.mkdir(rig.path("/srv"), 0o755)
    lines = folder(rig, "/srv/lines")
    rig.writable = [rig.path("/srv")]
    ca = rig.path("/etc/certvault/ca.pem")
    shutil.copy(pki / "ca.pem", ca)
    log, journal = (Datagrams(rig.path("/run/" + n)) for n in ("dev-log", "jnl"))
    for name in ("dev-log", "jnl"):
        os.chmod(rig.path("/run/" + name), 0o666)
    c = collectors(tls_server(pki, "good"))
    tls, tcp = receivers(context=tls_server(pki, "good")), receivers()
    command = script(rig, "take", f"exec cat >>{lines}/lines")
    start(rig, {"audit": {"sinks": [
        f"{c.url}#ca={ca}", f"syslog+tls://127.0.0.1:{tls.port}?ca={ca}",
        f"syslog+tcp://127.0.0.1:{tcp.port}", f"command:{command}",
        f"syslog+unix:{rig.path('/run/dev-log')}",
        f"journald:{rig.path('/run/jnl')}"]}})
    vault = types.SimpleNamespace(folder=rig.vault)
    rig.admin("audit", "send", code=0)
    size = len(leaves(vault))
    until(lambda: min(len(c.lines), len(tls.messages), len(tcp.messages),
                      len(log.got), len(journal.got)) >= size, 60)
    assert c.lines == leaves(vault)[:len(c.lines)]
    for got in (tls.messages, tcp.messages, log.got):
        assert check_stream(got, vault) >= size
    st = os.stat(lines + "/lines")
    assert (st.st_uid, stat.S_IMODE(st.st_mode)) == (SERVICE, 0o600)
    with open(lines + "/lines", "rb") as f:
        assert f.read().splitlines()[:size] == leaves(vault)[:size]
    intakes = [p for p, n in harness.our_processes() if n == "intake"]
    assert len(intakes) >= 5
    assert {os.stat(f"/proc/{p}").st_uid for p in intakes} == {NET}
    assert rig.unit.end() == 0
    log.end()
    journal.end()
