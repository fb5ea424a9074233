"""Every C file is as clang-format leaves it.

    format.py ROOT

The style is written for one release of clang-format (Debian 12's): another
lays out some lines otherwise, so with another nothing is checked (77).
"""

import re
import subprocess
import sys
import os

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tree  # noqa: E402

RELEASE = "14"


def main(root):
    try:
        version = subprocess.run(["clang-format", "--version"], check=True,
                                 capture_output=True, text=True).stdout
    except OSError:
        print("no clang-format here")
        return 77
    if re.search(r"version (\d+)", version).group(1) != RELEASE:
        print(f"{version.strip()}: the style is for {RELEASE}")
        return 77
    names = tree.c_files(root)
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *names],
                          cwd=root, capture_output=True, text=True)
    bad = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", done.stderr,
                                re.MULTILINE)))
    for name in bad:
        print(f"{name}: clang-format -i {name}")
    print(f"{len(names)} files, {len(bad)} findings")
    return 1 if bad or done.returncode or not names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
