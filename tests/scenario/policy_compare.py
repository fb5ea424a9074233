"""Holds the program's decisions against a second opinion.

    policy_compare.py DRIVER DATA [COUNT]

Draws COUNT random requests (5,000; 100,000 with CV_FULL=1; the seed is printed,
CV_SEED sets it) over random policies and compares what the program DRIVER
(tests/unit/policy_drive.c) says with policy_model.py; then ticket expressions
with a model of theirs, and time zones with Python's zoneinfo.
"""

import base64
import collections
import datetime
import io
import json
import os
import random
import subprocess
import sys
import zoneinfo

import zone_model
from policy_draw import random_policy, random_request
from policy_model import (GROUPS, USERS, decide, list_offer, list_shows,
                          may_approve, would_break_glass)

CAUSES = ("permitted forbidden unmet no-rule bad-input limited approvals "
          "no-counts").split()

# The comparison.

class Driver:
    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def ask(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the driver ended with "
                             f"{self.process.wait()} over {message}")
        return json.loads(line)


def resolution(policy, files):
    users, groups, zones = set(policy.get("keys", {})), set(), set()
    for rule in policy["rules"]:
        approvals = rule.get("require", {}).get("approvals", {})
        for whose in rule["subjects"], approvals.get("from", {}):
            users |= set(whose.get("users", [])) - {"*"}
            groups |= set(whose.get("groups", []))
        zone = rule.get("when", {}).get("timezone", "UTC")
        zones |= {zone} - {"UTC"}
    return {"users": {u: USERS[u] for u in users},
            "groups": {g: GROUPS[g] for g in groups},
            "zones": {z: files[z] for z in zones}}


def compare_one(policy, request, answer, zones):
    """True: a list leaves out what would be permitted by itself."""
    glass, may = answer.pop("glass_there"), answer.pop("may")
    lists = answer.pop("list_offer", None), answer.pop("shows")
    answer.setdefault("offer", None)
    rules = policy["rules"]
    wanted = decide(rules, request, zones)
    wanted_may = [[may_approve(r, a) for a in request["approvals"]]
                  for r in rules]
    loud = (wanted["cause"] in ("limited", "no-counts", "approvals") and
            request.get("held", {}).get("rule", "") != wanted["offer"] and
            would_break_glass(rules, request, zones))
    wanted_lists = (None, False)
    if request["action"] == "list" and request.get("entry"):
        wanted_lists = (list_offer(rules, request, zones),
                        list_shows(rules, request, zones))
    if (answer, glass, may, lists) != (wanted, loud, wanted_may, wanted_lists):
        raise SystemExit(f"got {answer}, {glass}, {may != wanted_may}, {lists}"
                         f"\nwanted {wanted}, {loud}, False, {wanted_lists}\n"
                         f"request {json.dumps(request)}\n"
                         f"policy {json.dumps(policy)}")
    return (request["action"] == "list" and bool(request.get("entry")) and
            wanted["permit"] and not lists[1])


def compare_decisions(driver, rnd, files, zones, count):
    causes = collections.Counter()
    hidden = 0
    while causes.total() < count:
        policy = random_policy(rnd)
        requests = [random_request(rnd) for _ in range(5)]
        got = driver.ask({"op": "decide", "policy": json.dumps(policy),
                          "resolution": resolution(policy, files),
                          "names": [r["name"] for r in policy["rules"]],
                          "requests": requests})
        if "error" in got:
            raise SystemExit(f"refused: {got['error']}: {json.dumps(policy)}")
        for request, answer in zip(requests, got["results"], strict=True):
            hidden += compare_one(policy, request, answer, zones)
            causes[answer["cause"]] += 1
    print("agreed on", dict(causes), "and", hidden, "that lists leave out")
    rare = [c for c in CAUSES if causes[c] < count / 500]
    if count >= 50000 and hidden < count / 2000:
        rare.append("what lists leave out")
    if rare or causes["permitted"] < count / 20:
        raise SystemExit(f"too few of {rare}: the drawing is no good")


# Expressions: a tree, as text for the program and as sets of places for the
# model. (Python's re takes exponential time over some of them.)

ALPHABET = "ab1.-]"
ATOMS = {"a": "a", "b": "b", "1": "1", ".": ALPHABET, "[ab]": "ab",
         "[^a]": "b1.-]", "[0-9]": "1", r"\.": ".", "-": "-",
         "[a-b1]": "ab1", "[]a]": "]a", "[^]a-]": "b1."}
REPEATS = {"": (1, 1), "*": (0, None), "+": (1, None), "?": (0, 1),
           "{2}": (2, 2), "{0,2}": (0, 2), "{1,}": (1, None), "{0}": (0, 0)}


def random_tree(rnd, depth=0):
    def piece():
        if depth < 3 and rnd.random() < .25:
            inner = random_tree(rnd, depth + 1)
        else:
            inner = rnd.choice(list(ATOMS))
        repeat = rnd.choice([""] * 5 + list(REPEATS))
        return inner, repeat

    return [[piece() for _ in range(rnd.randint(1, 4))]
            for _ in range(rnd.choice([1, 1, 1, 2, 3]))]


def as_text(tree):
    def atom(inner):
        return inner if isinstance(inner, str) else f"({as_text(inner)})"

    return "|".join("".join(atom(inner) + repeat for inner, repeat in branch)
                    for branch in tree)


def once(inner, text, places):
    if isinstance(inner, str):
        return {p + 1 for p in places
                if p < len(text) and text[p] in ATOMS[inner]}
    return ends(inner, text, places)


def repeated(inner, repeat, text, places):
    least, most = REPEATS[repeat]
    for _ in range(least):
        places = once(inner, text, places)
    out = set(places)
    count = least
    while places and (most is None or count < most):
        places = once(inner, text, places) - (out if most is None else set())
        out |= places
        count += 1
    return out


def ends(tree, text, places):
    """Where a match of the tree can end that begins at one of the places."""
    out = set()
    for branch in tree:
        here = places
        for inner, repeat in branch:
            here = repeated(inner, repeat, text, here)
        out |= here
    return out


def compare_patterns(driver, rnd, count):
    hits = misses = 0
    for _ in range(count):
        tree = random_tree(rnd)
        texts = ["".join(rnd.choice(ALPHABET)
                         for _ in range(rnd.randint(0, 6)))
                 for _ in range(20)]
        pattern = as_text(tree)
        got = driver.ask({"op": "pattern", "pattern": pattern, "texts": texts})
        if "error" in got:
            if "too big" in got["error"] or len(pattern) > 256:
                continue
            raise SystemExit(f"refused: {pattern}: {got['error']}")
        wanted = [len(t) in ends(tree, t, {0}) for t in texts]
        if got["results"] != wanted:
            raise SystemExit(f"{pattern}: {texts}\n{got}\n{wanted}")
        hits += sum(wanted)
        misses += 20 - sum(wanted)
    print(f"{hits} matches and {misses} mismatches of expressions agree")
    if min(hits, misses) < count:
        raise SystemExit("too few of one kind: the drawing is no good")


def all_zones(files):
    """The zones of the test data and, where it has them, of this host."""
    yield from files.items()
    root = "/usr/share/zoneinfo"
    for name in sorted(zoneinfo.available_timezones()):
        try:
            with open(os.path.join(root, name), "rb") as f:
                yield name, base64.b64encode(f.read()).decode()
        except OSError:
            pass


def compare_zones(driver, rnd, files):
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    checked = 0
    for name, file in all_zones(files):
        zone = zoneinfo.ZoneInfo.from_file(io.BytesIO(base64.b64decode(file)))
        times = [rnd.randint(-3_000_000_000, 9_000_000_000) for _ in range(30)]
        times += [rnd.randint(1_700_000_000, 2_200_000_000) for _ in range(30)]
        got = driver.ask({"op": "zone", "file": file, "times": times})
        if "error" in got:
            raise SystemExit(f"{name}: {got['error']}")
        for t, answer in zip(times, got["results"], strict=True):
            here = (epoch + datetime.timedelta(seconds=t)).astimezone(zone)
            offset = int(here.utcoffset().total_seconds())
            wanted = [offset, here.hour * 60 + here.minute, here.weekday()]
            if answer != wanted:
                raise SystemExit(f"{name} at {t}: {answer}, not {wanted}")
            checked += 1
    print(f"{checked} local times agree")


def main(path, data, count=None):
    full = os.environ.get("CV_FULL", "0") not in ("", "0")
    count = count or ("100000" if full else "5000")
    seed = int(os.environ.get("CV_SEED") or random.randrange(1 << 32))
    print(f"CV_SEED={seed}", flush=True)
    rnd = random.Random(seed)
    with open(os.path.join(data, "policy", "zones.json"),
              encoding="ascii") as f:
        files = json.load(f)
    zones = {n: zoneinfo.ZoneInfo.from_file(io.BytesIO(base64.b64decode(z)))
             for n, z in files.items()}
    driver = Driver(path)
    compare_decisions(driver, rnd, files, zones, int(count))
    compare_patterns(driver, rnd, int(count) // 10)
    compare_zones(driver, rnd, files)
    zone_model.compare(driver, rnd, int(count) // 50)
    driver.process.stdin.close()
    if driver.process.wait() != 0:
        raise SystemExit("the driver did not end well")


if __name__ == "__main__":
    main(*sys.argv[1:])
