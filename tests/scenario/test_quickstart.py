"""cli/quickstart.sh, as a newcomer runs it: with the release programs, without
packages, cloud or internet."""

import os
import shlex
import shutil
import signal
import stat
import subprocess
import time

import pytest

import harness

SCRIPT = os.path.join(harness.SOURCE, "cli", "quickstart.sh")
# What a machine where all is installed has no need of.
NEVER = ("apt-get", "apt-cache", "sudo", "cmake", "ninja")


@pytest.fixture
def quickstart(tmp_path):
    """Starts it in tmp_path/shown with the programs of `built`."""
    if not os.path.exists(harness.program(build=harness.RELEASE)):
        pytest.skip("no release build")
    if shutil.which("softhsm2-util") is None:
        pytest.skip("no softhsm2-util: apt-get install softhsm2")
    never, home = tmp_path / "never", tmp_path / "home"
    never.mkdir()
    for name in NEVER:
        (never / name).write_text(f"#!/bin/sh\necho {name} >>{never}/called\n"
                                  "exit 1\n")
        (never / name).chmod(0o755)
    home.mkdir(mode=0o700)
    (home / "run").mkdir(mode=0o700)
    env = harness.environment(str(home))
    env["PATH"] = f"{never}:{env['PATH']}"

    def start(built=harness.RELEASE, **options):
        return subprocess.Popen(
            ["sh", SCRIPT, "--yes", "--built", str(built), "--folder",
             str(tmp_path / "shown")], env=env, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            start_new_session=True, **options)
    yield start
    assert not (never / "called").exists(), (never / "called").read_text()
    # It ends when it sees that who started it has.
    end = time.monotonic() + 60
    while standins(tmp_path):
        assert time.monotonic() < end, "the stand-in for the cloud goes on"
        time.sleep(0.05)


def standins(folder):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read()
        except OSError:
            continue
        if b"cce_standin.py" in words and os.fsencode(folder) in words:
            found.append(pid)
    return found


def test_it_shows_the_main_job(quickstart, tmp_path):
    done = quickstart(stderr=subprocess.STDOUT)
    said, _ = done.communicate(timeout=900)
    print(said)
    assert done.returncode == 0
    want = ["fetch --cluster prod", "(exit code 77, as it should be)",
            "the key left the vault", "(exit code 70, as it should be)",
            "fetch --cluster dev", "attack read-secret"]
    if shutil.which("kubectl"):
        want += ["exec second -- kubectl", "the grant is read-only",
                 "kubectl --kubeconfig kubeconfig"]
    at = 0
    for text in [*want, "# done."]:
        at = said.find(text, at)
        assert at >= 0, text
    shown = tmp_path / "shown"
    for name in ("vault.key", "prod.yaml", "token.pin", "standin.json"):
        assert stat.S_IMODE((shown / name).stat().st_mode) == 0o600, name
    # Nothing of kubectl's in the home, no key in what says how it gets in.
    assert not (tmp_path / "home" / ".kube").exists()
    if shutil.which("kubectl"):
        assert "client-key" not in (shown / "kubeconfig").read_text()
    assert "BEGIN" not in said and "client-key" not in said
    # Again: the first run's folder is kept, and nothing else is touched.
    (tmp_path / "shown.old").mkdir()
    (tmp_path / "shown.old" / "mine").write_text("x")
    done = quickstart(stderr=subprocess.PIPE)
    said, error = done.communicate(timeout=60)
    assert done.returncode == 1 and "not of an earlier run" in error
    assert (tmp_path / "shown.old" / "mine").exists()
    assert (shown / "prod.yaml").exists()


def test_what_goes_wrong_in_it_fails(quickstart, tmp_path):
    """A build that gives a key out where none is permitted."""
    fake = tmp_path / "fake" / "bin" / "certvault"
    fake.parent.mkdir(parents=True)
    real = shlex.quote(harness.program(build=harness.RELEASE))
    fake.write_text('#!/bin/sh\ncase $1 in export) exit 0 ;; esac\n'
                    f'exec {real} "$@"\n')
    fake.chmod(0o755)
    done = quickstart(tmp_path / "fake", stderr=subprocess.STDOUT)
    said, _ = done.communicate(timeout=900)
    assert done.returncode == 1, said
    assert said.endswith("quickstart: exit code 0, expected 77\n"), said


def test_cut_off_it_leaves_nothing_running(quickstart):
    done = quickstart(stderr=subprocess.STDOUT)
    for line in done.stdout:
        if line.startswith("$ certvault list"):
            break
    os.killpg(done.pid, signal.SIGINT)
    rest, _ = done.communicate(timeout=900)
    assert done.returncode == 130, rest


@pytest.mark.parametrize("way", ["{0}/build/../mine", "{0}/build/link",
                                 "{0}/build/x/../../mine", "{0}/build/.."])
def test_a_way_through_build_is_not_in_it(tmp_path, way):
    """What somebody has beside it stays where it is, however it is named."""
    tree = tmp_path / "tree"
    for name in ("cli", "build/x", "mine", "bin"):
        (tree / name).mkdir(parents=True)
    for name in ("quickstart.sh", "packages.sh"):
        shutil.copy(os.path.join(harness.SOURCE, "cli", name), tree / "cli")
    # Nothing of it comes to be run.
    (tree / "bin" / "certvault").write_text("#!/bin/sh\nexit 99\n")
    (tree / "bin" / "certvault").chmod(0o755)
    (tree / "mine" / "notes").write_text("x")
    (tree / "build" / "link").symlink_to(tree / "mine")
    done = subprocess.run(
        ["sh", str(tree / "cli" / "quickstart.sh"), "--yes", "--built",
         str(tree), "--folder", way.format(tree)], text=True,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, cwd=tree)
    assert done.returncode == 1, done
    assert "not of an earlier run" in done.stderr, done
    assert (tree / "mine" / "notes").read_text() == "x"
    assert (tree / "build" / "link").is_symlink()
    assert sorted(os.listdir(tree)) == ["bin", "build", "cli", "mine"]
