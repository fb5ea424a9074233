"""A second opinion on policies, written from the contract alone.

decide(rules, request, zones) says what a policy's rules make of a request.
Both are as policy_draw.py draws them; policy_compare.py holds the answers
against the program's.
"""

import datetime
import re

ACTIONS = ("fetch fetch.service import list show use sign.raw export issue "
           "renew rotate revoke remove edit approve audit.read policy.read "
           "policy.apply admin").split()
USERS = {"alice": 1001, "bob": 1002, "carol": 1003, "dora": 1004}
GROUPS = {"sre": 2001, "leads": 2002, "dev": 2003, "ops": 2004}
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
HOUR = 3600
NOBODY = (65534, 4294967294, 4294967295)


# The model: each sentence of the contract as a few lines.

def glob(pattern, text):
    rough = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(rough, text, re.DOTALL) is not None


def is_among(subjects, person):
    users = subjects.get("users", [])
    groups, uids = subjects.get("groups", []), subjects.get("uids", [])
    if "*" in users:
        return True
    if "user" in person:
        return (person["user"] in users or
                any(g in groups for g in person["groups"]) or
                any(person["user"] == str(u) for u in uids))
    gids = [GROUPS.get(g) for g in groups]
    own = [person["gid"]] + person["gids"]
    return (person["uid"] in [USERS.get(u) for u in users] + uids or
            any(g in gids for g in own))


def subject_matches(rule, request):
    return is_among(rule["subjects"], request)


def entry_matches(rule, request):
    given = rule.get("entries")
    entry = request.get("entry")
    if entry is None:
        return given is None or given == {"names": ["*"]}
    if (entry.get("leaky") and request["action"] in (
            "import", "fetch", "fetch.service") and
            rule["effect"] == "permit" and not (given or {}).get("leaky")):
        return False
    if given is None:
        return True
    kinds = []
    if "names" in given:
        kinds.append(any(glob(p, entry["name"]) for p in given["names"]))
    if "labels" in given:
        kinds.append(any(k in entry["labels"] and glob(v, entry["labels"][k])
                         for k, v in given["labels"].items()))
    if "provenance" in given:
        kinds.append(entry.get("provenance") in given["provenance"])
    if "leaky" in given:
        kinds.append(bool(entry.get("leaky")))
    return all(kinds)


def local_time(zones, name, now):
    zone = zones.get(name, datetime.timezone.utc)
    return datetime.datetime.fromtimestamp(now, zone)


def minutes(text):
    return int(text[:2]) * 60 + int(text[3:5])


def when_holds(rule, request, zones):
    when = rule.get("when", {})
    here = local_time(zones, when.get("timezone"), request["now"])
    said_why = bool((request.get("reason") or "").strip(" "))
    if ("reason" in when or rule.get("break_glass")) and not said_why:
        return False
    if "ticket" in when and not re.fullmatch(when["ticket"],
                                             request.get("ticket") or ""):
        return False
    if "hours" in when:
        first, last = (minutes(t) for t in when["hours"].split("-"))
        at = here.hour * 60 + here.minute
        inside = (first <= at < last if first < last
                  else at >= first or at < last)
        if not inside:
            return False
    if "days" in when and DAYS[here.weekday()] not in when["days"]:
        return False
    if "contexts" in when:
        touched = [c in when["contexts"] for c in request["contexts"]]
        enough = any if rule["effect"] == "forbid" else all
        if not touched or not enough(touched):
            return False
    if "mode" in when and request["mode"] not in when["mode"]:
        return False
    if "anchor_age" in when:
        age = request.get("anchor_age")
        if age is None or age > seconds(when["anchor_age"]):
            return False
    return "tty" not in when or bool(request.get("tty"))


def seconds(text):
    return int(text[:-1]) * {"s": 1, "m": 60, "h": HOUR,
                             "d": 24 * HOUR}[text[-1]]


def longest(rule):
    return seconds(rule.get("grant", {}).get("max_duration", "8h"))


def fits(rule, request):
    """What a permit demands beside `when`, without looking at facts."""
    grant = rule.get("grant", {})
    limits = {"verbs", "namespaces", "resources"} & set(grant)
    if request["action"] in ("export", "sign.raw", "issue"):
        if limits or grant.get("read_only"):
            return False
    if needed(rule) and request["mode"] != "service":
        return False
    return request.get("duration", 0) <= longest(rule)


# Approvals.

def needed(rule):
    return rule.get("require", {}).get("approvals", {}).get("count", 0)


def somebody(person):
    return "user" in person or person["uid"] not in NOBODY


def whom(person):
    return person["user"] if "user" in person else person["uid"]


def may_approve(rule, approval):
    want = rule.get("require", {}).get("approvals")
    return bool(want and somebody(approval) and
                (not want.get("signed") or approval.get("signed")) and
                is_among(want["from"], approval))


def is_held(rule, request):
    """Is it the rule that gave what is held against the policy again?"""
    return (request.get("held") or {}).get("rule") == rule["name"]


def had(rule, request):
    """Of how many different people, the caller not counted, is the consent?"""
    if is_held(rule, request):
        return request["held"]["approvals"]
    return len({whom(a) for a in request.get("approvals", [])
                if may_approve(rule, a)} - {whom(request)})


# Limits: `counts` is {"ages": {rule: [how many seconds ago, ...]},
# "sessions": {rule: how many live}}; what is not there is not known.

def used_up(rule, request):
    """(False, ...): free; None: not known; (True, when free again or -1)"""
    limit = rule.get("limit", {})
    counts = request.get("counts") or {}
    full, free = False, -1
    if is_held(rule, request):
        return False, -1
    if "count" in limit:
        if rule["name"] not in counts.get("ages", {}):
            return None
        per = seconds(limit["per"])
        ages = sorted(a for a in counts["ages"][rule["name"]] if a < per)
        if len(ages) >= limit["count"]:
            full, free = True, per - ages[limit["count"] - 1]
    if "sessions" in limit and request["action"] == "use":
        if rule["name"] not in counts.get("sessions", {}):
            return None
        if counts["sessions"][rule["name"]] >= limit["sessions"]:
            full, free = True, -1
    return full, free


def sensible(request):
    if request["action"] not in ACTIONS or request["mode"] not in (
            "exec", "agent", "service") or request["now"] < 0:
        return False
    if request.get("duration", 0) < 0:
        return False
    if len(request.get("approvals", [])) > 64:
        return False
    if "user" in request:
        return bool(request["user"])
    entry = request.get("entry")
    return (request["uid"] not in NOBODY and
            (entry is None or entry.get("provenance") is not None))


def order(rule):
    return (needed(rule), bool(rule.get("break_glass")), -longest(rule),
            rule["name"])


def choose(offers, request, out):
    """Of offers whose conditions hold, in the end: which, or why none."""
    state = {r["name"]: used_up(r, request) for r in offers}
    free = [r for r in offers if state[r["name"]] == (False, -1)]
    full = [r for r in offers if (state[r["name"]] or (False,))[0]]
    if free:
        offer = min(free, key=order)
        out["offer"] = offer["name"]
        out["rules"] = [offer["name"]]
        out["needed"] = needed(offer)
        out["had"] = had(offer, request) if out["needed"] else 0
        out["permit"] = out["had"] >= out["needed"]
        out["approved"] = out["permit"] and out["needed"] > 0
        out["cause"] = "permitted" if out["permit"] else "approvals"
        out["duration"] = request.get("duration") or min(longest(offer),
                                                         8 * HOUR)
        out["read_only"] = bool(offer.get("grant", {}).get("read_only") or
                                request.get("read_only"))
        out["break_glass"] = bool(offer.get("break_glass"))
    elif full:
        def when(rule):
            free_in = state[rule["name"]][1]
            return (free_in < 0, free_in, rule["name"])

        first = min(full, key=when)
        out.update(cause="limited", rules=[first["name"]],
                   retry=state[first["name"]][1])
    else:
        out.update(cause="no-counts",
                   rules=[min(r["name"] for r in offers)])


def blank():
    return {"permit": False, "offer": None, "duration": 0, "read_only": False,
            "rules": [], "cause": "bad-input", "retry": -1, "needed": 0,
            "had": 0, "approved": False, "break_glass": False}


def decide(rules, request, zones):
    """What is decided; the keys are those of blank()."""
    out = blank()
    if not sensible(request):
        return out
    about = [r for r in rules
             if ("*" in r["actions"] or request["action"] in r["actions"])
             and subject_matches(r, request) and entry_matches(r, request)]
    matching = [r for r in about if when_holds(r, request, zones)]
    forbids = sorted(r["name"] for r in matching if r["effect"] == "forbid")
    if forbids:
        out.update(cause="forbidden", rules=forbids[:16])
        return out
    offers = [r for r in matching
              if r["effect"] == "permit" and fits(r, request)]
    ordinary = [r for r in offers if not r.get("break_glass")]
    held = [r for r in offers if is_held(r, request)]
    if held:
        offers = held
    elif ordinary and not request.get("break_glass"):
        offers = ordinary
    if offers:
        choose(offers, request, out)
    else:
        out["cause"] = ("unmet" if any(r["effect"] == "permit" for r in about)
                        else "no-rule")
    return out


# Lists: which rule is recorded for all of it, and is this entry in it?

def wants_more(rule):
    """Is what it gives counted, used up, or told?"""
    return bool("count" in rule.get("limit", {}) or needed(rule) or
                rule.get("break_glass"))


def about_caller(rules, request, zones, entry=None):
    """Rules whose conditions hold; of one entry, or of any that could be."""
    def matches(rule):
        if ("*" not in rule["actions"] and
                request["action"] not in rule["actions"]):
            return False
        if not subject_matches(rule, request):
            return False
        if not when_holds(rule, request, zones):
            return False
        if entry is not None and not entry_matches(
                rule, dict(request, entry=entry)):
            return False
        return rule["effect"] == "forbid" or fits(rule, request)
    return [r for r in rules if matches(r)]


def list_offer(rules, request, zones):
    """The name of the rule; None: nothing can be listed."""
    if not sensible(dict(request, entry=None)):
        return None
    about = about_caller(rules, request, zones)
    for r in about:
        if r["effect"] == "forbid" and entry_matches(
                r, dict(request, entry=None)):
            return None
    usable = [r for r in about if r["effect"] == "permit" and
              used_up(r, request) == (False, -1) and
              had(r, request) >= needed(r)]
    glass = [r for r in usable if r.get("break_glass")]
    special = [r for r in usable if wants_more(r) and r not in glass]
    free = [r["name"] for r in usable if not wants_more(r)]
    if glass and request.get("break_glass"):
        return min(glass, key=order)["name"]
    if free:
        return min(free)
    if special or glass:
        return min(special or glass, key=order)["name"]
    return None


def list_shows(rules, request, zones):
    offer = list_offer(rules, request, zones)
    if offer is None or not decide(rules, request, zones)["permit"]:
        return False
    permits = [r for r in about_caller(rules, request, zones,
                                       request["entry"])
               if r["effect"] == "permit"]
    if any(not wants_more(r) for r in permits):
        return True
    taken = [r for r in permits if r["name"] == offer]
    quiet = [r for r in permits if not r.get("break_glass")]
    return bool(taken and not (taken[0].get("break_glass") and quiet and
                               not request.get("break_glass")))


def would_break_glass(rules, request, zones):
    """Waiting or stopped: would --break-glass, with a reason, go ahead?"""
    def free(request, loud):
        return [r for r in rules if r["effect"] == "permit" and
                bool(r.get("break_glass")) == loud and
                ("*" in r["actions"] or request["action"] in r["actions"]) and
                subject_matches(r, request) and entry_matches(r, request) and
                when_holds(r, request, zones) and fits(r, request) and
                used_up(r, request) == (False, -1)]

    said = request.get("reason") or ""
    spoken = dict(request, reason=said if said.strip(" ") else "because")
    quiet, loud = free(request, False), free(spoken, True)
    if request.get("break_glass"):
        loud = [r for r in loud if r not in free(request, True)]
    best = min(loud, key=order, default=None)
    return (best is not None and had(best, request) >= needed(best) and
            all(order(best) < order(r) for r in quiet))
