"""exec and proxy: the command in the foreground, its kubeconfig, its end.

Against a broker of the tests' own; what goes through a real relay is in
test_relay_*.py."""

import json
import os
import pty
import signal
import stat
import subprocess
import time

import pytest

import harness
from fake_broker import Failure
from harness import Certvault, DENIED, UNAVAILABLE, USAGE
from hop import GRANT, GrantBroker, HopCa
from terminal import Terminal


@pytest.fixture(scope="module")
def hop(tmp_path_factory):
    return HopCa(tmp_path_factory.mktemp("hop"))


@pytest.fixture
def cli(home, secrets):
    return Certvault(home, secrets)


@pytest.fixture
def broker(cli, hop, secrets):
    with GrantBroker(os.path.join(cli.home, "b.sock"), hop) as b:
        cli.extra["CERTVAULT_BROKER"] = b.address
        secrets.add("the hop's key", b.key)
        yield b


def runtime(cli):
    return os.path.join(cli.home, "run", "certvault")


def folders(cli):
    if not os.path.isdir(runtime(cli)):
        return []
    return sorted(f for f in os.listdir(runtime(cli)) if f.startswith("exec-"))


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.01)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(p) for p in f.read().split()]


def state(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0]


# --- the file ---

def test_the_command_finds_the_cluster(cli, broker):
    broker.namespace = "payments"
    done = cli("exec", "prod", "--read-only", "--for", "30m", "--context",
               "internal", "--", "sh", "-c",
               'echo "$KUBECONFIG"; stat -c %a "$KUBECONFIG" '
               '"$(dirname "$KUBECONFIG")"; umask; '
               'kubectl config view --raw -o json', code=0, secret=True)
    path, mode, folder_mode, mask, config = done.text.split("\n", 4)
    assert (mode, folder_mode, mask) == ("600", "700", "0022")
    assert os.path.dirname(path).startswith(runtime(cli) + "/exec-")
    config = json.loads(config)
    assert config["current-context"] == "prod"
    assert config["contexts"][0]["context"] == {
        "cluster": "prod", "user": "prod", "namespace": "payments"}
    assert config["clusters"][0]["cluster"]["server"] == broker.server
    assert set(config["users"][0]["user"]) == {"client-certificate-data",
                                               "client-key-data"}
    asked, = broker.asked("Use")
    assert asked["kind"] == "exec" and asked["read_only"] is True
    assert asked["duration"] == 1800 and asked["context"] == "internal"
    assert broker.ended.is_set()
    assert folders(cli) == []


def test_other_clients_read_the_file(cli, broker):
    """With the YAML reader that Python's client has."""
    pytest.importorskip("yaml", reason="no python3-yaml")
    done = cli("exec", "prod", "--", "/usr/bin/python3", "-c",
               "import os, yaml; d = yaml.safe_load(open(os.environ"
               "['KUBECONFIG'])); print(d['clusters'][0]['cluster']['server'])",
               code=0)
    assert done.text.strip() == broker.server


def test_codes(cli, broker):
    cli("exec", "prod", "--", "sh", "-c", "exit 7", code=7)
    assert "cannot run" in cli("exec", "prod", "--", "no-such-program",
                               code=127).note
    cli("exec", "prod", "--", "/etc/passwd", code=126)
    cli("exec", "prod", "--", "sh", "-c", "kill -9 $$", code=137)
    cli("exec", "prod", "--", "true", code=0)
    cli("exec", "prod", "true", code=0)
    assert folders(cli) == []
    assert len(broker.asked("UseEnd")) == len(broker.asked("Use"))


def test_refused(cli, broker):
    broker.answers["Use"] = Failure("denied", "no rule permits it")
    error = cli("-o", "json", "exec", "prod", "--", "touch",
                cli.home + "/ran", code=DENIED).error
    assert error["message"] == "no rule permits it"
    assert not os.path.exists(cli.home + "/ran")
    assert folders(cli) == []


def test_usage(cli, broker):
    cli("exec", "prod", code=USAGE)
    cli("exec", "prod", "--for", "30", "--", "true", code=USAGE)
    cli("exec", "prod", "--for", "0s", "--", "true", code=USAGE)
    cli("exec", "../x", "--", "true", code=USAGE)
    cli("--dry-run", "exec", "prod", "--", "true", code=USAGE)
    assert broker.asked("Use") == []


def test_answers_that_are_none(cli, broker):
    whole = broker.answers["Use"]
    for key in ("grant", "server", "ca", "certificate", "secret"):
        def without(parameters, key=key):
            answer = whole(parameters)
            del answer[key]
            return answer
        broker.answers["Use"] = without
        assert key in cli("exec", "prod", "--", "true", code=65).note
    assert folders(cli) == []


def test_streams_descriptors_and_dispositions(cli, broker):
    """What a shell gives a command is what it gets."""
    assert cli("exec", "prod", "--", "cat", input="in\n", code=0).out == b"in\n"
    read, write = os.pipe()
    os.write(write, b"passed on")
    os.close(write)
    done = cli("exec", "prod", "--", "cat", f"/dev/fd/{read}",
               pass_fds=(read,), code=0)
    os.close(read)
    assert done.out == b"passed on"
    # SIGPIPE ends a writer, as it does without us; nothing of ours is open.
    done = cli("exec", "prod", "--", "sh", "-c",
               "yes | head -1; ls -l /proc/$$/fd", code=0)
    assert "socket:" not in done.text and "anon_inode" not in done.text
    done = cli("exec", "prod", "--", "grep", "^Sig[BI]", "/proc/self/status",
               code=0)
    assert set(line.split()[1] for line in done.text.splitlines()) == \
        {"0" * 16}


def test_ignored_signals_stay_ignored(cli, broker):
    argv = ["nohup", *cli.argv("exec", "prod", "--", "grep", "SigIgn",
                               "/proc/self/status")]
    out = subprocess.run(argv, env=cli.env(), capture_output=True,
                         stdin=subprocess.DEVNULL, check=True).stdout
    assert int(out.split()[1], 16) & 1 == 1


def test_a_cache_of_its_own(cli, broker):
    """All clusters have one address: what kubectl keeps by it must not mix."""
    show = ("--", "sh", "-c", 'echo "$KUBECACHEDIR"')
    a = cli("exec", "a", *show, code=0).text.strip()
    b = cli("exec", "b", *show, code=0).text.strip()
    assert a != b and a.startswith(cli.home + "/.kube/cache/certvault/a")
    c = cli("exec", "a", *show, env={"KUBECACHEDIR": "/c"}, code=0).text
    assert c.startswith("/c/certvault/a/")


# --- signals ---

def waiting(cli, *script, **options):
    """exec of a shell that says so when it is there."""
    p = cli.start("exec", "prod", "--", "sh", "-c", *script, **options)
    assert p.stdout.readline() == b"ready\n"
    return p


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP,
                                    signal.SIGINT, signal.SIGUSR1])
def test_a_signal_for_us_is_the_commands(cli, broker, number):
    p = waiting(cli, f"trap 'echo got; exit 9' {number.name[3:]}; echo ready; "
                "while :; do sleep 0.05; done")
    p.send_signal(number)
    out, _ = p.communicate(timeout=60)
    assert (out, p.returncode) == (b"got\n", 9)
    assert broker.ended.is_set() and folders(cli) == []


def test_a_command_that_a_signal_ends(cli, broker):
    p = waiting(cli, "echo ready; exec sleep 60")
    p.terminate()
    p.communicate(timeout=60)
    assert p.returncode == 143
    assert folders(cli) == []


def shell(cli):
    """An interactive shell, whose children we are."""
    t = Terminal.__new__(Terminal)
    t.seen, t.passed = b"", 0
    t.pid, t.master = pty.fork()
    if t.pid == 0:
        os.execve("/bin/bash", ["bash", "--norc", "-i"],
                  {**cli.env(), "PS1": "$ ", "TERM": "dumb"})
    t.until(b"$ ")
    t.type(b"bind 'set enable-bracketed-paste off'; stty -echo\n")
    t.until(b"$ ")
    return t


def command(cli, *words):
    return (" ".join(cli.argv(*words)) + "\n").encode()


def test_ctrl_c_is_the_commands(cli, broker):
    """Once: the terminal gives it to both of us."""
    t = shell(cli)
    path = os.path.join(cli.home, "trap.sh")
    with open(path, "w", encoding="ascii") as f:
        f.write("n=0\ntrap 'n=$((n+1)); echo got $n' INT\necho ready\n"
                "while [ ! -e $HOME/go ]; do sleep 0.05; done\n"
                "echo total $n\nexit 5\n")
    t.type(command(cli, "exec", "prod", "--", "sh", path))
    t.until(b"ready")
    t.type(b"\x03")
    t.until(b"got 1")
    with open(os.path.join(cli.home, "go"), "w", encoding="ascii"):
        pass
    t.until(b"total 1")
    t.until(b"$ ")
    t.type(b"echo code $?\n")
    t.until(b"code 5")
    assert broker.ended.is_set()
    t.type(b"exit\n")
    t.end()


def test_ctrl_z_and_back(cli, broker):
    t = shell(cli)
    t.type(command(cli, "exec", "prod", "--", "cat"))
    wait_for(lambda: broker.asked("Use") and children(t.pid) and
             children(children(t.pid)[0]))
    ours = children(t.pid)[0]
    theirs = children(ours)[0]
    wait_for(lambda: os.readlink(f"/proc/{theirs}/exe").endswith("cat"))
    t.type(b"\x1a")
    t.until(b"Stopped")
    wait_for(lambda: state(ours) == "T" and state(theirs) == "T")
    t.until(b"$ ")
    t.type(b"echo in $((40 + 2)) between\n")
    t.until(b"in 42 between")
    t.type(b"fg\n")
    wait_for(lambda: state(ours) != "T" and state(theirs) != "T")
    t.type(b"back again\n")
    t.until(b"back again")
    t.type(b"\x04")
    t.until(b"$ ")
    t.type(b"echo code $?\n")
    t.until(b"code 0")
    assert folders(cli) == []
    t.type(b"exit\n")
    t.end()


def test_reading_in_the_background_stops_both(cli, broker):
    t = shell(cli)
    t.type(command(cli, "exec", "prod", "--", "cat")[:-1] + b" &\n")
    wait_for(lambda: broker.asked("Use"))
    t.until(b"$ ")
    wait_for(lambda: children(t.pid) and state(children(t.pid)[0]) == "T")
    ours = children(t.pid)[0]
    theirs = children(ours)[0]
    t.type(b"fg\n")
    wait_for(lambda: os.tcgetpgrp(t.master) == ours and state(ours) == "S" and
             state(theirs) == "S")
    t.type(b"\x03")
    t.until(b"$ ")
    t.type(b"echo code $?\n")
    t.until(b"code 130")
    t.type(b"exit\n")
    t.end()


def test_a_terminal_that_goes(cli, broker):
    """The command learns of it, though we are the first of the session."""
    mark = os.path.join(cli.home, "hup")
    t = Terminal(cli, "exec", "prod", "--", "sh", "-c",
                 f"trap 'touch {mark}; exit 0' HUP; echo ready; "
                 "while :; do sleep 0.05; done")
    t.until(b"ready")
    os.close(t.master)
    code = os.waitstatus_to_exitcode(os.waitpid(t.pid, 0)[1])
    assert os.path.exists(mark) and code == 0
    assert folders(cli) == [] and broker.ended.is_set()


# --- the end of a grant ---

def test_the_grants_time_is_told(cli, broker):
    broker.seconds = 1
    p = waiting(cli, "echo ready; read line; exit 3", stdin=subprocess.PIPE)
    line = p.stderr.readline()
    while b"ended" not in line:
        assert line
        line = p.stderr.readline()
    assert p.poll() is None            # the command is not ours to end
    p.stdin.write(b"\n")
    p.communicate(timeout=60)
    assert p.returncode == 3


def test_a_grant_that_is_ended_early(cli, broker):
    p = waiting(cli, "echo ready; read line; exit 3", stdin=subprocess.PIPE)
    broker.gone.set()
    line = p.stderr.readline()
    while b"before its time" not in line:
        assert line
        line = p.stderr.readline()
    assert p.poll() is None
    p.stdin.write(b"\n")
    p.communicate(timeout=60)
    assert p.returncode == 3


def test_proxy_ends_with_a_grant_that_is_ended_early(cli, broker):
    broker.gone.set()
    done = cli("proxy", "prod", code=UNAVAILABLE)
    assert "before its time" in done.note
    assert folders(cli) == []


def test_a_broker_that_goes(cli, hop):
    with GrantBroker(os.path.join(cli.home, "b.sock"), hop) as b:
        cli.extra["CERTVAULT_BROKER"] = b.address
        p = waiting(cli, "echo ready; read line; exit 3",
                    stdin=subprocess.PIPE)
        b.hang_up()
        line = p.stderr.readline()
        while b"broker is gone" not in line:
            assert line
            line = p.stderr.readline()
        p.stdin.write(b"\n")
        p.communicate(timeout=60)
        assert p.returncode == 3
        assert folders(cli) == []


# --- what is left behind ---

def test_a_killed_run_is_cleared_by_the_next(cli, broker):
    p = waiting(cli, "echo ready; exec sleep 60")
    other = waiting(cli, "echo ready; read line", stdin=subprocess.PIPE)
    sleeper, = children(p.pid)
    p.kill()
    p.wait(60)
    os.kill(sleeper, signal.SIGKILL)   # it has our standard output
    p.communicate(timeout=60)
    assert len(folders(cli)) == 2
    cli("exec", "prod", "--", "true", code=0)
    left, = folders(cli)               # that of the one which still runs
    assert os.listdir(os.path.join(runtime(cli), left)) == ["config"]
    other.stdin.write(b"\n")
    other.communicate(timeout=60)
    assert folders(cli) == []


def test_what_kubectl_leaves_beside_it_goes_too(cli, broker):
    cli("exec", "prod", "--", "sh", "-c",
        "kubectl config set-context --current --namespace=x >/dev/null && "
        'touch "$KUBECONFIG.lock"', code=0)
    assert folders(cli) == []


def test_a_runtime_folder_of_others(cli, broker):
    os.mkdir(runtime(cli), 0o777)
    os.chmod(runtime(cli), 0o777)
    done = cli("exec", "prod", "--", "true", code=78)
    assert "runtime folder" in done.note
    assert len(broker.asked("UseEnd")) == 1


# --- proxy ---

def proxied(cli, *args):
    p = cli.start(*args, "proxy", "prod")
    return p, p.stdout


def test_proxy(cli, broker):
    p, out = proxied(cli)
    line = out.readline().decode()
    assert line.startswith("export KUBECONFIG='")
    path = line.split("'")[1]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert "Ctrl-C" in p.stderr.readline().decode()
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=60)
    assert p.returncode == 0
    assert not os.path.exists(path) and broker.ended.is_set()


def test_proxy_as_json(cli, broker):
    p, out = proxied(cli, "-o", "json")
    text = b""
    while not text.endswith(b"\n}\n"):
        text += out.readline()
    document = json.loads(text)
    assert document["kind"] == "Proxy" and document["grant"] == GRANT
    assert document["server"] == broker.server and document["audit_seq"] == 7
    assert os.path.exists(document["kubeconfig"])
    p.terminate()
    p.communicate(timeout=60)
    assert p.returncode == 0


def test_proxy_ends_with_the_grant(cli, broker):
    broker.seconds = 1
    done = cli("proxy", "prod", code=0)
    assert "has ended" in done.note
    assert folders(cli) == []


def test_proxy_ends_with_the_broker(cli, broker):
    p, out = proxied(cli)
    out.readline()
    broker.hang_up()
    p.communicate(timeout=60)
    assert p.returncode == UNAVAILABLE
    assert folders(cli) == []
