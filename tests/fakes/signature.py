"""Checks the signatures of requests to Huawei Cloud: SDK-HMAC-SHA256, and the
derived form V11-HMAC-SHA256.

Written from the published rules (support.huaweicloud.com, devg-apisign) for the
stand-in, so that the code under test is never checked against itself.
"""

import datetime
import hashlib
import hmac
import re
import urllib.parse

KEEP = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
EMPTY_HASH = hashlib.sha256(b"").hexdigest()
SKEW = datetime.timedelta(minutes=15)


class Refused(Exception):
    """The request is not signed as it should be: code and text as the gateway
    would tell them."""

    def __init__(self, text, code="APIGW.0301"):
        super().__init__(text)
        self.text = text
        self.code = code


def encode(raw):
    """Percent-encoding of bytes, all but unreserved ones, upper-case hex."""
    return "".join(chr(b) if b in KEEP else f"%{b:02X}" for b in raw)


def canonical_uri(path):
    """`path`: decoded, bytes."""
    uri = "/".join(encode(part) for part in path.split(b"/"))
    return uri if uri.endswith("/") else uri + "/"


def canonical_query(pairs):
    """`pairs`: decoded (key, value) bytes; sorted before they are encoded."""
    return "&".join(f"{encode(k)}={encode(v)}" for k, v in sorted(pairs))


def split_query(query):
    """The decoded pairs of a query as it is on the wire ("+" is no blank)."""
    pairs = []
    for part in query.split("&") if query else []:
        key, _, value = part.partition("=")
        pairs.append((urllib.parse.unquote_to_bytes(key),
                      urllib.parse.unquote_to_bytes(value)))
    return pairs


def canonical_request(method, path, pairs, headers, signed, payload_hash):
    """`headers`: name in lower case -> value; `signed`: names in order."""
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in signed)
    return "\n".join([method.upper(), canonical_uri(path),
                      canonical_query(pairs), lines, ";".join(signed),
                      payload_hash])


def derived_key(ak, sk, info):
    """HKDF-SHA256 with one block; the hex text is the key."""
    prk = hmac.new(ak.encode(), sk.encode(), hashlib.sha256).digest()
    okm = hmac.new(prk, info.encode() + b"\x01", hashlib.sha256).digest()
    return okm.hex()


def sign(request, date, ak, sk, info=None):
    """(string to sign, signature) of a canonical request."""
    digest = hashlib.sha256(request.encode()).hexdigest()
    if info is None:
        text = f"SDK-HMAC-SHA256\n{date}\n{digest}"
        key = sk
    else:
        text = f"V11-HMAC-SHA256\n{date}\n{info}\n{digest}"
        key = derived_key(ak, sk, info)
    return text, hmac.new(key.encode(), text.encode(),
                          hashlib.sha256).hexdigest()


AUTHORIZATION = re.compile(
    r"(?P<algorithm>SDK-HMAC-SHA256) Access=(?P<ak>[^, ]+), "
    r"SignedHeaders=(?P<signed>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]+)"
    r"|(?P<derived>V11-HMAC-SHA256) Credential=(?P<credential>[^, ]+), "
    r"SignedHeaders=(?P<signed2>[a-z0-9;-]+), "
    r"Signature=(?P<signature2>[0-9a-f]+)")


def parse(authorization):
    """(ak, info or None, signed names, signature)."""
    found = AUTHORIZATION.fullmatch(authorization)
    if not found:
        raise Refused("Incorrect IAM authentication information: "
                      "Authorization format incorrect")
    if found["algorithm"]:
        return (found["ak"], None, found["signed"].split(";"),
                found["signature"])
    ak, _, info = found["credential"].partition("/")
    return ak, info, found["signed2"].split(";"), found["signature2"]


def date_of(headers, now):
    """X-Sdk-Date, which must be within 15 minutes of `now`."""
    date = headers.get("x-sdk-date", "")
    if not re.fullmatch(r"\d{8}T\d{6}Z", date):
        raise Refused("Incorrect IAM authentication information: "
                      "X-Sdk-Date is missing or has a wrong format")
    when = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(
        tzinfo=datetime.timezone.utc)
    if abs(when - now) > SKEW:
        raise Refused(
            "Incorrect IAM authentication information: signature expired, "
            f"signature time:{date},"
            f"server time:{now.strftime('%Y%m%dT%H%M%SZ')}")
    return date


def verify(method, target, headers, body, secret_of, now, region=None):
    """Checks one request; returns the AK or raises Refused.

    `target`: as on the wire. `headers`: lower-case name -> value. `secret_of`:
    AK -> SK or None. `now`: the server's clock. `region`: what a derived
    signature must name.
    """
    ak, info, signed, signature = parse(headers.get("authorization", ""))
    date = date_of(headers, now)
    if info is not None:
        parts = info.split("/")
        if (len(parts) != 3 or parts[0] != date[:8] or
                (region and parts[1] not in (region, "globe"))):
            raise Refused("Incorrect IAM authentication information: "
                          "credential scope is wrong")
    sk = secret_of(ak)
    if sk is None:
        raise Refused("Incorrect IAM authentication information: "
                      "Get secretKey failed,ak:" + ak + ",err:ak not exist")
    if signed != sorted(signed) or len(set(signed)) != len(signed):
        raise Refused("Incorrect IAM authentication information: "
                      "SignedHeaders are not in order")
    for name in ("host", "x-sdk-date"):
        if name not in signed:
            raise Refused("Incorrect IAM authentication information: "
                          f"{name} is not signed")
    missing = [name for name in signed if name not in headers]
    if missing:
        raise Refused("Incorrect IAM authentication information: signed "
                      f"header {missing[0]} is not there")
    path, _, query = target.partition("?")
    request = canonical_request(
        method, urllib.parse.unquote_to_bytes(path), split_query(query),
        headers, signed, payload_hash(headers, body))
    if not hmac.compare_digest(sign(request, date, ak, sk, info)[1], signature):
        raise Refused("Incorrect IAM authentication information: verify aksk "
                      "signature fail, canonicalRequest:" +
                      request.replace("\n", "|"))
    return ak


def payload_hash(headers, body):
    stated = headers.get("x-sdk-content-sha256")
    if stated and body:
        return stated
    return hashlib.sha256(body).hexdigest()
