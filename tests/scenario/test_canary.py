"""Known secrets go through everything, and turn up nowhere: not in what is
printed, the log, the database and its journal (freed pages too), arguments,
environments of children, cores, temporary files."""

import os
import re
import resource
import signal
import subprocess
import time

import pytest

import cce_standin
import filters
import harness
import straced
from kube import Identity, as_yaml, config

HEX = re.compile(r"(?:\\x[0-9a-f]{2})+")


def strings(trace):
    """All that strace printed as a string."""
    return b"\0".join(bytes.fromhex(m.group(0).replace("\\x", ""))
                      for m in HEX.finditer(trace))


@pytest.fixture
def everything(home, secrets, standin):
    """A vault that has seen twelve kinds of secrets."""
    v = harness.Vault(home, secrets)
    cloud = standin.cloud
    to = ("--region", cloud.region, "--endpoint", standin.url,
          "--iam-endpoint", standin.url, "--ca-file", standin.ca_file)
    keys = {"HUAWEICLOUD_SDK_AK": cloud.ak, "HUAWEICLOUD_SDK_SK": cloud.sk}
    temporary = cloud.new_temporary_key()
    token = cloud.new_token()
    for what, value in (("temporary AK", temporary.ak),
                        ("temporary SK", temporary.sk),
                        ("security token", temporary.security_token),
                        ("X-Auth-Token", token),
                        ("passphrase", "canary passphrase one"),
                        ("new passphrase", "canary passphrase two"),
                        ("somebody's token", "canary-bearer-token"),
                        ("somebody's password", "canary-basic-password")):
        secrets.add(what, value)
    v.policy(harness.MAY_EXPORT)
    v("fetch", "--cluster", "prod", "--exportable", *to, env=keys, code=0)
    v("fetch", "--cluster", "dev", *to, code=0, env={
        "HUAWEICLOUD_SDK_AK": temporary.ak, "HUAWEICLOUD_SDK_SK": temporary.sk,
        "HUAWEICLOUD_SDK_SECURITY_TOKEN": temporary.security_token})
    v("fetch", "--cluster", "dev", "--name", "t", *to, "--token-file",
      v.write("token", token), code=0)
    v("fetch", "--cluster", "dev", "--name", "u", *to, "--iam-user",
      cloud.user, "--iam-domain", cloud.domain, "--password-file",
      v.write("password", cloud.password), code=0)
    v("fetch", "--cluster", "dev", "--name", "w", *to, env={
        **keys, "HUAWEICLOUD_SDK_SK": "wrong-canary-secret-key"},
      code=harness.REMOTE)
    secrets.add("wrong SK", "wrong-canary-secret-key")
    document = config(Identity("rsa2048", secrets=secrets))
    document["users"] += [
        {"name": "t", "user": {"token": "canary-bearer-token"}},
        {"name": "p", "user": {"username": "u",
                               "password": "canary-basic-password"}}]
    v("import", v.write("kube", as_yaml(document)), "--name", "k",
      "--exportable", code=0)
    for alg in ("p256", "ed25519"):
        v.add(as_yaml(config(Identity(alg, secrets=secrets))), alg,
              "--exportable")
    one, two = (v.write("one", "canary passphrase one"),
                v.write("two", "canary passphrase two"))
    v("slot", "add", "passphrase", "--new-passphrase-file", one, code=0)
    slot = [s for s in v.json("slot", "list")["items"]
            if s["kind"] == "passphrase"][0]["id"]
    v("slot", "change", slot, "--new-passphrase-file", two, code=0)
    code = v("-o", "json", "slot", "recovery", code=0, secret=True).json
    secrets.add("recovery code", code["recovery_code"])
    # Certificates that do not open, keys that are broken, refusals.
    for name in ("11-key-mismatch", "12-bad-base64", "17-truncated",
                 "44-401-cce"):
        standin.inject(cce_standin.Fault.from_file(os.path.join(
            harness.DATA, "cce", "responses", name + ".json"),
            match="clustercert"))
        v("fetch", "--cluster", "dev", "--name", "n", *to, env=keys)
    v("export", "k", code=harness.DENIED)
    v("export", "k", "--reason", "x", code=0, secret=True)
    v("rm", "p256", "--yes", code=0)
    v("rename", "ed25519", "e", code=0)
    v("list", code=0)
    v("-o", "json", "audit", "query", code=0)
    v("-v", "export", "k", "--reason", "x", code=0, secret=True)
    v("-v", "fetch", "--cluster", "dev", "--name", "v", *to, env=keys, code=0)
    v.inputs = {"token", "password", "kube", "one", "two", "vault.key"}
    return v


def test_nowhere_on_the_disk(everything):
    v = everything
    assert len({w.split(",")[0] for w, _ in v.secrets.known}) >= 12
    found = [f for f in v.secrets.found_below(v.home)
             if os.path.basename(f.split(":")[0]) not in v.inputs]
    assert not found, found
    v.verify()


def test_the_search_would_find_them(everything):
    """The canary sings: what is looked for is what was there."""
    v = everything
    path = v.path("leak")
    for what, raw in v.secrets.known:
        with open(path, "wb") as f:
            f.write(b"x" * 5000 + raw)
        assert v.secrets.found_below(v.folder), what
    os.unlink(path)
    done = v("export", "k", "--reason", "x", code=0, secret=True)
    assert v.secrets.found_in(done.out)


def test_not_in_arguments_nor_environments(release_vault, secrets, standin,
                                           tmp_path):
    """Every execve but the command line's own, with all it was given."""
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    v, cloud = release_vault, standin.cloud
    v.policy(harness.MAY_EXPORT)
    to = ("--region", cloud.region, "--endpoint", standin.url,
          "--iam-endpoint", standin.url, "--ca-file", standin.ca_file)
    secrets.add("passphrase", "canary passphrase one")
    word = v.write("one", "canary passphrase one")
    runs = [
        (("fetch", "--cluster", "prod", "--exportable", *to),
         {"HUAWEICLOUD_SDK_AK": cloud.ak, "HUAWEICLOUD_SDK_SK": cloud.sk,
          "CERTVAULT_PASSPHRASE_FILE": word}),
        (("slot", "add", "passphrase", "--new-passphrase-file", word), {}),
        (("export", "prod", "--reason", "x", "--passphrase-file", word), {}),
    ]
    for n, (args, env) in enumerate(runs):
        out = str(tmp_path / f"trace{n}")
        v.wrap = straced.command(out, ("execve",), ["-v"])
        try:
            v(*args, env=env, code=0, secret=True)
        finally:
            v.wrap = []
        with open(out, encoding="ascii") as f:
            lines = [line for line in f if "execve(" in line]
        assert len(lines) >= 3, lines
        # The first is the command line's own start, as the user typed it.
        own, others = lines[0], lines[1:]
        assert not secrets.found_in(strings("".join(others)))
        argv = own[own.index("["):own.index("]")]
        assert not secrets.found_in(strings(argv))


def wait_until(happened, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = happened()
        if got:
            return got
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def running(name):
    return [pid for pid, program in harness.our_processes()
            if program == name]


@pytest.fixture
def at_work(release_vault, secrets, standin):
    """A broker that holds the vault's key in a token process, and a fetch of
    it that waits for the cloud in an intake process."""
    v, cloud = release_vault, standin.cloud
    v.policy(harness.MAY_EXPORT)
    v.add(as_yaml(config(Identity(secrets=secrets))), "a", "--exportable")
    allow = {"preexec_fn": lambda: resource.setrlimit(
        resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2), "cwd": v.home}
    path = os.path.join(v.home, "run", "b.sock")
    broker = subprocess.Popen(
        [harness.program("certvaultd", v.build), "--vault", v.folder,
         "--socket", path, "--foreground", "--key-file", v.key_file],
        env=v.env(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True, **allow)
    wait_until(lambda: os.path.exists(path))
    to = ("--broker", "unix:" + path)
    v(*to, "export", "a", "--reason", "x", code=0, secret=True)
    standin.inject(cce_standin.Fault(None, match="/clusters", count=1,
                                     delay=60))
    fetch = v.start(*to, "fetch", "--cluster", "dev", "--region", cloud.region,
                    "--endpoint", standin.url, "--iam-endpoint", standin.url,
                    "--ca-file", standin.ca_file,
                    env={"HUAWEICLOUD_SDK_AK": cloud.ak,
                         "HUAWEICLOUD_SDK_SK": cloud.sk}, **allow)
    standin.wait_for_waiting()
    yield v
    standin.stopping.set()
    for p in (fetch, broker):
        p.terminate()
        p.communicate(timeout=60)
    standin.stopping.clear()


@pytest.mark.parametrize("victim", ["certvaultd", "token", "intake"])
def test_no_core(at_work, victim):
    """SIGSEGV at work: no core, though the user allows cores."""
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as f:
        pattern = f.read().strip()
    pids = running(victim)
    assert pids
    for pid in pids:
        with open(f"/proc/{pid}/limits", encoding="ascii") as f:
            core = [x for x in f if x.startswith("Max core")][0].split()
        assert core[4] == "0", core
        os.kill(pid, signal.SIGSEGV)
    wait_until(lambda: not set(pids) & set(running(victim)))
    cores = [n for n in os.listdir(at_work.home) if n.startswith("core")]
    assert not cores, (pattern, cores)


def test_processes_are_locked_down(at_work):
    """no_new_privs in all; a system call filter in all but the spawner, whose
    children would inherit it; environment and memory out of reach."""
    filtered = {}
    for pid, name in harness.our_processes():
        if name == "certvault":
            continue
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            status = f.read()
        assert "NoNewPrivs:\t1" in status, name
        filtered.setdefault(name, []).append("Seccomp:\t2" in status)
        # Owned by root: undumpable (proc(5)).
        assert os.stat(f"/proc/{pid}/environ").st_uid == 0
        if os.geteuid() != 0:
            with pytest.raises(PermissionError):
                open(f"/proc/{pid}/environ", "rb").close()
            continue
        with open(f"/proc/{pid}/environ", "rb") as f:
            given = f.read()
        assert not at_work.secrets.found_in(given), name
        assert b"HUAWEICLOUD" not in given
    assert filtered["token"] == [True] and filtered["intake"] == [True]
    assert filtered["certvaultd"].count(True) == 1


# Of read, openat, unlinkat, connect, accept4, listen, execve, ptrace.
A, R, K = "allow", "refuse", "kill"
CALLS = ("read", "openat", "unlinkat", "connect", "accept4", "listen", "execve",
         "ptrace")
FILTERS = {
    "certvaultd": (A, A, A, R, A, R, K, K),
    "certvaultd --offline": (A, A, A, R, R, R, K, K),
    "intake": (A, A, R, A, R, R, K, K),
    "intake --offline": (A, A, A, R, R, R, K, K),
    "relay": (A, A, R, A, A, A, K, K),
    "token": (A, R, R, R, R, R, K, K),
    "token --pkcs11": (A, A, A, A, A, A, R, K),
}


def test_each_program_has_its_own_filter(release_vault, secrets, standin,
                                         tmp_path):
    """Any of them would do for most of what is tested elsewhere."""
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    v, cloud = release_vault, standin.cloud
    v.policy(harness.MAY_EXPORT)
    kube = v.write("kube", as_yaml(config(Identity(secrets=secrets))))
    runs = [
        (("import", kube, "--name", "a", "--exportable"), {}),
        (("export", "a", "--reason", "x", "--output", v.home + "/out"), {}),
        (("exec", "a", "--", "true"), {}),
        (("policy", "check", v.write("policy", "no: policy")), {}),
        (("fetch", "--cluster", "prod", "--region", cloud.region, "--endpoint",
          standin.url, "--iam-endpoint", standin.url, "--ca-file",
          standin.ca_file), {"HUAWEICLOUD_SDK_AK": cloud.ak,
                             "HUAWEICLOUD_SDK_SK": cloud.sk}),
        (("token", "list"), {}),
    ]
    found = {}
    for n, (args, env) in enumerate(runs):
        out = str(tmp_path / f"trace{n}")
        v.wrap = filters.command(out)
        try:
            v(*args, env=env, secret=True)
        finally:
            v.wrap = []
        with open(out, encoding="ascii") as f:
            found.update(filters.read(f.read()))
    # The last is there only where a module is configured.
    assert set(found) | {"token --pkcs11"} == set(FILTERS), set(found)
    seen = {name: tuple(filters.verdict(f, call) for call in CALLS)
            for name, f in found.items()}
    assert seen == {name: FILTERS[name] for name in found}
    for name in ("intake", "relay"):
        packet = filters.verdict(found[name], "socket", 17)
        assert packet == R, name
