"""What the stand-in API server answers: discovery, objects, watches, logs.

Enough for kubectl: get, get -w, apply (client- and server-side), delete, logs
-f, exec, attach, cp, port-forward, auth whoami. Nothing is forbidden here.
"""

import asyncio
import datetime
import json
import os
import re
import uuid
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

import apiserver_openapi
import apiserver_streams

JSON = [("Content-Type", "application/json"),
        ("Cache-Control", "no-cache, private")]
VERSION = {"major": "1", "minor": "32", "gitVersion": "v1.32.4",
           "gitCommit": "stand-in", "gitTreeState": "clean",
           "buildDate": "2025-04-22T00:00:00Z", "goVersion": "go1.23",
           "compiler": "gc", "platform": "linux/amd64"}
EVERY = ["create", "delete", "get", "list", "patch", "update", "watch"]

# (group, version, resource, kind, namespaced, short names)
KINDS = (
    ("", "v1", "namespaces", "Namespace", False, ["ns"]),
    ("", "v1", "nodes", "Node", False, ["no"]),
    ("", "v1", "pods", "Pod", True, ["po"]),
    ("", "v1", "configmaps", "ConfigMap", True, ["cm"]),
    ("", "v1", "secrets", "Secret", True, []),
    ("", "v1", "services", "Service", True, ["svc"]),
    ("apps", "v1", "deployments", "Deployment", True, ["deploy"]),
)
SUBRESOURCES = {"pods": ("log", "exec", "attach", "portforward")}


def now():
    return datetime.datetime.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")


def dumped(value):
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def status(code, reason, message):
    return {"kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "message": message, "reason": reason,
            "code": code}


async def refuse(reply, code, reason, message):
    await reply.whole(code, JSON, dumped(status(code, reason, message)))


class Refused(Exception):
    def __init__(self, code, reason, message):
        self.code, self.reason, self.message = code, reason, message


class Call:
    """A request, taken apart."""

    def __init__(self, request, reply):
        self.request, self.reply = request, reply
        url = urlsplit(request.target)
        self.path = unquote(url.path)
        self.query = parse_qs(url.query, keep_blank_values=True)
        self.accept = request.header("accept")

    def asked(self, name, default=""):
        return self.query.get(name, [default])[0]

    def flag(self, name):
        return self.asked(name).lower() in ("1", "true")

    @property
    def table(self):
        return "as=Table" in self.accept


def merge(old, new):
    """RFC 7396; for these kinds also what a strategic merge gives."""
    if not isinstance(new, dict):
        return new
    out = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if value is None:
            out.pop(key, None)
        elif key != "$setElementOrder/containers":
            out[key] = merge(out.get(key), value)
    return out


def table_row(obj, whole):
    meta = obj["metadata"]
    shown = obj if whole else {
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": meta}
    phase = obj.get("status", {}).get("phase", "")
    return {"cells": [meta["name"], phase, meta["creationTimestamp"]],
            "object": shown}


def as_table(objects, version, columns=True, whole=False):
    names = ("Name", "Status", "Created At") if columns else ()
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1",
            "metadata": {"resourceVersion": str(version)},
            "columnDefinitions": [
                {"name": n, "type": "string", "format": "name"
                 if n == "Name" else "", "description": n, "priority": 0}
                for n in names],
            "rows": [table_row(o, whole) for o in objects]}


class Watch:
    def __init__(self, key, space, name):
        self.key, self.space, self.name = key, space, name
        self.queue = asyncio.Queue()

    def wants(self, key, obj):
        meta = obj["metadata"]
        return (key == self.key
                and self.space in (None, meta.get("namespace"))
                and self.name in (None, meta["name"]))


class Kube:
    def __init__(self, folder, legacy):
        self.folder, self.legacy = folder, legacy
        self.version = 100
        self.objects = {(g, r): {} for g, _, r, _, _, _ in KINDS}
        self.kinds = {(g, r): (v, kind, spaced)
                      for g, v, r, kind, spaced, _ in KINDS}
        self.history = []              # (version, key, type, object)
        self.watches = set()
        self.logs = {}
        self.logged = asyncio.Event()
        for name in ("default", "kube-system"):
            self.add("namespaces", {"metadata": {"name": name},
                                    "status": {"phase": "Active"}})
        self.add("nodes", {"metadata": {"name": "node-1"}, "status": {}})
        for name in ("demo", "other"):
            self.add_pod(name)

    def add(self, resource, obj, group=""):
        key = (group, resource)
        version, kind, _ = self.kinds[key]
        obj["apiVersion"] = f"{group}/{version}" if group else version
        obj["kind"] = kind
        return self.store(key, obj, "ADDED")

    def add_pod(self, name):
        self.add("pods", {
            "metadata": {"name": name, "namespace": "default",
                         "labels": {"app": name}},
            "spec": {"nodeName": "node-1", "containers": [
                {"name": "main", "image": "demo:1", "stdin": True}]},
            "status": {"phase": "Running", "podIP": "127.0.0.1",
                       "containerStatuses": [
                           {"name": "main", "ready": True, "restartCount": 0,
                            "image": "demo:1", "imageID": "", "state":
                            {"running": {"startedAt": now()}}}]}})
        os.makedirs(os.path.join(self.folder, "pods", name), exist_ok=True)
        self.logs[name] = ["started"]

    # --- objects ---

    def store(self, key, obj, what):
        self.version += 1
        meta = obj["metadata"]
        meta.setdefault("uid", str(uuid.uuid4()))
        meta.setdefault("creationTimestamp", now())
        meta["resourceVersion"] = str(self.version)
        self.objects[key][(meta.get("namespace"), meta["name"])] = obj
        self.tell(key, what, obj)
        return obj

    def tell(self, key, what, obj):
        shot = json.loads(json.dumps(obj))
        self.history.append((self.version, key, what, shot))
        del self.history[:-1000]
        for watch in self.watches:
            if watch.wants(key, shot):
                watch.queue.put_nowait((what, shot))

    def touch(self, name):
        obj = self.objects[("", "pods")][("default", name)]
        labels = obj["metadata"].setdefault("labels", {})
        labels["touched"] = str(self.version)
        self.store(("", "pods"), obj, "MODIFIED")

    def add_log(self, pod, text):
        self.logs[pod].append(text)
        self.logged.set()
        self.logged = asyncio.Event()

    def find(self, key, space, name):
        found = self.objects[key].get((space, name))
        if found is None:
            raise Refused(404, "NotFound", f'{key[1]} "{name}" not found')
        return found

    # --- requests ---

    async def handle(self, request, reply):
        call = Call(request, reply)
        try:
            await self.route(call)
        except Refused as e:
            await refuse(reply, e.code, e.reason, e.message)

    async def route(self, call):
        fixed = {"/version": lambda: VERSION, "/api": self.core,
                 "/apis": self.groups}
        path = call.path
        if path in ("/healthz", "/readyz", "/livez"):
            await call.reply.whole(200, [("Content-Type", "text/plain")],
                                   b"ok")
        elif path in ("/api", "/apis") and not self.legacy and \
                "g=apidiscovery.k8s.io;v=v2;" in call.accept:
            await self.aggregated(call, path == "/api")
        elif path in fixed:
            await call.reply.whole(200, JSON, dumped(fixed[path]()))
        elif path.startswith("/openapi/"):
            await apiserver_openapi.answer(call, KINDS)
        elif path.startswith("/standin/"):
            await self.of_its_own(call)
        else:
            await self.resource(call)

    async def of_its_own(self, call):
        """/standin/bytes/N: that many; /standin/echo: the body again."""
        reply = call.reply
        plain = [("Content-Type", "application/octet-stream")]
        if call.path == "/standin/echo":
            await reply.whole(200, plain, call.request.body)
            return
        found = re.fullmatch(r"/standin/bytes/(\d+)", call.path)
        if not found:
            raise Refused(404, "NotFound", "no such path")
        left = int(found[1])
        await reply.start(200, plain)
        block = bytes(range(256)) * 256
        while left:
            await reply.write(block[:left])
            left -= min(left, len(block))
        await reply.end()

    # --- discovery ---

    def core(self):
        return {"kind": "APIVersions", "versions": ["v1"],
                "serverAddressByClientCIDRs": []}

    def groups(self):
        def group(name):
            v = {"groupVersion": f"{name}/v1", "version": "v1"}
            return {"name": name, "versions": [v], "preferredVersion": v}
        return {"kind": "APIGroupList", "apiVersion": "v1",
                "groups": [group(n) for n in sorted(
                    {g for g, *_ in KINDS if g})]}

    def resources(self, group):
        out = []
        for g, v, name, kind, spaced, short in KINDS:
            if g != group:
                continue
            out.append({"name": name, "singularName": kind.lower(),
                        "namespaced": spaced, "kind": kind, "verbs": EVERY,
                        "shortNames": short})
            for sub in SUBRESOURCES.get(name, ()):
                out.append({"name": f"{name}/{sub}", "singularName": "",
                            "namespaced": spaced, "kind": kind,
                            "verbs": ["create", "get"]})
        return {"kind": "APIResourceList", "apiVersion": "v1",
                "groupVersion": f"{group}/v1" if group else "v1",
                "resources": out}

    async def aggregated(self, call, core):
        names = [""] if core else sorted({g for g, *_ in KINDS if g})
        items = []
        for name in names:
            resources = []
            for g, v, plural, kind, spaced, short in KINDS:
                if g != name:
                    continue
                what = {"group": g, "version": v, "kind": kind}
                resources.append({
                    "resource": plural, "responseKind": what,
                    "scope": "Namespaced" if spaced else "Cluster",
                    "singularResource": kind.lower(), "verbs": EVERY,
                    "shortNames": short, "subresources": [
                        {"subresource": s, "responseKind": what,
                         "verbs": ["create", "get"]}
                        for s in SUBRESOURCES.get(plural, ())]})
            items.append({"metadata": {"name": name} if name else {},
                          "versions": [{"version": "v1", "freshness":
                                        "Current", "resources": resources}]})
        await call.reply.whole(
            200, [("Content-Type", "application/json;g=apidiscovery.k8s.io;"
                   "v=v2;as=APIGroupDiscoveryList")],
            dumped({"kind": "APIGroupDiscoveryList", "apiVersion":
                    "apidiscovery.k8s.io/v2", "metadata": {},
                    "items": items}))

    # --- resources ---

    async def resource(self, call):
        parts = call.path.strip("/").split("/")
        if parts[0] == "api" and len(parts) > 1:
            group, rest = "", parts[2:]
        elif parts[0] == "apis" and len(parts) > 2:
            group, rest = parts[1], parts[3:]
        else:
            raise Refused(404, "NotFound", "the server could not find the "
                                           "requested resource")
        if not rest:
            await call.reply.whole(200, JSON, dumped(self.resources(group)))
            return
        if rest[0] == "selfsubjectreviews":
            await self.who(call)
            return
        space = None
        if rest[0] == "namespaces" and len(rest) > 2:
            space, rest = rest[1], rest[2:]
        key = (group, rest[0])
        if key not in self.objects:
            raise Refused(404, "NotFound", "the server could not find the "
                                           "requested resource")
        name = rest[1] if len(rest) > 1 else None
        if len(rest) > 2:
            await self.below(call, key, space, name, rest[2])
        elif call.request.method == "GET":
            await self.get(call, key, space, name)
        else:
            await self.change(call, key, space, name)

    async def who(self, call):
        peer = call.request.connection.peer
        await call.reply.whole(201, JSON, dumped({
            "kind": "SelfSubjectReview", "apiVersion":
            "authentication.k8s.io/v1", "metadata": {},
            "status": {"userInfo": {"username": peer.name,
                                    "groups": peer.groups}}}))

    async def get(self, call, key, space, name):
        field = re.fullmatch(r"metadata\.name=(.*)",
                             call.asked("fieldSelector"))
        only = name or (field[1] if field else None)
        if call.flag("watch"):
            await self.watch(call, key, space, only)
            return
        whole = call.asked("includeObject") == "Object"
        if name:
            found = self.find(key, space, name)
            answer = as_table([found], self.version, whole=whole) \
                if call.table else found
        else:
            found = [o for (s, n), o in sorted(
                self.objects[key].items(), key=lambda x: str(x[0]))
                if space in (None, s) and only in (None, n)]
            version, kind, _ = self.kinds[key]
            api = f"{key[0]}/{version}" if key[0] else version
            answer = as_table(found, self.version, whole=whole) \
                if call.table else {
                    "kind": kind + "List", "apiVersion": api, "metadata":
                    {"resourceVersion": str(self.version)}, "items": found}
        await call.reply.whole(200, JSON, dumped(answer))

    async def watch(self, call, key, space, name):
        """Events since the version asked for, then those to come."""
        reply = call.reply
        watch = Watch(key, space, name)
        since = int(call.asked("resourceVersion") or self.version)
        for version, k, what, obj in self.history:
            if version > since and watch.wants(k, obj):
                watch.queue.put_nowait((what, obj))
        self.watches.add(watch)
        first = True
        try:
            await reply.start(200, JSON)
            seconds = float(call.asked("timeoutSeconds") or 3600)
            end = asyncio.get_running_loop().time() + seconds
            while True:
                event = await wait_or_gone(
                    watch.queue.get(), reply,
                    end - asyncio.get_running_loop().time())
                if event is None:
                    break
                what, obj = event
                shown = as_table([obj], self.version, first) \
                    if call.table else obj
                first = False
                await reply.write(dumped({"type": what, "object": shown}))
            await reply.end()
        finally:
            self.watches.discard(watch)

    async def change(self, call, key, space, name):
        method = call.request.method
        if method == "DELETE":
            obj = self.find(key, space, name)
            del self.objects[key][(space, name)]
            self.version += 1
            obj["metadata"]["resourceVersion"] = str(self.version)
            self.tell(key, "DELETED", obj)
            await call.reply.whole(200, JSON, dumped(
                {"kind": "Status", "apiVersion": "v1", "metadata": {},
                 "status": "Success", "details":
                 {"name": name, "kind": key[1], "uid":
                  obj["metadata"]["uid"]}}))
            return
        if "protobuf" in call.request.header("content-type"):
            raise Refused(415, "UnsupportedMediaType", "JSON or YAML only")
        body = yaml.safe_load(call.request.body)
        if method == "POST":
            body["metadata"].update({"namespace": space} if space else {})
            if (space, body["metadata"]["name"]) in self.objects[key]:
                raise Refused(409, "AlreadyExists", "already there")
            await call.reply.whole(201, JSON, dumped(
                self.store(key, body, "ADDED")))
        elif method in ("PATCH", "PUT"):
            await self.patch(call, key, space, name, body)
        else:
            raise Refused(405, "MethodNotAllowed", "not allowed")

    async def patch(self, call, key, space, name, body):
        old = self.objects[key].get((space, name))
        applied = "apply-patch" in call.request.header("content-type")
        if old is None and not applied:
            raise Refused(404, "NotFound", f'{key[1]} "{name}" not found')
        new = body if call.request.method == "PUT" else merge(old or {}, body)
        new["metadata"].update({"namespace": space} if space else {})
        if applied:
            new["metadata"]["managedFields"] = [
                {"manager": call.asked("fieldManager"), "operation": "Apply",
                 "apiVersion": "v1", "fieldsType": "FieldsV1",
                 "fieldsV1": {"f:data": {}}}]
        stored = self.store(key, new, "MODIFIED" if old else "ADDED")
        await call.reply.whole(200 if old else 201, JSON, dumped(stored))

    async def below(self, call, key, space, name, sub):
        obj = self.find(key, space, name)
        if key != ("", "pods") or sub not in SUBRESOURCES["pods"]:
            raise Refused(404, "NotFound", "no such subresource")
        if sub == "log":
            await self.log(call, name)
            return
        await apiserver_streams.answer(
            call, sub, os.path.join(self.folder, "pods",
                                    obj["metadata"]["name"]))

    async def log(self, call, name):
        lines, at = self.logs[name], 0
        await call.reply.start(200, [("Content-Type", "text/plain")])
        while True:
            for text in lines[at:]:
                await call.reply.write(text.encode() + b"\n")
            at = len(lines)
            if not call.flag("follow"):
                break
            if await wait_or_gone(self.logged.wait(), call.reply, 3600) \
                    is None:
                break
        await call.reply.end()


async def wait_or_gone(what, reply, seconds):
    """What it gives; None when the asker is gone or time is up."""
    waiting = asyncio.ensure_future(what)
    gone = asyncio.ensure_future(reply.gone.wait())
    done, _ = await asyncio.wait({waiting, gone}, timeout=max(0, seconds),
                                 return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    if waiting in done:
        return waiting.result()
    waiting.cancel()
    return None
