"""Temporary keys from the instance metadata service, at its real address, in a
network of the test's own."""

import json
import os
import subprocess
import sys

import pytest

import harness

WHERE = "169.254.169.254:80"
INSIDE = r"""
set -e
ip link set lo up
ip addr add 169.254.169.254/32 dev lo
exec "$@"
"""


def in_a_network(*command, **options):
    return subprocess.run(["unshare", "--net", "--mount", "sh", "-c", INSIDE,
                           "sh", *command], capture_output=True, **options)


@pytest.fixture(scope="module", autouse=True)
def network():
    if in_a_network("true").returncode != 0:
        pytest.skip("no network namespaces here (needs root)")


# Runs the stand-in, then the command with its addresses put in.
DRIVER = """
import json, os, subprocess, sys
standin, mode, where, folder = sys.argv[1:5]
server = subprocess.Popen([sys.executable, "-B", standin, "--alg", "p256",
                           "--metadata", where, "--folder", folder, *mode.split()],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE)
ready = json.loads(server.stdout.readline())
command = [a.format(**ready) for a in sys.argv[5:]]
done = subprocess.run(command, capture_output=True, timeout=100)
server.stdin.close()
server.wait(60)
sys.stdout.buffer.write(done.stdout)
sys.stderr.buffer.write(done.stderr)
sys.exit(done.returncode)
"""


def fetch(vault, tmp_path, *flags, mode=""):
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    standin = os.path.join(harness.SOURCE, "tests", "fakes", "cce_standin.py")
    command = [sys.executable, "-B", str(driver), standin, mode, WHERE,
               str(tmp_path), harness.program(), "--no-input", "-o", "json",
               "fetch", "--cluster", "dev", "--region", "{region}",
               "--endpoint", "{url}", "--iam-endpoint", "{url}", "--ca-file",
               "{ca}", *flags]
    return in_a_network(*command, env=vault.env(), timeout=120)


def test_temporary_keys(vault, tmp_path):
    done = fetch(vault, tmp_path, "--metadata")
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["items"][0]["name"] == "dev"
    assert vault.names() == ["dev"]


def test_a_service_without_tokens(vault, tmp_path):
    done = fetch(vault, tmp_path, "--metadata", mode="--metadata-plain")
    assert done.returncode == 0, done


def test_it_is_not_asked_unless_it_may(vault, tmp_path):
    done = fetch(vault, tmp_path)
    assert done.returncode == harness.USAGE, done


def test_no_service_there(vault, tmp_path):
    done = fetch(vault, tmp_path, "--metadata", mode="--metadata-port 1")
    assert done.returncode in (harness.REMOTE, harness.USAGE,
                               harness.UNAVAILABLE), done
