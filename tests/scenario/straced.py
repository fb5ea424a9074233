"""Runs a command under strace, and reads what strace wrote."""

import os
import re
import subprocess

LINE = re.compile(r"^(\d+)\s+(\w+)\((.*)$")
RESUMED = re.compile(r"^(\d+)\s+<\.\.\. (\w+) resumed>(.*)$")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


class Call:
    """One system call that ended: who, which, on what file, what bytes, what
    came of it. `nth`: which call of that name by that process it was, from
    1."""

    def __init__(self, pid, name, rest, nth):
        self.pid, self.name, self.nth = pid, name, nth
        found = TEXT.search(rest)
        self.data = bytes.fromhex(found.group(1).replace("\\x", "")) \
            if found else b""
        path = re.match(r"(?:-1|\d+|AT_FDCWD)<([^>]*)>", rest)
        self.path = bytes.fromhex(path.group(1).replace("\\x", "")).decode() \
            if path and path.group(1).startswith("\\x") else \
            (path.group(1) if path else "")
        result = re.search(r"\) += (-?\d+)", rest)
        self.result = int(result.group(1)) if result else None
        self.rest = rest

    def __repr__(self):
        return (f"{self.pid} {self.name}#{self.nth}({self.path}) = "
                f"{self.result} {self.data[:60]!r}")


def parse(text):
    """The calls in the order of their ends; one that never ended is left
    out."""
    calls, begun, counts = [], {}, {}
    for line in text.split("\n"):
        resumed = RESUMED.match(line)
        if resumed:
            pid, name, rest = resumed.groups()
            head, nth = begun.pop((pid, name), ("", 0))
            calls.append(Call(int(pid), name, head + rest, nth))
            continue
        found = LINE.match(line)
        if not found:
            continue
        pid, name, rest = found.groups()
        counts[pid, name] = nth = counts.get((pid, name), 0) + 1
        if rest.endswith("<unfinished ...>"):
            begun[pid, name] = (rest[:-len("<unfinished ...>")], nth)
        else:
            calls.append(Call(int(pid), name, rest, nth))
    return calls


def command(output, calls, extra=()):
    """What is put in front of a command line."""
    return ["strace", "-f", "-qq", "-y", "-xx", "-s", "65536", "-o", output,
            "-e", "trace=" + ",".join(calls), "-e", "signal=none", *extra]


def watch(certvault, output, calls, *args, extra=(), **options):
    """Runs the command line under strace; (result, calls)."""
    certvault.wrap = command(output, calls, extra)
    try:
        result = certvault(*args, **options)
    finally:
        certvault.wrap = []
    with open(output, encoding="ascii", errors="replace") as f:
        return result, parse(f.read())


def killed_run(certvault, call, nth, *args, timeout=60, input=None):
    """Runs it with the process that comes first to its `nth` `call` killed
    there. The exit code of the command line; None where it was killed."""
    argv = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call,
            "-e", "signal=none", "-e",
            f"inject={call}:signal=SIGKILL:when={nth}",
            *certvault.argv("--no-input", *args)]
    return _run(certvault, argv, timeout, input)


def failed_run(certvault, call, nth, error, *args, timeout=60, input=None):
    """As killed_run; every process has its `nth` `call` fail with `error`."""
    argv = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call,
            "-e", "signal=none", "-e", f"inject={call}:error={error}:when={nth}",
            *certvault.argv("--no-input", *args)]
    return _run(certvault, argv, timeout, input)


def _run(certvault, argv, timeout, input):
    done = subprocess.run(
        argv, env=certvault.env(), timeout=timeout, start_new_session=True,
        input=input.encode() if input is not None else None,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True)
    return done


def files_only(calls, folder):
    """Those on files below `folder` (or that name one)."""
    return [c for c in calls if c.path.startswith(folder) or
            (not c.path.startswith(("socket:", "pipe:", "/dev/")) and
             c.name in ("rename", "renameat", "renameat2", "unlink", "unlinkat",
                        "linkat", "link", "openat"))]


WRITES = ("write", "pwrite64", "writev", "pwritev2", "fsync", "fdatasync",
          "rename", "renameat", "renameat2", "ftruncate", "unlink", "unlinkat",
          "link", "linkat", "mkdirat")


def available(calls=WRITES):
    """Those system calls that this machine has (a few are not on all)."""
    good = []
    for call in calls:
        done = subprocess.run(["strace", "-o", os.devnull, "-e",
                               "trace=" + call, "true"], capture_output=True)
        if done.returncode == 0:
            good.append(call)
    return tuple(good)
