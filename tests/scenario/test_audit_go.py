"""A real log read by other people's code: a Go program of the tests' own over
Debian's golang-golang-x-mod-dev (tests/go/check_log.go). In the full run, where
Go is to be had; merkle.py is the second opinion everywhere."""

import os
import shutil
import subprocess

import pytest

import harness
from harness import MAY_EXPORT
from kube import Identity, as_yaml, config

GOPATH = "/usr/share/gocode"
PROGRAM = os.path.join(harness.SOURCE, "tests", "go", "check_log.go")


@pytest.fixture(scope="module")
def checker(tmp_path_factory):
    if os.environ.get("CV_FULL") != "1":
        pytest.skip("in the full run (CV_FULL=1)")
    if not shutil.which("go") or \
            not os.path.isdir(GOPATH + "/src/golang.org/x/mod/sumdb"):
        pytest.skip("golang-go and golang-golang-x-mod-dev are not here")
    folder = tmp_path_factory.mktemp("go")
    env = {**os.environ, "GO111MODULE": "off", "GOPATH": GOPATH,
           "GOCACHE": str(folder / "cache"), "GOFLAGS": ""}
    done = subprocess.run(["go", "build", "-o", str(folder / "check"),
                           PROGRAM], env=env, capture_output=True, check=False)
    assert done.returncode == 0, done
    return str(folder / "check")


def grown(vault, secrets, more):
    """A log with some of everything, and the checkpoint half-way."""
    vault.policy(MAY_EXPORT)
    vault.add(as_yaml(config(Identity("p256", secrets=secrets))), "a",
              "--exportable")
    older = vault.write("older", vault("audit", "checkpoint", code=0).out)
    proofs = [os.path.join(vault.home, "r.tlog-proof")]
    vault("export", "a", "--reason", "x", "--output",
          os.path.join(vault.home, "k"), "--receipt", proofs[0], code=0)
    for _ in range(more):
        vault("list", code=0)
    folder = os.path.join(vault.home, "bundle")
    vault("audit", "prove", "--entry", "a", "--output", folder, code=0)
    receipts = os.path.join(folder, "proofs")
    proofs += [os.path.join(receipts, n) for n in os.listdir(receipts)]
    return older, proofs


def test_the_log_of_a_real_run(vault, secrets, checker):
    older, proofs = grown(vault, secrets, 290)
    key = vault("audit", "key", code=0).out.decode().strip()
    audit = vault.path("audit")
    vault("audit", "prove", "0", code=0)    # tiles up to the checkpoint

    def check(*args):
        return subprocess.run([checker, key, *args], capture_output=True,
                              check=False)

    good = check(audit, older, *proofs)
    assert good.returncode == 0 and b": ok" in good.stdout, good
    assert int(good.stdout.split()[0]) > 300        # more than one tile
    # It can say no.
    copy = os.path.join(vault.home, "copy")
    shutil.copytree(audit, copy)
    for name in ("log", "tile/0/000", "tile/entries/000", "checkpoint"):
        with open(os.path.join(copy, name), "r+b") as f:
            f.seek(60)
            byte = f.read(1)
            f.seek(60)
            f.write(bytes([byte[0] ^ 1]))
        assert check(copy, older, *proofs).returncode != 0, name
        shutil.copy(os.path.join(audit, name), os.path.join(copy, name))
    assert check(copy, older, *proofs).returncode == 0
