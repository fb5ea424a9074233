"""The bench `decisions`: our policies against Cedar's (@cedar-policy/cedar-wasm,
statefulIsAuthorized), the same rules in both languages.

Both decide the same requests, and must decide them alike, before either is
measured. Rates are of processor time. CEDAR's rules are preparsed; its entities
come with each call, as that function takes them.
"""

import json
import os
import random
import shutil
import statistics
import subprocess

import harness

CEDAR = "@cedar-policy/cedar-wasm@4.13"
SIZES = (10, 1000, 10000)
ROUNDS = int(os.environ.get("CV_ROUNDS", "7"))
SECONDS = float(os.environ.get("CV_SECONDS", "0.3"))
REQUESTS = 500
GID = 20000
ACTIONS = ("use", "list", "show", "export")


class Rule:
    """Who is in a group may do two things to what has a label, for a reason;
    every tenth forbids an action to a group."""

    def __init__(self, rnd, number, groups, labels):
        self.number = number
        self.forbid = number % 10 == 9
        self.group = rnd.randrange(groups)
        self.label = rnd.randrange(labels)
        self.actions = (["export"] if self.forbid else
                        rnd.sample(ACTIONS, 2))

    def ours(self):
        when = "" if self.forbid else "  when: {reason: required}\n"
        return (f"- name: r{self.number}\n"
                f"  effect: {'forbid' if self.forbid else 'permit'}\n"
                f"  subjects: {{groups: [g{self.group}]}}\n"
                f"  actions: [{', '.join(self.actions)}]\n"
                f"  entries: {{labels: {{team: t{self.label}}}}}\n{when}")

    def cedar(self):
        actions = ", ".join(f'Action::"{a}"' for a in self.actions)
        when = "" if self.forbid else ' when { context.reason != "" }'
        return (f'@id("r{self.number}")\n'
                f"{'forbid' if self.forbid else 'permit'}"
                f'(principal in Group::"g{self.group}", '
                f'action in [{actions}], resource in Team::"t{self.label}")'
                f"{when};\n")


def uid(kind, name):
    return {"type": kind, "id": str(name)}


class Request:
    def __init__(self, rnd, rules, groups, labels):
        """Half of them are about what some rule is about."""
        near = rnd.choice(rules)
        self.user = rnd.randrange(1000, 2000)
        self.groups = rnd.sample(range(groups), 3)
        self.label = rnd.randrange(labels)
        if rnd.random() < .5:
            self.groups[0], self.label = near.group, near.label
        self.groups = sorted(set(self.groups))
        self.action = rnd.choice(ACTIONS)
        self.entry = f"cluster-{rnd.randrange(500)}"
        self.reason = rnd.choice(["INC-7", "INC-8", ""])

    def ours(self):
        return {"uid": self.user, "gids": [GID + g for g in self.groups],
                "action": self.action, "reason": self.reason,
                "entry": {"name": self.entry,
                          "labels": {"team": f"t{self.label}"}}}

    def cedar(self):
        return {"principal": uid("User", self.user),
                "action": uid("Action", self.action),
                "resource": uid("Entry", self.entry),
                "context": {"reason": self.reason},
                "entities": [
                    {"uid": uid("User", self.user), "attrs": {},
                     "parents": [uid("Group", f"g{g}") for g in self.groups]},
                    {"uid": uid("Entry", self.entry), "attrs": {},
                     "parents": [uid("Team", f"t{self.label}")]}]}


class Peer:
    """A program that says how it decided, then a rate for each line."""

    def __init__(self, argv):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.first = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended with "
                             f"{self.process.wait()}")
        return json.loads(line)

    def rate(self):
        self.process.stdin.write(f"{SECONDS}\n")
        self.process.stdin.flush()
        return self.read()["rate"]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def cedar_module():
    """The module's path; None, with a line why, where npm has not got it."""
    folder = os.path.join(harness.SOURCE, "build", "cedar")
    module = os.path.join(folder, "node_modules", "@cedar-policy",
                          "cedar-wasm", "nodejs", "cedar_wasm.js")
    if os.path.exists(module):
        return module
    if not (shutil.which("npm") and shutil.which("node")):
        print("skipped: no npm and node")
        return None
    os.makedirs(folder, exist_ok=True)
    done = subprocess.run(["npm", "install", "--no-audit", "--no-fund",
                           "--ignore-scripts", "--prefix", folder, CEDAR],
                          capture_output=True, text=True)
    if done.returncode or not os.path.exists(module):
        print(f"skipped: npm install {CEDAR}: {done.stderr.strip()[-300:]}")
        return None
    return module


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="ascii") as f:
        f.write(text if isinstance(text, str) else json.dumps(text))
    return path


def prepare(folder, rnd, size):
    """The paths of both peers' files."""
    groups = labels = max(5, size // 10)
    rules = [Rule(rnd, i, groups, labels) for i in range(size)]
    requests = [Request(rnd, rules, groups, labels) for _ in range(REQUESTS)]
    head = ("apiVersion: certvault/v1\nkind: Policy\n"
            "metadata: {name: bench, version: 1}\nrules:\n")
    mentioned = {r.group for r in rules}
    resolution = {"users": {}, "zones": {},
                  "groups": {f"g{g}": GID + g for g in mentioned}}
    return ([write(folder, "ours.yaml",
                   head + "".join(r.ours() for r in rules)),
             write(folder, "names.json", resolution),
             write(folder, "ours.json", [r.ours() for r in requests])],
            [write(folder, "cedar.txt", "".join(r.cedar() for r in rules)),
             write(folder, "cedar.json", [r.cedar() for r in requests])])


def said(met):
    return "met" if met else "MISSED"


def compare(size, ours, cedar):
    if ours.first["permits"] != cedar.first["permits"]:
        raise SystemExit(f"{size} rules: they do not decide alike")
    permits = ours.first["permits"].count("1")
    if not REQUESTS / 20 < permits < REQUESTS * 19 / 20:
        raise SystemExit(f"{permits} permits of {REQUESTS}: no good drawing")
    pairs = [(ours.rate(), cedar.rate()) for _ in range(ROUNDS)]
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"{size} rules: {ratio:.0f}x (goal >= 50x, {said(ratio >= 50)}); "
          f"medians {statistics.median(a for a, _ in pairs):.0f}/s against "
          f"{statistics.median(b for _, b in pairs):.0f}/s, {ROUNDS} rounds, "
          f"{permits} permits of {REQUESTS}", flush=True)
    return pairs


def bench_decisions(folder):
    module = cedar_module()
    seed = int(os.environ.get("CV_SEED") or random.randrange(1 << 31))
    print(f"CV_SEED={seed}")
    print("$ decide_rate POLICY NAMES REQUESTS    (cv_decide_run)")
    print("$ node cedar_rate.cjs MODULE POLICY REQUESTS    "
          "(statefulIsAuthorized)")
    for size in SIZES:
        files, theirs = prepare(folder, random.Random(seed), size)
        ours = Peer([os.path.join(harness.RELEASE, "bench", "decide_rate"),
                     *files])
        if module:
            cedar = Peer(["node", os.path.join(
                harness.SOURCE, "tests", "bench", "cedar_rate.cjs"), module,
                *theirs])
            rates = [a for a, _ in compare(size, ours, cedar)]
            cedar.end()
        else:
            rates = [ours.rate() for _ in range(ROUNDS)]
        loads = [ours.first["load_s"]]
        ours.end()
        if size == 1000:
            rate = statistics.median(rates)
            print(f"1000 rules, one core: {rate:.0f}/s (goal >= 1000000/s, "
                  f"{said(rate >= 1e6)})", flush=True)
        if size == 10000:
            for _ in range(ROUNDS - 1):
                again = Peer(ours.process.args)
                loads.append(again.first["load_s"])
                again.end()
        load = statistics.median(loads)
        goal = f" (goal < 0.2 s, {said(load < .2)})" if size == 10000 else ""
        print(f"{size} rules: loaded in {load:.3f} s{goal}; Cedar parses them "
              f"in {cedar.first['load_s']:.2f} s" if module else
              f"{size} rules: loaded in {load:.3f} s{goal}", flush=True)


BENCHES = {"decisions": bench_decisions}
