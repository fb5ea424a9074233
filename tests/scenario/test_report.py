"""audit report and audit export: what is in them, that the page checks itself
in a browser, and that nothing in the record can attack whoever reads them."""

import base64
import csv
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import harness
import merkle
from chromium import Chromium
from harness import INVALID, NOT_FOUND, USAGE
from kube import Identity, as_yaml, config


@pytest.fixture
def busy(vault, secrets):
    """A vault with some history."""
    vault.policy(harness.MAY_EXPORT)
    for name in ("a", "b"):
        vault.add(as_yaml(config(Identity(secrets=secrets))), name,
                  "--exportable")
    vault("export", "a", "--reason", "for <b>audit</b> & co", "--ticket",
          "OPS-1", code=0, secret=True)
    vault("export", "b", code=harness.DENIED)
    vault("label", "a", "k=v", code=0)
    return vault


def test_text(busy):
    done = busy("audit", "report", code=0)
    lines = done.text.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert all(c == "\n" or " " <= c <= "~" for c in done.text)
    assert any(re.match(r"  verdict +verified$", line) for line in lines)
    assert any("for <b>audit</b>" in line for line in lines)
    assert any(re.match(r"  1 +\S+ +export +b ", line) for line in lines)
    sections = [lines[i - 1] for i, line in enumerate(lines)
                if line and not line.strip("-") and i > 0]
    assert sections[:4] == ["Is the record whole?", "Used and given out, by whom",
                            "Keys that left the vault", "Denied"]


def test_json(busy):
    report = busy.json("audit", "report")
    assert report["kind"] == "AuditReport"
    assert report["checkpoint"]["verdict"] == "verified"
    assert report["checkpoint"]["size"] >= report["period"]["end"]
    assert [e["entry"] for e in report["exports"]] == ["a"]
    assert report["exports"][0]["outcome"] == "ok"
    assert report["exports"][0]["ticket"] == "OPS-1"
    assert [(d["entry"], d["count"]) for d in report["denials"]] == [("b", 1)]
    assert {c["action"] for c in report["changes"]} >= {"policy.apply",
                                                        "import", "edit"}
    assert {e["name"] for e in report["expiring"]} <= {"a", "b"}
    origin, size, root = merkle.open_note(
        report["checkpoint"]["note"].encode(), report["checkpoint"]["key"])
    assert size == report["checkpoint"]["size"]
    assert base64.b64encode(root).decode() == report["checkpoint"]["root"]


def test_periods(busy):
    assert busy.json("audit", "report", "--until",
                     "1h")["period"]["records"] == 0
    # the first report's own question is the last record of the second
    records = busy.json("audit", "report", "--since", "1h")["period"]
    assert records["first"] == 0 and records["records"] == records["end"]
    text = busy("audit", "report", "--until", "2001-01-01", code=0).text
    assert re.search(r"records +none", text)
    busy("audit", "report", "--since", "2020-01-02", "--until", "2020-01-01",
         code=USAGE)
    busy("audit", "report", "--since", "yesterday", code=USAGE)


def jsonl(vault, *args):
    return vault("audit", "export", "--format", "jsonl", *args,
                 code=0).out.splitlines()


def test_export_jsonl_is_the_log(busy):
    got = jsonl(busy)
    log = merkle.read_log(busy.path("audit/log"))
    assert got == log[:len(got)] and len(got) > 8
    assert jsonl(busy, "--until", "1h") == []


def unsigned(vault):
    """Restored, with the log's key still sealed: no checkpoint can be signed.
    How many records the last one is over."""
    backup = os.path.join(vault.home, "b")
    vault("backup", backup, code=0)
    os.rename(vault.key_file, vault.key_file + ".away")
    shutil.rmtree(vault.folder)
    vault("restore", backup, "--yes", code=0)
    for i in range(3):
        vault("list", "--reason", f"unsigned {i}", code=0)
    with open(vault.path("audit/checkpoint"), encoding="utf-8") as f:
        return int(f.read().split("\n")[1])


def test_what_no_checkpoint_covers_is_told(busy, tmp_path):
    covered = unsigned(busy)
    report = busy.json("audit", "report")
    newer = len(merkle.read_log(busy.path("audit/log"))) - covered
    assert newer > 3 and report["period"]["end"] == covered
    assert report["checkpoint"]["uncovered"] == newer
    assert report["checkpoint"]["verdict"] == (
        f"verified; {newer} newer records are under no checkpoint yet")
    path = tmp_path / "r.html"
    done = busy("audit", "report", "--html", str(path), code=0)
    assert f"{newer + 1} newer records are under no" in done.note
    assert f'"uncovered":{newer + 1}' in path.read_text()
    assert f"{newer + 2} newer records are under no" in \
        busy("audit", "report", code=0).text
    # The export has them all, also where it begins behind the checkpoint.
    got = jsonl(busy)
    log = merkle.read_log(busy.path("audit/log"))
    assert got == log[:len(got)] and len(got) >= covered + newer + 3
    since = next(json.loads(x)["time"] for x in log
                 if b'"reason":"unsigned 0"' in x)
    got = jsonl(busy, "--since", since)
    log = merkle.read_log(busy.path("audit/log"))
    first = json.loads(got[0])["seq"]
    assert got == log[first:first + len(got)]
    assert first + len(got) > covered + newer
    error = busy.error(NOT_FOUND, "audit", "prove", str(covered))
    assert error["message"] == f"no checkpoint covers record {covered} yet"
    error = busy.error(NOT_FOUND, "audit", "prove", "9999")
    assert "has no record 9999" in error["message"]


def test_without_a_checkpoint(busy):
    """A period that begins at an odd number, and no hashes to its left."""
    unsigned(busy)
    os.unlink(busy.path("audit/checkpoint"))
    for record in merkle.read_log(busy.path("audit/log"))[-3:]:
        report = busy.json("audit", "report", "--since",
                           json.loads(record)["time"])
        assert report["checkpoint"]["verdict"].startswith("no checkpoint")
        assert not report["checkpoint"]["verified"]


def rows(vault, *args):
    text = vault("audit", "export", "--format", "csv", *args, code=0).out
    return list(csv.DictReader(io.StringIO(text.decode(), newline="")))


def test_export_csv(busy):
    table = rows(busy)
    log = [json.loads(line) for line in jsonl(busy)]
    assert [int(r["seq"]) for r in table] == [r["seq"] for r in
                                              log[:len(table)]]
    for row, leaf in zip(table, log):
        assert row["action"] == leaf["action"]
        assert row["entry"] == leaf.get("entry", "")
        assert row["user"] == leaf["actor"]["user"]
        assert json.loads(row["details"] or "{}") == leaf.get("details", {})
    raw = busy("audit", "export", "--format", "csv", code=0).out
    assert raw.count(b"\r\n") == raw.count(b"\n")


FORMULAS = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "  =1+1", "'=1",
            "%0A=1", "|x", "a;=1", 'a"b', "a,b", "plain", " led"]

# Blanks of other kinds before it, signs of other widths; and what is neither.
ODD = ["\u00a0=1+1", "\u2003+1", "\u3000@x", "\u200b=1", "\ufeff=1",
       "\u2800-1", "\u3164=1", "\u00ad=1", "\ufe0f=1", "\uff1d1+1",
       "\uff0b1", "\uff0d1", "\uff20SUM", "\u22121", "\u00a0\uff1d1",
       "' \u00a0'=1", "\u2019=1", "\U000e0020=1"]
PLAIN = ["\u00dcmit = 1", "\u65e5\u672c=1", "\u00a0led", "\u3000", "x\uff1d1",
         "\u2019twas"]


def test_no_cell_is_a_formula(busy):
    """H83: a spreadsheet takes none of it for a formula."""
    for reason in FORMULAS:
        busy("list", "--reason", reason, code=0)
    table = rows(busy, "--since", "1h")
    got = [r["reason"] for r in table if r["action"] == "list"]
    assert len(got) == len(FORMULAS)
    for cell, typed in zip(got, FORMULAS):
        assert not re.match(r"[ ']*[=+\-@\t\r%|]", cell) or \
            cell == "'" + typed, (cell, typed)
        assert cell in (typed, "'" + typed)
    raw = busy("audit", "export", "--format", "csv", code=0).text
    assert "\"'=cmd|' /C calc'!A0\"" in raw and '"a;=1"' in raw


def test_no_cell_is_a_formula_behind_odd_blanks(busy):
    for reason in ODD + PLAIN:
        busy("list", "--reason", reason, code=0)
    got = [r["reason"] for r in rows(busy, "--since", "1h")
           if r["action"] == "list"]
    assert got == ["'" + x for x in ODD] + PLAIN


def test_files(busy, tmp_path):
    path = tmp_path / "report.html"
    busy("audit", "report", "--html", str(path), code=0)
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    busy("audit", "report", "--html", str(path), code=INVALID)
    assert path.read_bytes() == before
    busy("audit", "report", "--html", str(path), "--yes", code=0)
    assert path.read_bytes() != before
    out = tmp_path / "r.csv"
    busy("audit", "export", "--format", "csv", "--output", str(out), code=0)
    assert out.stat().st_mode & 0o777 == 0o600
    busy("audit", "export", "--format", "csv", "--output", str(out),
         code=INVALID)
    busy("audit", "export", code=USAGE)
    busy("audit", "export", "--format", "xml", code=USAGE)
    busy("audit", "report", "--html", str(tmp_path / "no" / "such"),
         code=harness.NOT_FOUND)
    assert sorted(os.listdir(tmp_path)) == ["home", "r.csv", "report.html"]


def test_reading_is_a_matter_of_policy(busy):
    busy.policy({"name": "none", "effect": "forbid",
                 "subjects": {"users": ["*"]}, "actions": ["audit.read"]},
                version=2)
    for words in (["report"], ["export", "--format", "csv"]):
        busy("audit", *words, code=harness.DENIED)


# ---- the page, in a browser ----


@pytest.fixture
def page(busy, tmp_path):
    path = tmp_path / "report.html"
    busy("list", "--reason", "</script><script>document.title='x'</script>",
         code=0)
    busy("list", "--reason", "<!-- <script> \u2028 \u202e end", code=None)
    busy("audit", "report", "--html", str(path), code=0)
    return path


@pytest.fixture
def browser(tmp_path):
    with Chromium(tmp_path / "browser") as chromium:
        yield chromium


def verdict(browser, path):
    browser.open(path)
    return browser.run("document.documentElement.dataset.verdict")


def test_the_page_verifies_itself(busy, page, browser):
    assert verdict(browser, page) == "verified"
    assert browser.requests == [f"file://{page}"]
    assert browser.errors == []
    assert browser.run("document.title") == "certvault: what the record says"
    text = browser.run("document.body.innerText")
    assert "for <b>audit</b> & co" in text and "\u2713 verified" in text
    assert "</script><script>document.title='x'</script>" in text
    assert browser.run("document.querySelectorAll('#main b b, img, iframe')"
                       ".length") == 0
    # each row opens to the record's own bytes, by the keyboard too
    log = merkle.read_log(busy.path("audit/log"))
    opened = browser.run("""(() => {
        const all = document.getElementById('all').parentElement;
        return [...all.querySelectorAll('button.seq')].map((b) => {
            b.focus(); b.click();
            const row = b.closest('tr').nextSibling;
            return [row.querySelector('pre').textContent,
                    row.querySelector('dd').textContent]; }); })()""")
    assert len(opened) > 10
    for (leaf, digest), raw in zip(opened, log):
        assert leaf.encode() == raw
        assert base64.b64decode(digest) == merkle.leaf(raw)


def test_a_part_of_the_log_verifies_too(busy, browser, tmp_path):
    """The hashes beside the period are what the page needs for it."""
    for i in range(21):
        busy("list", "--reason", f"nr {i}", code=0)
    times = [json.loads(line)["time"] for line in jsonl(busy)]
    last = times[-1][:19]
    while times[-1][:19] <= last:  # --until takes its whole second with it
        times = [json.loads(line)["time"] for line in jsonl(busy)]
    path = tmp_path / "part.html"
    busy("audit", "report", "--since", times[7], "--until", last + "Z",
         "--html", str(path), code=0)
    head = json.loads(re.search(r'id="head">(.*?)</script>',
                                path.read_text()).group(1))
    assert head["right"] and head["period"]["end"] < head["checkpoint"]["size"]
    assert verdict(browser, path) == "verified"


def test_the_page_says_what_no_checkpoint_covers(busy, browser, tmp_path):
    """Records that came after the last checkpoint are not in the page: it says
    how many, and is verified as far as it goes."""
    unsigned(busy)
    path = tmp_path / "newer.html"
    busy("audit", "report", "--html", str(path), code=0)
    newer = int(re.search(r'"uncovered":([0-9]+)', path.read_text()).group(1))
    assert newer > 3
    word = f"verified; {newer} newer records are under no checkpoint yet"
    assert verdict(browser, path) == word
    told = browser.run("document.getElementById('verdict').innerText")
    assert "? " + word in told and "\u2717" not in told
    assert browser.errors == []
    one = changed(path, tmp_path, lambda d: d.replace(
        f'"uncovered":{newer}'.encode(), b'"uncovered":1'))
    assert verdict(browser, one) == \
        "verified; 1 newer record is under no checkpoint yet"


def changed(page, tmp_path, change):
    data = page.read_bytes()
    path = tmp_path / "changed.html"
    new = change(data)
    assert new != data
    path.write_bytes(new)
    return path


def by_another_key(data):
    """The same checkpoint, signed by a key of another log."""
    at = data.index(b'id="head"')
    at = data.index(b"{", at)
    head, length = json.JSONDecoder().raw_decode(data[at:].decode())
    name = "other.example/log"
    key = Ed25519PrivateKey.generate()
    public = b"\x01" + key.public_key().public_bytes(
        Encoding.Raw, PublicFormat.Raw)
    number = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
    text = head["checkpoint"]["note"].split("\n\n")[0] + "\n"
    head["checkpoint"]["key"] = "+".join(
        (name, number.hex(), base64.b64encode(public).decode()))
    head["checkpoint"]["note"] = f"{text}\n\u2014 {name} " + base64.b64encode(
        number + key.sign(text.encode())).decode() + "\n"
    end = at + len(data[at:].decode()[:length].encode())
    return data[:at] + json.dumps(head).encode() + data[end:]


CHANGES = {
    "a byte of the last record": lambda d: re.sub(
        rb'("mono_ms":\d*)(\d)(\D[^\n]*\n</script>)', lambda m: m.group(1) +
        (b"1" if m.group(2) != b"1" else b"2") + m.group(3), d, count=1),
    "the key's id": lambda d: re.sub(
        rb'("key":"[^"+]+\+)([0-9a-f])', lambda m: m.group(1) +
        (b"a" if m.group(2) != b"a" else b"b"), d, count=1),
    "another log's key": by_another_key,
    "a byte of a record": lambda d: d.replace(b'"entry":"a"', b'"entry":"c"',
                                              1),
    "a record is gone": lambda d: re.sub(rb'\n\{[^\n]*"seq":5,[^\n]*', b"", d,
                                         count=1),
    "two records change places": lambda d: re.sub(
        rb'\n(\{[^\n]*"seq":5,[^\n]*)\n(\{[^\n]*)', rb"\n\2\n\1", d, count=1),
    "the last record is gone": lambda d: re.sub(
        rb'\n\{[^\n]*\n</script>', b"\n</script>", d, count=1),
    "the root": lambda d: re.sub(rb'(\\n[0-9]+\\n)(.)', lambda m: m.group(1) +
                                 (b"A" if m.group(2) != b"A" else b"B"), d,
                                 count=1),
    "the signature": lambda d: re.sub(
        rb'(u2014 [^ ]+ .{20})(.)', lambda m: m.group(1) +
        (b"A" if m.group(2) != b"A" else b"B"), d, count=1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_is_not_verified(page, browser, tmp_path, name):
    path = changed(page, tmp_path, CHANGES[name])
    assert verdict(browser, path) == "NOT verified"
    assert "\u2717 NOT verified" in browser.run(
        "document.getElementById('verdict').innerText")


def test_without_ed25519_it_says_so(page, browser, tmp_path):
    """An older browser: hashes are checked, the signature is not, and the page
    does not call that verified."""
    browser.call("Page.addScriptToEvaluateOnNewDocument", source=(
        "SubtleCrypto.prototype.importKey = () => Promise.reject(new "
        "DOMException('no', 'NotSupportedError'));"))
    assert verdict(browser, page) == "this browser cannot check"
    browser.call("Page.addScriptToEvaluateOnNewDocument", source=(
        "Object.defineProperty(globalThis, 'crypto', {value: undefined});"))
    assert verdict(browser, page) == "this browser cannot check"


def test_layouts(page, browser, tmp_path):
    """Narrow, dark, on paper."""
    for width, dark in ((1200, False), (1200, True), (390, False)):
        browser.width(width, dark=dark)
        browser.open(page)
        assert browser.run("document.documentElement.scrollWidth") <= width
        shot = tmp_path / f"{width}.png"
        browser.screenshot(shot)
        assert shot.stat().st_size > 20000
    assert browser.pdf().startswith(b"%PDF-")
    # all that can be clicked has a name and can be reached
    assert browser.run("""[...document.querySelectorAll('button, input, select,'
        + ' a')].every((e) => e.tabIndex >= 0 && (e.ariaLabel ||
        e.textContent || e.placeholder))""")


def test_the_text_stands_in_the_page(page):
    """For readers without scripts, escaped."""
    found = re.search(r"<noscript><pre>(.*?)</pre>", page.read_text(), re.S)
    assert "&lt;b&gt;audit&lt;/b&gt; &amp; co" in found.group(1) or \
        "&lt;b>audit&lt;/b> &amp; co" in found.group(1)
    assert "verified" in found.group(1)


# ---- the index ----


def index(vault):
    return vault.path("audit/index.db")


def test_an_index_that_was_touched_changes_no_answer(busy):
    """Deleted, garbage, emptied, of an older log: the same answers, and what
    was damaged is told of in the record."""
    def ask():
        return [r["seq"] for r in busy.records("--entry", "a")]
    before = ask()
    assert before and os.path.exists(index(busy))
    assert os.stat(index(busy)).st_mode & 0o777 == 0o600
    os.unlink(index(busy))
    assert ask() == before
    told = len(busy.records("--action", "log"))
    with open(index(busy), "wb") as f:
        f.write(b"garbage" * 1000)
    assert ask() == before
    db = sqlite3.connect(index(busy))
    db.execute("DELETE FROM word WHERE kind = 0")
    db.commit()
    db.close()
    assert ask() == before
    events = busy.records("--action", "log")[told:]
    assert [e["details"]["because"] for e in events] == [
        "the index was damaged: it was made again",
        "the index was damaged: it is made again"]
    busy.verify()
    os.unlink(index(busy))
    busy("audit", "rebuild", code=0)
    assert os.path.exists(index(busy))
    assert ask() == before
