"""The least OpenAPI v3 by which kubectl finds that the server validates fields
and how its kinds are merged."""

import json


async def answer(call, kinds):
    body = None
    places = {"api/v1" if g == "" else f"apis/{g}/{v}": (g, v)
              for g, v, *_ in kinds}
    if call.path == "/openapi/v3":
        body = {"paths": {p: {"serverRelativeURL": f"/openapi/v3/{p}?hash=1"}
                          for p in places}}
    elif call.path.startswith("/openapi/v3/"):
        place = call.path[len("/openapi/v3/"):]
        if place in places:
            body = _document(place, *places[place], kinds)
    if body is None:
        await call.reply.whole(404, [("Content-Type", "text/plain")],
                               b"404 page not found\n")
        return
    await call.reply.whole(200, [("Content-Type", "application/json")],
                           json.dumps(body).encode())


def _document(place, group, version, kinds):
    paths, schemas = {}, {}
    for g, v, resource, kind, spaced, _ in kinds:
        if (g, v) != (group, version):
            continue
        who = {"group": g, "version": v, "kind": kind}
        schema = f"io.k8s.api.{group or 'core'}.{version}.{kind}"
        schemas[schema] = {
            "type": "object", "x-kubernetes-group-version-kind": [who],
            "properties": {
                "apiVersion": {"type": "string"}, "kind": {"type": "string"},
                "metadata": {"type": "object"}, "spec": {"type": "object"},
                "data": {"type": "object",
                         "additionalProperties": {"type": "string"}}}}
        where = "namespaces/{namespace}/" if spaced else ""
        paths[f"/{place}/{where}{resource}/{{name}}"] = {"patch": {
            "x-kubernetes-group-version-kind": who,
            "x-kubernetes-action": "patch",
            "operationId": f"patch{kind}",
            "parameters": [{"name": n, "in": "query", "schema":
                            {"type": "string"}}
                           for n in ("dryRun", "fieldManager",
                                     "fieldValidation")],
            "responses": {"200": {"description": "OK"}}}}
    return {"openapi": "3.0.0", "info": {"title": "stand-in",
                                         "version": "v1.32.4"},
            "paths": paths, "components": {"schemas": schemas}}
