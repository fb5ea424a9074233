"""Starts one program as a unit file says, by hand: where systemd is not PID 1.

    unit_exec.py SPEC                 SPEC: JSON; see below. Run by root, in a
                                      process of its own; descriptors from 3 up
                                      are the program's.
    unit_exec.py SPEC PROGRAM ARG...  the same user, environment and files, but
                                      all that a filter or a limit takes away

What is applied: the user and its groups, no_new_privs, an empty bounding set,
the mount namespace (ProtectSystem, ProtectHome, PrivateTmp, PrivateDevices,
ProtectProc, ProcSubset, ProtectKernelTunables, InaccessiblePaths), limits, the
mask, System V IPC and the host's name, and seccomp: the calls of
SystemCallFilter (systemd-analyze names them), address families,
MemoryDenyWriteExecute, RestrictNamespaces, RestrictRealtime, RestrictSUIDSGID.
Not applied: cgroups (IPAddressDeny, MemorySwapMax), user namespaces, keyrings.
"""

import ctypes
import errno
import json
import os
import resource
import signal
import stat
import subprocess
import sys

NEWNS, NEWUTS, NEWIPC = 0x20000, 0x4000000, 0x8000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, RDONLY = 442, -100, 0x8000, 1
PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP = 38, 24
PROT_WRITE, PROT_EXEC = 2, 4

libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def mount(source, target, kind=None, flags=0, data=None):
    check(libc.mount(source.encode(), target.encode(),
                     kind and kind.encode(), ctypes.c_ulong(flags),
                     data and data.encode()), f"mount {target}")


class MountAttr(ctypes.Structure):
    _fields_ = [("set", ctypes.c_uint64), ("clear", ctypes.c_uint64),
                ("propagation", ctypes.c_uint64), ("fd", ctypes.c_uint64)]


def set_read_only(path, yes, recursive):
    attr = MountAttr(RDONLY if yes else 0, 0 if yes else RDONLY, 0, 0)
    check(libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, path.encode(),
                       AT_RECURSIVE if recursive else 0, ctypes.byref(attr),
                       ctypes.sizeof(attr)), f"mount_setattr {path}")


def hide(path, mode=0):
    if os.path.isdir(path):
        mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              f"mode={mode:o}")


def private_devices():
    kept = "null zero full random urandom tty".split()
    numbers = {n: os.stat("/dev/" + n).st_rdev for n in kept}
    mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755")
    for name, number in numbers.items():
        os.mknod("/dev/" + name, stat.S_IFCHR | 0o666, number)
        os.chmod("/dev/" + name, 0o666)
    os.symlink("/proc/self/fd", "/dev/fd")


def enter_mounts(spec):
    u = spec["unit"]
    check(libc.unshare(NEWNS | NEWIPC | NEWUTS), "unshare")
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    for path in spec["writable"]:
        mount(path, path, None, MS_BIND)
    if u.get("PrivateDevices") == "yes":
        private_devices()
    options = ["hidepid=invisible"] * (u.get("ProtectProc") == "invisible") + \
        ["subset=pid"] * (u.get("ProcSubset") == "pid")
    if options:
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              ",".join(options))
    if u.get("PrivateTmp") == "yes":
        hide("/tmp", 0o1777)
        hide("/var/tmp", 0o1777)
    if u.get("ProtectHome") == "yes":
        for path in ("/home", "/root", "/run/user"):
            hide(path)
    for path in u.get("InaccessiblePaths", "").split():
        hide(path.lstrip("-"))
    if u.get("ProtectSystem") == "strict":
        set_read_only("/", True, True)
        for path in [*spec["writable"], "/dev", "/proc", "/tmp", "/var/tmp"]:
            set_read_only(path, False, False)
    if u.get("ProtectKernelTunables") == "yes":
        for path in ("/proc/sys", "/sys"):
            if os.path.isdir(path):
                mount(path, path, None, MS_BIND | MS_REC)
                set_read_only(path, True, True)


# --- seccomp ---

class Arg(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int),
                ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


EQ, MASKED, GE = 4, 7, 5
ALLOW = 0x7fff0000


def refuse(number):
    return 0x00050000 | number


class Filter:
    lib = None

    def __init__(self, default):
        if not Filter.lib:
            Filter.lib = ctypes.CDLL("libseccomp.so.2")
            Filter.lib.seccomp_init.restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.lib.seccomp_init(default))

    def rule(self, name, action, *args):
        number = self.lib.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return
        array = (Arg * max(len(args), 1))(*args)
        got = self.lib.seccomp_rule_add_array(self.context, action, number,
                                              len(args), array)
        assert got in (0, -errno.EEXIST), (name, got)

    def load(self):
        got = self.lib.seccomp_load(self.context)
        assert got == 0, got


def calls_of(group):
    """The calls of @group, as systemd has them."""
    out = subprocess.run(["systemd-analyze", "syscall-filter", group],
                         check=True, capture_output=True, text=True).stdout
    found = set()
    for word in out.split("\n")[1:]:
        word = word.strip()
        if word.startswith("@"):
            found |= calls_of(word)
        elif word and not word.startswith("#"):
            found.add(word)
    return found


def expand(words):
    found = set()
    for word in words.split():
        found |= calls_of(word) if word.startswith("@") else {word}
    return found


def call_filter(lines):
    allowed = set()
    for line in lines:
        if line.startswith("~"):
            allowed -= expand(line[1:])
        else:
            allowed |= expand(line)
    return allowed | calls_of("@default") | {"execve", "execveat"}


def families(u):
    import socket
    return {getattr(socket, n) for n in
            u.get("RestrictAddressFamilies", "").split()}


def filters(u, allowed):
    made = []
    if allowed:
        f = Filter(refuse(errno.EPERM))
        for name in sorted(allowed):
            f.rule(name, ALLOW)
        made.append(f)
    f = Filter(ALLOW)
    if u.get("MemoryDenyWriteExecute") == "yes":
        both = PROT_WRITE | PROT_EXEC
        f.rule("mmap", refuse(errno.EPERM), Arg(2, MASKED, both, both))
        for name in ("mprotect", "pkey_mprotect"):
            f.rule(name, refuse(errno.EPERM),
                   Arg(2, MASKED, PROT_EXEC, PROT_EXEC))
        f.rule("shmat", refuse(errno.EPERM), Arg(2, MASKED, 0o100000, 0o100000))
    wanted = families(u)
    for family in range(64) if wanted else ():
        if family not in wanted:
            f.rule("socket", refuse(errno.EAFNOSUPPORT),
                   Arg(0, EQ, family, 0))
    if wanted:
        f.rule("socket", refuse(errno.EAFNOSUPPORT), Arg(0, GE, 64, 0))
    if u.get("RestrictNamespaces") == "yes":
        f.rule("setns", refuse(errno.EPERM))
        f.rule("unshare", refuse(errno.EPERM))
        f.rule("clone3", refuse(errno.ENOSYS))
        for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000,
                     0x20000000, 0x40000000):
            f.rule("clone", refuse(errno.EPERM), Arg(0, MASKED, flag, flag))
    if u.get("RestrictRealtime") == "yes":
        for policy in (1, 2, 6):
            f.rule("sched_setscheduler", refuse(errno.EPERM),
                   Arg(1, EQ, policy, 0))
    if u.get("RestrictSUIDSGID") == "yes":
        for bit in (stat.S_ISUID, stat.S_ISGID):
            for name, at in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2),
                             ("mkdir", 1), ("mkdirat", 2)):
                f.rule(name, refuse(errno.EPERM), Arg(at, MASKED, bit, bit))
    return [*made, f]


# --- the process ---

LIMITS = {"CORE": resource.RLIMIT_CORE, "MEMLOCK": resource.RLIMIT_MEMLOCK,
          "NOFILE": resource.RLIMIT_NOFILE}


def size(text):
    for i, unit in enumerate("KMG", 1):
        if text.endswith(unit):
            return int(text[:-1]) << 10 * i
    return int(text)


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        spec = json.load(f)
    u = spec["unit"]
    allowed = spec.get("allowed") or call_filter(spec["filter"])
    in_place = len(sys.argv) > 2
    if not in_place:
        enter_mounts(spec)
    for name, number in LIMITS.items():
        if "Limit" + name in u:
            # Where even root may not raise it, there is less than in the unit.
            most = resource.getrlimit(number)[1]
            value = size(u["Limit" + name])
            value = value if most == resource.RLIM_INFINITY \
                else min(value, most)
            resource.setrlimit(number, (value, value))
    made = filters(u, allowed)
    if "CapabilityBoundingSet" in u:
        for number in range(41):
            libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
    if not in_place:
        os.setgroups([])
        os.setresgid(spec["gid"], spec["gid"], spec["gid"])
        os.setresuid(spec["uid"], spec["uid"], spec["uid"])
    if u.get("NoNewPrivileges") == "yes":
        check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)   # which Python ignores
    if in_place:
        for f in made:
            f.load()
        os.execv(sys.argv[2], sys.argv[2:])
    os.umask(int(u.get("UMask", "0022"), 8))
    os.chdir("/")
    env = dict(spec["env"])
    if spec["fds"]:
        env["LISTEN_PID"] = str(os.getpid())
        env["LISTEN_FDS"] = str(spec["fds"])
        for fd in range(3, 3 + spec["fds"]):
            os.set_inheritable(fd, True)
    if "WATCHDOG_USEC" in env:
        env["WATCHDOG_PID"] = str(os.getpid())
    for f in made:
        f.load()
    os.execve(spec["argv"][0], spec["argv"], env)


if __name__ == "__main__":
    main()
