"""The relay beside its peers (run.sh relay): whole commands over a line with a
round trip, signatures, processor time of connections, requests and streams,
memory of idle connections."""

import base64
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "scenario"))
import harness  # noqa: E402
import held as holding  # noqa: E402
import kube  # noqa: E402
import minting  # noqa: E402
import nginx  # noqa: E402
import peers  # noqa: E402
import relay  # noqa: E402
import tokens  # noqa: E402
import yaml  # noqa: E402

ROUNDS = int(os.environ.get("CV_ROUNDS", "15"))
SECONDS = os.environ.get("CV_SECONDS", "2")
PROGRAMS = os.path.join(harness.RELEASE, "bench")
LOAD = os.path.join(PROGRAMS, "relay_load")
BIG = 256 << 20

# What kubectl asks for by `get ns`, as fixed answers.
KUBE = {
    "= /version": {"major": "1", "minor": "32", "gitVersion": "v1.32.4"},
    "= /api": {"kind": "APIVersions", "versions": ["v1"],
               "serverAddressByClientCIDRs": []},
    "= /apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "= /api/v1": {"kind": "APIResourceList", "groupVersion": "v1",
                  "resources": [{"name": "namespaces", "singularName":
                                 "namespace", "namespaced": False, "kind":
                                 "Namespace", "verbs": ["get", "list"],
                                 "shortNames": ["ns"]}]},
    "/api/v1/namespaces": {
        "kind": "NamespaceList", "apiVersion": "v1",
        "metadata": {"resourceVersion": "1"}, "items": [
            {"kind": "Namespace", "apiVersion": "v1", "metadata":
             {"name": n, "creationTimestamp": "2026-01-01T00:00:00Z"},
             "status": {"phase": "Active"}}
            for n in ("default", "kube-system")]},
}
COMMANDS = {"get --raw /version": ["get", "--raw", "/version"],
            "get ns": ["get", "ns"]}


def kube_server(folder, authority, h2, close=False):
    """nginx with those answers, and files of 1 KiB and 256 MiB. `close`: a
    connection for each request, so that nobody's pool has one."""
    www = os.path.join(folder, "www")
    os.makedirs(www, exist_ok=True)
    with open(os.path.join(www, "r1k"), "w", encoding="ascii") as f:
        f.write("x" * 1024)
    with open(os.path.join(www, "big"), "wb") as f:
        f.truncate(BIG)
    rest = f"ssl_client_certificate {{ca}}; ssl_verify_client on; root {www};"
    rest += "keepalive_timeout 0;" if close else ""
    for place, answer in KUBE.items():
        rest += (f"location {place} {{ default_type application/json; return "
                 f"200 '{json.dumps(answer)}'; }}\n")
    return nginx.Server(folder, "http2" if h2 else "", rest, authority,
                        names=["127.0.0.1", "localhost"])


class Line:
    """A delay line to a port; its own round trip is measured by an echo."""

    def __init__(self, port, round_trip_ms):
        self.process = subprocess.Popen(
            [os.path.join(PROGRAMS, "delay_line"), str(port),
             str(round_trip_ms * 500)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def line_itself(round_trip_ms):
    """(milliseconds of a round trip, of opening and a round trip)."""
    listener = socket.create_server(("127.0.0.1", 0))

    def echo():
        with contextlib.suppress(OSError):
            while True:
                s, _ = listener.accept()
                with s:
                    while data := s.recv(100):
                        s.sendall(data)

    threading.Thread(target=echo, daemon=True).start()
    again, first = [], []
    with listener, Line(listener.getsockname()[1], round_trip_ms) as line:
        for _ in range(9):
            begin = time.perf_counter()
            with socket.create_connection(("127.0.0.1", line.port)) as s:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for took in (first, again):
                    s.sendall(b"x")
                    s.recv(1)
                    took.append(time.perf_counter() - begin)
                    begin = time.perf_counter()
    return (1000 * statistics.median(again), 1000 * statistics.median(first))


class Ours:
    """A vault with an agent; `entry` leads to a server, its key sealed or on
    the token. Within: a grant is held by `exec`."""

    name = "certvault"

    def __init__(self, vault, entry, more=None):
        self.vault, self.entry = vault, entry
        self.more = more

    def __enter__(self):
        out = os.path.join(self.vault.home, "held.yaml")
        hold = self.vault.start("exec", self.entry, "--", "sh", "-c",
                                f'cat "$KUBECONFIG" >{out}; echo; read x',
                                stdin=subprocess.PIPE)
        self.hold = hold
        assert hold.stdout.readline() == b"\n", hold.stderr.read().decode()
        with open(out, encoding="utf-8") as f:
            made = yaml.safe_load(f)
        cluster, user = made["clusters"][0]["cluster"], made["users"][0]["user"]
        self.kubeconfig = out
        self.port = int(cluster["server"].rsplit(":", 1)[1])
        self.ca = self.data("ca", cluster["certificate-authority-data"])
        self.cert = self.data("cert", user["client-certificate-data"])
        self.key = self.data("key", user["client-key-data"])
        return self

    def data(self, name, value):
        path = os.path.join(self.vault.home, "held." + name)
        with open(path, "wb") as f:
            f.write(base64.b64decode(value))
        os.chmod(path, 0o600)
        return path

    def __exit__(self, *args):
        self.hold.stdin.close()
        self.hold.wait(60)

    @staticmethod
    def pids():
        return [pid for pid, name in harness.our_processes()
                if name != "certvault"]


def load(mode, at, path, threads=4, seconds=SECONDS, strict=True):
    """(what relay_load counted, seconds, bytes, processor seconds)."""
    files = [at.cert, at.key] if strict else ["-", "-"]
    pids = at.pids()
    before = peers.cpu_of(pids)
    done = subprocess.run(
        [LOAD, mode, str(at.port), at.ca, *files, path, str(threads),
         str(seconds)], capture_output=True)
    if done.returncode:
        raise SystemExit(f"{at.name} {mode}: {done.stderr.decode()}")
    peers.wait_quiet(pids)
    count, took, _, _, data = done.stdout.split()
    return (int(count), float(took), int(data), peers.cpu_of(pids) - before)


def say(what, ratios, goal, rest):
    value = statistics.median(ratios)
    met = "" if goal is None else \
        f" (goal <= {goal}x, {'met' if value <= goal else 'MISSED'})"
    print(f"{what}: {value:.2f}x{met}; {rest}; {len(ratios)} rounds",
          flush=True)


class World:
    """A server, a vault with a sealed key and the same kind on SoftHSM."""

    def __init__(self, folder, h2, close=False):
        self.folder = folder
        self.authority = minting.Authority("kube CA")
        self.server = kube_server(folder, self.authority, h2, close)
        self.server.__enter__()
        self.token = tokens.SoftHsm(os.path.join(folder, "token"))
        self.token.start()
        self.vault = harness.Vault(os.path.join(folder, "home"),
                                   build=harness.RELEASE)
        self.held = holding.Held(self.vault, self.token)
        self.vault.flags = []

    def add(self, name, port, held=False):
        # A vault holds an identity once.
        self.identity = kube.Identity("p256", ca=self.authority, common="kim")
        text = kube.as_yaml(kube.config(
            self.identity, server=f"https://127.0.0.1:{port}"))
        if held:
            done = self.held.json("import", "-", "--name", name, "--to",
                                  "token:" + self.held.uri, input=text)
        else:
            done = self.vault.add(text, name)
        return done["items"][0]["entry_id"]

    def agent(self):
        self.held("agent", "start", code=0)
        self.held("token", "login", self.held.uri, code=0)

    def no_agent(self):
        self.vault("agent", "stop", code=0)

    def signatures(self):
        """Signatures for handshakes so far."""
        return len(relay.signatures(self.vault))

    def end(self):
        self.vault("agent", "stop")
        self.token.stop()
        self.server.__exit__()


# --- (a) whole commands ---

def command(argv, env):
    begin = time.perf_counter()
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL,
                          capture_output=True)
    took = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(f"{argv}: {done.stderr.decode()}")
    return took


def plugin_config(world, name):
    path = os.path.join(world.vault.home, f"{name}-plugin.yaml")
    world.vault("kubeconfig", name, "--output", path, code=0)
    return path


def commands_at(world, ms, goals):
    """One round trip: certvault by exec and by exec plugin, nginx's pooled
    hop with a key file, and kubectl with a key file straight."""
    kubectl = relay.kubectl()
    again, first = line_itself(ms)
    print(f"line of {ms} ms: its own round trip {again:.2f} ms, opening and a "
          f"round trip {first:.2f} ms", flush=True)
    with Line(world.server.port, ms) as line:
        name = f"at{ms}"
        world.add(name, line.port)
        shared = peers.World(os.path.join(world.folder, f"peers-{ms}"),
                             line.port, world.identity)
        with peers.Nginx(shared, True) as hop, \
                Ours(world.vault, name) as ours:
            paths = {
                "straight": relay.direct(world.folder, world.identity,
                                         f"https://127.0.0.1:{line.port}"),
                "nginx": hop_config(world.folder, hop),
                "exec": ours.kubeconfig,
                "plugin": plugin_config(world, name)}
            for what, words in COMMANDS.items():
                took = {way: [] for way in paths}
                for i in range(ROUNDS + 1):
                    for way, path in paths.items():
                        t = command([kubectl, *words], {
                            **world.vault.env(), "KUBECONFIG": path})
                        if i > 0:      # the first fills caches and pools
                            took[way].append(t)
                tell_commands(what, ms, took, goals)


def hop_config(folder, hop):
    caller = kube.Identity("p256", ca=hop.world.local)
    return relay.direct(folder, caller, f"https://127.0.0.1:{hop.port}",
                        f"hop-{hop.port}")


def tell_commands(what, ms, took, goal):
    plain = took["straight"]
    middle = {way: 1000 * statistics.median(t) for way, t in took.items()}
    for way, said in (("exec", "certvault exec"), ("plugin", "exec plugin"),
                      ("nginx", "nginx's pooled hop, key file")):
        say(f"{what} at {ms} ms, {said}",
            [a / b for a, b in zip(took[way], plain)],
            goal if way != "nginx" else None,
            f"medians {middle[way]:.1f} ms against {middle['straight']:.1f} "
            "ms straight")
    say(f"{what} at {ms} ms, certvault exec against nginx's hop",
        [a / b for a, b in zip(took["exec"], took["nginx"])], 1.05,
        f"medians {middle['exec']:.1f} ms against {middle['nginx']:.1f} ms")


def bench_commands(folder):
    world = World(folder, True)
    try:
        world.agent()
        print("$ certvault exec NAME -- kubectl get ...; certvault kubeconfig "
              "NAME, then kubectl; nginx; kubectl with a key file")
        for ms, goal in ((0, 1.0), (20, 0.70), (100, 0.47)):
            os.makedirs(os.path.join(folder, f"peers-{ms}"))
            commands_at(world, ms, goal)
    finally:
        world.end()


# --- (b) signatures ---

def bench_signatures(folder):
    world = World(folder, True)
    try:
        world.agent()
        world.add("held", world.server.port, held=True)
        count = int(os.environ.get("CV_COMMANDS", "1000"))
        path = plugin_config(world, "held")
        env = {**world.vault.env(), "KUBECONFIG": path}
        print(f"$ kubectl get --raw /version; kubectl get ns    ({count} in "
              "turn, exec plugin, the key on SoftHSM)")
        before = world.signatures()
        begin = time.perf_counter()
        for i in range(count):
            command([relay.kubectl(), *list(COMMANDS.values())[i % 2]], env)
        made = world.signatures() - before
        value = made / count
        print(f"token signatures for {count} commands: {made}, {value:.4f} a "
              f"command (goal <= 0.01, {'met' if value <= 0.01 else 'MISSED'}"
              f"); {time.perf_counter() - begin:.0f} s", flush=True)
    finally:
        world.end()


# --- (c) to (f) ---

def pairs(world, ours, kind, shared, strict, mode, path, threads, per):
    """Rounds of ours and theirs in turn; `per` makes one number of a load."""
    mine, theirs = [], []
    with kind(shared, strict) as peer:
        for _ in range(max(3, ROUNDS // 3)):
            mine.append(per(load(mode, ours, path, threads)))
            theirs.append(per(load(mode, peer, path, threads, strict=strict)))
    return mine, theirs


def beside(world, ours, shared, kinds, goal, goal_kind, mode, path, threads,
           per, unit):
    for kind in kinds:
        why = kind.missing()
        if why:
            print(f"{kind.name}: not here: {why}")
            continue
        for strict in (False, True):
            mine, theirs = pairs(world, ours, kind, shared, strict, mode,
                                 path, threads, per)
            front = "front asks for a certificate" if strict else \
                "front lets anybody in"
            say(f"{unit} against {kind.name}, {front}",
                [a / b for a, b in zip(mine, theirs)],
                goal if kind is goal_kind else None,
                f"medians {statistics.median(mine):.1f} against "
                f"{statistics.median(theirs):.1f}")


def microseconds_each(result):
    return 1e6 * result[3] / max(1, result[0])


def microseconds_a_megabyte(result):
    return 1e6 * result[3] / (result[2] / 1e6)


def shared_world(world, key_id=None):
    folder = os.path.join(world.folder, "peers")
    os.makedirs(folder, exist_ok=True)
    return peers.World(folder, world.server.port, world.identity, world.token,
                       key_id)


def bench_new(folder):
    """(c) Each new client connection makes a new one upstream."""
    world = World(folder, False, close=True)
    try:
        key_id = world.add("held", world.server.port, held=True)
        world.agent()
        print("$ relay_load new ...    (the server closes after each answer; our "
              "key and engine:pkcs11's on SoftHSM)")
        with Ours(world.vault, "held") as ours:
            beside(world, ours, shared_world(world, key_id),
                   (peers.NginxToken, peers.NginxNoPool, peers.NginxStream,
                    peers.HaproxyTcp, peers.Stunnel), 0.7, peers.NginxToken,
                   "new", "/r1k", 4, microseconds_each,
                   "CPU us of a new connection, no pooled upstream,")
    finally:
        world.end()


def with_sealed(folder, run):
    world = World(folder, False)
    try:
        world.add("sealed", world.server.port)
        world.agent()
        with Ours(world.vault, "sealed") as ours:
            run(world, ours, shared_world(world))
    finally:
        world.end()


EVERYONE = (peers.Nginx, peers.NginxStream, peers.Haproxy, peers.HaproxyTcp,
            peers.Stunnel)


def bench_pooled(folder):
    """A new client connection, its request by a pooled upstream."""
    print("$ relay_load new ...    (pooled)")
    with_sealed(folder, lambda world, ours, shared: beside(
        world, ours, shared, (peers.Nginx, peers.Haproxy), None, None,
        "new", "/r1k", 4, microseconds_each,
        "CPU us of a new connection, pooled upstream,"))


def bench_keepalive(folder):
    """(d)"""
    print("$ relay_load ka ...    (8 connections)")
    with_sealed(folder, lambda world, ours, shared: beside(
        world, ours, shared, EVERYONE, 1.0, peers.Nginx, "ka", "/r1k", 8,
        microseconds_each, "CPU us of a request, keep-alive,"))


def bench_stream(folder):
    """(e)"""
    print("$ relay_load stream ...    (256 MiB each)")
    with_sealed(folder, lambda world, ours, shared: beside(
        world, ours, shared, EVERYONE, 0.8, peers.NginxStream, "stream",
        "/big", 1, microseconds_a_megabyte, "CPU us of a megabyte,"))


def idle_bytes(at, count, strict):
    """Of memory for each of `count` connections that did one request."""
    files = [at.cert, at.key] if strict else ["-", "-"]
    load("new", at, "/r1k", 4, "n200", strict)      # what grows once
    before = peers.pss_of(at.pids())
    holder = subprocess.Popen(
        [LOAD, "idle", str(at.port), at.ca, *files, "/r1k", str(count), "0"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline().strip() == str(count).encode()
    peers.wait_quiet(at.pids())
    used = peers.pss_of(at.pids()) - before
    holder.stdin.close()
    holder.wait(60)
    holder.stdout.close()
    return used / count


def bench_idle(folder):
    """(f)"""
    print("$ relay_load idle ... 1000 0")

    def run(world, ours, shared):
        mine = idle_bytes(ours, 1000, True) / 1024
        print(f"memory of an idle connection, of 1,000: {mine:.1f} KiB (goal "
              f"<= 24 KiB, {'met' if mine <= 24 else 'MISSED'})", flush=True)
        for kind in EVERYONE:
            for strict in (False, True):
                with kind(shared, strict) as peer:
                    print(f"  {kind.name}{', certificates' if strict else ''}:"
                          f" {idle_bytes(peer, 1000, strict) / 1024:.1f} KiB",
                          flush=True)

    with_sealed(folder, run)


BENCHES = {"relay_commands": bench_commands,
           "relay_signatures": bench_signatures, "relay_new": bench_new,
           "relay_pooled": bench_pooled, "relay_keepalive": bench_keepalive,
           "relay_stream": bench_stream, "relay_idle": bench_idle}
