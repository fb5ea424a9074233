"""Random policies and requests: few words, so that they meet."""

import base64

import policy_model as model
from policy_model import ACTIONS, DAYS, HOUR, NOBODY

NAMES = ["prod-a", "prod-b", "prod/eu/1", "dev-a", "dev-ab", "Prod-a", "x"]
GLOBS = ["*", "prod-*", "dev-?", "*-a", "prod-a", "prod/*/1", "x", "p*", "?"]
LABELS = {"env": ["prod", "dev"], "team": ["pay", "core"]}
PROVENANCE = ["born", "adopted", "unwrapped", "imported", "sealed"]
TICKETS = ["OPS-[0-9]+", "(OPS|INC)-[0-9]{2,4}", "[A-Z]+-1", "^.{3}$"]
GIVEN = ["OPS-1", "OPS-12", "INC-12", "INC-12345", "abc", "ops-1", "", "OPS-1 "]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
         "Asia/Kolkata", "America/Nuuk", "Pacific/Apia", "Africa/Casablanca"]


def some(rnd, items, most=3):
    return rnd.sample(items, rnd.randint(1, min(most, len(items))))


def maybe(rnd, chance, make):
    return make() if rnd.random() < chance else None


def without_none(mapping):
    return {k: v for k, v in mapping.items() if v is not None}


def random_subjects(rnd):
    while True:
        s = without_none({
            "users": maybe(rnd, .5, lambda: some(
                rnd, list(model.USERS) + ["*"])),
            "groups": maybe(rnd, .4, lambda: some(rnd, list(model.GROUPS), 2)),
            "uids": maybe(rnd, .2, lambda: some(rnd, [1001, 1002, 77, 0], 2) +
                          rnd.choice([[], [], list(range(3000, 3100))])),
        })
        if s:
            return s


def random_labels(rnd, wild):
    return {k: rnd.choice(v + (["*", "p*", "?ev"] if wild else []))
            for k, v in LABELS.items() if rnd.random() < .6} or {"env": "prod"}


def random_entries(rnd):
    while True:
        e = without_none({
            "names": maybe(rnd, .6, lambda: some(rnd, GLOBS) + rnd.choice(
                [[], [], [], ["z%d*" % i for i in range(70)]])),
            "labels": maybe(rnd, .3, lambda: random_labels(rnd, True)),
            "provenance": maybe(rnd, .2, lambda: some(rnd, PROVENANCE)),
            "leaky": maybe(rnd, .1, lambda: True),
        })
        if e:
            return e


def random_hours(rnd):
    first, last = rnd.sample(range(0, 24 * 60, 15), 2)
    return "%02d:%02d-%02d:%02d" % (first // 60, first % 60,
                                    last // 60, last % 60)


def random_when(rnd, permit):
    return without_none({
        "reason": maybe(rnd, .2, lambda: "required"),
        "ticket": maybe(rnd, .15, lambda: rnd.choice(TICKETS)),
        "hours": maybe(rnd, .25, lambda: random_hours(rnd)),
        "days": maybe(rnd, .2, lambda: some(rnd, DAYS, 5)),
        "timezone": maybe(rnd, .6, lambda: rnd.choice(ZONES)),
        "contexts": maybe(rnd, .15, lambda: some(rnd, ["internal", "ext"], 2)),
        "mode": maybe(rnd, .15,
                      lambda: some(rnd, ["exec", "agent", "service"], 2)),
        "tty": maybe(rnd, .1, lambda: "required"),
        "anchor_age": maybe(rnd, .1 * permit,
                            lambda: rnd.choice(["90s", "1h", "1d"])),
    })


def random_grant(rnd):
    return without_none({
        "max_duration": maybe(rnd, .7, lambda: rnd.choice(
            ["90s", "15m", "1h", "8h", "12h", "1d"])),
        "read_only": maybe(rnd, .3, lambda: rnd.random() < .5),
        "verbs": maybe(rnd, .2, lambda: ["get", "list"]),
        "namespaces": maybe(rnd, .1, lambda: ["payments"]),
        "resources": maybe(rnd, .1, lambda: ["pods", "pods/log"]),
        "record": maybe(rnd, .2, lambda: rnd.choice(["off", "writes", "all"])),
    })


def random_limit(rnd):
    limit = {}
    if rnd.random() < .8:
        limit.update(count=rnd.choice([1, 2, 3, 5]),
                     per=rnd.choice(["90s", "15m", "1h", "1d"]))
    if not limit or rnd.random() < .3:
        limit["sessions"] = rnd.choice([1, 2, 3])
    return limit


def random_require(rnd):
    return {"approvals": without_none({
        "count": rnd.choice([1, 1, 2, 3]),
        "from": random_subjects(rnd),
        "signed": maybe(rnd, .4, lambda: rnd.random() < .6)})}


def random_rule(rnd, n):
    effect = "forbid" if rnd.random() < .1 else "permit"
    actions = (["*"] if rnd.random() < .3 else
               some(rnd, ["use", "list", "show", "export", "import",
                          "audit.read"], 4))
    permit = effect == "permit"
    return without_none({
        "name": "r%02d" % n, "effect": effect,
        "subjects": random_subjects(rnd), "actions": actions,
        "entries": maybe(rnd, .5, lambda: random_entries(rnd)),
        "when": maybe(rnd, .35, lambda: random_when(rnd, permit)),
        "grant": maybe(rnd, .5 * permit, lambda: random_grant(rnd)),
        "limit": maybe(rnd, .4 * permit, lambda: random_limit(rnd)),
        "require": maybe(rnd, .3 * permit, lambda: random_require(rnd)),
        "break_glass": maybe(rnd, .15 * permit, lambda: True),
    })


def random_key(rnd):
    def string(data):
        return len(data).to_bytes(4, "big") + data

    kind = rnd.choice([b"ssh-ed25519", b"sk-ssh-ed25519@openssh.com"])
    blob = string(kind) + string(rnd.randbytes(32))
    if kind.startswith(b"sk-"):
        blob += string(b"ssh:")
    return kind.decode() + " " + base64.b64encode(blob).decode() + rnd.choice(
        ["", " ", " someone", " some one"])


def random_keys(rnd):
    return {user: [random_key(rnd) for _ in range(rnd.randint(1, 3))]
            for user in some(rnd, list(model.USERS))}


def random_policy(rnd):
    rules = [random_rule(rnd, i) for i in range(rnd.choice([1, 3, 8, 40]))]
    rnd.shuffle(rules)
    return without_none({
        "apiVersion": "certvault/v1", "kind": "Policy",
        "metadata": {"name": "random", "version": rnd.randint(0, 9)},
        "rules": rules, "keys": maybe(rnd, .2, lambda: random_keys(rnd))})


def random_entry(rnd, by_name):
    return without_none({
        "name": rnd.choice(NAMES), "labels": random_labels(rnd, False),
        "provenance": (None if rnd.random() < (.3 if by_name else .02)
                       else rnd.choice(PROVENANCE)),
        "leaky": rnd.random() < .15,
    })


def random_subject(rnd, by_name):
    if by_name:
        return {"user": rnd.choice(list(model.USERS) + ["1002", "77", "eve"]),
                "groups": rnd.sample(list(model.GROUPS), rnd.randint(0, 2))}
    own = list(model.GROUPS.values())
    gids = rnd.sample(own + [1, 65534], rnd.randint(0, 3))
    return {"uid": rnd.choice([*list(model.USERS.values()) * 9, 0, 77,
                               *NOBODY]),
            "gid": rnd.choice(own + [100, 100, 100]),
            "gids": gids}


def random_approvals(rnd, by_name, subject):
    def one():
        who = (dict(subject) if rnd.random() < .15
               else random_subject(rnd, by_name))
        return dict(who, signed=rnd.random() < .5)

    few = [one() for _ in range(rnd.choice([0, 1, 1, 2, 3, 4]))]
    return few * 40 if few and rnd.random() < .01 else few


def random_counts(rnd):
    """How often each rule was used, where that is known."""
    def known(make):
        return {"r%02d" % n: make() for n in range(40) if rnd.random() < .9}

    def ages():
        most = rnd.choice([30, 300, 2 * HOUR, 48 * HOUR])
        return [rnd.choice([rnd.randrange(most), 90, 900, HOUR, 89, 899])
                for _ in range(rnd.randint(0, 6))]

    return without_none({
        "ages": maybe(rnd, .93, lambda: known(ages)),
        "sessions": maybe(rnd, .93, lambda: known(lambda: rnd.randint(0, 4)))})


def random_held(rnd):
    return {"rule": "r%02d" % rnd.randrange(9), "approvals": rnd.randint(0, 3)}


def random_request(rnd):
    by_name = rnd.random() < .3
    touched = rnd.choice([[], ["internal"], ["ext"], ["internal", "ext"],
                          ["other", "ext"]])
    subject = random_subject(rnd, by_name)
    return without_none({
        **subject,
        "break_glass": rnd.random() < .25,
        "approvals": random_approvals(rnd, by_name, subject),
        "counts": maybe(rnd, .95, lambda: random_counts(rnd)),
        "held": maybe(rnd, .1, lambda: random_held(rnd)),
        "action": rnd.choice(["use", "list", "show", "export", "import",
                              "audit.read", rnd.choice(ACTIONS), "fly"]
                             if rnd.random() < .1 else
                             ["use", "list", "show", "export", "import"]),
        "entry": maybe(rnd, .8, lambda: random_entry(rnd, by_name)),
        "reason": rnd.choice([None, "", "  ", "because"]),
        "ticket": rnd.choice([None] + GIVEN),
        "contexts": touched,
        "mode": rnd.choice(["exec", "agent", "service", "service",
                            "service"] * 6 + ["none"]),
        "tty": rnd.random() < .5,
        "anchor_age": maybe(rnd, .8, lambda: rnd.choice(
            [0, 90, 91, HOUR, HOUR + 1, 86400, 86401])),
        "read_only": rnd.random() < .2,
        "now": rnd.choice([rnd.randint(0, 4_000_000_000),
                           rnd.randint(1_700_000_000, 1_900_000_000),
                           *([-1] if rnd.random() < .05 else [])]),
        "duration": rnd.choice([0, 0, 60, 900, 901, HOUR, 8 * HOUR, 86400,
                                86401, *([-5] if rnd.random() < .1 else [])]),
    })
