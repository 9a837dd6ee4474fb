"""The list of what a program is made of, as CycloneDX (cyclonedx.org, version 1.6), from what cargo resolves."""

import json
import subprocess
from collections.abc import Callable


def listed(package: str, program: str, target: str, version: str) -> bytes:
    """All crates that are linked into a package for a target. The same for the same lock file."""
    metadata = json.loads(
        subprocess.run(
            ["cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={target}"],
            check=True,
            capture_output=True,
        ).stdout
    )
    packages = {found["id"]: found for found in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = next(found["id"] for found in packages.values() if found["name"] == package)
    linked = _linked(root, nodes)
    name = lambda it: program if it == root else _reference(packages[it])
    components = [_component(packages[crate]) for crate in sorted(linked - {root})]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": program,
                "version": version,
                "bom-ref": program,
                "licenses": [{"expression": packages[root]["license"]}],
            }
        },
        "components": sorted(components, key=lambda it: it["bom-ref"]),
        "dependencies": sorted(
            (_dependencies(crate, nodes, name) for crate in linked),
            key=lambda it: it["ref"],
        ),
    }
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def _linked(root: str, nodes: dict) -> set[str]:
    """What is not only there to build or to test."""
    found, open_ends = set(), [root]
    while open_ends:
        crate = open_ends.pop()
        if crate not in found:
            found.add(crate)
            open_ends += _direct(crate, nodes)
    return found


def _direct(crate: str, nodes: dict) -> list[str]:
    dependencies = nodes[crate]["deps"]
    is_linked = lambda it: any(kind["kind"] is None for kind in it["dep_kinds"])
    return [it["pkg"] for it in dependencies if is_linked(it)]


def _reference(package: dict) -> str:
    return f"pkg:cargo/{package['name']}@{package['version']}"


def _component(package: dict) -> dict:
    component = {
        "type": "library",
        "name": package["name"],
        "version": package["version"],
        "bom-ref": _reference(package),
        "purl": _reference(package),
    }
    if package["license"]:
        component["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    return component


def _dependencies(crate: str, nodes: dict, name: Callable[[str], str]) -> dict:
    return {"ref": name(crate), "dependsOn": sorted({name(it) for it in _direct(crate, nodes)})}
