"""What a command has put somewhere is there after a power failure too: the file
is on the disk before it gets its name, and the folder that has the name behind
it. Seen from outside, by system calls."""

import os
import re

import pytest

import harness
import straced
from kube import Identity, as_yaml, config
from test_anchors import configure

CALLS = straced.WRITES
PLACE = re.compile(r'(?:-1|\d+|AT_FDCWD)<([^>]*)>, "((?:\\x[0-9a-f]{2})*)"')


@pytest.fixture
def held(release_vault, secrets):
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    v = release_vault
    v.policy(harness.MAY_EXPORT)
    v.add(as_yaml(config(Identity("p256", secrets=secrets))), "a",
          "--exportable")
    return v


def text(found):
    return bytes.fromhex(found.replace("\\x", "")).decode() \
        if found.startswith("\\x") else found


def places(call):
    """The paths that it names, the one that comes of it last."""
    return [os.path.join(text(folder), text(name))
            for folder, name in PLACE.findall(call.rest)]


def gives(call, path):
    return call.name in ("rename", "renameat", "renameat2", "linkat") and \
        call.result == 0 and places(call)[-1:] == [path]


def last(calls, wanted):
    found = [i for i, call in enumerate(calls) if wanted(call)]
    return found[-1] if found else None


def is_synced(calls, path):
    return any(c.name == "fsync" and c.result == 0 and c.path == path
               for c in calls)


def watched(v, tmp_path, *args, **options):
    _, calls = straced.watch(v, str(tmp_path / "trace"),
                             straced.available(CALLS), *args, code=0, **options)
    return calls


def stays(calls, path):
    """It has its name for good, and had its content before."""
    named = last(calls, lambda c: gives(c, path))
    assert named is not None, f"nothing got the name {path}"
    beside = os.path.dirname(path) + "/"
    wrote = last(calls[:named], lambda c: c.name in ("fsync", "fdatasync") and
                 c.result == 0 and os.path.dirname(c.path) + "/" == beside)
    assert wrote is not None, f"{path} was not written to the disk"
    assert is_synced(calls[named:], os.path.dirname(path)), \
        f"the folder of {path} was not"


FILES = {
    "export": ("export", "a", "--reason", "x", "--output"),
    "receipt": ("export", "a", "--reason", "x", "--receipt"),
    "backup": ("backup",),
    "policy key": ("policy", "key"),
    "proof": ("audit", "prove", "0", "--output"),
    "kubeconfig": ("kubeconfig", "a", "--output"),
    "merge": ("kubeconfig", "a", "--merge"),
    "report": ("audit", "report", "--html"),
}


@pytest.mark.parametrize("command", FILES)
def test_a_file_that_is_asked_for(held, tmp_path, command):
    path = os.path.join(os.path.realpath(held.home), "out")
    words = list(FILES[command])
    words += ["--merge=" + path] if words[-1:] == ["--merge"] else [path]
    words = [w for w in words if w != "--merge"]
    calls = watched(held, tmp_path, *words, secret=True)
    assert os.path.exists(path)
    stays(calls, path)


def test_a_new_vault(home, secrets, tmp_path):
    """Its key file too; and it is no longer one that is being made, which the
    next start would clean away."""
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    v = harness.Vault(home, secrets, init=False, build=harness.RELEASE)
    calls = watched(v, tmp_path, "init", "--key", "file:" + v.key_file)
    folder = os.path.realpath(v.folder)
    for path in (os.path.join(folder, "vault.db"),
                 os.path.join(folder, "audit", "log.key"),
                 os.path.join(folder, "audit", "key.pub"),
                 os.path.realpath(v.key_file)):
        stays(calls, path)
    ended = last(calls, lambda c: c.name == "unlinkat" and c.result == 0 and
                 places(c) == [os.path.join(folder, "initialising")])
    assert ended is not None
    assert is_synced(calls[ended:], folder)


def test_a_restored_vault(held, tmp_path):
    backup = os.path.join(held.home, "backup")
    held("backup", backup, code=0)
    v = harness.Vault(held.home, held.secrets, init=False,
                      build=harness.RELEASE)
    v.extra["CERTVAULT_DIR"] = v.folder = os.path.join(held.home, "drill")
    folder = os.path.realpath(v.folder)
    ready = os.path.join(folder, "restoring")
    calls = watched(v, tmp_path, "restore", backup, "--yes")
    named = last(calls, lambda c: gives(c, ready))
    assert named is not None
    assert is_synced([c for c in calls[named:] if c.pid == calls[named].pid],
                     folder)
    # What opens it next (its own broker, to record it) puts the parts in their
    # places, and only then takes away where they came from.
    gone = last(calls, lambda c: c.name == "unlinkat" and c.result == 0 and
                places(c) == [ready])
    assert gone is not None
    for name in ("vault.db", "audit"):
        named = last(calls, lambda c, path=os.path.join(folder, name):
                     gives(c, path))
        assert named is not None, name
        assert is_synced(calls[named:gone], folder), name


def test_a_checkpoint_that_others_are_told_of(held, tmp_path):
    """An anchor knows none that the vault could lose: it would be a log that
    was put back."""
    anchor = os.path.join(os.path.realpath(held.home), "anchor")
    configure(held, "file:" + anchor)
    calls = watched(held, tmp_path, "export", "a", "--reason", "x", secret=True)
    told = last(calls, lambda c: c.path == anchor and c.result and
                c.name in ("write", "pwrite64", "writev"))
    assert told is not None
    folder = os.path.join(os.path.realpath(held.folder), "audit")
    named = last(calls[:told], lambda c: gives(
        c, os.path.join(os.path.dirname(folder), "audit/checkpoint")) or
        gives(c, os.path.join(folder, "checkpoint")))
    assert named is not None
    assert is_synced(calls[named:told], folder)
