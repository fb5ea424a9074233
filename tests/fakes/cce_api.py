"""What the stand-in answers: IAM, CCE and the metadata service, without a
socket. A request comes in as Request, an answer goes out as Answer."""

import base64
import dataclasses
import datetime
import hashlib
import hmac
import json
import re
import secrets
import struct
import threading
import urllib.parse
import uuid

import minting
import signature

UTC = datetime.timezone.utc
JSON = {"Content-Type": "application/json"}


@dataclasses.dataclass
class Request:
    method: str
    target: str
    headers: dict          # lower-case names
    body: bytes
    names: list            # of headers, as they came

    @property
    def path(self):
        return self.target.partition("?")[0]

    @property
    def query(self):
        return dict(urllib.parse.parse_qsl(self.target.partition("?")[2],
                                           keep_blank_values=True))


@dataclasses.dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, status, value, **headers):
        return cls(status, json.dumps(value).encode(), {**JSON, **headers})


class Fail(Exception):
    def __init__(self, answer):
        super().__init__(answer.status)
        self.answer = answer


def gateway_error(status, code, text):
    return Answer.of(status, {"error_msg": text, "error_code": code,
                              "request_id": secrets.token_hex(16)})


def cce_error(status, code, text, detail=None, alternate="CCE_CM.0004"):
    if detail is None:
        return Answer.of(status, {"errorMessage": text, "errorCode": code})
    return Answer.of(status, {
        "kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Failure", "code": status, "errorCode": code,
        "errorMessage": text, "error_code": alternate, "error_msg": text,
        "message": detail, "reason": "BadRequest"})


def iam_error(status, text, title="Unauthorized"):
    return Answer.of(status, {"error": {"code": status, "message": text,
                                        "title": title}})


def totp(secret, when):
    """RFC 6238, SHA-1, 30 s, six digits."""
    counter = struct.pack(">Q", int(when.timestamp()) // 30)
    mac = hmac.new(secret, counter, hashlib.sha1).digest()
    offset = mac[-1] & 15
    number = struct.unpack(">I", mac[offset:offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 1000000:06d}"


@dataclasses.dataclass
class Cluster:
    name: str
    uid: str = dataclasses.field(default_factory=lambda: str(uuid.uuid4()))
    api: str = "v3"                    # or autopilot
    phase: str = "Available"
    version: str = "v1.31"
    internal: str = "https://192.168.1.7:5443"
    external: str = "https://203.0.113.25:5443"    # None: no EIP
    verify: bool = True                # has the TLSVerify pair
    outside: minting.Authority = None  # of that pair; None: the cluster's own
    alg: str = "rsa2048"
    form: str = None                   # of the key's PEM
    labels: dict = dataclasses.field(default_factory=dict)
    authority: minting.Authority = dataclasses.field(
        default_factory=lambda: minting.Authority("cluster CA"))
    issued: list = dataclasses.field(default_factory=list)   # certificates
    revoked: list = dataclasses.field(default_factory=list)  # user ids

    def document(self):
        endpoints = [{"url": self.internal, "type": "Internal"}]
        if self.external:
            endpoints.append({"url": self.external, "type": "External"})
        return {
            "kind": "Cluster", "apiVersion": "v3",
            "metadata": {
                "name": self.name, "uid": self.uid, "alias": self.name,
                "creationTimestamp": "2026-02-02 08:12:40.124294439 +0000 UTC",
                "updateTimestamp": "2026-02-03 08:12:40 +0000 UTC",
                "timezone": "UTC", "annotations": {}, "labels": self.labels},
            "spec": {"category": "CCE", "type": "VirtualMachine",
                     "flavor": "cce.s2.small", "version": self.version,
                     "platformVersion": "cce.10.0",
                     "authentication": {"mode": "rbac"}},
            "status": {"phase": self.phase, "endpoints": endpoints},
        }


@dataclasses.dataclass
class Key:
    """An access key; temporary ones have a security token and an end."""
    ak: str
    sk: str
    security_token: str = None
    end: datetime.datetime = None


class Cloud:
    """The state of one account in one region."""

    def __init__(self, region="cn-north-4", ak=None, sk=None):
        self.region = region
        self.project_id = secrets.token_hex(16)
        self.projects = [(region, self.project_id)]
        self.domain = "ExampleAccount"
        self.domain_id = secrets.token_hex(16)
        self.user = "alice"
        self.user_id = secrets.token_hex(16)
        self.password = "Pw-" + secrets.token_urlsafe(18)
        self.totp_secret = None
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        self.ak = ak or "".join(secrets.choice(alphabet) for _ in range(20))
        self.sk = sk or "".join(secrets.choice(alphabet + alphabet.lower())
                                for _ in range(40))
        self.keys = {self.ak: Key(self.ak, self.sk)}
        self.tokens = {}               # token -> end
        self.clusters = []
        self.pools = {}
        self.skew = datetime.timedelta()
        self.bad_in_a_row = {}         # AK -> signatures refused
        self.metadata_tokens = set()
        self.metadata_token_mode = True
        self.lock = threading.RLock()

    def now(self):
        return datetime.datetime.now(UTC) + self.skew

    def add(self, name, **options):
        cluster = Cluster(name, **options)
        self.clusters.append(cluster)
        return cluster

    def cluster(self, name):
        return next(c for c in self.clusters if name in (c.name, c.uid))

    def new_token(self, life=datetime.timedelta(hours=24)):
        token = "MII" + secrets.token_urlsafe(1200)
        self.tokens[token] = self.now() + life
        return token

    def new_temporary_key(self, seconds=900):
        key = Key("HST" + secrets.token_hex(8).upper(),
                  secrets.token_urlsafe(30).replace("-", "x").replace("_", "y"),
                  "gQpjbi1ub3J0" + secrets.token_urlsafe(300),
                  self.now() + datetime.timedelta(seconds=seconds))
        self.keys[key.ak] = key
        return key

    # --- who asks ---

    def authenticate(self, request, project_id=None):
        """Raises Fail where the request proves nobody."""
        token = request.headers.get("x-auth-token")
        signed = "authorization" in request.headers
        if token and signed:
            raise Fail(gateway_error(400, "APIGW.0106",
                                     "two kinds of authentication"))
        if token:
            return self._by_token(token)
        if not signed:
            raise Fail(gateway_error(
                401, "APIGW.0301", "Incorrect IAM authentication information: "
                "x-auth-token not found"))
        return self._by_signature(request, project_id)

    def _by_token(self, token):
        end = self.tokens.get(token)
        if end is None:
            raise Fail(gateway_error(
                401, "APIGW.0301",
                "Incorrect IAM authentication information: decrypt token fail"))
        if end <= self.now():
            raise Fail(gateway_error(
                401, "APIGW.0301", "Incorrect IAM authentication information: "
                "token expires, expires_at:"
                + end.strftime("%Y-%m-%dT%H:%M:%S.%fZ")))
        return self.user_id

    def _secret_of(self, ak):
        key = self.keys.get(ak)
        return key.sk if key else None

    def _by_signature(self, request, project_id):
        found = re.search(r"(?:Access|Credential)=([^,/]+)",
                          request.headers["authorization"])
        ak = found.group(1) if found else "?"
        if self.bad_in_a_row.get(ak, 0) > 5:
            raise Fail(gateway_error(
                401, "APIGW.0301", "Incorrect IAM authentication information: "
                "AK access failed to reach the limit,forbidden"))
        try:
            signature.verify(request.method, request.target, request.headers,
                             request.body, self._secret_of, self.now(),
                             self.region)
            self._check_headers(request, self.keys[ak], project_id)
        except signature.Refused as refused:
            self.bad_in_a_row[ak] = self.bad_in_a_row.get(ak, 0) + 1
            raise Fail(gateway_error(401, refused.code,
                                     refused.text)) from refused
        self.bad_in_a_row[ak] = 0
        return self.user_id

    def _check_headers(self, request, key, project_id):
        wrong = "Incorrect IAM authentication information: "
        if (request.headers.get("x-security-token") or None) != \
                key.security_token:
            raise signature.Refused(wrong + "X-Security-Token is wrong")
        if key.end and key.end <= self.now():
            raise signature.Refused(wrong + "temporary key expired")
        stated = request.headers.get("x-project-id")
        if project_id and stated != project_id:
            raise signature.Refused(wrong + "X-Project-Id is not the path's")
        if not project_id and stated:
            raise signature.Refused(wrong + "X-Project-Id for a global service")

    # --- IAM ---

    def tokens_post(self, request):
        body = self._json(request)
        identity = body["auth"]["identity"]
        user = identity["password"]["user"]
        if (user.get("name") != self.user or
                user.get("domain", {}).get("name") != self.domain or
                not hmac.compare_digest(user.get("password", "").encode(),
                                        self.password.encode())):
            return iam_error(401, "The username or password is wrong.")
        methods = identity["methods"]
        if self.totp_secret:
            if methods != ["password", "totp"]:
                return iam_error(401, "The token must be obtained with MFA.")
            second = identity["totp"]["user"]
            codes = {totp(self.totp_secret, self.now()
                          + datetime.timedelta(seconds=30 * i))
                     for i in (-1, 0, 1)}
            if (second.get("passcode") not in codes or
                    (second.get("id") or second.get("name")) not in
                    (self.user_id, self.user)):
                return iam_error(401, "The passcode is wrong.")
        elif methods != ["password"]:
            return iam_error(400, "methods is wrong", "Bad Request")
        scope = body["auth"].get("scope", {}).get("project", {})
        if not (scope.get("name"), scope.get("id")) in (
                (self.region, None), (None, self.project_id)):
            return iam_error(403, "no such project", "Forbidden")
        token = self.new_token()
        form = "%Y-%m-%dT%H:%M:%S.%fZ"
        return Answer.of(201, {"token": {
            "expires_at": self.tokens[token].strftime(form),
            "issued_at": self.now().strftime(form), "methods": methods,
            "project": {"id": self.project_id, "name": self.region,
                        "domain": {"id": self.domain_id, "name": self.domain}},
            "roles": [{"id": "0", "name": "te_admin"}],
            "user": {"id": self.user_id, "name": self.user,
                     "password_expires_at": "",
                     "domain": {"id": self.domain_id, "name": self.domain}},
            "catalog": []}}, **{"X-Subject-Token": token})

    def securitytokens(self, request):
        identity = self._json(request)["auth"]["identity"]
        self._by_token(identity["token"]["id"])
        seconds = identity["token"].get("duration_seconds", 900)
        if identity["methods"] != ["token"] or not 900 <= seconds <= 86400:
            return iam_error(400, "duration_seconds is wrong", "Bad Request")
        return self._credential(201, self.new_temporary_key(seconds))

    @staticmethod
    def _credential(status, key):
        return Answer.of(status, {"credential": {
            "access": key.ak, "secret": key.sk,
            "securitytoken": key.security_token,
            "expires_at": key.end.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}})

    def projects_get(self, request):
        self.authenticate(request)
        name = request.query.get("name")
        return Answer.of(200, {
            "projects": [{"id": i, "name": n, "domain_id": self.domain_id,
                          "parent_id": self.domain_id, "is_domain": False,
                          "enabled": True, "description": "", "links": {}}
                         for n, i in self.projects if name in (None, n)],
            "links": {"self": "", "previous": None, "next": None}},
            **{"X-IAM-Trace-Id": "token_" + secrets.token_hex(8)})

    def domains_get(self, request):
        self.authenticate(request)
        return Answer.of(200, {"domains": [{"id": self.domain_id,
                                            "name": self.domain}]})

    # --- CCE ---

    def _find(self, api, uid):
        for cluster in self.clusters:
            if cluster.uid == uid and cluster.api == api:
                return cluster
        raise Fail(cce_error(404, "CCE.01404001", "Resource not found.",
                             "Cluster not found", "CCE_CM.0003"))

    def list(self, request, api):
        return Answer.of(200, {
            "kind": "Cluster", "apiVersion": "v3",
            "items": [c.document() for c in self.clusters if c.api == api]})

    def show(self, request, cluster):
        return Answer.of(200, cluster.document())

    def openapi(self, request, cluster):
        status = {"privateEndpoint": cluster.internal}
        if cluster.external:
            status["publicEndpoint"] = cluster.external
        return Answer.of(200, {
            "metadata": {"name": cluster.name, "uid": cluster.uid},
            "spec": {"spec": {"eip": {"bandwidth": {"size": 5,
                                                    "sharetype": "PER"}},
                              "IsDynamic": False}},
            "status": status})

    def clustercert(self, request, cluster):
        if request.method == "GET":
            if cluster.api != "v3":
                raise Fail(gateway_error(404, "APIGW.0101", "The API does not "
                                         "exist or has not been published"))
            return self._mint(cluster, datetime.timedelta(days=1826))
        if not request.headers.get("content-type", "").startswith(
                "application/json"):
            raise Fail(cce_error(400, "CCE.01400006",
                                 "content type not supported"))
        return self._mint(cluster, self._life(request, cluster))

    def _life(self, request, cluster):
        body = self._json(request)
        allowed = {"duration"} | ({"expire_at"} if cluster.api == "v3"
                                  else set())
        if not body or set(body) - allowed:
            raise Fail(self._invalid("duration is required"))
        if "expire_at" in body:
            try:
                end = datetime.datetime.strptime(
                    body["expire_at"], "%Y-%m-%d %H:%M:%S +0000 UTC").replace(
                        tzinfo=UTC)
            except (ValueError, TypeError) as e:
                raise Fail(self._invalid("expire_at is malformed")) from e
            life = end - self.now()
            if not (datetime.timedelta(minutes=14) < life
                    <= datetime.timedelta(days=1827)):
                raise Fail(self._invalid("expire_at is out of range"))
            return life
        days = body["duration"]
        if type(days) is not int or not (days == -1 or 1 <= days <= 1827):
            raise Fail(self._invalid(
                f"Invalid duration {days}, must be -1 or in range [1, 1827]"))
        return datetime.timedelta(days=1826 if days == -1 else days)

    @staticmethod
    def _invalid(detail):
        return cce_error(400, "CCE.01400001", "Invalid request.", detail)

    def _mint(self, cluster, life):
        pool = self.pools.get(cluster.alg)
        key = pool.take() if pool else minting.make_key(cluster.alg)
        end = datetime.datetime.now(UTC) + life
        cert = cluster.authority.client(key, self.user_id, end=end)
        cluster.issued.append(cert)
        config = minting.kubeconfig(
            cluster.authority.pem, minting.cert_pem(cert),
            minting.key_pem(key, cluster.form), cluster.internal,
            cluster.external, cluster.verify,
            cluster.outside and cluster.outside.pem)
        return Answer.of(200, config, **{"Port-ID": str(uuid.uuid4())})

    def revoke(self, request, cluster):
        body = self._json(request)
        who = [body[k] for k in ("userId", "agencyId") if k in body]
        if len(who) != 1 or len(body) != 1:
            raise Fail(self._invalid("userId or agencyId is required"))
        cluster.revoked.append(who[0])
        return Answer(200)

    @staticmethod
    def _json(request):
        try:
            value = json.loads(request.body)
        except ValueError as e:
            raise Fail(cce_error(400, "CCE.01400001",
                                 "The format of message is error")) from e
        if not isinstance(value, dict):
            raise Fail(cce_error(400, "CCE.01400001",
                                 "The format of message is error"))
        return value

    # --- the way to them ---

    CCE = re.compile(
        r"/(?P<api>api|autopilot)/v3/projects/(?P<project>[0-9a-f]{32})/"
        r"clusters(?:/(?P<uid>[0-9a-f-]{36})(?:/(?P<leaf>clustercert|"
        r"clustercertrevoke|openapi))?)?")

    def answer(self, request):
        try:
            with self.lock:
                return self._route(request)
        except Fail as fail:
            return fail.answer
        except (KeyError, TypeError, AttributeError) as e:
            return iam_error(400, f"the request lacks {e}", "Bad Request")

    def _route(self, request):
        fixed = {("POST", "/v3/auth/tokens"): self.tokens_post,
                 ("POST", "/v3.0/OS-CREDENTIAL/securitytokens"):
                     self.securitytokens,
                 ("GET", "/v3/projects"): self.projects_get,
                 ("GET", "/v3/auth/domains"): self.domains_get}
        handler = fixed.get((request.method, request.path))
        if handler:
            return handler(request)
        found = self.CCE.fullmatch(request.path)
        if not found:
            return gateway_error(404, "APIGW.0101", "The API does not exist or "
                                 "has not been published in the environment")
        self.authenticate(request, found["project"])
        if found["project"] != self.project_id:
            return cce_error(403, "CCE.01403001", "Forbidden.")
        api = "v3" if found["api"] == "api" else "autopilot"
        if not found["uid"]:
            return self.list(request, api)
        cluster = self._find(api, found["uid"])
        handler = {("GET", None): self.show, ("GET", "openapi"): self.openapi,
                   ("GET", "clustercert"): self.clustercert,
                   ("POST", "clustercert"): self.clustercert,
                   ("POST", "clustercertrevoke"): self.revoke}.get(
                       (request.method, found["leaf"]))
        if not handler or (found["leaf"] == "clustercertrevoke" and
                           api != "v3"):
            return gateway_error(405, "APIGW.0501", "method not allowed")
        return handler(request, cluster)

    # --- the metadata service ---

    def metadata(self, request):
        if (request.method, request.path) == ("PUT",
                                              "/meta-data/latest/api/token"):
            if not self.metadata_token_mode:
                return Answer(404)
            if not request.headers.get("x-metadata-token-ttl-seconds"):
                return Answer(400)
            token = base64.b64encode(secrets.token_bytes(42)).decode()
            self.metadata_tokens.add(token)
            return Answer(200, token.encode(), {"Content-Type": "text/plain"})
        if (request.method, request.path) == ("GET",
                                              "/openstack/latest/securitykey"):
            held = request.headers.get("x-metadata-token")
            if self.metadata_token_mode and held not in self.metadata_tokens:
                return Answer(401, b"invalid token")
            return self._credential(200, self.new_temporary_key(21600))
        return Answer(404)
