"""A broker on a socket: found, asked, locked, ended; and what strangers send
it."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import time

import pytest

import harness
from harness import NOT_FOUND, UNAVAILABLE
from kube import Identity, as_yaml, config
from wire import Broker, answer


@pytest.fixture
def served(vault, secrets):
    vault.policy(harness.MAY_EXPORT)
    vault.add(as_yaml(config(Identity(secrets=secrets))), "a", "--exportable")
    broker = Broker(vault, "--key-file", vault.key_file)
    vault.to = ("--broker", "unix:" + broker.path)
    vault.broker = broker
    yield vault
    broker.end()


def test_commands_go_through_it(served):
    v = served
    assert [e["name"] for e in v.json(*v.to, "list")["items"]] == ["a"]
    v(*v.to, "export", "a", "--reason", "x", code=0, secret=True)
    modes = {r["broker"]["mode"] for r in v.json(*v.to, "audit", "query")
             ["items"]}
    assert "exec" in modes and len(modes) == 2
    # It needs no vault folder of the caller's.
    v("--broker", "unix:" + v.broker.path, "list", code=0,
      env={"CERTVAULT_DIR": None})


def test_lock_and_unlock(served):
    v = served
    v(*v.to, "lock", code=0)
    os.rename(v.key_file, v.key_file + ".away")
    export = (*v.to, "export", "a", "--reason", "x")
    v(*export, code=UNAVAILABLE)
    v(*v.to, "list", code=0)
    v(*v.to, "--key-file", v.key_file + ".away", "unlock", code=0)
    v(*export, code=0, secret=True)


def test_the_socket_is_ours_alone(served):
    mode = os.stat(served.broker.path).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) in (0o600, 0o666)


def test_varlink_service(served):
    info = served.broker.call("org.varlink.service.GetInfo")["parameters"]
    assert "io.certvault.Broker" in info["interfaces"]
    text = served.broker.call(
        "org.varlink.service.GetInterfaceDescription",
        {"interface": "io.certvault.Broker"})["parameters"]["description"]
    with open(os.path.join(harness.SOURCE, "vault", "wire",
                           "io.certvault.Broker.varlink"),
              encoding="ascii") as f:
        assert text == f.read()
    error = served.broker.call("org.varlink.service.GetInterfaceDescription",
                               {"interface": "no.such"})["error"]
    assert error == "org.varlink.service.InterfaceNotFound"
    error = served.broker.call("io.certvault.Broker.NoSuch")["error"]
    assert error == "org.varlink.service.MethodNotFound"
    error = served.broker.call("io.certvault.Broker.Show", {"nome": "a"})
    assert error["error"] in ("org.varlink.service.InvalidParameter",
                              "io.certvault.Broker.Usage",
                              "io.certvault.Broker.Invalid")


def test_another_vaults_id_is_refused(served):
    said = served.broker.call("io.certvault.Broker.Hello",
                              {"vault_id": "0" * 32})
    assert "error" in said
    said = served.broker.call("io.certvault.Broker.Hello")
    assert said["parameters"]["folder"] == served.folder


GARBAGE = [b"\0", b"x\0", b"{}\0", b"[]\0", b'{"method": 1}\0',
           b'{"method": "a"', b"\xff" * 100 + b"\0", b"GET / HTTP/1.1\r\n\r\n",
           b'{"method":"io.certvault.Broker.List","method":"x"}\0',
           b'{"method":"io.certvault.Broker.List","parameters":[]}\0',
           b'{"a":' * 5000 + b"\0"]


@pytest.mark.parametrize("sent", GARBAGE, ids=range(len(GARBAGE)))
def test_h54_garbage_harms_nobody(served, sent):
    s = served.broker.connect()
    s.sendall(sent)
    if sent.endswith(b"\0"):
        said = answer(s)
        assert said is None or "error" in said
    s.close()
    served(*served.to, "list", code=0)


def test_h54_a_message_without_end(served):
    """Over the ceiling it is cut off; the others are served meanwhile."""
    s = served.broker.connect()
    sent = 0
    try:
        while sent < 64 << 20:
            s.sendall(b"x" * 65536)
            sent += 65536
            if sent == 1 << 20:
                served(*served.to, "list", code=0)
    except OSError:
        pass
    assert sent < 64 << 20
    s.close()
    served(*served.to, "list", code=0)


def test_h54_idle_connections(served):
    idle = [served.broker.connect() for _ in range(200)]
    half = served.broker.connect()
    half.sendall(b'{"method": "io.certvault.Bro')
    begin = time.monotonic()
    assert "parameters" in served.broker.call("io.certvault.Broker.Hello")
    assert time.monotonic() - begin < harness.within(2)
    for s in [*idle, half]:
        s.close()


def test_h55_descriptors_are_not_taken(served):
    s = served.broker.connect()
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
    message = json.dumps({"method": "io.certvault.Broker.Hello"}).encode()
    socket.send_fds(s, [message + b"\0"], fds)
    answer(s)
    for fd in fds:
        os.close(fd)
    if os.geteuid() == 0:
        held = os.listdir(f"/proc/{served.broker.process.pid}/fd")
        assert len(held) < 20, held
    s.close()
    served(*served.to, "list", code=0)


def test_two_clients_at_once(served):
    a, b = served.broker.connect(), served.broker.connect()
    for s in (a, b, a, b):
        assert "parameters" in served.broker.call(
            "io.certvault.Broker.Status", on=s)
    a.close()
    b.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_clean_end(served, number):
    served(*served.to, "label", "a", "k=v", code=0)
    assert served.broker.end(number) == 0
    status = served.json("audit", "status")
    assert status["checkpoint"]["size"] >= status["size"] - 1
    served.verify()


def test_killed_and_started_again(served):
    """H57: a stale socket is no obstacle."""
    served.broker.end(signal.SIGKILL)
    harness.wait_for_none()
    assert os.path.exists(served.broker.path)
    served(*served.to, "list", code=UNAVAILABLE)
    again = Broker(served, "--key-file", served.key_file)
    try:
        served(*served.to, "list", code=0)
    finally:
        again.end()


def test_a_second_one_on_the_same_socket(served):
    p = subprocess.run(
        [harness.program("certvaultd"), "--vault", served.folder, "--socket",
         served.broker.path, "--foreground"], env=served.env(),
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert p.returncode in (harness.BUSY, UNAVAILABLE), p
    served(*served.to, "list", code=0)


def test_no_broker_there(vault):
    vault("--broker", "unix:" + os.path.join(vault.home, "none.sock"), "list",
          code=UNAVAILABLE)
    done = vault("--broker", "carrier:pigeon", "list")
    assert done.code in (harness.USAGE, harness.CONFIG), done


def test_units_that_are_named_are_there():
    """In hints, manual and README: whoever types it finds the unit."""
    units = os.path.join(harness.SOURCE, "cli", "systemd")
    found = set()
    for top in ("README.md", "cli", "docs", "vault"):
        path = os.path.join(harness.SOURCE, top)
        files = [path] if os.path.isfile(path) else [
            os.path.join(where, leaf) for where, _, leaves in os.walk(path)
            for leaf in leaves if leaf.endswith((".c", ".md", ".1", ".5", ".8",
                                                 ".sh"))]
        for file in files:
            with open(file, encoding="utf-8") as f:
                text = f.read()
            for verb in re.finditer(r"systemctl(?: --user)? (?:enable --now|"
                                    r"start|stop|status|reload|restart|edit)"
                                    r"((?:[ \\\n\"]+certvault[\w@.-]*)+)", text):
                found |= {(os.path.relpath(file, harness.SOURCE), unit)
                          for unit in re.findall(r"certvault[\w@.-]*",
                                                 verb.group(1))}
    assert len(found) > 8, found
    for file, unit in sorted(found):
        unit = unit.rstrip(".")
        unit += "" if "." in unit else ".service"
        assert unit in os.listdir(units), (file, unit)


def test_no_vault_there(home, secrets):
    v = harness.Vault(home, secrets, init=False)
    p = subprocess.run([harness.program("certvaultd"), "--vault", v.folder,
                        "--socket", os.path.join(v.home, "run", "b.sock"),
                        "--foreground"], env=v.env(), capture_output=True,
                       stdin=subprocess.DEVNULL, timeout=60)
    assert p.returncode == NOT_FOUND, p


def test_other_users_get_nothing(served):
    """H53: another uid, though the folders are open to it."""
    if os.getuid() != 0:
        pytest.skip("needs root to be somebody else")
    path = served.broker.path
    for folder in (served.home, os.path.dirname(path)):
        os.chmod(folder, 0o755)
    os.chmod(path, 0o777)
    where = os.path.dirname(served.home)
    while os.stat(where).st_uid == os.getuid() and where not in ("/", "/tmp"):
        os.chmod(where, 0o755)
        where = os.path.dirname(where)
    code = ("import socket,sys,json\n"
            "s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1])\n"
            "s.sendall(json.dumps({'method':'io.certvault.Broker.List',"
            "'parameters':{'labels':{}}}).encode()+b'\\0')\n"
            "s.settimeout(10)\n"
            "try: print(s.recv(65536))\n"
            "except OSError as e: print(e)\n")
    p = subprocess.run(["/usr/bin/python3", "-c", code, path], user=65534,
                       group=65534, extra_groups=[], capture_output=True,
                       text=True, timeout=60)
    assert '"items"' not in p.stdout, p
    served(*served.to, "list", code=0)
