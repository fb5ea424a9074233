"""The tokens that the other tests use are tokens: tools that know nothing of
us list them, log in, generate and sign, and openssl verifies."""

import os
import subprocess

import pytest

import tokens

MECHANISMS = {
    "rsa2048": {"SHA256-RSA-PKCS": (),
                "RSA-PKCS-PSS": ("-sigopt", "rsa_padding_mode:pss",
                                 "-sigopt", "rsa_pss_saltlen:32")},
    "p256": {"ECDSA": ()},
    "p384": {"ECDSA": ()},
}
DATA = b"what is signed\n"


def openssl_verifies(token, public, kind, options, data, signature):
    token.write("public.der", public)
    token.write("data", data)
    token.write("signature", signature)
    done = token.run("openssl", "dgst", "-sha256", "-keyform", "DER",
                     "-verify", "public.der", *options, "-signature",
                     "signature", "data", check=False)
    return done.returncode == 0


def digest_first(token, mechanism, data):
    """Modules differ in which hashes they do; all take a digest for these."""
    if mechanism == "SHA256-RSA-PKCS":
        return data
    return token.run("openssl", "dgst", "-sha256", "-binary",
                     input=data).stdout


def key_of(token, kind, key_id):
    """A key of that kind on the token: (id, its public key in DER)."""
    if "generate " + kind in token.can:
        return key_id, token.generate(kind, key_id, "rig-" + kind)
    if "holds " + kind in token.can:
        return token.ids[kind], token.run(
            "openssl", "pkey", "-pubin", "-outform", "DER",
            input=token.run("openssl", "x509", "-pubkey", "-noout",
                            input=token.certificate(kind)).stdout).stdout
    pytest.skip(f"{token.name} makes no {kind} keys")


@pytest.mark.parametrize("kind", sorted(MECHANISMS))
def test_signatures_are_verified_by_openssl(token, kind):
    key_id, public = key_of(token, kind, "a1")
    for mechanism, options in MECHANISMS[kind].items():
        signature = token.sign(key_id, mechanism,
                               digest_first(token, mechanism, DATA))
        assert openssl_verifies(token, public, kind, options, DATA, signature)
        assert not openssl_verifies(token, public, kind, options, DATA + b"!",
                                    signature)


def test_tools_list_it(token):
    said = token.pkcs11_tool("--list-token-slots", login=False).stdout.decode()
    assert token.label in said
    said = token.run("p11tool", "--provider", token.tool_module,
                     "--list-token-urls", check=False).stdout.decode()
    assert token.uri.partition(":")[2] in said


def test_p11tool_lists_keys(token):
    kind = "p256"
    key_of(token, kind, "a2")
    said = token.p11tool("--list-privkeys", token.uri).stdout.decode()
    assert "Private key (EC/ECDSA" in said, said


def test_a_wrong_pin_is_counted(token):
    if "counts tries" not in token.can:
        pytest.skip(f"{token.name} counts no tries")
    key_of(token, "p256", "a3")
    before = token.tries()
    right, token.pin = token.pin, token.wrong_pin
    try:
        done = token.pkcs11_tool("--list-objects", check=False)
    finally:
        token.pin = right
    assert b"CKR_PIN_INCORRECT" in done.stderr
    assert token.tries() == before - 1
    if token.name != "tpm":               # that one forgets with time alone
        token.pkcs11_tool("--list-objects")
        assert token.tries() == before


def test_removed_and_put_back(token):
    if "remove" not in token.can:
        pytest.skip(f"{token.name} cannot be pulled")
    token.remove()
    try:
        said = token.run("pkcs11-tool", "--module", token.tool_module,
                         "--list-token-slots", check=False).stdout.decode()
        assert token.label not in said
    finally:
        token.put_back()
    token.pkcs11_tool("--list-objects")


def test_servers_restarted(token):
    if "restart" not in token.can:
        pytest.skip(f"{token.name} has no servers")
    key_of(token, "p256", "a4")
    token.restart()
    assert "Private Key Object" in \
        token.pkcs11_tool("--list-objects").stdout.decode()


def test_reset_empties_it(token):
    if "generate p256" not in token.can:
        pytest.skip(f"{token.name} makes no keys")
    key_of(token, "p256", "a5")
    token.reset()
    assert "Private Key Object" not in \
        token.pkcs11_tool("--list-objects").stdout.decode()


def test_nothing_is_left_behind(tmp_path):
    """Whoever started servers has none after stop()."""
    kinds = [k for k in (tokens.Tpm, tokens.Remote) if not k.missing()]
    if not kinds:
        pytest.skip("no token with servers here")
    token = kinds[0](tmp_path / "one")
    try:
        token.start()
        started = [p.pid for p in token.servers.values()]
        assert started
    finally:
        token.stop()
    for pid in started:
        assert not os.path.exists(f"/proc/{pid}")
    found = subprocess.run(["grep", "-lsaF", str(tmp_path),
                            *[f"/proc/{p}/environ" for p in os.listdir("/proc")
                              if p.isdigit() and int(p) != os.getpid()]],
                           capture_output=True, text=True).stdout
    assert not found, found
