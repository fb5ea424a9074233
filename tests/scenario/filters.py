"""Reads the system call filters that programs enter, as strace shows them, and
runs them as the kernel does."""

import ctypes
import re

CALL = re.compile(r"^(\d+)\s+(execve|seccomp)\((.*)$")
STEP = re.compile(r"BPF_(?:STMT|JUMP)\(([A-Z_|]+), ([^,)]+)(?:, (\w+), (\w+))?\)")
WORD = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
VERDICTS = {"SECCOMP_RET_ALLOW": "allow", "SECCOMP_RET_KILL_PROCESS": "kill",
            "SECCOMP_RET_ERRNO": "refuse"}


def command(output):
    """What is put in front of a command line."""
    return ["strace", "-f", "-qq", "-v", "-xx", "-s", "4096", "-o", output,
            "-e", "trace=execve,seccomp", "-e", "signal=none"]


def read(text):
    """{program and its flags: its filter} of those that were started."""
    programs, filters = {}, {}
    for line in text.split("\n"):
        found = CALL.match(line)
        if found is None:
            continue
        pid, name, rest = found.groups()
        if name == "execve":
            argv = rest[rest.index("["):rest.index("]")]
            words = [bytes.fromhex(w.replace("\\x", "")).decode()
                     for w in WORD.findall(argv)]
            programs[pid] = " ".join(
                [words[0].rsplit("/", 1)[-1]] +
                [w for w in words[1:] if w in ("--offline", "--pkcs11")])
        elif pid in programs and "filter=[" in rest:
            filters[programs[pid]] = STEP.findall(rest)
    return filters


def number_of(call):
    return ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name(
        call.encode())


def verdict(program, call, *args):
    """What the kernel does when `call` is made: allow, refuse, kill."""
    data = {0: number_of(call), 4: int(program[1][1], 0)}   # its own machine
    for i, value in enumerate(args):
        data[16 + 8 * i], data[20 + 8 * i] = value & 0xffffffff, value >> 32
    a = at = 0
    while True:
        code, k, yes, no = program[at]
        what = set(code.split("|"))
        at += 1
        if "BPF_RET" in what:
            return VERDICTS[k.split("|")[0]]
        k = int(k, 0)
        if "BPF_LD" in what:
            a = data.get(k, 0)
        elif "BPF_AND" in what:
            a &= k
        elif "BPF_JA" in what:
            at += k
        else:
            is_so = {"BPF_JEQ": a == k, "BPF_JGE": a >= k, "BPF_JGT": a > k}
            (jump,) = what & set(is_so)
            at += int(yes if is_so[jump] else no, 0)
