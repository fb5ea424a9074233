"""A report and a bundle are one request each: it is decided, counted and
recorded as it begins, and its pieces are given for nothing else. Needs root:
the users are others, by number."""

import pytest

import users
from approval_rig import (approvals, asked, given, refused, rig,
                          vault_with_entry)
from users import ALICE, BOB, permit

pytestmark = users.needs_root

KINDS = ("AuditReport", "AuditBundle")


class Reading:
    """Alice's, on one connection."""

    def __init__(self, rig, kind):
        self.rig, self.kind = rig, kind
        self.s = users.connect_as(rig.broker.path, ALICE)

    def ask(self, method, **parameters):
        return self.rig.ask(ALICE, method, on=self.s, reason="look",
                            **parameters)

    def begin(self):
        head = given(self.ask(self.kind))
        if self.kind == "AuditReport":
            self.first = head["first"]
            self.end = max(head["end"], head["newer_end"])
        else:
            self.first = head["manifest"]["first"]
            self.end = head["manifest"]["size"]
            self.note = head["after"]
        assert self.end - self.first >= 4
        return self

    def piece(self, at, end, on=None):
        ask = self.rig.ask
        on = on or self.s
        if self.kind == "AuditReport":
            return ask(ALICE, "AuditExport", on=on, **{"from": at}, end=end)
        return ask(ALICE, "AuditBundleRead", on=on, at=at, end=end,
                   note=self.note)

    def records(self, answer):
        return len(given(answer)[{"AuditReport": "leaves"}.get(
            self.kind, "records")].splitlines())


@pytest.fixture(params=KINDS)
def reading(rig, request):
    rig.policy(permit("reads", [ALICE], ["audit.read"]))
    r = Reading(rig, request.param)
    yield r
    r.s.close()


def test_pieces_are_of_what_was_begun(rig, reading):
    r = reading
    r.note = "x"
    refused(r.piece(0, 1), "invalid")
    r.begin()
    half = (r.first + r.end) // 2
    assert r.records(r.piece(r.first, half)) == half - r.first
    # Not twice, not beyond it, not elsewhere, and no pieces of the other kind.
    refused(r.piece(r.first, half), "invalid")
    refused(r.piece(half, r.end + 1), "invalid")
    refused(r.piece(half, half - 1), "invalid")
    with users.connect_as(rig.broker.path, ALICE) as other:
        refused(r.piece(half, r.end, on=other), "invalid")
    r.kind, kind = KINDS[1 - KINDS.index(r.kind)], r.kind
    r.note = getattr(r, "note", "x")
    refused(r.piece(half, r.end), "invalid")
    r.kind = kind
    begun = len(rig.leaves(action="audit.read", phase="decision"))
    assert r.records(r.piece(half, r.end)) == r.end - half
    # What was given in pieces has its one record; this question has another.
    assert len(rig.leaves(action="audit.read", phase="decision")) == begun + 1


@pytest.mark.parametrize("reading", KINDS[:1], indirect=True)
def test_policy_ends_it(rig, reading):
    r = reading.begin()
    given(r.piece(r.first, r.first + 1))
    rig.policy(permit("reads", [ALICE], ["audit.read"]))   # says the same
    given(r.piece(r.first + 1, r.first + 2))
    rig.policy(permit("reads", [BOB], ["audit.read"]))
    refused(r.piece(r.first + 2, r.first + 3), "denied")
    rig.policy(permit("reads", [ALICE], ["audit.read"]))
    refused(r.piece(r.first + 2, r.first + 3), "invalid")
    r.begin()
    # Another rule that counts is another request.
    rig.policy(permit("other", [ALICE], ["audit.read"],
                      limit={"count": 9, "per": "1h"}))
    refused(r.piece(r.first, r.first + 1), "denied")


def test_it_counts_once(rig, reading):
    r = reading
    rig.policy(permit("few", [ALICE], ["audit.read"],
                      limit={"count": 2, "per": "1h"}))
    for _ in range(2):
        r.begin()
        for at in range(r.first, r.end):
            given(r.piece(at, at + 1))
    refused(r.ask(r.kind), "busy")
    assert len(rig.leaves(rules=["few"], decision="permit")) == 2


def test_it_is_approved_once(rig, reading):
    r = reading
    rig.policy(permit("asks", [ALICE], ["audit.read"], **approvals()))
    id = asked(r.ask(r.kind))
    given(rig.ask(BOB, "Approve", id=id))
    r.begin()
    for at in range(r.first, r.end):
        given(r.piece(at, at + 1))
    assert [q["state"] for q in rig.requests(BOB, all=True)] == ["used"]
    assert asked(r.ask(r.kind)) != id


def test_following_counts_each_time(rig):
    rig.policy(permit("few", [ALICE], ["audit.read"],
                      limit={"count": 3, "per": "1h"}))
    with users.connect_as(rig.broker.path, ALICE) as s:
        given(rig.ask(ALICE, "AuditTail", on=s, last=5))
        for _ in range(2):
            given(rig.ask(ALICE, "AuditTail", on=s, after=0))
        refused(rig.ask(ALICE, "AuditTail", on=s, after=0), "busy")
