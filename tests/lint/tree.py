"""The files that the rules look at, and C sources cut down to their code."""

import os
import subprocess

FOLDERS = ("vault", "policy", "pkcs11", "cli", "tests")


def files(root):
    """Every file of the project: what git knows, else all there is."""
    try:
        out = subprocess.run(
            ["git", "-C", root, "ls-files", "-z", "--cached", "--others",
             "--exclude-standard"],
            check=True, capture_output=True).stdout
        names = [n.decode() for n in out.split(b"\0") if n]
    except (OSError, subprocess.CalledProcessError):
        names = []
        for folder, dirs, leaves in os.walk(root):
            dirs[:] = [d for d in dirs if d not in (".git", "build")]
            names += [os.path.relpath(os.path.join(folder, leaf), root)
                      for leaf in leaves]
    return sorted(n for n in names
                  if os.path.isfile(os.path.join(root, n)))


def c_files(root):
    return [n for n in files(root)
            if n.endswith((".c", ".h")) and n.startswith(FOLDERS)]


def read(root, name):
    with open(os.path.join(root, name), encoding="utf-8") as f:
        return f.read()


def code_only(text):
    """C with comments, strings and characters blanked; lines stay in place."""
    out = []
    state = None
    i = 0
    while i < len(text):
        two = text[i:i + 2]
        c = text[i]
        if state is None:
            if two == "/*":
                state, step = "*", 2
            elif two == "//":
                state, step = "/", 2
            elif c in "\"'":
                state, step = c, 1
            else:
                out.append(c)
                i += 1
                continue
            out.append(c if state in "\"'" else "  ")
            i += step
        elif state == "*":
            if two == "*/":
                state = None
                out.append("  ")
                i += 2
            else:
                out.append("\n" if c == "\n" else " ")
                i += 1
        elif state == "/":
            if c == "\n":
                state = None
            out.append("\n" if c == "\n" else " ")
            i += 1
        else:
            if c == "\\":
                out.append(" \n" if text[i + 1:i + 2] == "\n" else "  ")
                i += 2
            elif c == state:
                state = None
                out.append(c)
                i += 1
            else:
                out.append("\n" if c == "\n" else " ")
                i += 1
    return "".join(out)
