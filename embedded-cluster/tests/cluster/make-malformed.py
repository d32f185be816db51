#!/usr/bin/env python3
"""Writes malformed.jsonl: what kube-apiserver answers to requests that are wrong.

    python3 make-malformed.py https://127.0.0.1:6443 TOKEN > malformed.jsonl

The server is one of upstream's in the version that the embedded cluster plays, without anything in its namespace
`default`, and the token one that may do everything. Of an answer its code, its warnings, and of a Status the rest is
kept. Every request is a dry run.
"""

import json
import ssl
import sys
import time
import urllib.parse
from http.client import HTTPSConnection

JSON, YAML = "application/json", "application/yaml"
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
JSON_PATCH, APPLY = "application/json-patch+json", "application/apply-patch+yaml"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
WHEELS = "/apis/example.org/v1/namespaces/default/wheels"
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "wheels.example.org"},
    "spec": {
        "group": "example.org", "scope": "Namespaced", "names": {"plural": "wheels", "kind": "Wheel"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
            "type": "object", "properties": {"spec": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        }}}],
    },
}


def config_map(more="", meta=""):
    return '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"there"%s}%s}' % (meta, more)


def deployment(spec="", container="", more=""):
    return (
        '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}}'
        '%s,"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"%s}]}}}%s}'
        % (spec, container, more)
    )


def wheel(more="", meta=""):
    return '{"apiVersion":"example.org/v1","kind":"Wheel","metadata":{"name":"there"%s}%s}' % (meta, more)


def cases():
    def post(path, body, media=JSON, query=""):
        return "POST", f"{path}?dryRun=All{query}", media, body

    def put(path, body):
        return "PUT", f"{path}/there?dryRun=All", JSON, body

    def patch(path, media, body, query=""):
        return "PATCH", f"{path}/there?dryRun=All{query}", media, body

    def delete(body, media=JSON):
        return "DELETE", f"{CONFIG_MAPS}/there?dryRun=All", media, body

    for text in ["", "null", "[]", "1", '"x"', "{}", "not json", "this is certainly no JSON, it is prose",
                 '{"apiVersion":', config_map() + "x", '{"a":1,}', "{'a':1}", '{"a" 1}', '{"a":[1 2]}', '{"a":"\\x"}',
                 '{"a":-x}', '{"a":tru}', "[" * 20000]:
        yield post(CONFIG_MAPS, text)
    for text in ['{"apiVersion":"v1","kind":1}', '{"apiVersion":1,"kind":"ConfigMap"}',
                 '{"apiVersion":"a/b/c","kind":"ConfigMap"}', '{"apiVersion":"v2","kind":"ConfigMap"}',
                 '{"apiVersion":"v1","kind":"Secret"}', '{"apiVersion":"v1","kind":"Nothing"}',
                 '{"apiVersion":"v1","kind":"List"}', '{"apiVersion":"v1","kind":"ConfigMapList"}',
                 '{"apiVersion":"apps/v1","kind":"Deployment"}', '{"apiVersion":"v1","kind":"ConfigMap"}',
                 '{"apiVersion":"v1","kind":"ConfigMap","metadata":"x"}', config_map(meta=',"labels":["a"]'),
                 config_map(meta=',"labels":{"a":1}'), config_map(meta=',"namespace":"other"'),
                 config_map(meta=',"creationTimestamp":"x"'), config_map(',"data":{"a":1}'), config_map(',"data":"x"')]:
        yield post(CONFIG_MAPS, text)
    for text in [deployment(',"replicas":"2"'), deployment(',"replicas":99999999999'), deployment(',"replicas":1.5'),
                 deployment(container=',"ports":[{"containerPort":"80"}]'), deployment(container=',"command":"x"'),
                 deployment(container=',"resources":{"limits":{"cpu":"abc"}}'),
                 '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":[]}']:
        yield post(DEPLOYMENTS, text)
    for media in ["text/plain", "garbage;;", "application/cbor", MERGE, "Application/JSON", JSON + "; charset=utf-8"]:
        yield post(CONFIG_MAPS, config_map().replace("there", "new"), media)
    yield post(WHEELS, wheel(), "application/xml")
    for validation in ["Strict", "Warn", "Ignore", "Other"]:
        query = f"&fieldValidation={validation}"
        yield post(DEPLOYMENTS, deployment(',"replica":1', ',"imag":"x"', ',"foo":1'), query=query)
        yield post(DEPLOYMENTS, deployment(',"replica":1,"replica":2,"paused":true,"paused":true'), query=query)
        yield post(CONFIG_MAPS, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  a: b\n  a: c\n", YAML, query)
        yield post(WHEELS, wheel(',"spec":{"n":1,"x":1},"foo":{}').replace("there", "new"), query=query)
        yield patch(CONFIG_MAPS, STRATEGIC, '{"foo":1,"data":{"z":"1","z":"2"}}', query)
        yield patch(CONFIG_MAPS, APPLY, config_map(',"data":{"q":"1","q":"2"}'), query + "&fieldManager=a&force=true")
    for text in ["hello", ""]:
        yield post(CONFIG_MAPS, text, YAML)
    for text in ["x", "", "[]", "1", "null"]:
        yield patch(CONFIG_MAPS, MERGE, text)
        yield patch(CONFIG_MAPS, STRATEGIC, text)
    yield patch(CONFIG_MAPS, STRATEGIC, '{"data":{"a":1}}')
    yield patch(CONFIG_MAPS, STRATEGIC, '{"data":[1]}')
    yield patch(CONFIG_MAPS, MERGE, '{"metadata":{"name":"other"}}')
    for media in [JSON, "", "application/vnd.kubernetes.protobuf"]:
        yield patch(CONFIG_MAPS, media, "{}")
    yield patch(WHEELS, STRATEGIC, "{}")
    for text in ["hello", "", "{}", '{"apiVersion":"v1","metadata":{"name":"there"}}',
                 '{"apiVersion":"v2","kind":"ConfigMap","metadata":{"name":"there"}}', '{"apiVersion":"v1","kind":"ConfigMap"}']:
        yield patch(CONFIG_MAPS, APPLY, text, "&fieldManager=a")
    yield patch(CONFIG_MAPS, APPLY, config_map())
    for text in ["x", "[]", '{"apiVersion":"v1","kind":"Secret"}', '{"gracePeriodSeconds":"x"}', '{"propagationPolicy":"Other"}',
                 '{"propagationPolicy":"Orphan","orphanDependents":true}', '{"dryRun":["Other"]}',
                 '{"dryRun":["All"],"preconditions":{"uid":"other"}}']:
        # What the object's uid is differs.
        if "uid" not in text:
            yield delete(text)
    yield delete("{}", "text/plain")
    for text in ["", '{"apiVersion":"v1","kind":"ConfigMap"}', config_map().replace("there", "other"),
                 config_map(meta=',"namespace":"other"')]:
        yield put(CONFIG_MAPS, text)
    for text in ["x", "", "null", "[]", '{"apiVersion":"example.org/v1","metadata":{"name":"c"}}',
                 '{"kind":"Wheel","metadata":{"name":"c"}}', wheel().replace("Wheel", "Cart"), wheel().replace("/v1", "/v2"),
                 '{"apiVersion":"example.org/v1","kind":"Wheel"}', wheel(',"spec":{"n":"x"}'), wheel(',"spec":[]'),
                 '{"apiVersion":"example.org/v1","kind":"Wheel","metadata":"x"}', wheel(meta=',"labels":{"a":1}'),
                 wheel(meta=',"labels":[]')]:
        yield post(WHEELS, text)


class Server:
    def __init__(self, url, token):
        self.host, self.token = urllib.parse.urlparse(url).netloc, token

    def ask(self, method, path, media, body):
        # Whose answer it is matters, not that somebody could listen on loopback.
        connection = HTTPSConnection(self.host, context=ssl._create_unverified_context(), timeout=30)
        headers = {"Authorization": f"Bearer {self.token}", "Accept": JSON}
        if media:
            headers["Content-Type"] = media
        connection.request(method, path, body.encode(), headers)
        answer = connection.getresponse()
        warnings = [value for name, value in answer.getheaders() if name.lower() == "warning"]
        return answer.status, warnings, json.loads(answer.read())


def main():
    server = Server(*sys.argv[1:3])
    server.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", JSON, json.dumps(DEFINITION))
    server.ask("POST", CONFIG_MAPS, JSON, config_map(',"data":{"a":"b"}'))
    while server.ask("POST", WHEELS, JSON, wheel())[0] not in (201, 409):
        time.sleep(0.1)
    print(json.dumps({"definition": DEFINITION, "objects": [config_map(',"data":{"a":"b"}'), wheel()]}))
    for method, path, media, body in cases():
        code, warnings, answer = server.ask(method, path, media, body)
        status = {key: answer[key] for key in ("message", "reason", "details") if key in answer} if code >= 400 else None
        # A row of brackets is written in short.
        shown = f"{len(body)} times {body[0]}" if len(set(body)) == 1 and len(body) > 100 else body
        print(json.dumps({"method": method, "path": path, "media": media, "body": shown,
                          "code": code, "warnings": warnings, "status": status}))


main()
