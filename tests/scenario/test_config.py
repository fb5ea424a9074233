"""`config check` and what reads a configuration agree: what check passes,
certvaultd takes; what it refuses, certvaultd refuses with the same words."""

import json
import os
import subprocess

import pytest

import harness
from harness import CONFIG
from test_service import Manager

ED25519 = "s+d9a9a9c1+AYIpKvBkqYfGZn0xgG4wq2GBHZmtGPWnXfYdKZoKAAAA"
CA = "/nonexistent/ca.pem"

# What is wrong, and the key that is named for it.
WRONG = [
    ({"vlt": "/v"}, "vlt"),
    ({"vault": "rel"}, "vault"),
    ({"vault": ""}, "vault"),
    ({"vault": 1}, "vault"),
    ({"socket": {"path": "rel"}}, "socket.path"),
    ({"socket": {"path": "/run/x/"}}, "socket.path"),
    ({"socket": {"path": "/" + "x" * 107}}, "socket.path"),
    ({"socket": {"mode": 999}}, "socket.mode"),
    ({"socket": {"mode": "rw"}}, "socket.mode"),
    ({"socket": {"mode": 1777}}, "socket.mode"),
    ({"socket": {"group": ""}}, "socket.group"),
    ({"socket": {"owner": "x"}}, "socket.owner"),
    ({"modules": [{"name": "a"}]}, "modules"),
    ({"modules": [{"path": "/m.so"}]}, "modules"),
    ({"modules": [{"name": "a", "path": "m.so"}]}, "modules"),
    ({"modules": [{"name": "a b", "path": "/m.so"}]}, "modules"),
    ({"modules": [{"name": "", "path": "/m.so"}]}, "modules"),
    ({"modules": [{"name": "a", "path": "/m.so"}] * 2}, "modules"),
    ({"modules": [{"name": f"m{i}", "path": "/m"} for i in range(65)]},
     "modules"),
    ({"modules": [{"name": "a", "path": "/m", "env": {"LD_PRELOAD": "/x"}}]},
     "modules"),
    ({"modules": [{"name": "a", "path": "/m", "env": {"A=B": "/x"}}]},
     "modules"),
    ({"modules": [{"name": "a", "path": "/m", "env": {"A": 1}}]},
     "modules.env"),
    ({"modules": {"name": "a", "path": "/m"}}, "modules"),
    ({"pin": {"x": "file:/f"}}, "pin"),
    ({"pin": {"pkcs11:token=t?pin-value=1": "file:/f"}}, "pin"),
    ({"pin": {"pkcs11:token=t": "1234"}}, "pin"),
    ({"pin": {"pkcs11:token=t": "file:"}}, "pin"),
    ({"pin": {"pkcs11:token=t": "file:rel"}}, "pin"),
    ({"pin": {"pkcs11:token=t": "fd:x"}}, "pin"),
    ({"pin": {"pkcs11:token=t": "credential:../x"}}, "pin"),
    ({"pin": {"pkcs11:token=t": 1234}}, "pin"),
    ({"cloud": {"profile": "rel"}}, "cloud.profile"),
    ({"cloud": {"profile": "credential:../x"}}, "cloud.profile"),
    ({"cloud": {"ca_file": "ca.pem"}}, "cloud.ca_file"),
    ({"cloud": {"endpoint": "http://h"}}, "cloud.endpoint"),
    ({"cloud": {"endpoint": "https://u:p@h"}}, "cloud.endpoint"),
    ({"cloud": {"endpoint": ""}}, "cloud.endpoint"),
    ({"cloud": {"iam_endpoint": "https://h/path"}}, "cloud.iam_endpoint"),
    ({"regions": [{"id": "r"}]}, "regions"),
    ({"regions": [{"endpoint": "https://h"}]}, "regions"),
    ({"regions": [{"id": "r", "endpoints": ["https://h"] * 5}]}, "regions"),
    ({"regions": [{"id": "r", "endpoints": []}]}, "regions"),
    ({"regions": [{"id": "r", "endpoint": "ftp://h"}]}, "regions"),
    ({"policy": {"signers": ["x"]}}, "policy.signers"),
    ({"policy": {"signers": [""]}}, "policy.signers"),
    ({"policy": {"signers": "x"}}, "policy.signers"),
    ({"policy": {"signers": [ED25519[:-4] + "AAA="]}}, "policy.signers"),
    ({"audit": {"sinks": ["ftp://x"]}}, "audit.sinks"),
    ({"audit": {"sinks": ["http://u:p@h/x"]}}, "audit.sinks"),
    ({"audit": {"sinks": ["command:rel"]}}, "audit.sinks"),
    ({"audit": {"sinks": ["command:/nonexistent"]}}, "audit.sinks"),
    ({"audit": {"sinks": ["syslog+tls://h?ca=" + CA]}}, "audit.sinks"),
    ({"audit": {"sinks": ["syslog+tls://h?ca=/dev/null"]}}, "audit.sinks"),
    ({"audit": {"sinks": ["journald:"] * 2}}, "audit.sinks"),
    ({"audit": {"sinks": [f"http://h/{i}" for i in range(9)]}},
     "audit.sinks"),
    ({"audit": {"anchors": ["file:rel"]}}, "audit.anchors"),
    ({"audit": {"anchors": ["x"]}}, "audit.anchors"),
    ({"audit": {"anchors": ["command:/nonexistent"]}}, "audit.anchors"),
    ({"audit": {"anchors": ["command:/dev/null"]}}, "audit.anchors"),
    ({"audit": {"anchors": ["git:rel"]}}, "audit.anchors"),
    ({"audit": {"anchors": ["token:x"]}}, "audit.anchors"),
    ({"audit": {"anchors": ["witness:https://h#x"]}}, "audit.anchors"),
    ({"audit": {"anchors": [f"file:/a{i}" for i in range(17)]}},
     "audit.anchors"),
    ({"notify": {"command": "rel"}}, "notify.command"),
    ({"notify": {"command": "/nonexistent"}}, "notify.command"),
    ({"notify": {"command": "/dev/null"}}, "notify.command"),
    ({"notify": "x"}, "notify"),
    ({"relay": {"port": 99999}}, "relay.port"),
    ({"relay": {"idle": 60}}, "relay.idle"),
    ({"relay": {"pool": 0}}, "relay.pool"),
    ({"defaults": {"to": "nowhere"}}, "defaults.to"),
    ({"defaults": {"to": ""}}, "defaults.to"),
    ({"defaults": {"to": "token:x"}}, "defaults.to"),
    ({"defaults": {"to": "token:pkcs11:token=t?pin-value=1"}}, "defaults.to"),
    ({"defaults": {"location": "somewhere"}}, "defaults.location"),
    ({"defaults": {"duration": 0}}, "defaults.duration"),
    ({"defaults": {"duration": 1828}}, "defaults.duration"),
    ({"defaults": {"duration": "12h"}}, "defaults.duration"),
    ({"grants": {}}, "grants"),
]

# What both take: one of each key.
GOOD = {
    "vault": "/v",
    "socket": {"path": "/run/x", "mode": "0660", "group": "root"},
    "modules": [{"name": "a", "path": "/m.so", "reserved": "x",
                 "env": {"A": "b"}}],
    "pin": {"pkcs11:token=t": "file:/f", "pkcs11:token=u": "credential:u"},
    "cloud": {"profile": "/p", "ca_file": "/c", "endpoint": "https://h:444",
              "iam_endpoint": "https://i"},
    "regions": [{"id": "r", "endpoint": "https://h"},
                {"id": "s", "endpoints": ["https://a", "https://b"]}],
    "policy": {"signers": []},
    "audit": {"sinks": ["command:/usr/bin/true"],
              "anchors": ["file:/a", "command:/usr/bin/true"]},
    "notify": {"command": "/usr/bin/true"},
    "relay": {"port": 20443, "idle": "15m", "pool": 4},
    "defaults": {"to": "token:pkcs11:token=t", "location": "sealed",
                 "duration": "7d"},
}


def line_of(text, key):
    """Where the last part of `key` stands, from 1."""
    return next(n for n, line in enumerate(text.split("\n"), 1)
                if f'"{key.rsplit(".", 1)[-1]}":' in line)


def fault(err, config):
    """The words of an error, without what stands around them."""
    line = next(x for x in err.split("\n") if config in x)
    return line[line.index(config):]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return harness.Vault(tmp_path_factory.mktemp("config"), harness.Secrets())


def daemon(vault, config):
    """certvaultd as a service; refuses before it looks at the vault."""
    run = subprocess.run(
        [*harness.UNDER, harness.program("certvaultd", vault.build), "--vault",
         vault.folder, "--socket", os.path.join(vault.home, "run", "b.sock"),
         "--key-file", vault.key_file, "--config", config, "--foreground"],
        env=vault.env(), stdin=subprocess.DEVNULL, capture_output=True,
        check=False, timeout=120)
    return run.returncode, run.stderr.decode()


@pytest.mark.parametrize("tree,key", WRONG,
                         ids=[f"{k}-{i}" for i, (_, k) in enumerate(WRONG)])
def test_both_refuse(one, tree, key):
    # A line of its own for each value: JSON, of which the first brace tells.
    text = json.dumps(tree, indent=1)
    config = one.write("bad.yaml", text + "\n")
    done = one("--config", config, "config", "check", code=CONFIG)
    said = fault(done.note, config)
    code, err = daemon(one, config)
    assert code == CONFIG, err
    assert fault(err, config) == said
    assert key in said and ": line " in said
    line = int(said.split(": line ", 1)[1].split(":")[0])
    assert line_of(text, key.split(".")[0]) <= line <= text.count("\n") + 1
    if "." in key and isinstance(tree[key.split(".")[0]], dict):
        assert line >= line_of(text, key)


def test_both_take(vault):
    config = vault.write("good.yaml", json.dumps(GOOD, indent=1))
    vault("--config", config, "config", "check", code=0)
    m = Manager(vault)
    try:
        m.configure(json.dumps({**GOOD, "socket": {"mode": "0600"},
                                "audit": {}, "relay": {}}))
        place = os.path.join(vault.home, "run", "b.sock")
        m.start("--socket", place, "--key-file", vault.key_file)
        vault("--broker", "unix:" + place, "list", code=0)
    finally:
        m.end()


def test_a_group_that_is_not_there(one):
    """Names are looked up by a helper, once the rest is known to be right."""
    config = one.write("bad.yaml", "socket:\n  group: no-such-group-here\n")
    done = one("--config", config, "config", "check", code=CONFIG)
    code, err = daemon(one, config)
    assert code == CONFIG, err
    said = "socket.group: there is no group no-such-group-here"
    assert f"{config}: line 2: {said}" in done.note and said in err


def test_a_reload_refuses_it(vault):
    """What is wrong is told, and the service goes on as it was."""
    m = Manager(vault)
    place = os.path.join(vault.home, "run", "b.sock")
    try:
        m.start("--socket", place, "--key-file", vault.key_file)
        for tree in ({"policy": {"signers": ["x"]}},
                     {"notify": {"command": "rel"}}, {"vault": "rel"},
                     {"audit": {"sinks": ["command:/nonexistent"]}},
                     {"defaults": {"to": "nowhere"}}):
            m.configure(json.dumps(tree))
            assert "the old one stays" in m.reload(), tree
            vault("--broker", "unix:" + place, "list", code=0)
        m.configure("{}")
        assert "stays" not in m.reload()
    finally:
        m.end()
