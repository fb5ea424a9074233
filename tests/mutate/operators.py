"""Mutants of C sources: small mistakes, each made at one place.

What is a place is found in the tokens of a file; comments, strings and
preprocessor lines are left alone. A mutant that does not compile is no mutant.
"""

import re
from typing import NamedTuple

TOKEN = re.compile(r"""
    (?P<skip>   [ \t\n]+ | //[^\n]* | /\*.*?\*/ )
  | (?P<text>   "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' )
  | (?P<name>   [A-Za-z_]\w* )
  | (?P<number> 0[xX][0-9a-fA-F]+[uUlL]* | \d[\w.]* )
  | (?P<sign>   <<= | >>= | \.\.\. | -> | \+\+ | -- | << | >> | <= | >= | ==
              | != | && | \|\| | [-+*/%&|^]= | [^\s\w] )
""", re.VERBOSE | re.DOTALL)
LINE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.MULTILINE | re.DOTALL)

# Named as in docs/tested.md.
FLIPS = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
BOUNDARIES = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
LOGIC = {"&&": "||", "||": "&&"}
SUMS = {"+": "-", "-": "+", "+=": "-=", "-=": "+=", "++": "--", "--": "++",
        "*": "/", "/": "*"}
BITS = {"&": "|", "|": "&", "|=": "&=", "&=": "|=", "<<": ">>", ">>": "<<"}
STATUSES = {"CV_OK": "CV_INTERNAL", "CV_INVALID": "CV_OK",
            "CV_DENIED": "CV_OK", "CV_INTERNAL": "CV_OK",
            "CV_BUSY": "CV_OK", "CV_INTEGRITY": "CV_OK",
            "CV_NOT_FOUND": "CV_OK", "true": "false", "false": "true"}
OPERATORS = ("comparison flipped", "boundary shifted", "and/or swapped",
             "negation dropped", "constant +-1", "statement deleted",
             "return value swapped", "plus/minus swapped", "bits swapped")

HEADS = ("if", "while", "for", "switch", "cJSON_ArrayForEach")
TYPES = ("const", "struct", "enum", "static", "unsigned", "int", "char",
         "bool", "void", "size_t", "typedef", "goto", "case", "default",
         "long", "double", "union")


class Token(NamedTuple):
    kind: str
    text: str
    begin: int

    @property
    def end(self):
        return self.begin + len(self.text)


class Mutant(NamedTuple):
    operator: str
    begin: int
    end: int
    put: str

    def of(self, source):
        return source[:self.begin] + self.put + source[self.end:]


def tokens(source):
    source = LINE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), source)
    at, out = 0, []
    while at < len(source):
        m = TOKEN.match(source, at)
        if m is None:
            raise ValueError(f"no token at {source[at:at + 20]!r}")
        if m.lastgroup != "skip":
            out.append(Token(m.lastgroup, m.group(), at))
        at = m.end()
    return out


def is_binary(before):
    """Is an operator after this token one between two operands?"""
    return before is not None and before.text != "return" and (
        before.kind in ("name", "number", "text") or before.text in ")]")


def of_signs(toks):
    for i, t in enumerate(toks):
        before = toks[i - 1] if i else None
        after = toks[i + 1] if i + 1 < len(toks) else None
        if t.kind != "sign":
            continue
        if t.text in FLIPS:
            yield Mutant(OPERATORS[0], t.begin, t.end, FLIPS[t.text])
        if t.text in BOUNDARIES:
            yield Mutant(OPERATORS[1], t.begin, t.end, BOUNDARIES[t.text])
        if t.text in LOGIC:
            yield Mutant(OPERATORS[2], t.begin, t.end, LOGIC[t.text])
        if t.text == "!":
            yield Mutant(OPERATORS[3], t.begin, t.end, "")
        # The formatter sets `a * b` and `type *b` apart.
        two = is_binary(before) and not (
            t.text in "*&" and after.begin == t.end)
        if t.text in SUMS and (two or len(t.text) == 2):
            yield Mutant(OPERATORS[7], t.begin, t.end, SUMS[t.text])
        if t.text in BITS and two:
            yield Mutant(OPERATORS[8], t.begin, t.end, BITS[t.text])


def of_numbers(toks):
    for t in toks:
        m = re.fullmatch(r"(0[xX][0-9a-fA-F]+|\d+)([uUlL]*)", t.text)
        if t.kind != "number" or m is None:
            continue
        n = int(m.group(1), 0 if m.group(1)[:2] in ("0x", "0X") else 10)
        yield Mutant(OPERATORS[4], t.begin, t.end, f"{n + 1}{m.group(2)}")
        less = f"{n - 1}{m.group(2)}" if n else "-1"
        yield Mutant(OPERATORS[4], t.begin, t.end, less)


def bodies(toks):
    """(first, last) of each function's body: tokens within its braces."""
    depth, first = 0, None
    for i, t in enumerate(toks):
        if t.text == "{":
            if depth == 0:
                first = i if i and toks[i - 1].text == ")" else None
            depth += 1
        elif t.text == "}":
            depth -= 1
            if depth == 0 and first is not None:
                yield first + 1, i
                first = None


def matching(toks, at):
    """Where the parenthesis or brace at `at` is closed."""
    depth = 0
    for i in range(at, len(toks)):
        depth += toks[i].text in "([{"
        depth -= toks[i].text in ")]}"
        if depth == 0:
            return i
    raise ValueError("not closed")


def statements(toks, first, last):
    """(first, last) of each simple statement: from its first token to its
    semicolon."""
    i = first
    while i < last:
        t = toks[i].text
        if t in HEADS:
            i = matching(toks, i + 1) + 1
        elif t in ("{", "}", ";", "else", "do"):
            i += 1
        elif t in ("case", "default"):
            while toks[i].text != ":":
                i += 1
            i += 1
        elif i + 1 < last and toks[i + 1].text == ":":
            i += 2                     # a label
        else:
            end = i
            while toks[end].text != ";":
                end = (matching(toks, end) if toks[end].text in "([{"
                       else end) + 1
            yield i, end
            i = end + 1


def is_declaration(toks, first):
    return (toks[first].text in TYPES or
            toks[first].kind == toks[first + 1].kind == "name" and
            toks[first].text != "return")


def of_statements(toks):
    for first, last in bodies(toks):
        for a, b in statements(toks, first, last):
            if is_declaration(toks, a) or (
                    toks[a].text == "(" and toks[a + 1].text == "void"):
                continue
            value = toks[a].text == "return" and b > a + 1
            if value:
                yield from of_returned(toks, a + 1, b)
            # Without its last return a function returns what was by chance
            # in a register.
            if not value or b + 1 < last:
                yield Mutant(OPERATORS[5], toks[a].begin, toks[b].end, ";")


def of_returned(toks, a, b):
    """Another value is returned: the opposite word, else nothing (0)."""
    begin, end = toks[a].begin, toks[b - 1].end
    word = toks[a].text if b == a + 1 else ""
    if word in STATUSES:
        yield Mutant(OPERATORS[6], begin, end, STATUSES[word])
    elif word != "NULL" and not word.isdigit():
        yield Mutant(OPERATORS[6], begin, end, "0")


def mutants(source):
    """All, in the order of the file; each once."""
    toks = tokens(source)
    found = {*of_signs(toks), *of_numbers(toks), *of_statements(toks)}
    return sorted(found, key=lambda m: (m.begin, m.end, m.operator, m.put))
