#!/usr/bin/env python3
"""Makes crd_fields.txt: a line `Kind path type` for each field without fields of its own in the `spec` of the Gateway
API's experimental CRDs. Usage: crd_fields.py <folder with the CRDs> > crd_fields.txt"""
import pathlib
import sys

import yaml

KINDS = ["gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants"]


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


for plural in KINDS:
    file = pathlib.Path(sys.argv[1], f"gateway.networking.k8s.io_{plural}.yaml")
    crd = yaml.safe_load(file.read_text())["spec"]
    version = next(v for v in crd["versions"] if v["name"] == "v1")
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for path, kind in fields(spec, "spec"):
        print(crd["names"]["kind"], path, kind)
