"""Logging in to a token: where PINs come from, and what stands in the way. The
token is the tests' own, which writes down each PIN that reaches it."""

import os
import stat
import subprocess
import time

import pytest

import harness
import tokens
from held import Held
from kube import Identity, as_yaml, config
from terminal import Terminal

OBJECTS = ("token", "objects")


@pytest.fixture
def held(release_vault, misbehaving):
    # Of their own, so that they can be looked for.
    misbehaving.write("pin", "right-pin-4711")
    made = Held(release_vault, misbehaving)
    made.pin_file = release_vault.write("pin", "right-pin-4711\n")
    made.wrong_file = release_vault.write("wrong", "wrong-pin-0815\n")
    release_vault.secrets.add("PIN", "right-pin-4711")
    release_vault.secrets.add("wrong PIN", "wrong-pin-0815")
    yield made
    for record in made.json("audit", "query", pin=False)["items"]:
        assert "right-pin" not in str(record), record


def outcomes(held):
    return [a[2] for a in held.token.attempts()]


def wrong(held, *args):
    return held("--pin-source", "file:" + held.wrong_file, *args, pin=False)


class Asked(Terminal):
    """The command line on a terminal, asking."""

    def __init__(self, held, *words):
        class Human:                        # as Vault, but without --no-input
            argv = staticmethod(
                lambda *w: [harness.program(build=held.vault.build),
                            "--no-agent", *w])
            env = staticmethod(held.vault.env)
        self.path = harness.program(build=held.vault.build)
        super().__init__(Human, *words)

    def pin(self, text, question=b"PIN of the token"):
        self.until(question)
        self.until(b": ")
        end = time.monotonic() + 60
        while self.echoes() and time.monotonic() < end:
            time.sleep(0.01)
        self.type(text.encode() + b"\n")
        return self


# --- where PINs come from ---

def test_from_a_file(held):
    held(*OBJECTS, held.uri, code=0)
    held(*OBJECTS, held.uri, pin=False, code=0,
         env={"CERTVAULT_PIN_FILE": held.pin_file})
    held(*OBJECTS, held.uri + "&pin-source=file:" + held.pin_file, pin=False,
         code=0)
    assert outcomes(held) == ["right"] * 3


@pytest.mark.parametrize("number", [3, 7])
def test_from_a_descriptor(held, number):
    held.vault.wrap = ["sh", "-c",
                       f'exec "$0" "$@" {number}<{held.pin_file}']
    held("--pin-source", f"fd:{number}", *OBJECTS, held.uri, pin=False,
         code=0)
    done = held("--pin-source", "fd:77", *OBJECTS, held.uri, pin=False)
    held.vault.wrap = []
    assert done.code == harness.USAGE, done
    assert outcomes(held) == ["right"]


def test_from_a_command(held):
    held("--pin-source", f"command:head -c 100 {held.pin_file}", *OBJECTS,
         held.uri, pin=False, code=0)
    done = held("--pin-source", "command:echo x; exit 3", *OBJECTS, held.uri,
                pin=False)
    assert done.code == 1 and "code 3" in done.note, done
    assert outcomes(held) == ["right"]


def test_from_a_credential(held):
    folder = os.path.dirname(held.pin_file)
    held("--pin-source", "credential:pin", *OBJECTS, held.uri, pin=False,
         code=0, env={"CREDENTIALS_DIRECTORY": folder})
    assert outcomes(held) == ["right"]


def test_from_the_configuration(held):
    """Each token has its own; the one that does not fit is passed over."""
    held.configure(pin={
        "pkcs11:token=other": "file:/nowhere",
        "pkcs11:token=rig;serial=9999": "file:/nowhere",
        "pkcs11:token=r%69g;manufacturer=certvault%20tests":
            "file:" + held.pin_file})
    held(*OBJECTS, held.uri, pin=False, code=0)
    # A flag is nearer than the configuration.
    assert wrong(held, *OBJECTS, held.uri).code == harness.UNAVAILABLE
    assert outcomes(held) == ["right", "wrong"]


def test_from_pinentry(held):
    """A stand-in for pinentry answers; it is asked where there is a desktop
    and no terminal."""
    folder = os.path.join(held.vault.home, "bin")
    os.mkdir(folder)
    path = os.path.join(folder, "pinentry")
    with open(path, "w", encoding="utf-8") as f:
        f.write("""#!/usr/bin/python3
import sys
print("OK ready", flush=True)
for line in sys.stdin:
    with open(sys.argv[0] + ".log", "a") as log:
        log.write(line)
    if line.startswith("GETPIN"):
        print("D right%2Dpin%2D4711", flush=True)
    print("OK", flush=True)
    if line.startswith("BYE"):
        break
""")
    os.chmod(path, 0o700)
    env = {"PATH": folder + ":/usr/bin:/bin", "DISPLAY": ":99"}
    # Vault() forbids asking: here it is what is looked at.
    done = harness.Certvault.__call__(
        held.vault, *OBJECTS, held.uri, env=env)
    assert done.code == 0, done
    with open(path + ".log", encoding="utf-8") as f:
        said = f.read()
    assert 'SETDESC PIN of the token "rig"' in said
    done = held(*OBJECTS, held.uri, pin=False, env=env)
    assert done.code == harness.UNAVAILABLE and "--no-input" in done.note, done
    assert outcomes(held) == ["right"]


def test_from_the_terminal(held):
    asked = Asked(held, *OBJECTS, held.uri).pin("right-pin-4711")
    assert asked.end() == 0, asked.seen
    assert b"right-pin" not in asked.seen
    assert outcomes(held) == ["right"]


def test_a_reader_with_keys(held):
    """The PIN is typed on the reader; nothing of ours sees it."""
    held.token.control("pin-pad=1")
    held.token.write("pad", "right-pin-4711")
    done = held(*OBJECTS, held.uri)
    assert done.code == harness.UNAVAILABLE and not outcomes(held), done
    asked = Asked(held, *OBJECTS, held.uri)
    asked.until(b"on its reader")
    assert asked.end() == 0, asked.seen
    assert outcomes(held) == ["right"]


@pytest.mark.parametrize("source", ["", "pin:1234", "file:", "|cat x", "1234",
                                    "fd:", "https://x"])
def test_what_is_no_source(held, source):
    done = held("--pin-source", source, *OBJECTS, held.uri, pin=False)
    assert done.code == harness.USAGE, done
    assert "1234" not in done.note and not outcomes(held)


# --- what stands in the way ---

def test_a_person_tries_again(held):
    assert wrong(held, *OBJECTS, held.uri).code == harness.UNAVAILABLE
    # Not by the way: the command that is wanted must be asked for.
    done = held(*OBJECTS, held.uri)
    assert done.code == harness.UNAVAILABLE
    assert "certvault token login" in done.note, done
    asked = Asked(held, "token", "login", held.uri)
    asked.until(b"a wrong one was given before")
    asked.pin("right-pin-4711", b")")
    assert asked.end() == 0, asked.seen
    held(*OBJECTS, held.uri, code=0)
    assert outcomes(held) == ["wrong", "right", "right"]


def test_a_person_mistypes_it(held):
    """A PIN that failed is not asked for again by itself."""
    asked = Asked(held, "token", "login", held.uri).pin("wrong-pin-0815")
    assert asked.end() == harness.UNAVAILABLE, asked.seen
    assert asked.seen.count(b"PIN of the token") == 2    # asked; was wrong
    assert outcomes(held) == ["wrong"]


def test_nobody_knows_how_many_are_left(held):
    """A token whose flags always say that all is well: after two wrong ones
    the next may be the last, and who goes on must say so."""
    held.token.control("flags=zero")
    for _ in range(2):
        asked = Asked(held, "token", "login", held.uri).pin("wrong-pin-0815")
        assert asked.end() == harness.UNAVAILABLE, asked.seen
    asked = Asked(held, "token", "login", held.uri).pin("right-pin-4711")
    asked.until(b"2 logins to this token failed in a row")
    asked.until(b"[y/N]")
    asked.type(b"n\n")
    assert asked.end() == harness.UNAVAILABLE, asked.seen
    assert held.token.tries() == 1
    asked = Asked(held, "token", "login", held.uri).pin("right-pin-4711")
    asked.until(b"[y/N]")
    asked.type(b"y\n")
    assert asked.end() == 0, asked.seen
    assert outcomes(held) == ["wrong", "wrong", "right"]


def test_the_last_try_is_nobodys(held):
    held.token.control("flags=final")
    asked = Asked(held, "token", "login", held.uri).pin("right-pin-4711")
    assert asked.end() == harness.UNAVAILABLE, asked.seen
    assert b"next wrong PIN" in asked.seen
    assert not outcomes(held)


@pytest.mark.parametrize("flags", ["final", "locked"])
def test_nobody_is_asked_for_a_pin_that_is_not_tried(held, flags):
    """The last try is refused twice: by the broker, which asks nobody then, and
    by whoever has the module, who sends none (unit/pkcs11_login_test)."""
    held.token.control("flags=" + flags)
    asked = Asked(held, *OBJECTS, held.uri)
    assert asked.end() == harness.UNAVAILABLE, asked.seen
    assert (b"next wrong PIN" if flags == "final" else b"locked") in asked.seen
    assert b'": ' not in asked.seen and b"no PIN was tried" in asked.seen
    assert not outcomes(held)


def test_a_token_that_was_not_there_costs_nothing(held):
    held.token.remove()
    assert held(*OBJECTS, held.uri).code in (harness.NOT_FOUND,
                                             harness.UNAVAILABLE)
    held.token.put_back()
    held(*OBJECTS, held.uri, code=0)


def test_a_pin_that_cannot_be_right(held):
    """One that is empty or too long is not sent, and blocks nothing."""
    for text in ("", "\n", "x" * 2000, "a\nb\n"):
        path = held.vault.write("odd", text)
        done = held("--pin-source", "file:" + path, *OBJECTS, held.uri,
                    pin=False)
        assert done.code == harness.INVALID, done
    path = held.vault.write("odd", "x" * 300)
    done = held("--pin-source", "file:" + path, *OBJECTS, held.uri, pin=False)
    assert done.code == harness.INVALID, done
    held(*OBJECTS, held.uri, code=0)
    assert outcomes(held) == ["right"]


def test_logins_are_recorded(held):
    held("token", "login", held.uri, code=0)
    wrong(held, "token", "login", held.uri)
    records = [r for r in held.json("audit", "query", pin=False)["items"]
               if (r.get("details") or {}).get("method") == "TokenLogin"]
    assert [(r["phase"], r.get("outcome")) for r in records] == [
        ("decision", None), ("outcome", "ok"), ("decision", None),
        ("outcome", "failed")]
    assert all(r["action"] == "admin" for r in records)
    assert all(r["details"]["pin_source"] == "file" for r in records)
    assert all("token=rig" in r["details"]["token"] for r in records)


@pytest.fixture
def two(held, tmp_path):
    """Another token, with a module of its own."""
    second = tokens.Misbehaving(tmp_path / "second")
    second.start()
    second.control("label=second", "serial=0002")
    second.write("pin", "right-pin-4711")
    held.second = second
    held.both = [held.token.modules[0], {**second.modules[0], "name": "second"}]
    held.second_uri = "pkcs11:token=second?module-name=second"
    held.configure(modules=held.both)
    return held


def only_on_the_first(held):
    """The vault opens with a key on the first token, and nothing else."""
    held("slot", "add", "token:" + held.uri, code=0)
    os.rename(held.vault.key_file, held.vault.key_file + ".away")
    for slot in held.json("slot", "list", pin=False)["items"]:
        if slot["kind"] != "token":
            held("slot", "remove", slot["id"], "--yes", code=0)


def logins(held):
    return len(held.token.attempts()), len(held.second.attempts())


def test_only_one_token_is_shown_the_pin(two):
    """H41: a PIN given for one token does not go to the next, and that there
    are two is known before the first login. The vault is opened by a key on
    one, and the command is about another."""
    held = two
    config = os.path.join(held.vault.home, "config", "certvault",
                          "certvault.yaml")
    assert stat.S_IMODE(os.stat(config).st_mode) == 0o600
    only_on_the_first(held)
    before = logins(held)
    add = ("slot", "add", "token:" + held.second_uri)
    done = held(*add)
    assert done.code == harness.USAGE, done
    assert "two tokens" in done.note
    done = held(*add, pin=False, env={"CERTVAULT_PIN_FILE": held.pin_file})
    assert done.code == harness.USAGE, done
    # The second has no source, and there is nobody to ask.
    held.configure(modules=held.both,
                   pin={"pkcs11:token=rig": "file:" + held.pin_file})
    done = held(*add, pin=False)
    assert done.code == harness.UNAVAILABLE and '"second"' in done.note, done
    # The first has none, and that of the second is not for it.
    held.configure(modules=held.both)
    own = held.second_uri + "&pin-source=file:" + held.pin_file
    done = held("slot", "add", "token:" + own, pin=False)
    assert done.code == harness.UNAVAILABLE and '"rig"' in done.note, done
    slot = [s for s in held.vault.json("slot", "list")["items"]][0]["id"]
    assert held("slot", "change", slot, "--key", "token:" + held.second_uri) \
        .code == harness.USAGE
    assert logins(held) == before
    # One for each: the file for the first, the URI's for the second.
    held("slot", "add", "token:" + own, pin=False, code=0,
         env={"CERTVAULT_PIN_FILE": held.pin_file})
    held.configure(modules=held.both, pin={
        "pkcs11:token=second": "file:" + held.pin_file,
        "pkcs11:token=rig": "file:" + held.pin_file})
    held(*add, pin=False, code=0)
    os.rename(held.vault.key_file + ".away", held.vault.key_file)


def test_rm_of_keys_on_two_tokens(two):
    held = two
    held.add("p256", "a")
    held("import", held.vault.write("kube", as_yaml(config(Identity()))),
         "--name", "b", "--to", "token:" + held.second_uri, code=0)
    before = logins(held)
    assert held("rm", "a", "b", "--yes").code == harness.USAGE
    assert logins(held) == before
    assert held.vault.names() == ["a", "b"]
    held.configure(modules=held.both, pin={
        "pkcs11:token=second": "file:" + held.pin_file,
        "pkcs11:token=rig": "file:" + held.pin_file})
    held("rm", "a", "b", "--yes", pin=False, code=0)
    assert held.vault.names() == []


def test_use_of_a_key_on_another_token(two):
    """The relay's own keys are sealed to the vault, which a key on the first
    token opens; the entry's is on the second."""
    held = two
    held("import", held.vault.write("kube", as_yaml(config(Identity()))),
         "--name", "b", "--to", "token:" + held.second_uri, code=0)
    only_on_the_first(held)
    before = logins(held)
    done = held("exec", "b", "--", "true")
    assert done.code == harness.USAGE and "two tokens" in done.note, done
    assert logins(held) == before
    os.rename(held.vault.key_file + ".away", held.vault.key_file)


def test_one_token_is_enough(two):
    """What the vault's own key is not needed for asks for the one PIN: the
    vault opens with a key on the first token, the command is about another."""
    held = two
    only_on_the_first(held)
    before = logins(held)[0]
    path = held.vault.write("kube", as_yaml(config(Identity())))
    held("import", path, "--name", "b", "--to", "token:" + held.second_uri,
         "--shred", "--yes", code=0)
    with open(path, "rb") as f:
        assert b"client-key-data" not in f.read()
    held("rm", "b", "--yes", code=0)
    held("generate", "c", "--token", held.second_uri + "&pin-source=file:" +
         held.pin_file, "--csr", path + ".csr", pin=False, code=0)
    assert logins(held)[0] == before
    os.rename(held.vault.key_file + ".away", held.vault.key_file)


# --- modules that break ---

def test_a_module_that_hangs(held):
    """Ended after its time; and not waited for again at once."""
    held(*OBJECTS, held.uri, code=0)
    held.token.control("fault=C_FindObjectsInit hang")
    began = time.monotonic()
    done = held(*OBJECTS, held.uri)
    assert done.code == harness.UNAVAILABLE, done
    assert "did not answer within 30 s" in done.note
    assert time.monotonic() - began < harness.within(60)
    assert not harness.wait_for_none()


def test_after_a_module_hung(held):
    """The token is not gone: its module is not asked for a while, and that is
    what is said, by its name and without it."""
    with held.broker() as b:
        held(*held.to(b), "token", "login", held.uri, code=0)
        held.token.control("once=C_FindObjectsInit hang")
        assert held(*held.to(b), *OBJECTS, held.uri).code == \
            harness.UNAVAILABLE
        for uri in (held.uri, held.token.uri, "pkcs11:serial=0001"):
            done = held("-o", "json", *held.to(b), "token", "login", uri)
            assert done.code == harness.BUSY, done
            assert 0 < done.error["retry_after"] <= 30, done


def test_a_module_that_breaks_down_is_started_again(held):
    """A crash in what only reads is not the end."""
    held.token.control("once=C_GetTokenInfo crash")
    held(*OBJECTS, held.uri, code=0)
    held.token.control("fault=C_GetTokenInfo crash")
    done = held(*OBJECTS, held.uri)
    assert done.code in (harness.UNAVAILABLE, harness.NOT_FOUND), done
    assert "broke down" in done.note


@pytest.mark.parametrize("fault", ["logout", "sessions"])
def test_somebody_else_logs_it_out(held, fault):
    """The login is made again with the PIN that was right, once."""
    held.token.control(f"once=C_FindObjectsInit {fault}")
    held(*OBJECTS, held.uri, code=0)
    assert set(outcomes(held)) == {"right"}
    assert held.token.tries() == 3


def test_init_on_a_token(held, secrets):
    """There is no vault yet to write the login down in; a wrong PIN is not
    tried again all the same."""
    home = os.path.join(held.vault.home, "second")
    vault = harness.Vault(home, secrets, build=held.vault.build, init=False)
    second = Held(vault, held.token)
    init = ("init", "--key", "token:" + held.uri)
    wrong_one = ("--pin-source", "file:" + held.wrong_file)
    right_one = ("--pin-source", "file:" + held.pin_file)
    for pin in (wrong_one, right_one, wrong_one):
        done = second(*pin, *init, pin=False)
        assert done.code == harness.UNAVAILABLE, done
    assert outcomes(held) == ["wrong"]
    asked = Asked(Held(vault, held.token), *init).pin("right-pin-4711")
    assert asked.end() == 0, asked.seen
    second(*right_one, "list", pin=False, code=0)
    assert outcomes(held)[:2] == ["wrong", "right"]


def test_a_wrong_pin_counts_for_all_vaults(held, secrets):
    """A token counts its tries once, whatever vault a command works for."""
    assert wrong(held, *OBJECTS, held.uri).code == harness.UNAVAILABLE
    other = harness.Vault(held.vault.home, secrets, build=held.vault.build,
                          init=False)
    other.folder = other.extra["CERTVAULT_DIR"] = other.path("of-its-own")
    other("init", "--key", "file:" + other.key_file, code=0)
    done = other("--pin-source", "file:" + held.wrong_file, *OBJECTS, held.uri)
    assert done.code == harness.UNAVAILABLE and "token login" in done.note, done
    assert outcomes(held) == ["wrong"]


def test_without_a_home_the_vault_keeps_the_logins(held):
    no_home = {"HOME": None, "XDG_STATE_HOME": None}
    config = os.path.join(held.vault.home, "config/certvault/certvault.yaml")
    args = ("--config", config, *OBJECTS, held.uri)
    for _ in range(2):
        done = held("--pin-source", "file:" + held.wrong_file, *args,
                    pin=False, env=no_home)
        assert done.code == harness.UNAVAILABLE, done
    assert outcomes(held) == ["wrong"]
    assert [n for n in os.listdir(held.vault.folder) if n.startswith("login-")]


def test_eight_inits_at_once(held, secrets):
    vault = harness.Vault(os.path.join(held.vault.home, "second"), secrets,
                          build=held.vault.build, init=False)
    Held(vault, held.token)
    running = [vault.start("--pin-source", "file:" + held.wrong_file, "init",
                           "--key", "token:" + held.uri,
                           stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL) for _ in range(8)]
    codes = {p.wait(harness.TIMEOUT) for p in running}
    assert 0 not in codes, codes
    assert outcomes(held) == ["wrong"]
