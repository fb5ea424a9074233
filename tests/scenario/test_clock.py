"""H75: a clock that was set is in the record. The clock of this machine stays as
it is: the last leaf says another time."""

import base64
import datetime
import json
import time

import pytest

import merkle

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def at(seconds):
    """That many seconds from now, as leaves have it."""
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(
        seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def append(vault, wall, mono, boot=None):
    """A leaf made `wall` and `mono` seconds from now, each by its clock."""
    path = vault.path("audit/log")
    last = merkle.read_log(path)[-1]
    leaf = json.loads(last)
    leaf["seq"] += 1
    leaf["prev"] = base64.b64encode(merkle.leaf(last)).decode()
    leaf.update(phase="event", action="broker", details={}, op="0" * 32)
    for key in ("decision", "rules", "outcome", "error"):
        leaf.pop(key, None)
    leaf["time"] = at(wall)
    leaf["mono_ms"] = max(0, int((time.clock_gettime(time.CLOCK_BOOTTIME)
                                  + mono) * 1000))
    with open(BOOT_ID, encoding="ascii") as f:
        leaf["boot"] = boot or f.read().strip()
    text = json.dumps(leaf, sort_keys=True, separators=(",", ":"))
    with open(path, "ab") as f:
        f.write(merkle.frame(text.encode()))
    return leaf


def told(vault):
    return [r for r in vault.records() if r["action"] == "clock"]


OTHER = "01234567-89ab-cdef-0123-456789abcdef"
YEARS = 10 * 365 * 86400
JUMPS = {
    "ten years ahead, set back": (YEARS, 0, None, "went back"),
    "a minute ahead, set back": (60, 0, None, "went back"),
    "ten years behind": (-YEARS, 0, None, "was set"),
    "a minute and a half behind": (-90, 0, None, "was set"),
    "behind by less": (-30, 0, None, None),
    "both go": (-4000, -4000, None, None),
    "asleep by the wall alone": (-4000, -10, None, "was set"),
    "the wall stood still": (-10, -4000, None, "was set"),
    "of another boot": (-YEARS, 0, OTHER, None),
    "of another boot, ahead": (YEARS, 0, OTHER, "went back"),
}


@pytest.mark.parametrize("name", JUMPS)
def test_h75_a_clock_that_was_set(vault, name):
    wall, mono, boot, words = JUMPS[name]
    vault("list", code=0)
    assert not told(vault)
    leaf = append(vault, wall, mono, boot)
    vault("list", code=0)
    events = told(vault)
    if words is None:
        assert not events
        return
    one, = events
    assert one["phase"] == "event" and words in one["details"]["because"]
    assert one["details"]["before"] == leaf["time"]
    assert abs(time.mktime(time.strptime(one["details"]["after"],
                                         "%Y-%m-%dT%H:%M:%SZ"))
               - time.timezone - time.time()) < 60
    # Once, and what is asked for goes on.
    vault("list", code=0)
    vault("status", code=0)
    assert len(told(vault)) == 1
