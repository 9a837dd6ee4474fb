#!/usr/bin/env python3
"""Reads the Gateway API's experimental CRDs. Usage: crd_fields.py <folder with the CRDs of a release>…, newest first.
Makes, beside this script, for what any of these releases takes,

- crd_fields.txt: a line `Kind path type` for each field of `spec` without fields of its own;
- ../../src/schema/rules.txt: a line `Kind path {rules}` for each field of `spec` that has rules. A rule that only some
  of the releases with that field have is left out; of two limits it is the wider one."""
import json
import pathlib
import sys

import yaml

KINDS = [
    "gatewayclasses", "gateways", "listenersets", "httproutes", "grpcroutes", "referencegrants", "backendtlspolicies",
    "xbackendtrafficpolicies", "xbackends"
]
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


def spec_of(folder, plural):
    group, name = ("gateway.networking.x-k8s.io", "v1alpha1") if plural[0] == "x" else ("gateway.networking.k8s.io", "v1")
    file = pathlib.Path(folder, f"{group}_{plural}.yaml")
    crd = yaml.safe_load(file.read_text())["spec"]
    version = next(v for v in crd["versions"] if v["name"] == name)
    return crd["names"]["kind"], version["schema"]["openAPIV3Schema"]["properties"]["spec"]


def wider(rule, one, other):
    if rule.startswith("max"):
        return max(one, other)
    if rule.startswith("min"):
        return min(one, other)
    if rule == "enum":
        return one + [value for value in other if value not in one]
    if rule == "required":
        return [name for name in one if name in other]
    if one != other:
        sys.exit(f"two releases differ in {rule}: {one} and {other}")
    return one


def paths(schema, path):
    yield path
    for name, inner in schema.get("properties", {}).items():
        yield from paths(inner, f"{path}.{name}")
    if "items" in schema:
        yield from paths(schema["items"], f"{path}[]")


field_lines, rule_lines = [], []
for plural in KINDS:
    releases = [spec_of(folder, plural) for folder in sys.argv[1:]]
    kind = releases[0][0]
    types, all_rules, known = {}, {}, set()
    for _, spec in releases:
        types = dict(fields(spec, "spec")) | types
        found = dict(rules(spec, "spec"))
        here = set(paths(spec, "spec"))
        for path in here & known:
            both = all_rules.get(path, {}).keys() & found.get(path, {}).keys()
            merged = {rule: wider(rule, all_rules[path][rule], found[path][rule]) for rule in both}
            all_rules[path] = {rule: value for rule, value in merged.items() if value != []}
        all_rules = {path: of for path, of in found.items() if path not in known} | all_rules
        known |= here
    field_lines += [f"{kind} {path} {type_}\n" for path, type_ in sorted(types.items())]
    rule_lines += [f"{kind} {path} {json.dumps(of, sort_keys=True)}\n" for path, of in sorted(all_rules.items()) if of]
(HERE / "crd_fields.txt").write_text("".join(field_lines))
(HERE / "../../src/schema/rules.txt").write_text("".join(rule_lines))
