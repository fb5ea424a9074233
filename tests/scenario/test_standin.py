"""The stand-in itself: it must refuse what it should, or the tests that lean
on it show nothing."""

import base64
import datetime
import json
import os
import ssl
import urllib.error
import urllib.request

import pytest

import harness
import cce_api
import cce_standin
import minting
import signature

UTC = datetime.timezone.utc
VECTORS = os.path.join(harness.DATA, "cce", "signing-vectors.json")


@pytest.fixture(autouse=True)
def nothing_left_running():
    """Needs no program."""


def vectors():
    with open(VECTORS, encoding="utf-8") as f:
        return json.load(f)["vectors"]


def as_request(vector):
    """(method, target, headers, body) of a vector as they are on the wire."""
    i = vector["input"]
    headers = {"host": i["host"], "x-sdk-date": i["date"],
               "authorization": vector["expect"]["authorization"]}
    headers.update({k.lower(): v for k, v in i["headers"].items()})
    for key, name in (("project_id", "x-project-id"),
                      ("domain_id", "x-domain-id"),
                      ("security_token", "x-security-token")):
        if i[key]:
            headers[name] = i[key]
    rest = vector["url"].split("://", 1)[1]
    slash = min(p for p in (rest.find("/"), rest.find("?"), len(rest))
                if p >= 0)
    target = rest[slash:]
    if not target.startswith("/"):
        target = "/" + target
    return i["method"], target, headers, (i["body"] or "").encode()


def check(vector, method, target, headers, body):
    i = vector["input"]
    now = datetime.datetime.strptime(i["date"], "%Y%m%dT%H%M%SZ").replace(
        tzinfo=UTC)
    return signature.verify(method, target, headers, body,
                            {i["ak"]: i["sk"]}.get, now)


@pytest.mark.parametrize("vector", vectors(), ids=lambda v: v["id"])
def test_vector(vector):
    request = as_request(vector)
    assert check(vector, *request) == vector["input"]["ak"]


@pytest.mark.parametrize("vector", vectors(), ids=lambda v: v["id"])
def test_vector_changed(vector):
    """Any change to what was signed is noticed."""
    method, target, headers, body = as_request(vector)
    other = "PUT" if method != "PUT" else "GET"
    changes = [(other, target, headers, body),
               (method, target + ("&" if "?" in target else "?") + "a=b",
                headers, body),
               (method, "/x" + target, headers, body),
               (method, target, {**headers, "host": "other.example"}, body)]
    if "x-sdk-content-sha256" not in headers:
        changes.append((method, target, headers, body + b" "))
    for change in changes:
        with pytest.raises(signature.Refused):
            check(vector, *change)


@pytest.fixture
def served(tmp_path):
    s = cce_standin.Standin(str(tmp_path))
    s.cloud.add("prod", alg="p256")
    s.cloud.add("auto", alg="p256", api="autopilot")
    yield s
    s.stop()


def ask(s, method, target, body=None, ak=None, sk=None, date=None, **headers):
    """A signed request with the standard library: (status, JSON, headers)."""
    ak, sk = ak or s.cloud.ak, sk or s.cloud.sk
    date = date or datetime.datetime.now(UTC)
    h = {"host": f"127.0.0.1:{s.port}",
         "x-sdk-date": date.strftime("%Y%m%dT%H%M%SZ")}
    if "/projects/" in target:
        h["x-project-id"] = s.cloud.project_id
    h.update({k.replace("_", "-").lower(): v for k, v in headers.items()})
    raw = json.dumps(body).encode() if body is not None else b""
    if raw:
        h["content-type"] = "application/json"
    path, _, query = target.partition("?")
    signed = sorted(h)
    request = signature.canonical_request(
        method, path.encode(), signature.split_query(query), h, signed,
        signature.payload_hash(h, raw))
    mac = signature.sign(request, h["x-sdk-date"], ak, sk)[1]
    h["authorization"] = (f"SDK-HMAC-SHA256 Access={ak}, SignedHeaders="
                          f"{';'.join(signed)}, Signature={mac}")
    return send(s, method, target, h, raw)


def send(s, method, target, headers, raw=b""):
    context = ssl.create_default_context(cafile=s.ca_file)
    r = urllib.request.Request(s.url + target, raw or None, headers,
                               method=method)
    try:
        with urllib.request.urlopen(r, context=context) as answer:
            data = answer.read()
            return answer.status, data and json.loads(data), answer.headers
    except urllib.error.HTTPError as e:
        data = e.read()
        return e.code, data and json.loads(data), e.headers


def base(s, cluster="prod"):
    api = "api" if s.cloud.cluster(cluster).api == "v3" else "autopilot"
    return (f"/{api}/v3/projects/{s.cloud.project_id}/clusters/"
            f"{s.cloud.cluster(cluster).uid}")


def test_mints_what_is_documented(served):
    status, config, headers = ask(served, "POST", base(served) +
                                  "/clustercert", {"duration": 3})
    assert status == 200 and headers["Port-ID"]
    assert [c["name"] for c in config["contexts"]] == [
        "internal", "external", "externalTLSVerify"]
    assert config["current-context"] == "external"
    assert "certificate-authority-data" not in config["clusters"][1]["cluster"]
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import \
        load_pem_private_key
    user = config["users"][0]["user"]
    cert = x509.load_pem_x509_certificate(
        base64.b64decode(user["client-certificate-data"]))
    key = load_pem_private_key(base64.b64decode(user["client-key-data"]), None)
    assert minting.spki_sha256(cert) == minting.spki_sha256(key)
    life = cert.not_valid_after - datetime.datetime.utcnow()
    assert datetime.timedelta(days=2.9) < life < datetime.timedelta(days=3.1)
    # A second one is another key; the first stays valid.
    again = ask(served, "POST", base(served) + "/clustercert",
                {"duration": 3})[1]
    assert again["users"] != config["users"]


@pytest.mark.parametrize("body", [
    {}, {"duration": 0}, {"duration": -2}, {"duration": 1828},
    {"duration": "30"}, {"duration": 1.5}, {"duration": True},
    {"expire_at": "2020-01-01 00:00:00 +0000 UTC"}, {"expire_at": "soon"},
    {"duration": 1, "more": 1}])
def test_refuses_bodies(served, body):
    status, answer, _ = ask(served, "POST", base(served) + "/clustercert",
                            body)
    assert (status, answer["errorCode"]) == (400, "CCE.01400001")


def test_autopilot_takes_no_expire_at(served):
    when = datetime.datetime.now(UTC) + datetime.timedelta(days=2)
    body = {"expire_at": when.strftime("%Y-%m-%d %H:%M:%S +0000 UTC")}
    assert ask(served, "POST", base(served) + "/clustercert", body)[0] == 200
    assert ask(served, "POST", base(served, "auto") + "/clustercert",
               body)[0] == 400


def test_refuses_who_is_not_known(served):
    target = base(served)
    now = datetime.datetime.now(UTC)
    assert ask(served, "GET", target)[0] == 200
    assert ask(served, "GET", target, sk="wrong" * 8)[0] == 401
    assert ask(served, "GET", target, ak="A" * 20)[0] == 401
    late = ask(served, "GET", target, date=now - datetime.timedelta(minutes=16))
    assert late[0] == 401 and "server time:" in late[1]["error_msg"]
    assert ask(served, "GET", target, x_project_id="0" * 32)[0] == 401
    assert ask(served, "GET", target, x_security_token="x")[0] == 401
    assert send(served, "GET", target, {"X-Auth-Token": "none"})[0] == 401
    assert send(served, "GET", target, {})[0] == 401


def test_locks_an_ak_after_six_bad_signatures(served):
    for _ in range(6):
        assert ask(served, "GET", base(served), sk="x" * 40)[0] == 401
    answer = ask(served, "GET", base(served))
    assert answer[0] == 401 and "reach the limit" in answer[1]["error_msg"]


def login(s, **change):
    cloud = s.cloud
    user = {"name": cloud.user, "password": cloud.password,
            "domain": {"name": cloud.domain}}
    auth = {"identity": {"methods": ["password"],
                         "password": {"user": {**user, **change}}},
            "scope": {"project": {"name": cloud.region}}}
    return auth


def test_tokens(served):
    headers = {"Content-Type": "application/json;charset=utf8"}

    def post(auth):
        return send(served, "POST", "/v3/auth/tokens", headers,
                    json.dumps({"auth": auth}).encode())

    status, _, got = post(login(served))
    assert status == 201
    token = {"X-Auth-Token": got["X-Subject-Token"]}
    assert send(served, "GET", base(served), token)[0] == 200
    assert post(login(served, password="no"))[0] == 401
    served.cloud.totp_secret = b"12345678901234567890"
    assert post(login(served))[0] == 401
    auth = login(served)
    auth["identity"]["methods"].append("totp")
    code = cce_api.totp(served.cloud.totp_secret, datetime.datetime.now(UTC))
    auth["identity"]["totp"] = {"user": {"id": served.cloud.user_id,
                                         "passcode": code}}
    assert post(auth)[0] == 201
    auth["identity"]["totp"]["user"]["passcode"] = "000000"
    assert post(auth)[0] == (201 if code == "000000" else 401)


def test_totp_vector():
    """RFC 6238, appendix B, cut to six digits."""
    when = datetime.datetime.fromtimestamp(59, UTC)
    assert cce_api.totp(b"12345678901234567890", when) == "287082"


def test_faults(served):
    path = os.path.join(harness.DATA, "cce", "responses",
                        "49-429-apigw-retry-after.json")
    served.inject(cce_standin.Fault.from_file(path, count=2))
    for _ in range(2):
        status, answer, headers = ask(served, "GET", base(served))
        assert (status, headers["Retry-After"]) == (429, "56.818")
        assert answer["error_code"] == "APIGW.0308"
    assert ask(served, "GET", base(served))[0] == 200
    assert served.count("/clusters/", "GET") == 3


def test_notes_what_no_client_should_do(served):
    send(served, "GET", "/v3/projects/", {"Expect": "100-continue"})
    assert any("trailing slash" in v for v in served.violations)
    assert any("Expect" in v for v in served.violations)
