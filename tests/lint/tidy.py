"""clang-tidy over the programs' C files (not the tests'), as built in a tree.

    tidy.py ROOT BUILD

What was clean stays clean until the file, a header of ours or the checks
change: BUILD/tidy/ remembers.
"""

import concurrent.futures
import hashlib
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tree  # noqa: E402


def digest(*paths):
    h = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as f:
            data = f.read()
        h.update(len(data).to_bytes(8, "big") + data)
    return h.hexdigest()


def check(root, build, path, context):
    """"" when clean, else what clang-tidy said."""
    stamp = os.path.join(build, "tidy",
                         hashlib.sha256(path.encode()).hexdigest()[:32])
    now = context + digest(path)
    try:
        with open(stamp, encoding="ascii") as f:
            if f.read() == now:
                return ""
    except OSError:
        pass
    done = subprocess.run(
        ["clang-tidy", "-p", build, "--quiet", "--extra-arg=-include",
         "--extra-arg=" + os.path.join(root, "tests/lint/analyzer.h"), path],
        cwd=root, capture_output=True, text=True)
    if done.returncode == 0 and "warning:" not in done.stdout:
        with open(stamp, "w", encoding="ascii") as f:
            f.write(now)
        return ""
    return (done.stdout + done.stderr).strip() or f"{path}: clang-tidy failed"


def main(root, build):
    try:
        version = subprocess.run(["clang-tidy", "--version"], check=True,
                                 capture_output=True, text=True).stdout
    except OSError:
        print("no clang-tidy here")
        return 77
    with open(os.path.join(build, "compile_commands.json"),
              encoding="utf-8") as f:
        paths = sorted({os.path.join(c["directory"], c["file"])
                        for c in json.load(f)})
    tests = os.path.join(root, "tests") + "/"
    paths = [p for p in paths if not p.startswith(tests)]
    headers = [os.path.join(root, n) for n in tree.c_files(root)
               if n.endswith(".h")]
    context = hashlib.sha256(
        (version + digest(os.path.join(root, ".clang-tidy"), *headers))
        .encode()).hexdigest()
    os.makedirs(os.path.join(build, "tidy"), exist_ok=True)
    workers = int(os.environ.get("CV_JOBS") or os.cpu_count() or 1)
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for said in pool.map(lambda p: check(root, build, p, context), paths):
            if said:
                bad += 1
                print(said)
    print(f"{len(paths)} files, {bad} with findings")
    return 1 if bad or not paths else 0


if __name__ == "__main__":
    sys.exit(main(os.path.realpath(sys.argv[1]), sys.argv[2]))
