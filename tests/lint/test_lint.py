"""Shows of each rule that it can fail, and that good code passes them all."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lint  # noqa: E402
import needed  # noqa: E402
import tree  # noqa: E402

GOOD = '''/* A slot: gets(), system() in a comment are no calls. */
#include "vault/seal/slot.h"

#include "vault/base/err.h"

#include <sodium.h>

static int twice(int n)
{
    return 2 * n;
}

enum cv_status cv_slot_open(const struct cv_slot *s,
                            struct cv_err *err)
{
    const char *text = "strcpy(a, b)\\" system(";

    return twice(s->n) > 3 ? cv_fail(err, CV_INVALID, "%s", text) : CV_OK;
}
'''


def rules(name, text):
    return {rule for _, rule, _ in lint.check(name, text)}


def function(lines, head="static void f(void)"):
    return head + "\n{\n" + "    x();\n" * (lines - 2) + "}\n"


class Rules(unittest.TestCase):
    def fails(self, rule, name, text):
        self.assertIn(rule, rules(name, text))

    def passes(self, name, text):
        self.assertEqual(lint.check(name, text), [])

    def test_good_code_passes(self):
        self.passes("vault/seal/slot.c", GOOD)

    def test_banned(self):
        for call in ("strcpy(a, b);", "x = atoi(s);", "system (s);",
                     "strtok(s, t);", "rand();", "sscanf(s, t);"):
            self.fails("banned", "cli/main.c", f"void f(void)\n{{\n    {call}\n}}\n")
        self.passes("cli/main.c", "int main(void)\n{\n    p->system(1);\n}\n")

    def test_environment(self):
        text = 'int main(void)\n{\n    getenv("X");\n}\n'
        self.fails("banned", "vault/base/file.c", text)
        self.passes("cli/main.c", text)

    def test_function_length(self):
        self.passes("vault/base/file.c", function(100))
        self.fails("function_length", "vault/base/file.c", function(101))

    def test_file_length(self):
        self.passes("vault/base/file.h", "/* */\n" * 800)
        self.fails("file_length", "vault/base/file.h", "/* */\n" * 801)

    def test_columns(self):
        self.passes("vault/base/file.h", "/*" + "x" * 76 + "*/\n")
        self.fails("columns", "vault/base/file.h", "/*" + "x" * 77 + "*/\n")

    def test_internal(self):
        text = '#include "vault/seal/seal_internal.h"\n'
        self.passes("vault/seal/slot.c", text)
        self.passes("tests/unit/seal_slot_test.c", text)
        self.fails("internal", "vault/broker/door.c", text)
        self.fails("internal", "tests/unit/broker_door_test.c", text)

    def test_layers(self):
        self.fails("layers", "vault/base/file.c",
                   '#include "vault/wire/frame.h"\n')
        self.fails("layers", "vault/seal/slot.c",
                   '#include "vault/audit/log.h"\n')
        self.fails("layers", "vault/seal/slot.c", '#include "slot.h"\n')
        self.passes("vault/broker/door.c", '#include "vault/audit/log.h"\n')

    def test_external(self):
        self.fails("external", "vault/broker/door.c",
                   "#include <openssl/evp.h>\n")
        self.fails("external", "cli/main.c", "#include <sqlite3.h>\n")
        self.passes("vault/store/db.c", "#include <sqlite3.h>\n")

    def test_exports(self):
        self.fails("exports", "vault/seal/slot.c",
                   function(3, "int open_slot(void)"))
        self.fails("exports", "vault/seal/slot.c",
                   function(3, "int cv_box_open(void)"))
        for head in ("int cv_slot_open(int a,\n                 int b)",
                     "CV_MUST_USE enum cv_status cv_slot(void)",
                     "__attribute__((noreturn)) void cv_seal_end(void)",
                     "int main(void)"):
            self.passes("vault/seal/slot.c", function(3, head))
        self.passes("vault/seal/slot_read.c",
                    function(3, "int cv_slot_open(void)"))

    def test_exports_to_the_folder(self):
        text = function(3, "int cv_box_open(void)")
        self.assertEqual(lint.check("vault/seal/slot.c", text,
                                    {"cv_box_open"}), [])
        self.passes("cli/cmd_list.c", function(3, "CV_CMD(list)"))

    def test_names(self):
        for stem in ("util", "json_utils", "misc", "stuff"):
            self.fails("names", f"vault/base/{stem}.c", "/* */\n")
        self.passes("vault/base/utilise.c", "/* */\n")

    def test_goto(self):
        self.fails("goto", "cli/main.c", "void f(void)\n{\n    goto again;\n}\n")
        self.passes("cli/main.c", "int main(void)\n{\n    goto out;\n}\n")

    def test_blanks(self):
        self.fails("blanks", "README.md", "text \n")
        self.fails("blanks", "README.md", "a\tb\n")
        self.fails("blanks", "README.md", "no end")

    def test_places(self):
        self.fails("places", "README.md", "see /work" + "/x\n")
        self.fails("places", "docs/a.md", "made by an L" + "LM\n")

    def test_code_only_keeps_lines(self):
        code = tree.code_only('a /* x\ny */ b // z\nc "d\\"e" \'\\\'\' f\n')
        self.assertEqual(code.count("\n"), 3)
        self.assertEqual("".join(code.split()), "abc\"\"\'\'f")


class Needed(unittest.TestCase):
    def test_compare(self):
        want = {"bin/a": {"libc.so", "libx.so"}}
        self.assertEqual(needed.compare(want, dict(want)), [])
        self.assertIn("bin/a: needs libz.so, which is not in the list",
                      needed.compare(want, {"bin/a": {"libc.so", "libx.so",
                                                      "libz.so"}}))
        self.assertIn("bin/a: libx.so is in the list, but not needed",
                      needed.compare(want, {"bin/a": {"libc.so"}}))
        self.assertIn("bin/a: not built", needed.compare(want, {}))
        self.assertIn("bin/b: not in the list",
                      needed.compare(want, {**want, "bin/b": set()}))

    def test_list_reads(self):
        self.assertIn("bin/certvault", needed.read_list())


if __name__ == "__main__":
    unittest.main()
