"""Users of three groups ask a running service; what it answers is what the
model (policy_model.py) says, decision by decision: with conditions, limits,
approvals that others give or refuse, and glass that is broken.

Needs root: it becomes other users, by number. CV_FULL=1: over 600 decisions.
"""

import collections
import datetime
import grp
import json
import pwd
import time
import zoneinfo

import pytest

import harness
import kube
import policy_draw as draw
import policy_model as model
import users
from wire import Broker

pytestmark = users.needs_root

BROKER = "io.certvault.Broker."
# Groups and users that every Debian has: policies name them, we are them.
GROUPS = {n: grp.getgrnam(n).gr_gid for n in ("games", "mail", "news")}
NAMED = {n: pwd.getpwnam(n).pw_uid for n in ("games", "man", "news")}
UIDS = [*NAMED.values(), *range(64001, 64010)]
ACTIONS = ["use", "list", "show", "export", "edit", "remove", "audit.read",
           "policy.read", "admin"]
CONTEXTS = ["internal", "ext"]
TICKETS = ["OPS-1", "OPS-12", "INC-12", "INC-12345", "abc", "ops-1"]
FAR = 15                     # minutes that a condition of time holds at least


@pytest.fixture
def here(monkeypatch):
    """The model draws the names of this machine."""
    monkeypatch.setattr(model, "USERS", NAMED)
    monkeypatch.setattr(model, "GROUPS", GROUPS)


def add_entries(v, rnd):
    """An entry a name of the model's, each with two contexts."""
    for name in draw.NAMES:
        made = kube.config(kube.Identity("p256", secrets=v.secrets),
                           CONTEXTS[0])
        other = json.loads(json.dumps(made["contexts"][0]))
        other["name"] = CONTEXTS[1]
        made["contexts"].append(other)
        labels = [f"--label={k}={x}" for k, x in
                  draw.random_labels(rnd, False).items()]
        v.add(kube.as_yaml(made), name, "--exportable", *labels)
    return {e["name"]: e for e in v.json("list")["items"]}


@pytest.fixture
def served(vault, here):
    """A service with entries; a policy of random rules is for the test."""
    vault.rnd = harness.seeded()
    vault.policy(harness.MAY_EXPORT)
    vault.entries = add_entries(vault, vault.rnd)
    vault.broker = Broker(vault, "--key-file", vault.key_file)
    vault.to = ("--broker", "unix:" + vault.broker.path)
    users.open_way(vault.broker.path)
    yield vault
    assert vault.broker.end() == 0


def steady(when):
    """The condition without what could change while the test runs."""
    zone = zoneinfo.ZoneInfo(when.get("timezone", "UTC"))
    now = datetime.datetime.now(zone)
    at = now.hour * 60 + now.minute
    ends = [0] if "days" in when else []
    if "hours" in when:
        ends += [model.minutes(t) for t in when["hours"].split("-")]
    if any(min((e - at) % 1440, (at - e) % 1440) < FAR for e in ends):
        return {k: w for k, w in when.items() if k not in ("hours", "days")}
    return when


def others(rnd):
    """Subjects of a forbid: root, who sets the rules and reads the record, is
    none of them."""
    while True:
        s = {k: [x for x in given if x not in ("*", 0)]
             for k, given in draw.random_subjects(rnd).items()}
        s = {k: given for k, given in s.items() if given}
        if s:
            return s


def random_limit(rnd):
    """Of times that do not end while the test runs."""
    limit = {"count": rnd.choice([1, 1, 2, 3]), "per": rnd.choice(["2h", "1d"])}
    if rnd.random() < .4:
        limit["sessions"] = rnd.choice([1, 2])
    return limit


def random_require(rnd):
    return {"approvals": {"count": rnd.choice([1, 1, 2]),
                          "from": rnd.choice([{"users": ["*"]},
                                              draw.random_subjects(rnd)])}}


def random_rule(rnd, number):
    effect = "forbid" if rnd.random() < .15 else "permit"
    actions = (["*"] if rnd.random() < .3 else draw.some(rnd, ACTIONS, 5))
    special = rnd.random() if effect == "permit" else 1
    return draw.without_none({
        "name": f"r{number:02}", "effect": effect,
        "limit": random_limit(rnd) if special < .25 else None,
        "require": random_require(rnd) if .2 < special < .5 else None,
        "break_glass": True if .45 < special < .6 else None,
        "subjects": (others(rnd) if effect == "forbid" else
                     draw.random_subjects(rnd)),
        "actions": actions,
        "entries": draw.maybe(rnd, .5, lambda: draw.random_entries(rnd)),
        "when": draw.maybe(rnd, .5, lambda: steady(draw.random_when(rnd, False))),
        "grant": (draw.maybe(rnd, .5, lambda: draw.random_grant(rnd))
                  if effect == "permit" else None)})


def apply(v, rules, version):
    owner = {"name": "zz-owner", "effect": "permit", "actions": ["*"],
             "subjects": {"uids": [0]}}
    rules.append({"name": "zz-approvers", "effect": "permit",
                  "subjects": {"users": ["*"]}, "actions": ["approve"]})
    path = v.write("policy.yaml", json.dumps({
        "apiVersion": "certvault/v1", "kind": "Policy",
        "metadata": {"name": "random", "version": version},
        "rules": [owner, *rules]}))
    v(*v.to, "policy", "apply", path, code=0)


class Person:
    """Somebody who asks, and his groups."""

    def __init__(self, rnd):
        self.uid = rnd.choice(UIDS)
        self.gid = rnd.choice([64100, *GROUPS.values()])
        self.gids = rnd.sample(sorted(GROUPS.values()), rnd.randint(0, 2))

    def connect(self, v):
        """A connection of that very user."""
        return users.connect_as(v.broker.path, self.uid, self.gid, self.gids)

    def facts(self):
        return {"uid": self.uid, "gid": self.gid, "gids": self.gids}


class World:
    """What the model has to know of what happened before."""

    def __init__(self):
        self.permits = collections.defaultdict(list)  # of (uid, rule): when
        self.live = []                   # (uid, rule, grant, socket)
        self.approvals = collections.defaultdict(list)  # of a call's key

    def permitted(self, uid, rule):
        self.permits[uid, rule].append(time.monotonic())

    def counts(self, uid, rules):
        now = time.monotonic()
        names = [r["name"] for r in rules]
        return {"ages": {n: [int(now - at) for at in self.permits[uid, n]]
                         for n in names},
                "sessions": {n: sum(one[:2] == (uid, n) for one in self.live)
                             for n in names}}

    def end(self, v):
        for _, _, grant, s in self.live:
            v.broker.call(BROKER + "UseEnd", {"grant": grant}, on=s)
            s.close()
        self.live = []


class Call(Person):
    """One call of one user, and what the model is asked about it."""

    def __init__(self, rnd, entries, world):
        super().__init__(rnd)
        self.world = world
        self.action = rnd.choice(ACTIONS)
        self.entry = None
        self.parameters = {}
        self.contexts = []
        for key, given in (("reason", [None, "because"]),
                           ("ticket", [None, *TICKETS])):
            word = rnd.choice(given)
            if word is not None:
                self.parameters[key] = word
        if rnd.random() < .2:
            self.parameters["break_glass"] = True
        if self.action in ("use", "show", "export", "edit", "remove"):
            self.entry = entries[rnd.choice(draw.NAMES)]
        self.method = getattr(self, self.action.replace(".", "_"))(rnd)

    def key(self):
        """What an approval of it is bound to."""
        said = {k: p for k, p in self.parameters.items()
                if k not in ("tty", "break_glass")}
        return json.dumps([self.uid, self.method, said], sort_keys=True)

    def about(self):
        self.parameters["name"] = self.entry["name"]

    def touch(self, rnd):
        """One context, or all that there are."""
        self.about()
        self.contexts = CONTEXTS
        if rnd.random() < .6:
            self.contexts = [rnd.choice(CONTEXTS)]
            self.parameters["context"] = self.contexts[0]

    def use(self, rnd):
        self.touch(rnd)
        self.stays = rnd.random() < .5
        # A grant is for one context.
        self.contexts = self.contexts[:1]
        self.parameters.update(kind="exec", read_only=rnd.random() < .3,
                               tty=rnd.random() < .5,
                               context=self.contexts[0])
        if rnd.random() < .4:
            self.parameters["duration"] = rnd.choice([60, 900, 3600, 90000])
        return "Use"

    def export(self, rnd):
        self.touch(rnd)
        self.parameters.update(dry_run=False, tty=rnd.random() < .5)
        return "Export"

    def show(self, _):
        self.about()
        return "Show"

    def edit(self, rnd):
        """A label that no rule looks at."""
        self.about()
        self.parameters.update(set={"seen": str(rnd.randrange(10))}, remove=[])
        return "Label"

    def remove(self, _):
        self.parameters.update(names=[self.entry["name"]], dry_run=True)
        return "Remove"

    def list(self, _):
        self.parameters["labels"] = {}
        return "List"

    def audit_read(self, _):
        return "AuditKey"

    def policy_read(self, _):
        return "PolicyShow"

    def admin(self, _):
        return "SlotList"

    def request(self, rules, entry=None):
        """As the model takes it."""
        entry = entry or self.entry
        asked = {**self.facts(), "action": self.action,
                 "contexts": self.contexts,
                 "counts": self.world.counts(self.uid, rules),
                 "approvals": self.world.approvals[self.key()],
                 "break_glass": self.parameters.get("break_glass", False),
                 "mode": "service", "now": int(time.time()),
                 "reason": self.parameters.get("reason"),
                 "ticket": self.parameters.get("ticket"),
                 "tty": self.parameters.get("tty", False),
                 "read_only": self.parameters.get("read_only", False),
                 "duration": self.parameters.get("duration", 0)}
        if entry is not None:
            asked["entry"] = {k: entry[k] for k in
                              ("name", "labels", "provenance", "leaky")}
        return asked

    def ask(self, v):
        """The answer; a grant's connection may stay."""
        s = self.connect(v)
        answer = v.broker.call(BROKER + self.method, self.parameters, on=s)
        grant = answer.get("parameters", {}).get("grant")
        if self.action == "use" and "error" not in answer:
            if self.stays:
                self.world.live.append((self.uid, grant["rule"], grant["id"],
                                        s))
                return answer
            v.broker.call(BROKER + "UseEnd", {"grant": grant["id"]}, on=s)
        s.close()
        return answer


def leaf_of(v, seq):
    return json.loads(v(*v.to, "audit", "record", str(seq), code=0).out)


def check_leaf(leaf, call, wanted):
    """The record says who asked for what, and by which rules it was decided."""
    assert leaf["decision"] == ("permit" if wanted["permit"] else "deny")
    assert leaf["rules"] == wanted["rules"], (leaf, wanted)
    assert leaf["actor"]["uid"] == call.uid
    # The primary one, and the others as SO_PEERGROUPS tells them.
    assert leaf["actor"]["gids"][0] == call.gid
    assert set(leaf["actor"]["gids"]) == {call.gid, *call.gids}
    assert leaf["action"] == call.action
    assert leaf["details"].get("break_glass", False) == \
        (wanted["permit"] and wanted["break_glass"]), (leaf, wanted)
    if wanted["permit"] and wanted["approved"]:
        assert leaf["details"]["approvals"] == wanted["had"]
    assert leaf.get("entry") == (call.entry and call.entry["name"])


def check_list(v, call, answer, rules, zones):
    """One sees what one may list: a decision for each entry, by the rule that
    the record has."""
    def of(entry):
        return call.request(rules, entry)

    some = next(iter(v.entries.values()))
    offer = model.list_offer(rules, of(some), zones)
    shown = {n for n, e in v.entries.items()
             if model.list_shows(rules, of(e), zones)}
    why = (offer, shown, vars(call), rules)
    if "error" in answer:
        assert answer["parameters"]["code"] in ("denied", "busy"), answer
        assert offer is None and not shown, why
        return "deny" if answer["parameters"]["code"] == "denied" else "busy"
    assert offer is not None, why
    got = {e["name"] for e in answer["parameters"]["items"]}
    assert got == shown, (got, *why)
    call.world.permitted(call.uid, offer)
    return "permit"


CODES = {"limited": "busy", "approvals": "busy"}


def check_refused(v, call, said, wanted, rules):
    why = (said, wanted, vars(call), rules)
    cause = wanted["cause"]
    assert said["code"] == CODES.get(cause, "denied"), why
    files = cause == "approvals" and call.action != "remove"  # a dry run
    assert ("request_id" in said) == files, why
    leaf = leaf_of(v, said["audit_seq"])
    if cause == "limited":
        # Of several that are used up, the one that is free first: to the
        # second, which the model does not know.
        full = {r["name"] for r in rules if r["effect"] == "permit" and
                (model.used_up(r, call.request(rules)) or (False,))[0]}
        assert leaf["rules"][0] in full, why
        wanted = {**wanted, "rules": leaf["rules"]}
    check_leaf(leaf, call, wanted)
    return cause if cause in CODES else "deny"


def check(v, call, answer, rules, zones):
    """Compares; "permit", "deny", "limited" or "approvals"."""
    if call.action == "list":
        return check_list(v, call, answer, rules, zones)
    # A grant that came of it is none that was there before.
    live = list(call.world.live)
    said = answer.get("parameters", {})
    if call.action == "use" and "error" not in answer and call.stays:
        call.world.live.pop()
    wanted = model.decide(rules, call.request(rules), zones)
    call.world.live = live
    why = (answer, wanted, vars(call), rules)
    if "error" in answer:
        assert not wanted["permit"], why
        return check_refused(v, call, said, wanted, rules)
    assert wanted["permit"], why
    if "audit_seq" in said:
        check_leaf(leaf_of(v, said["audit_seq"]), call, wanted)
    if call.action == "use":
        given = said["grant"]
        assert given["rule"] == wanted["offer"], why
        assert given["read_only"] == wanted["read_only"], why
        # The certificate's end is rounded to a second; a machine may be slow.
        assert -30 <= given["seconds"] - wanted["duration"] <= 1, why
    if call.action != "remove":
        call.world.permitted(call.uid, wanted["offer"])
        if wanted["approved"]:
            call.world.approvals.pop(call.key())
    return "approved" if wanted["approved"] else "permit"


class Approval(Call):
    """Somebody answers somebody's request."""

    def __init__(self, rnd, call, id):
        Person.__init__(self, rnd)
        self.world = call.world
        self.action, self.method = "approve", "Approve"
        self.entry, self.contexts = call.entry, []
        self.parameters = {"id": id, "reason": "fine"}


def check_approval(v, one, call, rule, rules, zones):
    """Counted or refused, as the model says; the word for it."""
    answer = one.ask(v)
    said = answer["parameters"]
    before = call.world.approvals[call.key()]
    wanted = model.decide(rules, one.request(rules), zones)
    why = (answer, wanted, vars(one), vars(call), rules)
    if one.uid == call.uid:
        assert said["code"] == "denied", why
    elif not wanted["permit"]:
        assert said["code"] == CODES.get(wanted["cause"], "denied"), why
    elif not model.may_approve(rule, one.facts()):
        assert said["code"] == "denied", why
    elif one.uid in [a["uid"] for a in before]:
        assert said["code"] == "exists", why
    else:
        assert "error" not in answer, why
        call.world.permitted(one.uid, wanted["offer"])
        before.append(one.facts())
        return "approve"
    return "no-approve"


def go_on(v, call, answer, rules, zones):
    """What waits is answered by some, and asked again."""
    id = answer["parameters"]["request_id"]
    wanted = model.decide(rules, call.request(rules), zones)
    rule = next(r for r in rules if r["name"] == wanted["offer"])
    for _ in range(v.rnd.choice([0, 1, 3, 8])):
        yield check_approval(v, Approval(v.rnd, call, id), call, rule, rules,
                             zones)
    if v.rnd.random() < .2:
        with call.connect(v) as s:
            assert "error" not in v.broker.call(BROKER + "Deny", {"id": id},
                                                on=s)
        call.world.approvals.pop(call.key(), None)
    yield check(v, call, call.ask(v), rules, zones)


def test_as_the_model_says(served):
    """Users of three groups x actions x entries x conditions."""
    v = served
    zones = {z: zoneinfo.ZoneInfo(z) for z in draw.ZONES}
    counts = collections.Counter()
    world = World()
    for version in range(2, 14 if harness.FULL else 6):
        rules = [random_rule(v.rnd, i) for i in range(v.rnd.choice([6, 12,
                                                                    30]))]
        apply(v, rules, version)
        for _ in range(50 if harness.FULL else 12):
            call = Call(v.rnd, v.entries, world)
            answer = call.ask(v)
            came = check(v, call, answer, rules, zones)
            counts[came] += 1
            counts[call.action] += 1
            if came == "approvals" and "request_id" in answer["parameters"]:
                counts.update(go_on(v, call, answer, rules, zones))
        world.end(v)
    print(counts)
    assert min(counts["permit"], counts["deny"]) > 5, counts
    if harness.FULL:
        rare = [c for c in ("approved", "approvals", "limited", "busy",
                            "approve", "no-approve") if counts[c] < 5]
        assert not rare, counts
