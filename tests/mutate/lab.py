"""Where mutants are built and tested: a scratch folder with the policy library
as a shared object, and the unit tests and the model's driver that load it."""

import glob
import os
import re
import resource
import shutil
import subprocess
import sys

import schema

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DATA = os.path.join(ROOT, "tests", "data")

PLAIN = ["-O0", "-ftrivial-auto-var-init=pattern"]
CHECKED = ["-O0", "-g1", "-fno-omit-frame-pointer",
           "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
FLAGS = ["-std=c17", "-w", "-fPIC", "-D_GNU_SOURCE", '-DCV_VERSION="0"',
         f'-DCV_TEST_DATA="{DATA}"', "-I" + ROOT]
LINKER = ["-fuse-ld=lld"] if shutil.which("ld.lld") else []
MEMORY = 2 << 30
# All copies of a body have places of their own on the stack.
STACK = 1 << 30
# What takes longer under the address checker is left to the plain run.
SLOW_S = .6


def pkg_config(what, *packages):
    done = subprocess.run(["pkg-config", what, *packages], check=True,
                          capture_output=True, text=True)
    return done.stdout.split()


def must(argv):
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}\n{done.stdout}{done.stderr}")


def put(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    return path


def source_text(source):
    with open(os.path.join(ROOT, source), encoding="ascii") as f:
        return f.read()


def sources_of(folder):
    """The files that CMake makes the folder's library of."""
    text = source_text(os.path.join(folder, "CMakeLists.txt"))
    return [os.path.join(folder, name) for name in
            re.findall(r"\b\w+\.c\b", text[text.index("SOURCES"):])]


class Test:
    """One program that must end with 0, or answer as the model did."""

    def __init__(self, name, source, wraps):
        self.name, self.source, self.wraps = name, source, wraps
        self.questions = self.answers = None
        self.cpu_s, self.used, self.alone = 20, 0, []

    def passes(self, path, env):
        feed = open(self.questions, "rb") if self.questions else None
        try:
            done = subprocess.run(
                [path], stdin=feed or subprocess.DEVNULL, timeout=600,
                env={**env, "CV_CPU": str(self.cpu_s)},
                stdout=subprocess.PIPE if feed else subprocess.DEVNULL,
                stderr=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return False
        finally:
            if feed:
                feed.close()
        return done.returncode == 0 and (not feed or
                                         done.stdout == self.answers)


class Lab:
    """The library with all mutants in it, and the tests. `numbered`: {source:
    [(number from 1, mutant)]}."""

    def __init__(self, folder, flags, numbered, jobs):
        self.folder = folder
        self.checked = CHECKED == flags
        self.links = [f for f in flags if f.startswith("-fsan")]
        os.makedirs(folder, exist_ok=True)
        packages = ("libsodium", "libcjson", "yaml-0.1", "cmocka")
        self.flags = [*FLAGS, *flags, *pkg_config("--cflags", *packages)]
        self.libs = pkg_config("--libs", *packages)
        self.sources = sources_of("policy")
        self.numbered = numbered
        self.alone = {}                # number: (source, mutant)
        self.dead = set()              # they do not compile
        self.build(jobs)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def object_of(self, source):
        return self.path(source.replace("/", "-")[:-2] + ".o")

    def compile(self, source, out, *more):
        return ["gcc", *self.flags, *more, "-c", source, "-o", out]

    def link(self, out, *objects):
        return ["gcc", *LINKER, *self.links, "-o", out, *objects, *self.libs]

    def shared(self, folder, name, *objects):
        """With a name of its own: else who is linked with it would look for it
        at this very path, and never find a mutant."""
        return self.link(os.path.join(folder, name), "-shared",
                         "-Wl,-soname," + name, *objects)

    def build(self, jobs):
        """All objects, the two libraries and the tests."""
        resource.setrlimit(resource.RLIMIT_STACK, (STACK, resource.getrlimit(
            resource.RLIMIT_STACK)[1]))
        below = sources_of("vault/base") + sources_of("vault/yaml")
        below = [s for s in below if "/sandbox" not in s]
        tests = [os.path.relpath(t, ROOT) for t in sorted(glob.glob(
            os.path.join(ROOT, "tests/unit", "policy_*.c")))]
        chooser = put(self.path("chooser.c"), schema.CHOOSER)
        cache = [c for c in [shutil.which("ccache")] if c]
        run_all([self.compile(chooser, self.path("chooser.o")), *(
            [*cache, *self.compile(os.path.join(ROOT, s), self.object_of(s))]
            for s in [*below, *tests])], jobs)
        self.build_mutants(jobs)
        self.below = [*map(self.object_of, below), self.path("chooser.o")]
        must(self.shared(self.folder, "libbelow.so", *self.below))
        must(self.library(self.folder, {}))
        self.tests = [self.add_test(s) for s in tests]

    def build_mutants(self, jobs):
        """Objects with all the mutants that compile."""
        todo = list(self.sources)
        while todo:
            made = {}
            for source in todo:
                wanted = [n for n in self.numbered.get(source, [])
                          if n[0] not in self.dead]
                inside, outside = schema.split(source_text(source), wanted)
                self.alone.update((n, (source, m)) for n, m in outside)
                made[source] = schema.make(source_text(source), inside)
                put(self.path(os.path.basename(source)), made[source].text)
            argvs = [self.compile(self.path(os.path.basename(s)),
                                  self.object_of(s), "-fmax-errors=0")
                     for s in todo]
            again = []
            for source, message in zip(todo, run_all(argvs, jobs, False)):
                if message is None:
                    continue
                dead = schema.refused(
                    made[source], self.path(os.path.basename(source)), message)
                if not dead or 0 in dead:
                    raise SystemExit(message)
                self.dead |= dead
                again.append(source)
            todo = again

    def library(self, folder, changed):
        objects = [changed.get(s, self.object_of(s)) for s in self.sources]
        return self.shared(folder, "libpolicy.so", *objects,
                           self.path("libbelow.so"))

    def add_test(self, source):
        """A test that replaces functions of libc has all objects linked in,
        for the linker to find their calls."""
        name = os.path.basename(source)[:-2]
        wraps = sorted(set(re.findall(r"\b__wrap_(\w+)\(",
                                      source_text(source))))
        test = Test(name, source, wraps)
        must(self.linked(test, self.path(name), {}))
        return test

    def linked(self, test, out, changed):
        if not test.wraps:
            return self.link(out, self.object_of(test.source),
                             self.path("libpolicy.so"),
                             self.path("libbelow.so"))
        objects = [changed.get(s, self.object_of(s)) for s in self.sources]
        return self.link(out, *(f"-Wl,--wrap={w}" for w in test.wraps),
                         self.object_of(test.source), *objects, *self.below)

    def environment(self, number=0, folder=None):
        env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "CV_SEED": "1",
               "ASAN_OPTIONS": "abort_on_error=0:allocator_may_return_null=1",
               "LD_LIBRARY_PATH": f"{folder or self.folder}:{self.folder}",
               "CV_MUTANT": str(number), "CV_CORE": "0"}
        return env if self.checked else {**env, "CV_MEMORY": str(MEMORY)}

    def give_model(self, other, count, seed):
        """Asks the model once; its questions and answers serve every mutant,
        and another lab too."""
        driver = next(t for t in self.tests if t.name == "policy_drive")
        if other is not None:
            theirs = next(t for t in other.tests if t.name == "policy_drive")
            driver.questions, driver.answers = theirs.questions, theirs.answers
            return
        driver.questions, answers = self.path("questions"), self.path("answers")
        subprocess.run([sys.executable, "-B", os.path.join(HERE, "record.py"),
                        self.path(driver.name), DATA, str(count),
                        driver.questions, answers], check=True,
                       env={**self.environment(), "CV_SEED": str(seed)},
                       stdout=subprocess.DEVNULL)
        with open(answers, "rb") as f:
            driver.answers = f.read()

    def measure(self):
        """Every test passes, and how long each takes at most."""
        for test in self.tests:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            if not test.passes(self.path(test.name), self.environment()):
                raise SystemExit(f"{test.name} fails without a mutant")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            test.used = (after.ru_utime + after.ru_stime -
                         before.ru_utime - before.ru_stime)
            test.cpu_s = max(2, int(10 * test.used) + 1)
        if self.checked:
            self.tests = [t for t in self.tests if t.used < SLOW_S]


class Bench:
    """One worker's place in a lab."""

    def __init__(self, lab, name):
        self.lab, self.folder = lab, lab.path(f"bench-{name}")
        os.makedirs(self.folder, exist_ok=True)
        self.hits = {}

    def catch(self, number, source, mutant):
        """The test that fails with that mutant; None where all pass, "" where
        it does not compile."""
        if number in self.lab.dead:
            return ""
        if number in self.lab.alone:
            return self.catch_alone(source, mutant.of(source_text(source)))
        return self.run(source, self.lab.environment(number), None)

    def catch_alone(self, source, text):
        """One that is in no function: an object of its own."""
        out = os.path.join(self.folder, "m.o")
        mutated = put(os.path.join(self.folder, "m.c"), schema.CHOICE + text)
        changed = {source: out}
        for argv in (self.lab.compile(mutated, out),
                     self.lab.library(self.folder, changed)):
            if subprocess.run(argv, capture_output=True).returncode:
                return ""
        return self.run(source, self.lab.environment(0, self.folder), changed)

    def run(self, source, env, changed):
        hits = self.hits.setdefault(source, {})
        for test in sorted(self.lab.tests, key=lambda t: (
                -hits.get(t.name, 0) / (t.used + .005), t.used)):
            path = self.lab.path(test.name)
            if test.wraps and changed:
                path = os.path.join(self.folder, test.name)
                must(self.lab.linked(test, path, changed))
            if not test.passes(path, env):
                hits[test.name] = hits.get(test.name, 0) + 1
                return test.name
        return None

    def same_code(self, source, mutant):
        """Whether an optimizing compiler makes the same of both."""
        text = source_text(source)
        return self.optimized(text) == self.optimized(mutant.of(text))

    def optimized(self, text):
        out = os.path.join(self.folder, "o.o")
        must(self.lab.compile(put(os.path.join(self.folder, "m.c"), text), out,
                              "-O2"))
        with open(out, "rb") as f:
            return f.read()


def run_all(queue, jobs, all_must=True):
    """Commands, `jobs` at a time; what each that failed wrote, else None."""
    running, said = [], []

    def finish(process):
        err = process.communicate()[1]
        said.append(err.decode() if process.returncode else None)
        if all_must and process.returncode:
            raise SystemExit(f"{' '.join(process.args)}\n{err.decode()}")

    for argv in queue:
        running.append(subprocess.Popen(argv, stderr=subprocess.PIPE))
        if len(running) >= jobs:
            finish(running.pop(0))
    for process in running:
        finish(process)
    return said
