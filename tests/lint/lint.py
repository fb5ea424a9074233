"""The house rules that neither compiler nor formatter checks.

    lint.py ROOT        prints FILE:LINE: RULE: what, exits 1 where there is any

Each rule is a function that yields (line, text) for one file; RULES lists them.
test_lint.py shows for each that it can fail.
"""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tree  # noqa: E402

MAX_FUNCTION_LINES = 100
MAX_FILE_LINES = 800
MAX_COLUMNS = 80

# Which folder may include headers of which, straight from the layers.
LAYERS = {
    "vault/base": 0,
    "vault/yaml": 1,
    "pkcs11/provider": 3,
    "vault/wire": 2, "policy": 2, "vault/kubeconfig": 2, "vault/seal": 2,
    "vault/audit": 2, "pkcs11": 2,
    "vault/fetch": 3, "vault/store": 3,
    "vault/broker": 4, "vault/relay": 4,
    "cli": 5,
}

# Headers of other people's libraries, and who may include them.
EXTERNAL = {
    "curl/": ("vault/fetch",),
    "sqlite3.h": ("vault/store", "vault/audit"),
    "yaml.h": ("vault/yaml", "vault/kubeconfig"),
    "openssl/": ("vault/kubeconfig", "vault/seal", "vault/fetch", "pkcs11",
                 "pkcs11/provider", "vault/relay", "cli"),
    "event2/": ("vault/relay",),
    "nghttp2/": ("vault/relay",),
    "p11-kit/": ("pkcs11", "cli"),
    "seccomp.h": ("vault/base",),
    "sodium.h": ("vault/base", "vault/seal", "vault/audit", "vault/fetch",
                 "vault/kubeconfig", "vault/broker", "vault/store", "policy",
                 "cli"),
}

BANNED = (
    "strcpy strcat sprintf vsprintf gets strtok atoi atol atoll atof system "
    "popen mktemp tmpnam tempnam rand srand random srandom drand48 alloca "
    "strncpy strncat scanf sscanf fscanf vscanf vsscanf vfscanf asctime ctime "
    "gmtime localtime bzero").split()
# The environment is read where the process begins, and nowhere else.
ENVIRONMENT = "getenv setenv putenv unsetenv secure_getenv clearenv".split()

# Words that would tell of a place and not of the project.
PLACES = [r"/work/", r"/tmp/cv/", r"/home/\w", r"\bLLM\b", r"\bClaude\b",
          r"\bAnthropic\b", r"\bGPT\b", r"language model"]

# Text files that may be long or wide: data, not code.
DATA = ("tests/data/", "tests/fuzz/seeds/")


def folder_of(name):
    for folder in LAYERS:
        if name.startswith(folder + "/"):
            return folder
    return None


def functions(code):
    """(first line, last line, signature) of each function definition."""
    lines = code.split("\n")
    start = None
    for number, line in enumerate(lines, 1):
        if line.rstrip() == "{":
            start = number
        elif line.startswith("}") and start is not None:
            yield start, number, signature(lines, start - 1)
            start = None


def signature(lines, brace):
    """The text in front of the brace at index `brace`, back to a boundary."""
    parts = []
    for i in range(brace - 1, -1, -1):
        line = lines[i].strip()
        if not line or line.startswith("#") or line[-1] in ";}" or line == "{":
            break
        parts.insert(0, line)
    return " ".join(parts)


def function_name(sig):
    sig = re.sub(r"__attribute__\s*\(\(.*?\)\)", " ", sig)
    found = re.search(r"(\w+)\s*\(", sig)
    return found.group(1) if found else None


def rule_banned(name, text, code):
    """Calls that are easy to get wrong, and have a better one in vault/base."""
    banned = list(BANNED)
    if not name.startswith(("cli/", "tests/")):
        banned += ENVIRONMENT
    pattern = re.compile(r"(?<![\w.>])(" + "|".join(banned) + r")\s*\(")
    for number, line in enumerate(code.split("\n"), 1):
        for found in pattern.finditer(line):
            yield number, f"{found.group(1)}() is banned"


def rule_function_length(name, text, code):
    for first, last, sig in functions(code):
        if last - first + 1 > MAX_FUNCTION_LINES:
            yield first, (f"{function_name(sig)} has {last - first + 1} lines, "
                          f"over {MAX_FUNCTION_LINES}")


def rule_file_length(name, text, code):
    lines = text.count("\n")
    if lines > MAX_FILE_LINES:
        yield 1, f"{lines} lines, over {MAX_FILE_LINES}"


def rule_columns(name, text, code):
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > MAX_COLUMNS and "http" not in line:
            yield number, f"{len(line)} columns, over {MAX_COLUMNS}"


def rule_internal(name, text, code):
    """x_internal.h is its folder's alone (a folder's unit tests may look in)."""
    here = os.path.dirname(name)
    for number, path in includes(text):
        if path.endswith("_internal.h") and os.path.dirname(path) != here:
            unit = re.match(r"tests/(?:unit|fuzz)/([a-z0-9]+)_", name)
            folder = os.path.basename(os.path.dirname(path))
            if unit and unit.group(1) == folder:
                continue
            yield number, f"{path} is internal to {os.path.dirname(path)}"


def includes(text):
    for number, line in enumerate(text.split("\n"), 1):
        found = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
        if found:
            yield number, found.group(1)


def rule_layers(name, text, code):
    """A folder includes headers of lower layers alone."""
    here = folder_of(name)
    if here is None:
        return
    for number, path in includes(text):
        there = folder_of(path)
        if there is None:
            yield number, f"{path}: includes start at the root of the tree"
        elif there != here and LAYERS[there] >= LAYERS[here]:
            yield number, (f"{here} (layer {LAYERS[here]}) includes {path} "
                           f"(layer {LAYERS[there]})")


def rule_external(name, text, code):
    here = folder_of(name)
    if here is None:
        return
    for number, line in enumerate(text.split("\n"), 1):
        found = re.match(r"\s*#\s*include\s*<([^>]+)>", line)
        if not found:
            continue
        for prefix, folders in EXTERNAL.items():
            if found.group(1).startswith(prefix) and here not in folders:
                yield number, f"{here} must not include <{found.group(1)}>"


def rule_exports(name, text, code, internal=frozenset()):
    """A file exports only names that begin with its own (or its header's).

    Names that an x_internal.h of its folder declares (`internal`) go no
    further; a macro in capitals makes names of its own kind.
    """
    if not name.endswith(".c") or folder_of(name) is None:
        return
    allowed = prefixes(name)
    for first, _, sig in functions(code):
        function = function_name(sig)
        if (not function or function == "main" or function in internal or
                re.search(r"\bstatic\b", sig) or function.isupper()):
            continue
        if not any(function == p or function.startswith(p + "_")
                   for p in allowed):
            yield first, f"{function} does not begin with {allowed[0]}_"


def prefixes(name):
    """cv_<stem>, and the shorter stems that a part of a split file has.

    kubeconfig_read.c is a part of kubeconfig: it may export cv_kubeconfig_*
    beside cv_kubeconfig_read_*; and anything may export its folder's name.
    """
    stem = os.path.splitext(os.path.basename(name))[0]
    words = stem.split("_")
    out = ["cv_" + "_".join(words[:n]) for n in range(len(words), 0, -1)]
    out.append("cv_" + os.path.basename(os.path.dirname(name)))
    return out


def rule_names(name, text, code):
    stem = os.path.splitext(os.path.basename(name))[0]
    if re.search(r"(^|_)(utils?|misc|common|stuff)($|_)", stem):
        yield 1, "a file is named for its one subject"


def rule_goto(name, text, code):
    for number, line in enumerate(code.split("\n"), 1):
        found = re.search(r"\bgoto\s+(\w+)", line)
        if found and found.group(1) not in ("out", "done"):
            yield number, f"goto {found.group(1)}: only out and done"


def rule_blanks(name, text, code):
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            yield number, "blank at the end of the line"
        if "\t" in line:
            yield number, "tab"
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no line feed at the end"


def rule_places(name, text, code):
    for number, line in enumerate(text.split("\n"), 1):
        for pattern in PLACES:
            if re.search(pattern, line):
                yield number, f"speaks of a place: {pattern}"


C_RULES = (rule_banned, rule_function_length, rule_file_length, rule_columns,
           rule_internal, rule_layers, rule_external, rule_exports, rule_names,
           rule_goto)
TEXT_RULES = (rule_blanks, rule_places)
TEXT = (".c", ".h", ".py", ".sh", ".txt", ".cmake", ".md", ".varlink", ".json",
        ".yaml", ".1")


def internals(root, names):
    """Folder -> the names that its internal headers declare."""
    found = {}
    for name in names:
        if name.endswith("_internal.h"):
            code = tree.code_only(tree.read(root, name))
            found.setdefault(os.path.dirname(name), set()).update(
                re.findall(r"\b(cv_\w+)\s*\(", code))
    return found


def check(name, text, internal=frozenset()):
    """(line, rule, what) for each finding in one file."""
    found = []
    if name.endswith((".c", ".h")):
        code = tree.code_only(text)
        for rule in C_RULES:
            more = (internal,) if rule is rule_exports else ()
            found += [(n, rule.__name__[5:], what)
                      for n, what in rule(name, text, code, *more)]
    if name.endswith(TEXT) and not name.startswith("tests/lint/"):
        for rule in TEXT_RULES:
            found += [(n, rule.__name__[5:], what)
                      for n, what in rule(name, text, text)]
    return found


def main(root):
    bad = 0
    n = 0
    names = tree.files(root)
    internal = internals(root, names)
    for name in names:
        if not name.endswith(TEXT) or name.startswith(DATA):
            continue
        n += 1
        for line, rule, what in check(name, tree.read(root, name),
                                      internal.get(os.path.dirname(name),
                                                   frozenset())):
            print(f"{name}:{line}: {rule}: {what}")
            bad += 1
    print(f"{n} files, {bad} findings")
    return 1 if bad or not n else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
