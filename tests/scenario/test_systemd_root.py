"""The units under a systemd of their own: as PID 1 of a namespace, on the host's
own files with a layer over them that goes away again. Needs root, unshare,
overlayfs and a systemd that is installed; where one is missing it is skipped.
"""

import os
import subprocess

import pytest

import harness

SYSTEMD = "/lib/systemd/systemd"
SECONDS = 120

# Makes the root and becomes its PID 1. $1: the folder.
BOOT = r"""
set -e
cd "$1"
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs layer
mkdir layer/up layer/work
mount -t overlay -o lowerdir=/,upperdir=layer/up,workdir=layer/work overlay root
for part in usr/bin usr/lib usr/libexec; do cp -a "made/$part" root/usr/; done
cp try.sh root/try.sh
cp try.service try.target root/etc/systemd/system/
rm -rf root/etc/systemd/system/*.wants
mount -t proc proc root/proc
mount -t sysfs -o ro sysfs root/sys
mount -t cgroup2 cgroup2 root/sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs root/run
mount -t tmpfs tmpfs root/tmp
mount -t tmpfs -o mode=755 tmpfs root/dev
for d in null zero full random urandom tty; do
  touch root/dev/$d; mount --bind /dev/$d root/dev/$d
done
mkdir root/dev/pts root/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts root/dev/pts
ln -s pts/ptmx root/dev/ptmx
mkdir -p root/said; mount --bind said root/said
# No chroot: in one there are no user namespaces (PrivateUsers).
cd root
mkdir -p .old
pivot_root . .old
umount -l /.old
# What systemd mounts for a service has to reach it (credentials).
mount --make-rshared /
exec /usr/bin/env -i container=other \
  PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 %s --system \
  --unit=try.target --log-target=journal --show-status=0
""" % SYSTEMD

SERVICE = """[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/bin/bash /try.sh
TimeoutStartSec=100
"""

TARGET = """[Unit]
Requires=basic.target
Wants=try.service
After=basic.target
"""

# README.md, "As a service", and what a service manager is for.
TRY = r"""
exec > /said/log 2>&1
trap 'echo $? > /said/code; systemctl --no-pager --failed -l > /said/units; journalctl --no-pager | grep -iE "certvault|intake" > /said/journal; systemctl exit 0 --force' EXIT
set -ex
broker="certvault --no-agent --broker unix:/run/certvault/broker.sock"
key() { systemctl show -P "$1" certvault.service; }
as_certvault() {
  setpriv --reuid certvault --regid certvault --clear-groups env -i \
    PATH="$PATH" HOME=/var/lib/certvault "$@"
}
systemd-sysusers
systemd-tmpfiles --create certvault.conf
systemctl daemon-reload
install -o certvault -m 0600 /dev/null /run/vault.key
head -c 32 /dev/urandom > /run/vault.key
as_certvault certvault --no-agent --vault /var/lib/certvault init \
  --key file:/run/vault.key
mkdir -p /etc/certvault
systemd-creds encrypt --name=vault.key /run/vault.key \
  /etc/certvault/vault.key.cred
rm /run/vault.key
echo '{}' > /etc/certvault/certvault.yaml
systemctl enable --now certvault.socket certvault-intake.socket \
  certvault-relay.socket certvault.service
$broker status
certvault --no-agent doctor > /said/doctor || true
[ "$(key StatusText)" = serving ] && [ "$(key NRestarts)" = 0 ]
first=$(key MainPID)
cat /proc/$first/status > /said/status
systemctl reload certvault.service
[ "$(key MainPID)" = "$first" ] && [ "$(key StatusText)" = serving ]
# Without what starts its helpers it ends, and is started again.
kill -9 $(cat /proc/$first/task/$first/children)
for i in $(seq 200); do
  [ "$(key NRestarts)" = 1 ] && [ "$(key ActiveState)" = active ] && break
  sleep 0.1
done
[ "$(key MainPID)" != "$first" ] && [ "$(key ActiveState)" = active ]
$broker status
# The cloud cannot be reached from here: intake says so, as its own user.
as_certvault $broker clusters --region eu-de --endpoint https://127.0.0.1:1 \
  --token-file /said/token --project-id 0123456789abcdef0123456789abcdef \
  && exit 1 || [ $? = 76 ]
systemctl stop certvault.service
[ "$(key ActiveState)" = inactive ]
# Whoever comes starts it.
$broker status
[ "$(key ActiveState)" = active ]
systemctl --no-pager --failed > /said/failed
"""


@pytest.fixture
def place(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for need in (SYSTEMD, "/usr/bin/unshare", "/usr/bin/systemd-creds",
                 "/usr/bin/systemctl"):
        if not os.path.exists(need):
            pytest.skip(f"no {need}")
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--cgroup", "--fork", "sh", "-c",
         'set -e; cd "$1"; mount --make-rprivate /; mkdir l m c; '
         "mount -t tmpfs t l; mkdir l/u l/w; mount -t overlay -o "
         "lowerdir=/,upperdir=l/u,workdir=l/w o m; mount -t cgroup2 c c",
         "sh", str(tmp_path)], capture_output=True)
    if done.returncode != 0:
        pytest.skip(f"no namespace for it here: {done.stderr.decode()}")
    for name in ("layer", "root", "said", "made"):
        (tmp_path / name).mkdir()
    return tmp_path


def install(place):
    done = subprocess.run(
        ["cmake", "--install", harness.RELEASE, "--prefix", "/usr"],
        env={**os.environ, "DESTDIR": str(place / "made")},
        capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_the_units_under_systemd(place):
    install(place)
    for name, text in (("boot.sh", BOOT), ("try.sh", TRY),
                       ("try.service", SERVICE), ("try.target", TARGET)):
        (place / name).write_text(text)
    (place / "said" / "token").write_text("x" * 40)
    (place / "said").chmod(0o755)
    log = place / "said" / "log"
    process = subprocess.Popen(
        ["unshare", "--fork", "--pid", "--mount", "--uts", "--ipc", "--net",
         "--cgroup", "--kill-child", "sh", str(place / "boot.sh"), str(place)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True)
    try:
        said, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
    told = log.read_text() if log.exists() else "nothing"
    code = place / "said" / "code"
    assert code.exists() and code.read_text() == "0\n", \
        told[-4000:] + said.decode()[-2000:]
    assert "0 loaded units" in (place / "said" / "failed").read_text()
    status = dict(line.split(":\t", 1) for line in
                  (place / "said" / "status").read_text().splitlines()
                  if ":\t" in line)
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert int(status["CapEff"], 16) == 0
    assert status["Uid"].split()[0] != "0"
    lines = (place / "said" / "doctor").read_text().splitlines()
    assert any("its units are installed, its sockets are open" in line
               for line in lines), lines
