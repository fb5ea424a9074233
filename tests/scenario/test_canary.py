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
    secrets.add("recovery code", code.get("secret") or code["code"])
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


def running(name):
    for pid, program in harness.our_processes():
        if program == name:
            return pid
    return None


@pytest.mark.parametrize("victim", ["certvaultd", "token", "intake"])
def test_no_core(release_vault, secrets, standin, victim):
    """SIGSEGV at work: no core, though cores are allowed."""
    v = release_vault
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as f:
        pattern = f.read().strip()
    v.policy(harness.MAY_EXPORT)
    v.add(as_yaml(config(Identity(secrets=secrets))), "a", "--exportable")
    standin.inject(cce_standin.Fault(None, match="/clusters", count=1,
                                     delay=10))
    cloud = standin.cloud
    if victim == "token":
        args = ("export", "a", "--reason", "x", "--passphrase-file", "-")
    else:
        args = ("fetch", "--cluster", "dev", "--region", cloud.region,
                "--endpoint", standin.url, "--iam-endpoint", standin.url,
                "--ca-file", standin.ca_file)
    p = v.start(*args, env={"HUAWEICLOUD_SDK_AK": cloud.ak,
                            "HUAWEICLOUD_SDK_SK": cloud.sk}, cwd=v.home,
                stdin=subprocess.PIPE,
                preexec_fn=lambda: resource.setrlimit(
                    resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2))
    pid = None
    end = time.monotonic() + 8
    while not pid and time.monotonic() < end and p.poll() is None:
        pid = running(victim)
        time.sleep(0.002)
    if pid:
        with open(f"/proc/{pid}/limits", encoding="ascii") as f:
            core = [x for x in f if x.startswith("Max core")][0].split()
        os.kill(pid, signal.SIGSEGV)
    standin.stopping.set()
    p.stdin.close()
    p.stdin = None
    p.communicate(timeout=30)
    standin.stopping.clear()
    if not pid:
        pytest.skip(f"{victim} was gone before it could be hit")
    assert core[4] == "0", core
    cores = [n for n in os.listdir(v.home) if n.startswith("core")]
    assert not cores, (pattern, cores)


def test_other_processes_memory_is_out_of_reach(release_vault, standin):
    """Undumpable: /proc/PID/mem and environ belong to root."""
    v, cloud = release_vault, standin.cloud
    standin.inject(cce_standin.Fault(None, match="/clusters", count=1,
                                     delay=10))
    p = v.start("fetch", "--cluster", "dev", "--region", cloud.region,
                "--endpoint", standin.url, "--iam-endpoint", standin.url,
                "--ca-file", standin.ca_file,
                env={"HUAWEICLOUD_SDK_AK": cloud.ak,
                     "HUAWEICLOUD_SDK_SK": cloud.sk})
    try:
        end = time.monotonic() + 10
        while not standin.count("/") and time.monotonic() < end:
            time.sleep(0.01)
        seen = {}
        for pid, name in harness.our_processes():
            with open(f"/proc/{pid}/status", encoding="ascii") as f:
                status = f.read()
            seen[name] = seen.get(name, True) and \
                "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status
            if name != "certvault" and os.geteuid() != 0:
                with pytest.raises(OSError):
                    open(f"/proc/{pid}/mem", "rb").close()
        for name in ("certvaultd", "intake"):
            assert seen.get(name) is True, seen
    finally:
        standin.stopping.set()
        os.killpg(p.pid, signal.SIGTERM)
        p.communicate(timeout=20)
        standin.stopping.clear()
