"""The service as its unit files run it: broker and token under one user, intake
and relay under another, everything that systemd would restrict restricted by
hand (unit_exec.py). Two callers, by their uids. Needs root."""

import json
import os
import signal
import socket
import stat
import subprocess
import time

import pytest

import harness
import kube
import relay
import unit_rig
from harness import BUSY, DENIED, UNAVAILABLE, USAGE
from unit_rig import USERS

pytestmark = pytest.mark.skipif(bool(unit_rig.missing()),
                                reason=str(unit_rig.missing()))

ALICE, BOB = 64311, 64312
SERVICE = USERS["certvault"]
KEY = bytes(range(32)) * 2

RULES = [
    {"name": "owner", "effect": "permit", "subjects": {"uids": [SERVICE]},
     "actions": ["admin", "policy.apply", "policy.read", "audit.read", "list"]},
    {"name": "alice", "effect": "permit", "subjects": {"uids": [ALICE]},
     "actions": ["fetch.service", "import", "use", "list", "show", "export",
                 "audit.read"]},
    {"name": "bob", "effect": "permit", "subjects": {"uids": [BOB]},
     "actions": ["use", "list"], "entries": {"names": ["shared*"]},
     "grant": {"read_only": True}},
]


def policy(version, rules=RULES):
    return json.dumps({"apiVersion": "certvault/v1", "kind": "Policy",
                       "metadata": {"name": "test", "version": version},
                       "rules": rules})


@pytest.fixture
def rig():
    r = unit_rig.Rig()
    try:
        with open(r.path("/key"), "wb") as f:
            f.write(KEY)
        os.chown(r.path("/key"), SERVICE, SERVICE)
        os.chmod(r.path("/key"), 0o400)
        r.certvault(SERVICE, "--no-agent", "--vault", r.vault, "init", "--key",
                    "file:" + r.path("/key"), code=0)
        r.credential("vault.key", KEY)
        os.unlink(r.path("/key"))        # only the credential opens it now
        r.policy = r.path("/policy.yaml")
        with open(r.policy, "w", encoding="ascii") as f:
            f.write(policy(1))
        yield r
    finally:
        r.close()


@pytest.fixture
def served(rig):
    rig.watch()
    rig.configure("{}\n")
    rig.unit = rig.start()
    rig.alice, rig.bob, rig.admin = map(rig.by, (ALICE, BOB, SERVICE))
    rig.admin("policy", "apply", rig.policy, code=0)
    return rig


def owner_of(pid):
    return os.stat(f"/proc/{pid}").st_uid


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f
                    if ":\t" in line)


def programs():
    return {pid: name for pid, name in harness.our_processes()}


def imported(served, name, server="https://127.0.0.1:1", identity=None):
    identity = identity or kube.Identity()
    served.alice("import", "-", "--name", name, "--exportable", code=0,
                 input=kube.as_yaml(kube.config(identity, server=server)))


def test_two_callers_one_policy(served):
    """import, list, show, export: each uid has what its rules give it."""
    imported(served, "shared-a")
    imported(served, "own-a")
    names = json.loads(served.alice("-o", "json", "list", code=0).out)["items"]
    assert sorted(e["name"] for e in names) == ["own-a", "shared-a"]
    names = json.loads(served.bob("-o", "json", "list", code=0).out)["items"]
    assert [e["name"] for e in names] == ["shared-a"]
    served.bob("show", "own-a", code=DENIED)
    served.bob("export", "shared-a", "--reason", "x", code=DENIED)
    done = served.alice("export", "shared-a", "--reason", "drill", code=0)
    assert b"client-key-data: LS0" in done.out
    items = json.loads(served.alice("-o", "json", "audit", "query",
                                    code=0).out)["items"]
    who = {(r["actor"]["uid"], r["action"], r.get("decision"))
           for r in items if r["phase"] == "decision"}
    assert (BOB, "export", "deny") in who and \
        (ALICE, "export", "permit") in who, who
    assert {r["broker"]["mode"] for r in items if r["actor"].get("uid") ==
            ALICE} == {"service"}


@pytest.mark.skipif(bool(relay.missing()), reason=str(relay.missing()))
def test_the_relay_takes_the_brokers_connections_alone(served):
    """Should the sockets ever be open to all: another uid's are not taken."""
    held = []
    for leaf in ("relay-orders.sock", "relay-asks.sock"):
        path = served.path("/run/certvault/" + leaf)
        os.chmod(path, 0o666)
        held.append(subprocess.Popen(
            ["/usr/bin/python3", "-c", "import socket,sys\n"
             "s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1])\n"
             "print(1,flush=True);print(s.recv(1));sys.stdin.read()", path],
            user=ALICE, group=ALICE, extra_groups=[], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE))
        assert held[-1].stdout.readline() == b"1\n"
    try:
        for leaf in ("relay-orders.sock", "relay-asks.sock"):
            os.chmod(served.path("/run/certvault/" + leaf), 0o600)
        with relay.Standin(served.path("/api")) as api:
            imported(served, "shared-a", api.url, api.identity(common="kim"))
            served.bob("exec", "shared-a", "--", relay.kubectl(), "get",
                       "namespaces", "-o", "name", code=0)
        for p in held:
            assert p.stdout.readline() == b"b''\n", "it was kept"
    finally:
        for p in held:
            p.kill()
            p.communicate()


def test_each_program_is_who_its_unit_says(served):
    """Broker and token are one user, the relay another; nobody is root, nobody
    can gain anything."""
    with relay.Standin(served.path("/api")) as api:
        identity = api.identity(common="kim")
        imported(served, "shared-a", api.url, identity)
        done = served.bob("exec", "shared-a", "--", "sh", "-c",
                          "cat $KUBECONFIG", code=0)
        assert b"client-key-data" in done.out
        seen = {}
        for pid, name in programs().items():
            seen.setdefault(name, set()).add(owner_of(pid))
            said = status_of(pid)
            assert said["NoNewPrivs"] == "1", name
            # The unit's two, and its own (the spawner, which the broker
            # forked before it had one, is a certvaultd too).
            assert int(said["Seccomp_filters"]) >= (
                2 if name == "certvaultd" else 3), (name, said)
            with open(f"/proc/{pid}/mountinfo", encoding="ascii") as f:
                root, = (line.split()[5] for line in f
                         if line.split()[4] == "/")
            assert "ro" in root.split(","), (name, root)
            assert int(said["CapEff"], 16) == int(said["CapBnd"], 16) == 0
        assert seen == {"certvaultd": {SERVICE}, "token": {SERVICE},
                        "relay": {USERS["certvault-net"]}}, seen


@pytest.mark.skipif(bool(relay.missing()), reason=str(relay.missing()))
def test_kubectl_through_the_relay_of_another_user(served):
    with relay.Standin(served.path("/api")) as api:
        identity = api.identity(common="kim")
        imported(served, "shared-a", api.url, identity)
        for who in (served.bob, served.alice):
            done = who("exec", "shared-a", "--", relay.kubectl(), "get",
                       "namespaces", "-o", "name")
            assert done.code == 0 and b"namespace/" in done.out, \
                (done, served.log())
        # Bob's grant reads alone.
        done = served.bob("exec", "shared-a", "--", relay.kubectl(), "delete",
                          "namespace", "default", "--wait=false")
        assert done.code != 0 and b"read" in done.err, done
        served.bob("exec", "own", "--", "true", code=77)


@pytest.mark.skipif(bool(relay.missing()), reason=str(relay.missing()))
def test_a_relay_that_died_is_had_anew(served):
    """Its manager starts it again when the broker connects; the pair that it
    takes is the broker's new one."""
    with relay.Standin(served.path("/api")) as api:
        identity = api.identity(common="kim")
        imported(served, "shared-a", api.url, identity)
        kubectl = ("exec", "shared-a", "--", relay.kubectl(), "get",
                   "namespaces", "-o", "name")
        served.bob(*kubectl, code=0)
        first = served.units["certvault-relay.service"]
        first.end(signal.SIGKILL)
        served.bob(*kubectl, code=0)
        second = served.units["certvault-relay.service"]
        assert second is not first and second.process.poll() is None
        # One that closed before it was taken is passed over.
        second.end(signal.SIGKILL)
        for leaf in ("relay-orders.sock", "relay-asks.sock"):
            s = socket.socket(socket.AF_UNIX)
            s.connect(served.path("/run/certvault/" + leaf))
            s.close()
        served.bob(*kubectl, code=0)


@pytest.mark.skipif(bool(relay.missing()), reason=str(relay.missing()))
def test_a_relay_that_hangs_is_its_watchdogs(rig):
    """It feeds the watchdog while it lives; hung, it starves it, the broker
    says so within its 5 s, and goes on with the next one."""
    rig.watchdog_usec = 1_000_000
    rig.watch()
    rig.start()
    alice, admin = rig.by(ALICE), rig.by(SERVICE)
    admin("policy", "apply", rig.policy, code=0)
    with relay.Standin(rig.path("/api")) as api:
        alice("import", "-", "--name", "shared-a", code=0, input=kube.as_yaml(
            kube.config(api.identity(common="kim"), server=api.url)))
        kubectl = ("exec", "shared-a", "--", relay.kubectl(), "get",
                   "namespaces", "-o", "name")
        alice(*kubectl, code=0)
        unit = rig.units["certvault-relay.service"]
        unit.wait_said("WATCHDOG=1", times=3)
        unit.process.send_signal(signal.SIGSTOP)
        done = alice(*kubectl, code=UNAVAILABLE)
        assert "did not answer" in done.note, done
        with unit.heard:
            said = len(unit.said)
            unit.heard.wait(1.5)
            assert len(unit.said) == said, "fed by whom?"
        unit.end(signal.SIGKILL)         # what systemd does then
        alice(*kubectl, code=0)


def test_strangers_do_not_reach_the_helpers(served):
    """The sockets of intake and relay are the broker's alone."""
    for leaf in ("intake.sock", "relay-orders.sock", "relay-asks.sock"):
        path = served.path("/run/certvault/" + leaf)
        st = os.stat(path)
        assert stat.S_IMODE(st.st_mode) == 0o600 and st.st_uid == SERVICE
        done = subprocess.run(
            ["/usr/bin/python3", "-c", "import socket,sys\n"
             "socket.socket(socket.AF_UNIX).connect(sys.argv[1])", path],
            user=ALICE, group=ALICE, extra_groups=[], capture_output=True)
        assert b"PermissionError" in done.stderr, done
    assert stat.S_IMODE(os.stat(served.address).st_mode) == 0o666
    assert stat.S_IMODE(os.stat(served.path("/run/certvault")).st_mode) == \
        0o755
    done = subprocess.run(["ls", served.vault], user=USERS["certvault-net"],
                          group=USERS["certvault-net"], extra_groups=[],
                          capture_output=True)
    assert done.returncode != 0


def test_the_service_opens_its_vault_by_itself(served):
    """After its token process ended too; not after an admin locked it, until
    the next reload. The key is in none of the processes' environments."""
    imported(served, "a")
    export = ("export", "a", "--reason", "x")
    served.alice(*export, code=0)
    token, = [p for p, n in programs().items() if n == "token"]
    os.kill(token, signal.SIGKILL)
    served.alice(*export, code=0)
    served.admin("lock", code=0)
    served.alice(*export, code=UNAVAILABLE)
    served.unit.process.send_signal(signal.SIGHUP)
    served.unit.wait_said("READY=1", times=2)
    served.alice(*export, code=0)


def test_a_second_daemon_is_refused(served):
    done = served.certvault(
        SERVICE, "--no-agent", "--vault", served.vault, "--broker", "exec:",
        "list")
    assert done.code == BUSY and served.address in done.note, done
    done = subprocess.run(
        [served.path("/usr/bin/certvaultd"), "--vault", served.vault,
         "--socket", served.path("/home-%d/run/b.sock" % SERVICE)],
        user=SERVICE, group=SERVICE, extra_groups=[], env={},
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert done.returncode == BUSY, done
    assert served.address.encode() in done.stderr, done


# --- the service's own cloud ---

@pytest.fixture
def cloud(rig, standin):
    s = standin
    rig.credential("cloud", f"[basic]\nak={s.cloud.ak}\nsk={s.cloud.sk}\n"
                   .encode())
    ca = rig.path("/etc/certvault/cloud-ca.pem")
    with open(s.ca_file, "rb") as f, open(ca, "wb") as out:
        out.write(f.read())
    rig.configure(f"""cloud:
  profile: credential:cloud
  endpoint: {s.url}
  iam_endpoint: {s.url}
  ca_file: {ca}
""")
    rig.watch()
    rig.unit = rig.start()
    rig.alice, rig.bob, rig.admin = map(rig.by, (ALICE, BOB, SERVICE))
    rig.admin("policy", "apply", rig.policy, code=0)
    return s


def test_fetch_as_the_service(rig, cloud):
    """With credentials that no caller sees, through an intake of another user;
    by whom the policy lets, and nowhere but where the configuration says."""
    where = ("--region", cloud.cloud.region)
    fetch = ("fetch", "--as-service", "--cluster", "prod", *where)
    before = len(cloud.seen)
    rig.bob(*fetch, code=DENIED)
    assert len(cloud.seen) == before, "the cloud was asked for who may not"
    for flag in (("--endpoint", "https://127.0.0.1:1"), ("--profile", "/x"),
                 ("--iam-endpoint", "https://127.0.0.1:1"),
                 ("--ca-file", "/x")):
        rig.alice(*fetch, *flag, code=USAGE)
    names = ("-o", "name", "clusters", "--as-service", *where)
    rig.bob(*names, code=DENIED)
    assert len(cloud.seen) == before, "the cloud was asked for who may not"
    assert len(rig.alice(*names, code=0).out.split()) >= 2
    rig.alice(*fetch, "--exportable", code=0)
    done = rig.alice("export", "prod", "--reason", "x", code=0)
    assert b"client-key-data: LS0" in done.out
    items = json.loads(rig.alice("-o", "json", "audit", "query", "--action",
                                 "fetch.service", code=0).out)["items"]
    assert [(r["actor"]["uid"], r.get("decision")) for r in items
            if r["phase"] == "decision"] == \
        [(BOB, "deny"), (BOB, "deny"), (ALICE, "permit"), (ALICE, "permit")], \
        items
    # A client that sends an address, or credentials, all the same.
    for named in ({"endpoint": "https://127.0.0.1:1"}, {"profile": "x"},
                  {"environment": {}}, {"metadata": True}, {"ca_pem": "x"}):
        said = rig.ask(ALICE, "Fetch", {
            "cloud": {"region": cloud.cloud.region, **named},
            "cluster": "prod", "name": "other", "as_service": True,
            "exportable": False, "dry_run": False, "labels": {}})
        assert said["error"].endswith(".Usage"), (named, said)
    with open(rig.path("/run/log"), "rb") as f:
        assert cloud.cloud.sk.encode() not in f.read()


def test_intake_is_another_user(rig, cloud):
    rig.alice("fetch", "--as-service", "--cluster", "dev", "--region",
              cloud.cloud.region, code=0)
    left = [p for p, n in programs().items() if n == "intake"]
    assert left and {owner_of(p) for p in left} == {USERS["certvault-net"]}
    assert status_of(left[0])["Seccomp"] == "2"


# --- what it tells its manager ---

def test_reload_takes_all_or_nothing(served):
    unit = served.unit
    imported(served, "a")
    served.configure("relay: {idle: 90s}\n")
    unit.process.send_signal(signal.SIGHUP)
    unit.wait_said("READY=1", times=2)
    assert sum("RELOADING=1\nMONOTONIC_USEC=" in s for s in unit.said) == 1
    served.configure("relay: {idle: never}\nnonsense: 1\n")
    unit.process.send_signal(signal.SIGHUP)
    unit.wait_said("READY=1", times=3)
    assert "old one stays" in unit.said[-1], unit.said
    assert "the old one stays" in served.log()
    served.alice("export", "a", "--reason", "x", code=0)
    items = json.loads(served.alice("-o", "json", "audit", "query",
                                    code=0).out)["items"]
    told = [r["outcome"] for r in items
            if r.get("details", {}).get("method") == "reload"]
    assert told == ["ok", "config"] or (told[0] == "ok" and told[1] != "ok"), \
        told


def test_a_clean_end(served):
    """Nothing is left running, and in the vault's folder lies the vault."""
    imported(served, "a")
    assert served.unit.end() == 0
    assert any(s.startswith("STOPPING=1") for s in served.unit.said)
    assert not {"certvaultd", "token"} & set(programs().values())
    assert not [n for n in os.listdir(served.vault) if n.startswith(".")]
    # The socket is its manager's, and stays.
    assert os.path.exists(served.address)
    done = served.certvault(SERVICE, "--no-agent", "--vault", served.vault,
                            "-o", "json", "audit", "verify", code=0)
    assert json.loads(done.out)["checkpoint"] == "valid"


def test_nothing_outlives_a_broker_that_was_killed(served):
    """KillMode=process: what it had started ends by itself."""
    imported(served, "a")
    assert "token" in programs().values()
    served.unit.end(signal.SIGKILL)
    left = {"token"}
    end = time.monotonic() + 60
    while left and time.monotonic() < end:
        left = {"certvaultd", "token"} & set(programs().values())
        time.sleep(0.02)
    assert not left, left
    served.start()
    served.alice("export", "a", "--reason", "x", code=0)


def test_the_watchdog_is_fed(rig):
    """Twice a second's worth while nobody asks anything, and while the relay
    has nothing to do."""
    rig.watchdog_usec = 400_000
    rig.watch()
    unit = rig.start()
    unit.wait_said("WATCHDOG=1", times=5)


def test_a_vault_that_its_key_does_not_open(rig):
    """A service that cannot work says so at once."""
    rig.credential("vault.key", b"x" * 64)
    rig.watch()
    with pytest.raises(AssertionError):
        rig.start()
    assert rig.units["certvault.service"].process.wait(60) == UNAVAILABLE
    assert "READY=1" not in "".join(rig.units["certvault.service"].said)
