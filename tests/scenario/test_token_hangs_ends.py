"""While a token does not answer: who may end what others use holds them up
until that is done, and nobody else does. (As test_token_hangs.py, whose token
this is.)"""

import json

import pytest

import users
import wire
from approval_rig import DAVE, approvals, asked
from test_token_hangs import (ALL, NO_GRANT, is_answered, permit_to,  # noqa: F401
                              service, serving, sign_parameters)
from test_token_journal import TO, fake_build, vault  # noqa: F401
from together_rig import request
from users import ALICE, BOB, CAROL, permit

NO_REQUEST = "0" * 12
POLICY = json.dumps({**ALL, "metadata": {"name": "t", "version": 9}})
# What whoever has no right to it may ask for.
ASKED = {"UseEnd": {"grant": NO_GRANT}, "Lock": {},
         "GrantsRevoke": {"user": "root"},
         "Deny": {"id": NO_REQUEST, "reason": "x"},
         "PolicyApply": {"text": POLICY, "dry_run": False},
         "SlotRemove": {"id": "x"},
         "TokenLost": {"uri": "pkcs11:token=fake"},
         "Remove": {"names": ["sealed", "none"], "dry_run": False},
         "Destroy": {"keep_keys": True, "with_record": False,
                     "dry_run": False}}
EXPORT = {"name": "sealed", "dry_run": False}
BURST = 600                  # CV_LIMIT_UID_BURST


@users.needs_root
def test_a_stranger_holds_nobody_up(service):
    users.open_way(service.broker.path)
    waits = service.hang("Tokens.begin", "TokenList")
    asked = [service.send(m, ALICE, **p) for m, p in ASKED.items()]
    assert "error" not in service.call("Status")
    assert not any(is_answered(s) for s in asked)
    assert "error" not in wire.answer(service.send("Export", **EXPORT))
    assert not any(is_answered(s) for s in (waits, *asked))
    service.go()
    for s in (waits, *asked):
        said = wire.answer(s)
        assert ("error" in said) == (s is not waits), said
    left = service.call("List")["parameters"]["items"]
    assert sorted(e["name"] for e in left) == ["held", "sealed"]


@users.needs_root
@pytest.mark.parametrize("method", ["UseEnd", "GrantsRevoke"])
def test_ones_own_grants_hold_up_oneself(service, method):
    permit_to(service, ALICE)
    holds = service.send("Use", ALICE, name="sealed", kind="credential",
                         read_only=False)
    grant = wire.answer(holds)["parameters"]["grant"]["id"]
    waits = service.hang("Tokens.begin", "TokenList")
    ends = service.send(method, ALICE, **(
        {"grant": grant} if method == "UseEnd" else {"ids": [grant]}))
    assert "error" not in service.call("Status")
    own = service.send("Export", ALICE, **EXPORT)
    assert "error" not in service.call("Status")
    assert "error" not in wire.answer(service.send("Export", **EXPORT))
    assert not any(is_answered(s) for s in (waits, ends, own))
    service.go()
    for s in (waits, ends, own):
        assert "error" not in wire.answer(s)
    assert service.call("Grants")["parameters"]["items"] == []


# Who denies another's request, and whether it waits for that: Carol may
# approve, but counts for nobody; Dave would count, and may not.
DENIES = {"counts": (BOB, True), "counts for nobody": (CAROL, False),
          "may not approve": (DAVE, False)}


@users.needs_root
@pytest.mark.parametrize("who, bars", DENIES.values(), ids=DENIES)
def test_who_may_deny_a_request(service, who, bars):
    said = service.call("PolicyApply", dry_run=False, text=json.dumps({
        **ALL, "metadata": {"name": "t", "version": 2}, "rules": [
            *ALL["rules"], permit("approvers", [BOB, CAROL], ["approve"]),
            permit("copies", [ALICE], ["export"],
                   **approvals(uids=[BOB, DAVE]))]}))
    assert "error" not in said, said
    users.open_way(service.broker.path)
    id = asked(wire.answer(service.send("Export", ALICE, **EXPORT)))
    waits = service.hang("Tokens.begin", "TokenList")
    denies = service.send("Deny", who, id=id, reason="no")
    assert "error" not in service.call("Status")
    key = service.send("Export", **EXPORT)
    for _ in range(3):
        assert "error" not in service.call("Status")
    assert is_answered(key) != bars
    assert not is_answered(denies) and not is_answered(waits)
    service.go()
    assert "error" not in wire.answer(key)
    assert ("error" in wire.answer(denies)) != bars
    left = wire.answer(service.send("Requests", ALICE, all=True))
    assert [r["state"] for r in left["parameters"]["items"]] == \
        ["denied" if bars else "open"]


def test_what_ends_is_done_first(service):
    """Before what others asked earlier: neither what they have to wait for, nor
    that they asked too often, is in front of it."""
    waits = service.hang("Tokens.begin", "TokenList")
    asked = [service.send("Sign", **{**sign_parameters(), "name": "sealed"})
             for _ in range(20)]
    assert "error" not in service.call("Status")
    lock = service.send("Lock")
    assert "error" not in service.call("Status")
    service.go()
    assert "error" not in wire.answer(waits)
    assert "error" not in wire.answer(lock)
    for s in asked:
        assert wire.answer(s)["parameters"]["code"] == "locked"


@users.needs_root
def test_what_ends_is_not_too_often(service):
    """Who locks is not made to wait by what else he asked: he was too often
    here by then, and another's change was there before his lock."""
    permit_to(service, ALICE)
    waits = service.hang("Tokens.begin", "TokenList")
    change = service.send("Label", name="sealed", set={"x": "y"}, remove=[])
    assert "error" not in service.call("Status")
    lock = service.send("Lock", ALICE)
    assert "error" not in service.call("Status")
    # Three times what he may ask at once; the rest comes at his rate.
    flood = [service.connect(ALICE) for _ in range(20)]
    for s in flood:
        s.sendall(request("Hello") * 100)
    told = 0
    while told < BURST:
        told += sum(n_answers(s) for s in flood)
    service.go()
    for s in (waits, lock, change):
        assert "error" not in wire.answer(s)
    assert told + sum(n_answers(s) for s in flood) < 20 * 100
    told = service.call("AuditQuery", filter={})["parameters"]["items"]
    told = [r["details"].get("method", r["action"]) for r in told
            if r["phase"] == "decision"]
    assert told.index("Lock") < told.index("edit"), told


def n_answers(s):
    """That are there by now."""
    got = b""
    while is_answered(s):
        got += s.recv(1 << 16)
    return got.count(b"\0")


def test_a_receipt_waits_for_the_logs_key(vault):
    """Which is on a token, too: it is not refused because another's call is
    under way, and the log's key is not said to be locked."""
    vault("audit", "key", "rotate", "--to", TO, code=0)
    with serving(vault) as service:
        waits = service.hang("Tokens.begin", "TokenList")
        with_receipt = service.send("Export", **EXPORT, receipt=True)
        assert "error" not in service.call("Export", **EXPORT)
        assert "error" not in service.call("Status")
        assert not any(is_answered(s) for s in (waits, with_receipt))
        service.go()
        said = wire.answer(with_receipt)
        assert "receipt" in said["parameters"], said
        said = service.call("AuditStatus")["parameters"]["status"]["log_key"]
        assert said["location"] == "token" and "error" not in said, said
