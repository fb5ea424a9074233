"""-o json is one document also of commands that only do something; their table
output is what it was: nothing, or the key alone."""

import json
import os

import pytest
import yaml

import harness
import kube
from harness import USAGE
from test_agent import Agents, wait_end

ALL = ("table", "json", "yaml", "name")


def says(vault, form, *args, kind, name, table=""):
    """Runs it, holds its output to `form`, and gives the document there is."""
    done = vault("-o", form, "--no-input", *args, code=0)
    if form == "table":
        assert table is None or done.text == table, done
        return None
    if form == "name":
        assert done.text.endswith("\n") and done.text.count("\n") == 1
        assert name in (None, done.text[:-1]), done
        return None
    doc = json.loads(done.text) if form == "json" else yaml.safe_load(done.text)
    assert done.text.isascii()
    assert list(doc)[:2] == ["apiVersion", "kind"]
    assert (doc["apiVersion"], doc["kind"]) == ("certvault/v1", kind)
    return doc


@pytest.fixture
def agents(home, secrets):
    v = Agents(home, secrets)
    yield v
    status = v.status()
    if status:
        v("agent", "stop", code=0)
        wait_end(status["pid"])


def test_agent_start_and_stop(agents):
    v = agents
    said = {"kind": "AgentStatus", "name": v.socket}
    for form in ALL:
        doc = says(v, form, "agent", "start", **said)
        status = v.status()
        again = says(v, form, "agent", "start", **said)
        if doc:
            assert doc == again == {
                "apiVersion": "certvault/v1", "kind": "AgentStatus",
                "running": True, "pid": status["pid"], "socket": v.socket,
                "folder": v.folder}
        gone = says(v, form, "agent", "stop", **said)
        wait_end(status["pid"])
        none = says(v, form, "agent", "stop", **said)
        if gone:
            assert gone == none and "pid" not in gone
            assert not gone["running"] and gone["socket"] == v.socket


def test_lock_and_unlock(agents):
    v = agents
    v.begin()
    said = {"kind": "VaultLock", "name": v.folder}
    whose = v.status()["vault_id"] if "vault_id" in v.status() else None
    for form in ALL:
        for words, locked, frozen in (
                (("lock",), True, None), (("unlock",), False, None),
                (("unlock",), False, None),
                (("lock", "--all", "--reason", "x"), True, True),
                (("unlock", "--all"), None, False)):
            doc = says(v, form, *words, **said)
            if not doc:
                continue
            assert doc["folder"] == v.folder and doc["vault_id"], doc
            assert whose in (None, doc["vault_id"])
            assert locked in (None, doc["locked"])
            assert doc.get("frozen") == frozen
            if frozen:
                assert doc["agents"] == [v.folder]


def test_lock_of_what_does_not_run(vault):
    for form in ALL:
        for words in (("lock",), ("unlock",)):
            doc = says(vault, form, *words, kind="VaultLock",
                       name=vault.folder)
            # The broker was for one command: nothing stays open.
            assert doc is None or doc["locked"] is (words == ("lock",)) or \
                words == ("unlock",)


def test_audit_rebuild_and_report(vault):
    for form in ALL:
        page = os.path.join(vault.home, f"r-{form}.html")
        doc = says(vault, form, "audit", "rebuild", kind="AuditRebuild",
                   name=None)
        assert doc is None or doc["size"] > 0
        doc = says(vault, form, "audit", "report", "--html", page,
                   kind="AuditReportFile", name=page)
        if doc:
            assert doc["file"] == page and doc["records"] > 0
            assert doc["verdict"]
        assert os.path.getsize(page) > 0


def test_a_new_key_of_the_log(vault):
    for form in ALL:
        before = vault("audit", "key", code=0).text.strip()
        done = vault("-o", form, "audit", "key", "rotate", code=0)
        now = vault("audit", "key", code=0).text.strip()
        assert before != now
        if form in ("table", "name"):
            assert done.text == now + "\n"
            continue
        doc = yaml.safe_load(done.text)
        if form == "json":
            assert doc == json.loads(done.text)
        assert doc == {"apiVersion": "certvault/v1", "kind": "LogKeyChange",
                       "vkey": now, "old_vkey": before, "finished": True}


def test_export_to_a_file(vault):
    vault.policy(harness.MAY_EXPORT)
    identity = kube.Identity(secrets=vault.secrets)
    vault.add(kube.as_yaml(kube.config(identity)), "a", "--exportable")
    for form in ALL:
        out = os.path.join(vault.home, "out-" + form)
        doc = says(vault, form, "export", "a", "--reason", "x", "--output",
                   out, kind="ExportedFile", name=out)
        if doc:
            last = vault.json("audit", "query", "--action", "export")["items"]
            assert doc["audit_seq"] in [r["seq"] for r in last]
            assert (doc["name"], doc["file"]) == ("a", out)
        with open(out, encoding="utf-8") as f:
            assert yaml.safe_load(f)["kind"] == "Config"
    # Without a file standard output is the kubeconfig's.
    done = vault("-o", "json", "export", "a", "--reason", "x", code=0,
                 secret=True)
    assert json.loads(done.out)["kind"] == "Config"
    vault("-o", "name", "export", "a", "--reason", "x", code=USAGE)
