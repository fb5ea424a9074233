"""Each program of the release build loads exactly the libraries of needed.txt.

    needed.py RELEASE_BUILD      77 (skipped) where nothing is built there
"""

import os
import re
import subprocess
import sys

LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "needed.txt")


def read_list():
    want = {}
    with open(LIST, encoding="ascii") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                program, names = line.split(":")
                want[program] = {n + ".so" for n in names.split()}
    return want


def of_program(path):
    out = subprocess.run(["readelf", "-d", path], check=True, text=True,
                         capture_output=True).stdout
    names = re.findall(r"\(NEEDED\).*\[(.+?)\]", out)
    return {n[:n.index(".so") + 3].replace("-0.so", ".so") for n in names
            if not n.startswith("ld-linux")}


def built(build):
    have = {}
    for folder in ("bin", "libexec/certvault"):
        path = os.path.join(build, folder)
        for leaf in sorted(os.listdir(path)) if os.path.isdir(path) else []:
            program = os.path.join(path, leaf)
            if os.path.isfile(program) and not os.path.islink(program):
                with open(program, "rb") as f:
                    if f.read(4) == b"\x7fELF":
                        have[f"{folder}/{leaf}"] = of_program(program)
    return have


def compare(want, have):
    found = []
    for program in sorted(want.keys() | have.keys()):
        if program not in have:
            found.append(f"{program}: not built")
        elif program not in want:
            found.append(f"{program}: not in the list")
        else:
            for name in sorted(have[program] - want[program]):
                found.append(f"{program}: needs {name}, which is not in the "
                             "list")
            for name in sorted(want[program] - have[program]):
                found.append(f"{program}: {name} is in the list, but not "
                             "needed")
    return found


def main(build):
    have = built(build)
    if not have:
        print(f"nothing is built in {build}: build the preset release first")
        return 1 if os.environ.get("CI") else 77
    found = compare(read_list(), have)
    print("\n".join(found) or f"{len(have)} programs as listed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
