#!/usr/bin/env python3
"""Reads the Gateway API's experimental CRDs. Usage: crd_fields.py <folder with the CRDs>. Makes, beside this script,

- crd_fields.txt: a line `Kind path type` for each field of `spec` without fields of its own;
- ../../src/schema/rules.txt: a line `Kind path {rules}` for each field of `spec` that has rules."""
import json
import pathlib
import sys

import yaml

KINDS = ["gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants"]
RULES = ["enum", "maxItems", "maxLength", "maximum", "minItems", "minLength", "minimum", "pattern"]
HERE = pathlib.Path(__file__).resolve().parent


def fields(schema, path):
    kind = schema.get("type", "any")
    if kind == "object" and "properties" in schema:
        for name, inner in sorted(schema["properties"].items()):
            yield from fields(inner, f"{path}.{name}")
    elif kind == "array":
        yield from fields(schema["items"], f"{path}[]")
    elif kind == "object":
        yield path, "map"
    else:
        yield path, kind


def rules(schema, path):
    found = {rule: schema[rule] for rule in RULES if rule in schema}
    properties = schema.get("properties", {})
    # A default is filled in before anything is checked.
    required = [name for name in schema.get("required", []) if "default" not in properties[name]]
    if required:
        found["required"] = required
    if found:
        yield path, found
    for name, inner in sorted(properties.items()):
        yield from rules(inner, f"{path}.{name}")
    if "items" in schema:
        yield from rules(schema["items"], f"{path}[]")


field_lines, rule_lines = [], []
for plural in KINDS:
    file = pathlib.Path(sys.argv[1], f"gateway.networking.k8s.io_{plural}.yaml")
    crd = yaml.safe_load(file.read_text())["spec"]
    kind = crd["names"]["kind"]
    version = next(v for v in crd["versions"] if v["name"] == "v1")
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    field_lines += [f"{kind} {path} {type_}\n" for path, type_ in fields(spec, "spec")]
    rule_lines += [f"{kind} {path} {json.dumps(found, sort_keys=True)}\n" for path, found in rules(spec, "spec")]
(HERE / "crd_fields.txt").write_text("".join(field_lines))
(HERE / "../../src/schema/rules.txt").write_text("".join(rule_lines))
