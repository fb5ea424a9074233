"""Hostile kubeconfigs: each is refused whole (65) with one line that never
echoes it, and leaves nothing behind. The rows' names are those of the threat
model: H14 to H38."""

import base64
import datetime
import os

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

import minting
from harness import INVALID
from kube import Identity, as_json, as_yaml, config, several

ONE = Identity("p256")
RSA = Identity("rsa2048")
TWO = Identity("p256")
B64 = {k: v for k, v in ONE.user().items()}
KEY = B64["client-key-data"]
CERT = B64["client-certificate-data"]
PLAIN = as_yaml(config(ONE))
PLAIN_JSON = as_json(config(ONE))


def changed(path, value, base=None):
    """The plain document with one member changed; DROP removes it."""
    document = config(base or ONE)
    at = document
    for step in path[:-1]:
        at = at[step]
    if value is DROP:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return as_yaml(document)


DROP = object()
USER = ("users", 0, "user")
CLUSTER = ("clusters", 0, "cluster")


def user(**members):
    return changed(USER, {**ONE.user(), **members})


def cluster(**members):
    return changed(CLUSTER, {**ONE.cluster(), **members})


def b64(raw):
    return base64.b64encode(raw).decode()


def key(pem):
    return user(**{"client-key-data": b64(pem)})


def cert(pem):
    return user(**{"client-certificate-data": b64(pem)})


def pem(label, der):
    body = base64.b64encode(der).decode()
    lines = [body[i:i + 64] for i in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines,
                      f"-----END {label}-----", ""]).encode()


CASES = {}


def case(row, name, text):
    CASES[f"H{row}-{name}"] = text if isinstance(text, bytes) \
        else text.encode()


# --- JSON and YAML ---

def twin(name, value):
    """JSON with a second member beside client-key-data."""
    return PLAIN_JSON.replace('"client-key-data"',
                              f'{name}: "{value}", "client-key-data"')


case(14, "duplicate", twin('"client-key-data"', "AAAA"))
case(14, "escaped-twin", twin('"client\\u002dkey-data"', "AAAA"))
case(14, "nul-suffix", twin('"client-key-data\\u0000"', "AAAA"))
case(14, "yaml-duplicate", PLAIN.replace("current-context: main",
                                         "kind: Config"))
case(15, "deep-json", '{"a":' * 10000 + "1" + "}" * 10000)
case(15, "brackets", "[" * (2 << 20))
case(15, "deep-yaml", "a: " + "[" * 5000 + "]" * 5000)
case(15, "many-members", '{"kind":"Config","x":[' + "1," * 600000 + "1]}")
case(15, "too-big", PLAIN + "#" * (5 << 20))
case(16, "big-exponent", PLAIN_JSON[:-1] + ', "x": 1e400}')
case(16, "beyond-2-53", PLAIN_JSON[:-1] + ', "x": 9007199254740993}')
case(16, "digits", PLAIN_JSON[:-1] + ', "x": ' + "1" * 20000 + "}")
case(16, "hex", PLAIN_JSON[:-1] + ', "x": 0x1f}')
case(16, "nan", PLAIN_JSON[:-1] + ', "x": NaN}')
case(17, "bad-utf8", PLAIN.encode() + b"x: \xff\xfe\n")
case(17, "overlong", PLAIN.encode() + b"x: \xc0\xaf\n")
case(17, "surrogate", PLAIN_JSON[:-1] + ', "x": "\\ud800"}')
case(17, "bom", b"\xef\xbb\xbf" + PLAIN_JSON.encode())
case(17, "utf16", PLAIN.encode("utf-16"))
case(17, "control", PLAIN_JSON[:-1].encode() + b', "x": "\x01"}')
case(17, "trailing", PLAIN_JSON + " x")
case(17, "second-document", PLAIN + "---\n" + PLAIN)
case(17, "nul", PLAIN.encode() + b"x: a\0b\n")
case(18, "laughs", "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n" + PLAIN)
case(18, "anchor", PLAIN.replace("kind: Config", "kind: &k Config"))
case(18, "alias", PLAIN + "x: &x 1\ny: *x\n")
case(18, "merge", PLAIN + "x:\n  <<: {a: 1}\n")
case(18, "tag", PLAIN + "x: !!python/object/apply:os.system [id]\n")
case(18, "binary", PLAIN + "x: !!binary aGk=\n")
case(18, "indentation", "a:\n" + "".join(" " * i + "- \n"
                                          for i in range(2, 3000)))
case(19, "tab", PLAIN.replace("  cluster:", "\tcluster:"))

# --- kubeconfig ---

EXEC = {"apiVersion": "client.authentication.k8s.io/v1",
        "command": "./certvault-test-was-here", "interactiveMode": "Never"}
case(20, "exec", user(exec=EXEC))
case(20, "exec-shell", user(exec={**EXEC, "args": ["$(touch here)"]}))
case(21, "auth-provider", user(**{"auth-provider": {
    "name": "gcp", "config": {"cmd-path": "./certvault-test-was-here"}}}))
case(22, "key-path", changed(USER, {"client-certificate-data": CERT,
                                    "client-key": "/etc/shadow"}))
case(22, "key-and-path", user(**{"client-key": "/etc/shadow"}))
case(22, "certificate-path", changed(USER, {
    "client-certificate": "/etc/passwd", "client-key-data": KEY}))
case(22, "ca-path", changed(CLUSTER, {"server": "https://10.0.0.1:6443",
                                      "certificate-authority": "../../x"}))
case(22, "token-path", user(tokenFile="/etc/shadow"))
case(22, "other-user-token-path", changed(("users",), [
    {"name": "u", "user": ONE.user()},
    {"name": "v", "user": {"tokenFile": "/etc/shadow"}}]))
case(23, "skip-with-ca", cluster(**{"insecure-skip-tls-verify": True}))
case(24, "impersonate", user(**{"as": "root"}))
case(24, "impersonate-groups", user(**{"as-groups": ["system:masters"]}))
case(24, "proxy-url", cluster(**{"proxy-url": "http://evil.example"}))
case(24, "server-name", cluster(**{"tls-server-name": "a b\u001b"}))
case(25, "token", user(token="secret-token-value"))
case(25, "password", user(username="u", password="secret-password"))
for name, server in {
        "http": "http://10.0.0.1:6443", "userinfo": "https://a:b@10.0.0.1",
        "unix": "unix:///run/x.sock", "port-0": "https://10.0.0.1:0",
        "port-65536": "https://10.0.0.1:65536", "no-host": "https://",
        "link-local": "https://169.254.169.254",
        "idn": "https://\u0430pple.example", "long": "https://" + "a" * 300,
        "blank": "https://10.0.0.1 :6443", "escape": "https://x\u001b[2J",
        "number": 1}.items():
    case(26, name, cluster(server=server))
case(27, "no-users", changed(("users",), []))
case(27, "users-absent", changed(("users",), DROP))
case(27, "missing-user", changed(("contexts", 0, "context", "user"), "who"))
case(27, "missing-cluster", changed(("contexts", 0, "context", "cluster"),
                                    "what"))
case(27, "no-contexts", changed(("contexts",), []))
case(27, "other-key", changed(USER, {"client-certificate-data": CERT,
                                     "client-key-data":
                                     TWO.user()["client-key-data"]}))
case(27, "same-user-name-twice", changed(("users",), [
    {"name": "u", "user": ONE.user()}, {"name": "u", "user": TWO.user()}]))
ONE_BAD = several([ONE, TWO], ["good", "bad"])
ONE_BAD["users"][1]["user"]["client-key-data"] = "!!!!"
case(27, "one-bad-user", as_yaml(ONE_BAD))
for name, text in {"newline": "a\nb", "escape": "\u001b[2J",
                   "clipboard": "\u001b]52;c;aGk=\u0007", "rtl": "a\u202eb",
                   "separator": "a\u2028b", "long": "x" * 5000}.items():
    case(28, "context-" + name, changed(("contexts", 0, "name"), text))

# --- PEM and DER ---

KEY_PEM = ONE.key_pem
CERT_PEM = ONE.cert_pem
KEY_DER = minting.key_der(ONE.key)
CERT_DER = ONE.cert.public_bytes(serialization.Encoding.DER)
case(30, "many-blocks", cert(CERT_PEM * 400))
case(30, "one-line", key(b"-----BEGIN PRIVATE KEY-----\n" + b"A" * (1 << 20)))
case(30, "header-only", key(b"-----BEGIN PRIVATE KEY-----\n"))
case(30, "nested", key(KEY_PEM.replace(b"\n", b"\n-----BEGIN X-----\n", 1)))
case(30, "proc-type", key(KEY_PEM.replace(
    b"KEY-----\n", b"KEY-----\nProc-Type: 4,ENCRYPTED\n"
    b"DEK-Info: AES-128-CBC,00000000000000000000000000000000\n\n", 1)))
case(30, "encrypted", key(ONE.key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
    serialization.BestAvailableEncryption(b"x"))))
case(30, "two-keys", key(KEY_PEM + TWO.key_pem))
case(31, "nul", user(**{"client-key-data": KEY[:40] + "\\0" + KEY[40:]}))
# The last letter before the padding must leave no bits over (RFC 4648, 3.5).
PADDED = b64(KEY_PEM + b"\n" * (1 + (-len(KEY_PEM)) % 3))
case(31, "tail", user(**{"client-key-data": PADDED[:-3] + "h=="}))
case(31, "url-alphabet", user(**{"client-key-data": b64(
    KEY_PEM + b"\xfb\xef\xff").replace("+", "-").replace("/", "_")}))
case(31, "twice", user(**{"client-key-data": b64(KEY.encode())}))
case(31, "asterisks", user(**{"client-key-data": KEY[:99] + "****" + KEY[103:]}))
case(31, "empty", user(**{"client-key-data": ""}))
case(32, "rsa-key-ec-cert", changed(USER, {
    "client-certificate-data": CERT,
    "client-key-data": RSA.user()["client-key-data"]}))
case(32, "no-key", changed((*USER, "client-key-data"), DROP))
case(32, "no-certificate", changed((*USER, "client-certificate-data"), DROP))


def self_signed(private, ca=False, **more):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME,
                                         more.get("common", "x"))])
    now = datetime.datetime.utcnow()
    builder = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
               .public_key(private.public_key()).serial_number(7)
               .not_valid_before(more.get("start", now
                                          - datetime.timedelta(days=1)))
               .not_valid_after(more.get("end", now
                                         + datetime.timedelta(days=1)))
               .add_extension(x509.BasicConstraints(ca, None), True))
    for extension, critical in more.get("extensions", []):
        builder = builder.add_extension(extension, critical)
    return builder.sign(private, hashes.SHA256())


def own(private, certificate):
    return changed(USER, {
        "client-certificate-data": b64(minting.cert_pem(certificate)),
        "client-key-data": b64(minting.key_pem(private))})


case(32, "ca-certificate", own(ONE.key, self_signed(ONE.key, ca=True)))


def small_rsa(bits):
    private = rsa.generate_private_key(65537, bits)
    return own(private, self_signed(private))


case(33, "rsa-1024", small_rsa(1024))
try:
    case(33, "rsa-512", small_rsa(512))
except ValueError:
    pass        # newer libraries do not make such keys


# A few lines of DER, to make what no library would.

def der(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    length = bytes([n]) if n < 128 else (
        lambda raw: bytes([0x80 | len(raw)]) + raw)(
            n.to_bytes((n.bit_length() + 7) // 8, "big"))
    return bytes([tag]) + length + body


def integer(v):
    raw = v.to_bytes(v.bit_length() // 8 + 1, "big") if v >= 0 else b"\xff"
    return der(2, raw)


def rsa_pem(**change):
    n = RSA.key.private_numbers()
    v = {"version": 0, "n": n.public_numbers.n, "e": n.public_numbers.e,
         "d": n.d, "p": n.p, "q": n.q, "dp": n.dmp1, "dq": n.dmq1,
         "qi": n.iqmp, **change}
    return pem("RSA PRIVATE KEY", der(0x30, *(integer(x) for x in v.values())))


def rsa_case(name, **change):
    case(33, name, changed(USER, {
        "client-certificate-data": RSA.user()["client-certificate-data"],
        "client-key-data": b64(rsa_pem(**change))}))


NUMBERS = RSA.key.private_numbers()
rsa_case("e-1", e=1)
rsa_case("e-even", e=65536)
rsa_case("p-is-q", q=NUMBERS.p)
rsa_case("d-wrong", d=NUMBERS.d + 2)
rsa_case("dp-wrong", dp=NUMBERS.dmp1 + 2)
rsa_case("qi-wrong", qi=NUMBERS.iqmp + 1)
rsa_case("p-1", p=1, q=NUMBERS.public_numbers.n)
rsa_case("multi-prime", version=1)
rsa_case("n-negative", n=-1)

P256 = bytes.fromhex("06082a8648ce3d030107")
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def sec1(scalar, curve=P256, public=None, tail=b""):
    point = public if public is not None else ONE.key.public_key().public_bytes(
        serialization.Encoding.X962,
        serialization.PublicFormat.UncompressedPoint)
    return pem("EC PRIVATE KEY", der(
        0x30, integer(1), der(4, scalar), der(0xA0, curve),
        der(0xA1, der(3, b"\0" + point))) + tail)


SCALAR = ONE.key.private_numbers().private_value.to_bytes(32, "big")
POINT = ONE.key.public_key().public_bytes(
    serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
EXPLICIT = der(0x30, integer(1), der(
    0x30, bytes.fromhex("06072a8648ce3d0101"), integer(0x1ed5)), der(
        0x30, der(4, b"\0"), der(4, b"\1")), der(4, b"\x02\0"), integer(7))
case(34, "explicit", key(sec1(SCALAR, EXPLICIT)))
case(34, "d-0", key(sec1(b"\0" * 32)))
case(34, "d-n", key(sec1(ORDER.to_bytes(32, "big"))))
case(34, "d-beyond", key(sec1((ORDER + 5).to_bytes(32, "big"))))
case(34, "off-curve", key(sec1(SCALAR, public=POINT[:-1]
                               + bytes([POINT[-1] ^ 1]))))
case(34, "infinity", key(sec1(SCALAR, public=b"\0")))
case(34, "p-192", key(sec1(SCALAR[:24],
                           bytes.fromhex("06082a8648ce3d030101"))))
case(34, "other-curve", key(sec1(SCALAR, bytes.fromhex("06052b81040022"))))
case(34, "params-differ", key(pem("EC PARAMETERS",
                                  bytes.fromhex("06052b81040022"))
                              + sec1(SCALAR)))
K256 = ec.generate_private_key(ec.SECP256K1())
case(34, "secp256k1", own(K256, self_signed(K256)))

case(36, "indefinite", key(pem("PRIVATE KEY", b"\x30\x80" + KEY_DER[3:]
                               + b"\0\0")))
case(36, "long-length", key(pem("PRIVATE KEY", b"\x30\x82\x00"
                                + KEY_DER[1:2] + KEY_DER[2:])))
case(36, "2-31", key(pem("PRIVATE KEY", b"\x30\x84\x7f\xff\xff\xff"
                         + KEY_DER[2:])))
case(36, "trailing", key(pem("PRIVATE KEY", KEY_DER + b"\0")))
case(36, "cert-trailing", cert(pem("CERTIFICATE", CERT_DER + b"\0")))
case(36, "cert-cut", cert(pem("CERTIFICATE", CERT_DER[:-5])))

NOW = datetime.datetime.utcnow()
DAY = datetime.timedelta(days=1)
case(37, "expired", own(ONE.key, self_signed(ONE.key, start=NOW - 2 * DAY,
                                             end=NOW - DAY)))
case(37, "not-yet", own(ONE.key, self_signed(ONE.key, start=NOW + DAY,
                                             end=NOW + 2 * DAY)))
case(37, "no-client-auth", own(ONE.key, self_signed(ONE.key, extensions=[
    (x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]),
     False)])))
case(37, "critical-unknown", own(ONE.key, self_signed(ONE.key, extensions=[
    (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\0"),
     True)])))


@pytest.mark.parametrize("name", CASES)
def test_refused_whole(vault, name, tmp_path):
    vault.secrets.add_key("the file's key", KEY_PEM, KEY_DER, [SCALAR])
    before = vault.snapshot()
    size = vault.json("audit", "status")["size"]
    started = set(os.listdir(vault.home))
    path = tmp_path / "kube"
    path.write_bytes(CASES[name])
    # A program that the file names would be made here by its relative path.
    done = vault("-o", "json", "import", str(path), "--name", "a",
                 cwd=str(tmp_path))
    assert done.code == INVALID, done
    assert not done.out.strip() or b'"items": []' in done.out, done
    error = done.error
    assert error["message"] and "\n" not in error["message"]
    assert vault.names() == []
    assert vault.snapshot() == before
    assert set(os.listdir(vault.home)) == started
    assert os.listdir(tmp_path / "..") and not (
        tmp_path / "certvault-test-was-here").exists()
    assert vault.json("audit", "status")["size"] >= size


def test_the_plain_ones_are_taken(vault):
    """What the rows change is good before it is changed."""
    vault.add(PLAIN, "yaml")
    vault("rm", "yaml", "--yes", code=0)
    vault.add(PLAIN_JSON, "json")
    vault("rm", "json", "--yes", code=0)
    vault.add(as_yaml(several([ONE, TWO])), "{context}")
    vault.add(own(RSA.key, self_signed(RSA.key)), "own")
    vault("rm", "own", "--yes", code=0)
    vault.add(changed(USER, {
        "client-certificate-data": RSA.user()["client-certificate-data"],
        "client-key-data": b64(rsa_pem())}), "rsa")
    vault("rm", "ctx-0", "--yes", code=0)
    vault.add(key(sec1(SCALAR)), "sec1")


# Rows that are taken, with a mark.

def test_h19_words_stay_words(vault):
    text = PLAIN + "x: no\ny: 0o17\nz: 1:30\n"
    vault.add(text, "a")


def test_h23_no_ca_is_marked_unverified(vault):
    document = config(ONE)
    document["clusters"][0]["cluster"] = {"server": "https://10.0.0.1:6443",
                                          "insecure-skip-tls-verify": True}
    vault.add(as_yaml(document), "a")
    (context,) = vault.json("show", "a")["contexts"]
    assert context["verify"] == "none"


@pytest.mark.parametrize("name", ["../../x", "-rf", ".", "=cmd|' /C calc'!A0"])
def test_h28_odd_context_names(vault, name):
    done = vault("import", "-", "--name", "{context}",
                 input=changed(("contexts", 0, "name"), name))
    assert done.code in (0, INVALID), done
    for entry in vault.json("list")["items"]:
        assert ".." not in entry["name"] and not entry["name"].startswith("-")
    assert not os.path.exists(os.path.join(vault.home, "x"))


def test_h29_same_names_from_three_clusters(vault):
    documents = [minting.kubeconfig(i.ca.pem, i.cert_pem, i.key_pem,
                                    "https://10.0.0.1:5443")
                 for i in (Identity() for _ in range(3))]
    for n, document in enumerate(documents):
        vault.add(as_yaml(document), f"c{n}")
    spkis = {vault.json("show", f"c{n}")["key"]["spki_sha256"]
             for n in range(3)}
    assert len(spkis) == 3


@pytest.mark.parametrize("common", ["a\0b", "x" * 60, "a\u202eb", "\u001b[2J"])
def test_h38_odd_subjects(vault, common):
    identity = Identity(common=common)
    done = vault("import", "-", "--name", "a",
                 input=as_yaml(config(identity)))
    assert done.code in (0, INVALID), done
    for form in ("table", "json", "yaml"):
        out = vault("-o", form, "list", code=0).out
        assert all(32 <= c < 127 or c == 10 for c in out), out


def test_h38_masters_are_flagged(vault):
    vault.add(PLAIN, "a")
    records = vault.records("--entry", "a", "--action", "import")
    assert "system:masters" in str(records)
