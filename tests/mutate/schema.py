"""Many mutants in one source: each function's body once as it is and once for
each mutant of it, chosen by a number while it runs. So all are compiled at one
go, and a mutant costs no more than the tests that see it.
"""

import bisect
import re
from typing import NamedTuple

import operators

CHOICE = "extern int cv_mutant;\n"
# Chooses the mutant, and how long it may run: a mutant may loop for ever.
CHOOSER = r"""
#include <stdlib.h>
#include <sys/resource.h>
int cv_mutant;
static void limit(int what, const char *name)
{
    const char *said = getenv(name);
    if (said != NULL) {
        rlim_t n = strtoul(said, NULL, 10);
        struct rlimit r = {n, n};
        setrlimit(what, &r);
    }
}
__attribute__((constructor)) static void choose(void)
{
    const char *said = getenv("CV_MUTANT");
    cv_mutant = said == NULL ? 0 : atoi(said);
    limit(RLIMIT_CPU, "CV_CPU");
    limit(RLIMIT_AS, "CV_MEMORY");
    limit(RLIMIT_CORE, "CV_CORE");
}
"""


class Schema(NamedTuple):
    text: str
    lines: list       # where each block begins
    numbers: list     # whose it is; 0: the original's


def function_bodies(source):
    """(begin, end) in characters, without the braces; none with labels, which
    a function can have but once."""
    toks = operators.tokens(source)
    for first, last in operators.bodies(toks):
        if not any(t.text == "goto" for t in toks[first:last]):
            yield toks[first - 1].end, toks[last].begin


def split(source, numbered):
    """{body: its mutants} and those that are in no body."""
    bodies = list(function_bodies(source))
    begins = [b for b, _ in bodies]
    inside, outside = {}, []
    for number, mutant in numbered:
        at = bisect.bisect_right(begins, mutant.begin) - 1
        if at >= 0 and mutant.end <= bodies[at][1]:
            inside.setdefault(bodies[at], []).append((number, mutant))
        else:
            outside.append((number, mutant))
    return inside, outside


def make(source, inside):
    text, lines, numbers = CHOICE, [1], [0]

    def add(more, number):
        nonlocal text
        text += "\n"
        lines.append(text.count("\n") + 1)
        numbers.append(number)
        text += more

    at = 0
    for (begin, end), mutants in sorted(inside.items()):
        add(source[at:begin] + "switch (cv_mutant) {\n", 0)
        for number, m in mutants:
            body = source[begin:m.begin] + m.put + source[m.end:end]
            add(f"case {number}: {{{body}\n}} break;\n", number)
        add(f"default: {{{source[begin:end]}\n}} break;\n}}", 0)
        at = end
    add(source[at:], 0)
    return Schema(text, lines, numbers)


def refused(schema, path, messages):
    """The numbers of the mutants that the compiler's messages are about."""
    found = set()
    for line in re.findall(rf"^{re.escape(path)}:(\d+):\d*:? (?:fatal )?error:",
                           messages, re.MULTILINE):
        at = bisect.bisect_right(schema.lines, int(line)) - 1
        found.add(schema.numbers[at])
    return found
