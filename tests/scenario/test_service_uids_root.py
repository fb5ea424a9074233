"""Users of three groups ask a running service; what it answers is what the
model (policy_model.py) says, decision by decision.

Needs root: it becomes other users, by number. CV_FULL=1: 600 decisions.
"""

import collections
import datetime
import grp
import json
import os
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


def random_rule(rnd, number):
    effect = "forbid" if rnd.random() < .15 else "permit"
    actions = (["*"] if rnd.random() < .3 else draw.some(rnd, ACTIONS, 5))
    return draw.without_none({
        "name": f"r{number:02}", "effect": effect,
        "subjects": (others(rnd) if effect == "forbid" else
                     draw.random_subjects(rnd)),
        "actions": actions,
        "entries": draw.maybe(rnd, .5, lambda: draw.random_entries(rnd)),
        "when": draw.maybe(rnd, .5, lambda: steady(draw.random_when(rnd))),
        "grant": (draw.maybe(rnd, .5, lambda: draw.random_grant(rnd))
                  if effect == "permit" else None)})


def apply(v, rules, version):
    owner = {"name": "zz-owner", "effect": "permit", "actions": ["*"],
             "subjects": {"uids": [0]}}
    path = v.write("policy.yaml", json.dumps({
        "apiVersion": "certvault/v1", "kind": "Policy",
        "metadata": {"name": "random", "version": version},
        "rules": [owner, *rules]}))
    v(*v.to, "policy", "apply", path, code=0)


class Call:
    """One call of one user, and what the model is asked about it."""

    def __init__(self, rnd, entries):
        self.uid = rnd.choice(UIDS)
        self.gid = rnd.choice([64100, *GROUPS.values()])
        self.gids = rnd.sample(sorted(GROUPS.values()), rnd.randint(0, 2))
        self.action = rnd.choice(ACTIONS)
        self.entry = None
        self.parameters = {}
        self.contexts = []
        for key, given in (("reason", [None, "because"]),
                           ("ticket", [None, *TICKETS])):
            word = rnd.choice(given)
            if word is not None:
                self.parameters[key] = word
        if self.action in ("use", "show", "export", "edit", "remove"):
            self.entry = entries[rnd.choice(draw.NAMES)]
        self.method = getattr(self, self.action.replace(".", "_"))(rnd)

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

    def request(self, entry=None, action=None):
        """As the model takes it."""
        entry = entry or self.entry
        asked = {"uid": self.uid, "gid": self.gid, "gids": self.gids,
                 "action": action or self.action, "contexts": self.contexts,
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
        """The answer, to a connection of that very user."""
        with users.connect_as(v.broker.path, self.uid, self.gid,
                              self.gids) as s:
            return v.broker.call(BROKER + self.method, self.parameters, on=s)


def leaf_of(v, seq):
    return json.loads(v(*v.to, "audit", "record", str(seq), code=0).out)


def check_leaf(leaf, call, wanted):
    """The record says who asked for what, and by which rules it was decided."""
    assert leaf["decision"] == ("permit" if wanted["permit"] else "deny")
    assert leaf["rules"] == wanted["rules"], (leaf, wanted)
    assert leaf["actor"]["uid"] == call.uid
    # The supplementary ones, as SO_PEERGROUPS tells them.
    assert set(leaf["actor"]["gids"]) - {call.gid} == {*call.gids} - {call.gid}
    assert leaf["action"] == call.action
    assert leaf.get("entry") == (call.entry and call.entry["name"])


def check_list(v, call, answer, rules, zones):
    """One sees what one may list: a decision for each entry."""
    shown = {n for n, e in v.entries.items() if model.decide(
        rules, call.request(e), zones)["permit"]}
    if "error" in answer:
        assert answer["parameters"]["code"] == "denied", answer
        assert not shown, (shown, vars(call), rules)
        return "deny"
    got = {e["name"] for e in answer["parameters"]["items"]}
    assert got == shown, (got, shown, vars(call), rules)
    return "permit"


def check(v, call, answer, rules, zones):
    """Compares; "permit" or "deny"."""
    if call.action == "list":
        return check_list(v, call, answer, rules, zones)
    wanted = model.decide(rules, call.request(), zones)
    why = (answer, wanted, vars(call), rules)
    said = answer.get("parameters", {})
    if "error" in answer:
        assert said["code"] == "denied" and not wanted["permit"], why
        check_leaf(leaf_of(v, said["audit_seq"]), call, wanted)
        return "deny"
    assert wanted["permit"], why
    if "audit_seq" in said:
        check_leaf(leaf_of(v, said["audit_seq"]), call, wanted)
    if call.action == "use":
        given = said["grant"]
        assert given["rule"] == wanted["offer"], why
        assert given["read_only"] == wanted["read_only"], why
        # The certificate's end is rounded to a second.
        assert abs(given["seconds"] - wanted["duration"]) <= 1, why
    return "permit"


def test_as_the_model_says(served):
    """Users of three groups x actions x entries x conditions."""
    v = served
    zones = {z: zoneinfo.ZoneInfo(z) for z in draw.ZONES}
    counts = collections.Counter()
    for version in range(2, 14 if harness.FULL else 6):
        rules = [random_rule(v.rnd, i) for i in range(v.rnd.choice([6, 12,
                                                                    30]))]
        apply(v, rules, version)
        for _ in range(50 if harness.FULL else 12):
            call = Call(v.rnd, v.entries)
            counts[check(v, call, call.ask(v), rules, zones)] += 1
            counts[call.action] += 1
    print(counts)
    assert min(counts["permit"], counts["deny"]) > 5, counts
