"""Node's client through the relay: list, watch, logs, exec (WebSocket), with the
KUBECONFIG of exec and with the exec plugin's. In the full run alone: npm has the
client."""

import json
import os
import shutil
import subprocess

import pytest

import harness
import kube
import relay

CLIENT = "@kubernetes/client-node@1"

pytestmark = [
    pytest.mark.skipif(bool(relay.missing()), reason=str(relay.missing())),
    pytest.mark.skipif(not harness.FULL, reason="the full run's (CV_FULL=1)"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program beside its modules."""
    if not shutil.which("npm"):
        pytest.skip("there is no npm")
    folder = tmp_path_factory.mktemp("node")
    got = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts",
         "--prefix", str(folder), CLIENT], capture_output=True, text=True,
        timeout=300)
    if got.returncode:
        pytest.skip("npm cannot install " + CLIENT + ": " + got.stderr[-200:])
    shutil.copy(os.path.join(os.path.dirname(__file__), "node_client.mjs"),
                folder)
    return str(folder / "node_client.mjs")


@pytest.fixture(params=["h2,http/1.1", "http/1.1"], ids=["to-h2", "to-h1"])
def standin(request, tmp_path):
    with relay.Standin(tmp_path, "--alpn", request.param) as s:
        yield s


@pytest.fixture
def prod(vault, standin, secrets):
    identity = standin.identity(common="kim", secrets=secrets)
    vault.add(kube.as_yaml(kube.config(identity, server=standin.url)), "prod")
    return vault


def run(program, standin, vault, kubeconfig):
    """All that the program does, and as whom the server saw it."""
    said = {}
    child = subprocess.Popen(
        ["node", program], env={**vault.env(), "PATH": os.environ["PATH"],
                                "KUBECONFIG": kubeconfig},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for line in child.stdout:
            said.update(json.loads(line))
            if "watching" in line:
                standin.say(touch="demo")
        error = child.stderr.read()
        assert child.wait(60) == 0, error
    finally:
        child.kill()
        child.wait()
    assert said["pods"] == ["demo", "other"]
    assert said["modified"] == "demo"
    assert said["log"].count("\n") >= 1
    assert said["exec"] == "hello\n"
    assert said["status"] == "Success"
    assert all(r["cn"] == "kim" for r in standin.requests())


def test_with_execs_kubeconfig(program, prod, standin):
    with relay.Session(prod, "prod") as session:
        run(program, standin, prod, session.kubeconfig)


def test_with_the_exec_plugin(program, prod, standin):
    prod.flags = []
    path = os.path.join(prod.home, "once.yaml")
    prod("kubeconfig", "prod", "--output", path, code=0)
    try:
        run(program, standin, prod, path)
    finally:
        prod("agent", "stop", code=0)
