"""The benches of tests/bench/run.sh. Each prints what was run and a ratio
beside its goal; a goal that is missed is said, and is no failure."""

import base64
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "scenario"))
import harness  # noqa: E402
import decide_bench  # noqa: E402
import kube  # noqa: E402
import minting  # noqa: E402
import nginx  # noqa: E402
import relay_bench  # noqa: E402

ROUNDS = int(os.environ.get("CV_ROUNDS", "15"))
MANY = int(os.environ.get("CV_ENTRIES", "100000"))
BATCH = 500                    # identities in one kubeconfig


def timed(function, *args, **options):
    begin = time.perf_counter()
    function(*args, **options)
    return time.perf_counter() - begin


def must(argv, **options):
    done = subprocess.run(argv, capture_output=True, **options)
    if done.returncode:
        raise SystemExit(f"{argv}: {done.returncode}: {done.stderr.decode()}")
    return done


def ratio_line(what, ours, theirs, goal, better):
    """Median of the ratios of interleaved rounds; theirs / ours is speed."""
    if better == "less":
        value = statistics.median(a / b for a, b in zip(ours, theirs))
        met = value <= goal
    else:
        value = statistics.median(b / a for a, b in zip(ours, theirs))
        met = value >= goal
    sign = "<=" if better == "less" else ">="
    print(f"{what}: {value:.2f}x (goal {sign} {goal}x, "
          f"{'met' if met else 'MISSED'}); medians "
          f"{1000 * statistics.median(ours):.1f} ms against "
          f"{1000 * statistics.median(theirs):.1f} ms, {len(ours)} rounds",
          flush=True)


def new_vault(folder, build=None):
    return harness.Vault(folder, build=build or harness.RELEASE)


# --- export ---

def bench_export(folder):
    """A cold export with its durable record against age."""
    vault = new_vault(folder)
    identity = kube.Identity("rsa2048")
    vault.policy(harness.MAY_EXPORT)
    text = kube.as_yaml(kube.config(identity))
    vault.add(text, "a", "--exportable")
    key = os.path.join(folder, "age.key")
    must(["age-keygen", "-o", key])
    with open(key, encoding="ascii") as f:
        public = [x.split()[-1] for x in f if "public key" in x][0]
    sealed = os.path.join(folder, "kube.age")
    must(["age", "-r", public, "-o", sealed], input=text.encode())
    argv = vault.argv("--no-input", "export", "a", "--reason", "bench")
    peer = ["age", "-d", "-i", key, sealed]
    print("$ certvault --no-input export a --reason bench    (exec:, key file)")
    print("$ age -d -i key kube.age")
    env = vault.env()
    ours, theirs = [], []
    for _ in range(2 * ROUNDS):
        ours.append(timed(must, argv, env=env, stdin=subprocess.DEVNULL))
        theirs.append(timed(must, peer, stdin=subprocess.DEVNULL))
    ratio_line("cold export", ours, theirs, 3, "less")


# --- import ---

def kubeconfigs(folder, n, per_file):
    """A folder of kubeconfigs with n identities of P-256 in all."""
    os.mkdir(folder)
    ca = minting.Authority("bench CA")
    for at in range(0, n, per_file):
        some = [kube.Identity("p256", ca=ca)
                for _ in range(min(per_file, n - at))]
        names = [f"c{at + i}" for i in range(len(some))]
        with open(os.path.join(folder, f"f{at}.json"), "w",
                  encoding="ascii") as f:
            f.write(kube.as_json(kube.several(some, names)))


def bench_import(folder):
    """Imports in one batch against crypto_box_seal with a sync each."""
    peer = os.path.join(harness.RELEASE, "bench", "seal_peer")
    for n, per_file in ((1000, BATCH), (1000, 1), (10000, BATCH)):
        configs = os.path.join(folder, f"configs-{n}-{per_file}")
        kubeconfigs(configs, n, per_file)
        print(f"$ certvault --no-input import FOLDER --name '{{context}}'    "
              f"({n} keys, {per_file} a file)")
        print(f"$ seal_peer FILE {n} each")
        ours, each, once = [], [], []
        rounds = max(3, ROUNDS // 3) if n == 1000 else 3
        for i in range(rounds):
            home = os.path.join(folder, f"home-{n}-{per_file}-{i}")
            vault = new_vault(home)
            argv = vault.argv("--no-input", "-q", "import", configs, "--name",
                              "{context}")
            ours.append(timed(must, argv, env=vault.env(),
                              stdin=subprocess.DEVNULL))
            out = os.path.join(home, "peer")
            each.append(timed(must, [peer, out, str(n), "each"]))
            once.append(timed(must, [peer, out, str(n), "once"]))
            shutil.rmtree(home)
        ratio_line(f"import of {n}, against one sync each", ours, each, 0.5,
                   "more")
        ratio_line(f"import of {n}, against one sync at the end", ours, once,
                   0.5, "more")


# --- list ---

class Broker:
    """A broker on a socket, spoken to directly: the command line's own time is
    left out."""

    def __init__(self, vault):
        self.path = os.path.join(vault.home, "run", "b.sock")
        self.process = subprocess.Popen(
            [harness.program("certvaultd", harness.RELEASE), "--vault",
             vault.folder, "--socket", self.path, "--foreground"],
            env=vault.env(), stdin=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not os.path.exists(self.path) and time.monotonic() < end:
            time.sleep(0.02)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(self.path)

    def call(self, method, **parameters):
        self.socket.sendall(json.dumps(
            {"method": "io.certvault.Broker." + method,
             "parameters": parameters}).encode() + b"\0")
        got = bytearray()
        while not got.endswith(b"\0"):
            data = self.socket.recv(1 << 20)
            if not data:
                raise SystemExit("the broker hung up")
            got += data
        answer = json.loads(bytes(got[:-1]))
        if "error" in answer:
            raise SystemExit(f"{method}: {answer}")
        return answer["parameters"]

    def end(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait(60)


def fill(vault, n):
    """n entries with one key and a CA certificate each (nothing checks a CA's
    own signature, so its serial number can be counted up in place)."""
    identity = kube.Identity("p256")
    der = identity.ca.cert.public_bytes(
        minting.serialization.Encoding.DER)
    serial = identity.ca.cert.serial_number.to_bytes(20, "big").lstrip(b"\0")
    at = der.index(serial) + 4
    user = identity.user()
    folder = os.path.join(vault.home, "many")
    for start in range(0, n, 10000):
        os.mkdir(folder)
        for first in range(start, min(n, start + 10000), BATCH):
            out = {"apiVersion": "v1", "kind": "Config", "clusters": [],
                   "users": [{"name": "u", "user": user}], "contexts": []}
            for i in range(first, min(n, first + BATCH)):
                ca = der[:at] + i.to_bytes(8, "big") + der[at + 8:]
                body = base64.encodebytes(ca)
                pem = (b"-----BEGIN CERTIFICATE-----\n" + body
                       + b"-----END CERTIFICATE-----\n")
                out["clusters"].append({"name": f"k{i}", "cluster": {
                    "server": f"https://k{i}.example:6443",
                    "certificate-authority-data":
                        base64.b64encode(pem).decode()}})
                out["contexts"].append({"name": f"k{i}", "context": {
                    "cluster": f"k{i}", "user": "u"}})
            with open(os.path.join(folder, f"{first}.json"), "w",
                      encoding="ascii") as f:
                json.dump(out, f)
        team = f"team=t{start // 10000}"
        vault("-q", "import", folder, "--name", "{context}", "--label", team,
              code=0, timeout=1200)
        shutil.rmtree(folder)
    for i in range(0, min(n, 1000), 10):
        vault("label", f"k{i}", "tier=rare", code=0)


def bench_list(folder):
    """Finding a few among many, in the broker."""
    vault = new_vault(folder)
    took = timed(fill, vault, MANY)
    print(f"{MANY} entries made in {took:.0f} s")
    broker = Broker(vault)
    calls = {
        "list by name": ("List", {"labels": {}, "pattern": "k1234?"}),
        "list by label": ("List", {"labels": {"tier": "rare"}}),
        "show": ("Show", {"name": f"k{MANY // 2}"}),
    }
    for what, (method, parameters) in calls.items():
        broker.call(method, **parameters)
        took = [timed(broker.call, method, **parameters)
                for _ in range(4 * ROUNDS)]
        answer = broker.call(method, **parameters)
        n = len(answer.get("items", [1]))
        value = 1000 * statistics.median(took)
        print(f"{what} ({n} found among {MANY}): {value:.2f} ms in the broker "
              f"(goal <= 20 ms, {'met' if value <= 20 else 'MISSED'})",
              flush=True)
    broker.end()


# --- fetch ---

def bench_fetch(folder):
    """1,000 certificates from nginx on the loopback against h2load."""
    n = 1000
    www = os.path.join(folder, "www")
    project = "0123456789abcdef0123456789abcdef"
    ids = [f"00000000-0000-4000-8000-{i:012d}" for i in range(n)]
    ca = minting.Authority("bench CA")
    for uid in ids:
        where = os.path.join(www, f"api/v3/projects/{project}/clusters/{uid}")
        os.makedirs(where)
        i = kube.Identity("p256", ca=ca)
        with open(os.path.join(where, "clustercert"), "w",
                  encoding="ascii") as f:
            json.dump(minting.kubeconfig(
                ca.pem, i.cert_pem, i.key_pem, "https://192.168.1.7:5443",
                "https://203.0.113.25:5443"), f)
    with nginx.Server(folder, "http2", f"root {www};",
                      default_type="application/json") as server:
        listed = os.path.join(folder, "ids")
        with open(listed, "w", encoding="ascii") as f:
            f.write("\n".join(ids) + "\n")
        urls = os.path.join(folder, "urls")
        with open(urls, "w", encoding="ascii") as f:
            f.writelines(f"{server.url}/api/v3/projects/{project}/clusters/"
                         f"{uid}/clustercert\n" for uid in ids)
        program = os.path.join(harness.RELEASE, "bench", "fetch_many")
        peer = ["h2load", "-n", str(n), "-c1", "-m100", "-i", urls]
        print("$ fetch_many URL CA IDS alone; fetch_many URL CA IDS all")
        print("$ h2load -n 1000 -c1 -m100 -i urls")
        alone, everything, theirs = [], [], []
        for r in range(ROUNDS):
            for mode, took in (("alone", alone), ("all", everything)):
                run = os.path.join(folder, f"run-{mode}-{r}")
                os.mkdir(run, 0o700)
                took.append(timed(must, [program, server.url, server.ca,
                                         listed, mode], cwd=run))
            theirs.append(timed(must, peer))
        ratio_line(f"fetch of {n} alone", alone, theirs, 0.9, "more")
        ratio_line(f"fetch of {n}, each key checked, sealed, recorded",
                   everything, theirs, 0.5, "more")


# --- agent ---

def spawned(argv, env):
    """A program's wall time with as little of ours around it as can be."""
    null = os.open(os.devnull, os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)]
    begin = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, env, file_actions=actions)
    status = os.waitpid(pid, 0)[1]
    took = time.perf_counter() - begin
    os.close(null)
    if status:
        raise SystemExit(f"{argv}: {os.waitstatus_to_exitcode(status)}")
    return took


def synced(path):
    """One kilobyte appended and synced, as a leaf is."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    begin = time.perf_counter()
    os.write(fd, b"x" * 1000)
    os.fdatasync(fd)
    took = time.perf_counter() - begin
    os.close(fd)
    return took


def bench_agent(folder):
    """A command through a running agent against a program that does nothing."""
    vault = new_vault(folder)
    vault.add(kube.as_yaml(kube.config(kube.Identity("p256"))), "a")
    nothing = os.path.join(folder, "true")
    must(["cc", "-O2", "-static", "-x", "c", "-o", nothing, "-"],
         input=b"int main(void) { return 0; }\n")
    vault.flags = []
    env = vault.env()
    must(vault.argv("agent", "start"), env=env)
    commands = {"list": ["list"], "status": ["status"], "show": ["show", "a"]}
    print("$ cc -static -o true (int main(void) { return 0; })")
    theirs = []
    ours = {what: [] for what in commands}
    for _ in range(20 * ROUNDS):
        theirs.append(spawned([nothing], env))
        for what, words in commands.items():
            ours[what].append(spawned(vault.argv(*words), env))
    for what, took in ours.items():
        ratio_line(f"{what} through a running agent", took, theirs, 3, "less")
        print(f"  a tenth was faster than "
              f"{1000 * sorted(took)[len(took) // 10]:.2f} ms against "
              f"{1000 * sorted(theirs)[len(took) // 10]:.2f} ms", flush=True)
    changes, syncs = [], []
    for _ in range(2 * ROUNDS):
        changes.append(spawned(vault.argv("label", "a", "k=v"), env))
        syncs.append(synced(os.path.join(folder, "file")))
    must(vault.argv("agent", "stop"), env=env)
    print(f"label, which waits until it is recorded and done: "
          f"{1000 * statistics.median(changes):.1f} ms; one fdatasync of a "
          f"kilobyte here: {1000 * statistics.median(syncs):.1f} ms",
          flush=True)


# --- signatures ---

def rate(argv, **options):
    return float(must(argv, **options).stdout)


def bench_sign(folder):
    """Signatures through broker and record, each with its durable leaf, against
    the bare C_Sign loop of the same token and key."""
    signatures(folder, None, 0.5)


def bench_unrecorded(folder):
    """The same through a broker that is built to leave no record of them, which
    no release can be: what the record itself costs."""
    build = os.path.join(harness.SOURCE, "build", "unrecorded")
    must(["cmake", "-S", harness.SOURCE, "-B", build, "-G", "Ninja",
          "-DCMAKE_C_COMPILER=gcc", "-DCMAKE_BUILD_TYPE=Release",
          "-DCV_UNRECORDED=ON"])
    must(["cmake", "--build", build, "--target", "certvault", "certvaultd",
          "token", "intake"])
    signatures(folder, build, 0.9)


def signatures(folder, build, wanted):
    import held as holding
    import tokens
    kind = [k for k in tokens.KINDS if k.name == "softhsm"][0]
    if kind.missing():
        raise SystemExit(f"softhsm: {kind.missing()}")
    vault = new_vault(folder, build)
    token = kind(os.path.join(folder, "token"))
    token.start()
    held = holding.Held(vault, token)
    programs = os.path.join(harness.RELEASE, "bench")
    seconds = os.environ.get("CV_SECONDS", "2")
    print("$ sign_callers SOCKET NAME ALGORITHM CALLERS DEPTH SECONDS")
    print("$ sign_loop softhsm2.so LABEL PIN ID KIND SECONDS")
    for alg, algorithm, what in (
            ("rsa2048", "rsa_pkcs1_sha256", "rsa"),
            ("p256", "ecdsa_secp256r1_sha256", "ec")):
        _, done = held.add(alg, alg)
        entry = done.json["items"][0]
        bare = [os.path.join(programs, "sign_loop"), token.tool_module,
                token.label, token.pin, entry["entry_id"], what, seconds]
        with held.broker() as broker:
            held(*held.to(broker), "token", "login", held.uri, code=0)
            for callers, depth, goal in ((1, 1, None), (4, 1, wanted),
                                         (4, 8, None)):
                ours, theirs = [], []
                for _ in range(max(3, ROUNDS // 3)):
                    ours.append(rate([
                        os.path.join(programs, "sign_callers"), broker.path,
                        alg, algorithm, str(callers), str(depth), seconds]))
                    theirs.append(rate(bare, env={**os.environ,
                                                  **token.tool_env}))
                value = statistics.median(a / b for a, b in zip(ours, theirs))
                said = "" if goal is None else \
                    f" (goal >= {goal}x, {'met' if value >= goal else 'MISSED'})"
                print(f"{alg}, {callers} callers with {depth} on their way: "
                      f"{value:.2f}x{said}; medians "
                      f"{statistics.median(ours):.0f}/s against "
                      f"{statistics.median(theirs):.0f}/s", flush=True)
    token.stop()


def bench_together(folder):
    """Exports of 16 callers, who share their commits, against one caller's, by
    turns."""
    vault = new_vault(folder, harness.RELEASE)
    vault.policy(harness.MAY_EXPORT)
    vault.add(kube.as_yaml(kube.config(kube.Identity("p256"))), "a",
              "--exportable")
    vault.flags = []    # by the agent
    vault("agent", "start", code=0)
    vault("unlock", "--key-file", vault.key_file, code=0)
    path = vault.json("agent", "status")["socket"]
    seconds = os.environ.get("CV_SECONDS", "2")
    print("$ sign_callers SOCKET NAME export CALLERS 1 SECONDS")
    try:
        rates = {1: [], 4: [], 16: []}
        for _ in range(max(3, ROUNDS // 3)):
            for callers, seen in rates.items():
                seen.append(rate([os.path.join(
                    harness.RELEASE, "bench", "sign_callers"), path, "a",
                    "export", str(callers), "1", seconds]))
    finally:
        vault("agent", "stop")
    for callers, seen in rates.items():
        value = statistics.median(a / b for a, b in zip(seen, rates[1]))
        print(f"export, {callers} callers: {statistics.median(seen):.0f}/s, "
              f"{value:.2f}x one caller", flush=True)


def cpu(argv, env):
    """Processor time of a command and all that it started, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    must(argv, env=env, stdin=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime +
            after.ru_stime - before.ru_stime)


def bench_cold_sign(folder):
    """One signature by a broker that is started for it, login included."""
    import held as holding
    import tokens
    if tokens.SoftHsm.missing():
        raise SystemExit(f"softhsm: {tokens.SoftHsm.missing()}")
    vault = new_vault(folder)
    token = tokens.SoftHsm(os.path.join(folder, "token"))
    token.start()
    held = holding.Held(vault, token)
    _, done = held.add("p256", "p256")
    programs = os.path.join(harness.RELEASE, "bench")
    pin = vault.write("pin", token.pin + "\n")
    env = {**vault.env(), **token.tool_env}
    ours = [os.path.join(programs, "sign_cold"),
            harness.program("certvaultd", harness.RELEASE), vault.folder,
            "p256", "ecdsa_secp256r1_sha256", held.uri, pin,
            os.path.join(vault.home, "config", "certvault", "certvault.yaml")]
    bare = [os.path.join(programs, "sign_loop"), token.tool_module,
            token.label, token.pin, done.json["items"][0]["entry_id"], "ec",
            os.path.join(folder, "record")]
    print("$ sign_cold certvaultd VAULT p256 ALGORITHM URI PIN    (a private "
          "broker, login, one signature with its record)")
    print("$ sign_loop MODULE LABEL PIN ID ec FILE    (dlopen, init, login, "
          "find, sign, append, fdatasync)")
    pairs = [(cpu(ours, env), cpu(bare, env)) for _ in range(2 * ROUNDS)]
    ratio_line("cold sign, processor time", [a for a, _ in pairs],
               [b for _, b in pairs], 1.5, "less")
    token.stop()


# --- verify ---

def bench_verify(folder):
    """1,000,000 records of 512 bytes against one SHA-256 over their bytes."""
    records = os.environ.get("CV_RECORDS", "1000000")
    program = os.path.join(harness.RELEASE, "bench", "verify_rate")
    for tiles in (False, True):
        vault = os.path.join(folder, "tiles" if tiles else "plain")
        env = {**os.environ, **({"CV_TILES": "1"} if tiles else {})}
        print(f"$ {'CV_TILES=1 ' if tiles else ''}verify_rate make VAULT "
              f"{records} 512; verify_rate run VAULT {ROUNDS}", flush=True)
        print(must([program, "make", vault, records, "512"],
                   env=env).stdout.decode().strip())
        lines = must([program, "run", vault, str(ROUNDS)]).stdout.split(b"\n")
        rounds = [[float(x) for x in line.split()] for line in lines[:ROUNDS]]
        also = ", tiles too" if tiles else ""
        for what, ours, theirs, goal in (
                ("one thread, wall", 1, 0, 2.5), ("two threads, wall", 2, 0, 1.5),
                ("one thread, processor", 4, 3, 2.5)):
            ratio_line(f"verify{also}, {what}", [r[ours] for r in rounds],
                       [r[theirs] for r in rounds], goal, "less")
        print(f"most memory resident: {int(lines[ROUNDS]) / 1024:.0f} MB "
              "(goal < 100)", flush=True)
    # Out of the tiles that were just made.
    print(f"$ prove_rate VAULT {records} 3000", flush=True)
    print(must([os.path.join(harness.RELEASE, "bench", "prove_rate"), vault,
                records, "3000"]).stdout.decode().strip() +
          " (goal: a proof < 1000 us)", flush=True)


# --- report ---

def children():
    """Processor time of all our processes that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bench_report(folder):
    """An HTML report of 100,000 records by a private broker, its index made."""
    records = os.environ.get("CV_RECORDS", "100000")
    vault = new_vault(folder)
    vault("status", code=0)
    must([os.path.join(harness.RELEASE, "bench", "ask_rate"), "fill",
          vault.folder, records])
    page = os.path.join(folder, "page.html")
    argv = vault.argv("--no-input", "audit", "report", "--html", page)
    env = vault.env()
    must(argv, env=env, stdin=subprocess.DEVNULL)
    print(f"$ certvault --no-input audit report --html FILE    ({records} "
          "records)", flush=True)
    wall, processor = [], []
    for _ in range(ROUNDS):
        os.unlink(page)
        before = children()
        wall.append(timed(must, argv, env=env, stdin=subprocess.DEVNULL))
        processor.append(children() - before)
    for what, took in (("wall", wall), ("processor, all our processes",
                                        processor)):
        value = statistics.median(took)
        print(f"report, {what}: {value:.2f} s (goal < 2 s, "
              f"{'met' if value < 2 else 'MISSED'}; {min(took):.2f} to "
              f"{max(took):.2f} s, {len(took)} rounds)", flush=True)
    size = os.stat(page).st_size / 2**20
    print(f"the page has {size:.0f} MB", flush=True)


# --- the record: written, and asked ---

def bench_log_rate(folder):
    """Durable records, alone and in groups, against a bare file and SQLite."""
    program = os.path.join(harness.RELEASE, "bench", "log_rate")
    print(f"$ log_rate DIR {ROUNDS}    (bare: the same bytes over preallocated "
          "zeros, one pwrite and one fdatasync a group; SQLite: WAL, "
          "synchronous=FULL)", flush=True)
    done = must([program, os.path.join(folder, "log"), str(ROUNDS)])
    print(done.stderr.decode().strip())
    rounds = [[float(x) for x in line.split()]
              for line in done.stdout.splitlines()]
    for group, goals in ((1, (0.95, None)), (100, (0.6, 2)), (1000, (0.6, 2))):
        of = [r for r in rounds if r[0] == group]
        for what, at, goal in (("the bare file", 1, goals[0]),
                               ("SQLite", 3, goals[1])):
            if goal is not None:
                ratio_line(f"{group} records a sync against {what}",
                           [group / r[2] for r in of],
                           [group / r[at] for r in of], goal, "more")
        cpu = [statistics.median(r[i] for r in of) for i in (4, 5, 6)]
        print(f"  processor time a record: bare {cpu[0]:.2f} us, the log "
              f"{cpu[1]:.2f} us, SQLite {cpu[2]:.2f} us (medians)", flush=True)


def bench_ask_rate(folder):
    """A query by entry, by the index and by a scan."""
    records = os.environ.get("CV_RECORDS", "1000000")
    program = os.path.join(harness.RELEASE, "bench", "ask_rate")
    vault = new_vault(folder)
    print(f"$ ask_rate fill VAULT {records}; ask_rate run VAULT {ROUNDS}",
          flush=True)
    print(must([program, "fill", vault.folder, records])
          .stdout.decode().strip())
    lines = must([program, "run", vault.folder, str(ROUNDS)]) \
        .stdout.decode().splitlines()
    print(lines[0])
    rounds = [[float(x) for x in line.split()] for line in lines[1:]]
    if any(r[3] < 0 for r in rounds):
        raise SystemExit("index and scan found different records")
    query, who, scan = (statistics.median(r[i] for r in rounds)
                        for i in range(3))
    print(f"query by entry ({rounds[0][3]:.0f} of {records} records): "
          f"{query:.1f} ms by the index (goal < 20 ms, "
          f"{'met' if query < 20 else 'MISSED'}), {scan:.0f} ms by a scan; "
          f"who: {who:.1f} ms; medians, {len(rounds)} rounds", flush=True)


BENCHES = {"export": bench_export, "import": bench_import, "list": bench_list,
           "fetch": bench_fetch, "agent": bench_agent, "sign": bench_sign,
           "together": bench_together,
           "verify": bench_verify, "report": bench_report, "unrecorded": bench_unrecorded, "cold_sign": bench_cold_sign,
           "log_rate": bench_log_rate, "ask_rate": bench_ask_rate,
           **decide_bench.BENCHES, **relay_bench.BENCHES}


def main(names):
    harness.adopt_orphans()
    for name in names or BENCHES:
        print(f"== {name}", flush=True)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            BENCHES[name](folder)


if __name__ == "__main__":
    main(sys.argv[1:])
