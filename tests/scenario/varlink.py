"""The broker's interface as its .varlink file has it, and what answers and the
code are held against it."""

import glob
import os
import re

import harness

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
BROKER = os.path.join(ROOT, "vault", "broker")
PREFIX = "io.certvault.Broker."


class Interface:
    """types: name to fields; methods: name to (fields, fields). A type is a
    string ("int", "object", the name of one), a dict of fields, or a tuple
    ("?", type), ("[]", type), ("[string]", type)."""

    def __init__(self, text):
        self.tokens = re.findall(r"\w+|\[\]|\[string\]|->|[?():,]",
                                 re.sub(r"#.*", "", text))
        self.at = 0
        self.types, self.methods, self.errors = {}, {}, set()
        assert self.take() == "interface"
        while self.tokens[self.at] not in ("type", "method", "error"):
            self.at += 1              # the interface's name has dots
        while self.at < len(self.tokens):
            kind, name = self.take(), self.take()
            if kind == "type":
                self.types[name] = self.fields()
            elif kind == "error":
                self.fields()
                self.errors.add(name)
            else:
                assert kind == "method", kind
                given = self.fields()
                assert self.take() == "->"
                assert name not in self.methods, name
                self.methods[name] = given, self.fields()

    def take(self):
        self.at += 1
        return self.tokens[self.at - 1]

    def fields(self):
        assert self.take() == "("
        out = {}
        while self.tokens[self.at] != ")":
            if self.tokens[self.at] == ",":
                self.at += 1
            name = self.take()
            assert self.take() == ":" and name not in out, name
            out[name] = self.type()
        self.at += 1
        return out

    def type(self):
        if self.tokens[self.at] in ("?", "[]", "[string]"):
            return self.take(), self.type()
        if self.tokens[self.at] == "(":
            return self.fields()
        return self.take()

    def wrong(self, value, kind, where):
        """What of a value is not as the file says; None: nothing."""
        if isinstance(kind, str) and kind in self.types:
            kind = self.types[kind]
        if isinstance(kind, tuple):
            how, kind = kind
            if how == "?":
                return value is not None and self.wrong(value, kind, where)
            if not isinstance(value, list if how == "[]" else dict):
                return f"{where}: {value!r}"
            each = value if how == "[]" else value.values()
            return next(filter(None, (self.wrong(v, kind, where + "[]")
                                      for v in each)), None)
        if isinstance(kind, dict):
            if not isinstance(value, dict):
                return f"{where}: {value!r}"
            more = set(value) - set(kind)
            less = {k for k, t in kind.items()
                    if not isinstance(t, tuple) or t[0] != "?"} - set(value)
            if more or less:
                return f"{where}: not told {sorted(more)}, not there " \
                    f"{sorted(less)}"
            return next(filter(None, (
                self.wrong(v, kind[k], f"{where}.{k}")
                for k, v in value.items())), None)
        python = {"string": str, "int": int, "float": (int, float),
                  "bool": bool, "object": dict}[kind]
        if not isinstance(value, python) or \
                (kind == "int" and isinstance(value, bool)):
            return f"{where}: {value!r} is no {kind}"
        return None

    def check(self, method, answer):
        """An answer of the broker's, or the error that it is."""
        name = method.removeprefix(PREFIX)
        if not method.startswith(PREFIX) or not isinstance(answer, dict):
            return
        error = answer.get("error", "")
        if error.startswith(PREFIX):
            assert error.removeprefix(PREFIX) in self.errors, answer
        if error or "parameters" not in answer:
            return
        assert name in self.methods, f"{method} is answered, and not told of"
        wrong = self.wrong(answer["parameters"], self.methods[name][1], name)
        assert not wrong, wrong


def read():
    with open(os.path.join(ROOT, "vault", "wire",
                           "io.certvault.Broker.varlink"),
              encoding="ascii") as f:
        return Interface(f.read())


THE = read()


# --- what the code takes ---

ASK = {"reason", "ticket", "break_glass"}
FUNCTION = re.compile(
    r"^(?:static )?(?:CV_BROKER_METHOD\((\w+)\)|[^\n;{}#=]*?\b(\w+)"
    r"\([^;{}]*?\))\s*\n\{\n(.*?)^\}", re.S | re.M)
TABLE = re.compile(r"struct cv_json_field (\w+)\[\] = \{(.*?)\n?\s*\};", re.S)


def functions():
    """{file: {function: body}} of the broker."""
    out = {}
    for path in glob.glob(os.path.join(BROKER, "*.c")):
        with open(path, encoding="utf-8") as f:
            text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
        out[path] = {"cv_broker_" + a if a else b: body
                     for a, b, body in FUNCTION.findall(text)}
    return out


def parameters_taken():
    """{method: names}: what the tables hold that its parameters are read by,
    in its function and those of the same file that this calls."""
    files = functions()
    with open(os.path.join(BROKER, "broker.c"), encoding="utf-8") as f:
        methods = dict(re.findall(r'\{"(\w+)", (cv_broker_\w+)', f.read()))
    taken = {}
    for method, start in methods.items():
        bodies = next(b for b in files.values() if start in b)
        seen, todo, names = set(), [start], set()
        if method in ("Sign", "Export", "Use"):   # decided with others
            todo += ["begin", "read_" + method.lower()]
        while todo:
            name = todo.pop()
            if name in seen or name not in bodies:
                continue
            seen.add(name)
            body = bodies[name]
            todo += re.findall(r"\b(\w+)\(", body)
            for table, rows in TABLE.findall(body):
                if re.search(r"(?:cv_json_read|audit_begin|\bbegin|begin_read)"
                             r"\((?:\w[\w.]*, )?(?:none\()?parameters\b[^;]*\b"
                             + table + r"\b", re.sub(r"\s+", " ", body)):
                    names |= set(re.findall(r'\{"(\w+)", CV_JSON', rows))
                    names |= ASK if "CV_BROKER_ASK_FIELDS" in rows else set()
        taken[method] = names
    return taken
