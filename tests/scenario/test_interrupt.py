"""Ctrl-C and signals: nothing is left half done, nobody stays behind."""

import json
import os
import signal
import subprocess
import time

import pytest

import cce_standin
import harness
from kube import Identity, as_yaml, config


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM,
                                    signal.SIGHUP])
def test_while_the_cloud_is_slow(cloud_vault, standin, number):
    """The prompt comes back at once. What was asked of the cloud may still be
    taken in, whole, since it was minted; then all is gone."""
    standin.inject(cce_standin.Fault(None, match="clustercert", count=1,
                                     delay=60))
    p = cloud_vault.start(*cloud_vault.cloud("fetch", "--cluster", "dev"),
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    standin.wait_for_waiting()
    os.killpg(p.pid, number)
    assert p.wait(60) != 0
    standin.stopping.set()          # the cloud answers now
    left = harness.wait_for_none(10)
    standin.stopping.clear()
    assert not left
    assert cloud_vault.names() in ([], ["dev"])
    cloud_vault.fetch("dev", "--name", "again", code=0)


def test_at_any_moment_of_an_import(vault, secrets):
    """After some milliseconds, more and more of them."""
    rng = harness.seeded()
    text = as_yaml(config(Identity(secrets=secrets)))
    path = vault.write("kube", text)
    done = 0
    for i in range(60 if harness.FULL else 8):
        p = vault.start("import", path, "--name", "a")
        time.sleep(rng.uniform(0, 0.4))
        try:
            os.killpg(p.pid, signal.SIGINT)
        except ProcessLookupError:
            pass
        p.communicate(timeout=60)
        assert not harness.wait_for_none()
        names = vault.names()
        assert names in ([], ["a"])
        if names:
            done += 1
            vault("rm", "a", "--yes", code=0)
    print(f"{done} imports were done before the signal")


def test_stdin_that_never_ends(vault):
    p = vault.start("import", "-", "--name", "a", stdin=-1)
    time.sleep(0.3)
    os.killpg(p.pid, signal.SIGINT)
    p.communicate(timeout=60)
    assert p.returncode != 0
    assert vault.names() == []


def test_the_command_line_dies_and_the_rest_goes(vault, secrets):
    p = vault.start("audit", "tail", "-f", stdout=subprocess.PIPE)
    assert p.stdout.readline()               # it is there, and goes on
    p.kill()
    p.communicate(timeout=60)
    assert not harness.wait_for_none(10)
    vault("list", code=0)


@pytest.mark.parametrize("form", ["table", "json"])
def test_what_state_things_are_in_is_said(cloud_vault, standin, form):
    standin.inject(cce_standin.Fault(None, match="clustercert", count=1,
                                     delay=60))
    p = cloud_vault.start("-o", form, *cloud_vault.cloud(
        "fetch", "--cluster", "dev"), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    standin.wait_for_waiting()
    os.killpg(p.pid, signal.SIGINT)
    out, err = p.communicate(timeout=60)
    standin.stopping.set()
    harness.wait_for_none(10)
    standin.stopping.clear()
    assert p.returncode == 130 and not out
    assert b"whole, or not at all" in err and b"audit tail" in err
    if form == "json":
        error = json.loads(err)["error"]
        assert "interrupted" in error["message"] and error["state"]
        assert error["code"] == "interrupted"
