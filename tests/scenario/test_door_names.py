"""Names of users that nobody tells in time: a name service that hangs takes no
more from the others than one wait now and then."""

import os
import shutil
import subprocess
import time

import pytest

import harness
import users
from harness import FULL
from kube import Identity, as_yaml, config
from users import permit
from wire import Broker

BROKER = "io.certvault.Broker."
FIRST = 64100
PLACES = 64                        # programs that the spawner has at a time
REST_S = 20                        # CV_LIMIT_NAME_REST_S

# Looks names up, or hangs where the file is there; leaves a byte for each call.
SERVICE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>
int getpwuid_r(uid_t uid, struct passwd *pw, char *room, size_t len,
               struct passwd **out)
{
    int (*real)(uid_t, struct passwd *, char *, size_t, struct passwd **) =
        (int (*)(uid_t, struct passwd *, char *, size_t, struct passwd **))
            dlsym(RTLD_NEXT, "getpwuid_r");
    int fd = open(CALLS, O_WRONLY | O_APPEND);
    (void)!write(fd, "x", 1);
    (void)close(fd);
    while (access(HANGS, F_OK) == 0) {
        (void)pause();
    }
    return real(uid, pw, room, len, out);
}
"""


class Names:
    def __init__(self, vault, folder):
        self.hangs, self.calls = (str(folder / n) for n in ("hangs", "calls"))
        (folder / "calls").touch(0o666)
        source, self.library = folder / "service.c", str(folder / "service.so")
        source.write_text(f'#define HANGS "{self.hangs}"\n'
                          f'#define CALLS "{self.calls}"\n' + SERVICE)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.library,
                        str(source), "-ldl"], check=True)
        vault.extra["LD_PRELOAD"] = self.library
        self.broker = Broker(vault, "--key-file", vault.key_file)
        del vault.extra["LD_PRELOAD"]

    def hang(self, does):
        if does:
            open(self.hangs, "w", encoding="ascii").close()
        else:
            os.unlink(self.hangs)

    def asked(self):
        return os.path.getsize(self.calls)

    def below(self):
        """The spawner's own children that live: it was forked for them, and no
        program was started in them."""
        def children(pid):
            with open(f"/proc/{pid}/task/{pid}/children",
                      encoding="ascii") as f:
                return list(map(int, f.read().split()))

        def lives(pid):
            with open(f"/proc/{pid}/stat", encoding="ascii",
                      errors="replace") as f:
                name, rest = f.read().split("(", 1)[1].rsplit(")", 1)
            return name == "certvaultd" and rest.split()[0] != "Z"
        (spawner,) = children(self.broker.process.pid)
        return [p for p in children(spawner) if lives(p)]


@pytest.fixture
def rig(vault, secrets, tmp_path):
    if not shutil.which("cc"):
        pytest.skip("no compiler for a name service that hangs")
    vault.add(as_yaml(config(Identity(secrets=secrets))), "a")
    vault.policy(permit("all", [FIRST + i for i in range(200)], ["show"]))
    vault.names = Names(vault, tmp_path)
    vault.broker = vault.names.broker
    users.open_way(vault.broker.path)
    yield vault
    vault.broker.end()


def show(rig, uid):
    """ms that it takes to be told of an entry."""
    with users.connect_as(rig.broker.path, uid) as s:
        begin = time.monotonic()
        said = rig.broker.call(BROKER + "Show", {"name": "a"}, on=s)
        assert "error" not in said, said
        return time.monotonic() - begin


@users.needs_root
def test_a_name_is_asked_for_once_a_minute(rig):
    """However many connections its user makes."""
    rig.broker.call(BROKER + "Show", {"name": "a"})
    before = rig.names.asked()
    for _ in range(5):
        show(rig, FIRST)
        show(rig, FIRST + 1)
    assert rig.names.asked() == before + 2


@users.needs_root
def test_a_name_service_that_hangs(rig):
    """As many users as the spawner has places, and more: one of them waits, and
    nobody hangs about afterwards."""
    names = rig.names
    names.hang(True)
    n = 2 * PLACES if FULL else PLACES + 6
    took = [show(rig, FIRST + i) for i in range(n)]
    late = [t for t in took if t > 1.5]
    assert len(late) <= 1 + sum(took) // REST_S, took
    assert len(late) >= 1, took        # it did hang
    end = time.monotonic() + 60
    while names.below():
        assert time.monotonic() < end, names.below()
        time.sleep(0.05)
    # Helpers can be started as ever: this wants one (and may not be answered).
    rig("--broker", "unix:" + rig.broker.path, "status", code=0)
    names.hang(False)
    rig.broker.end()
    told = {r["actor"]["user"] for r in rig.records("--action", "show")}
    assert told == {f"uid:{FIRST + i}" for i in range(n)}
