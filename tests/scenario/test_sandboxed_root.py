"""The scenarios of others once more, under what certvault.service takes away:
its system calls, address families, executable memory, capabilities, new
privileges (unit_exec.py). The files and the user stay as they are:
test_service_root.py has those. With the release programs. Needs root."""

import json
import os
import re
import subprocess
import sys

import pytest

import harness
import unit_exec
import unit_rig

pytestmark = pytest.mark.skipif(bool(unit_rig.missing()),
                                reason=str(unit_rig.missing()))

HERE = os.path.dirname(os.path.abspath(__file__))
UNITS = os.path.join(harness.SOURCE, "cli", "systemd")
SHORT = ["test_export.py"]
LONG = ["test_init.py", "test_list_show.py", "test_sign.py",
        "test_import.py", "test_fetch.py", "test_slots.py", "test_policy.py",
        "test_audit.py", "test_reach.py", "test_use.py",
        "test_socket.py", "test_relay_servers.py",
        "test_token_login.py", "test_slot_token.py"]


@pytest.fixture(scope="module")
def under(tmp_path_factory):
    """What stands before each program: certvault.service's restrictions, and
    netlink, which the relay's unit has and which here it inherits."""
    pairs = unit_rig.read(os.path.join(UNITS, "certvault.service"))["Service"]
    unit = dict(pairs)
    unit["RestrictAddressFamilies"] += " AF_NETLINK"
    for key in [k for k in unit if k.startswith("Limit")]:
        del unit[key]
    lines = [v for k, v in pairs if k == "SystemCallFilter"]
    spec = tmp_path_factory.mktemp("under") / "spec"
    spec.write_text(json.dumps({
        "unit": unit, "allowed": sorted(unit_exec.call_filter(lines))}))
    os.chmod(spec.parent, 0o755)
    return f"{sys.executable} -B {HERE}/unit_exec.py {spec}"


def probe(under, code):
    return subprocess.run([*under.split(), "/usr/bin/python3", "-c", code],
                          capture_output=True, text=True, timeout=60)


def test_it_does_take_away(under):
    """Else the rest shows nothing."""
    done = probe(under, "import socket;socket.socket(socket.AF_PACKET)")
    assert "Errno 97" in done.stderr, done
    done = probe(under, "import mmap;mmap.mmap(-1, 4096, prot=7)")
    assert "Errno 1]" in done.stderr, done
    done = probe(under, "import os;os.chroot('/')")
    assert "Errno 1]" in done.stderr, done
    done = probe(under, "import os;os.setpriority(0, 0, 5)")
    assert "Errno 1]" in done.stderr, done
    done = probe(under, "print(open('/proc/self/status').read())")
    assert re.search(r"CapEff:\t0+\n", done.stdout) and \
        "NoNewPrivs:\t1" in done.stdout, done


@pytest.mark.parametrize("name", SHORT + (LONG if harness.FULL else []))
def test_scenarios(under, name):
    done = subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p",
         "no:cacheprovider", os.path.join(HERE, name)],
        env={**os.environ, "CV_UNDER": under, "CV_BUILD": harness.RELEASE,
             "CV_FULL": "0"},
        capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stdout[-6000:]
    assert re.search(r"\b[1-9]\d* passed", done.stdout), done.stdout[-500:]
