"""Stubs of Apple's frameworks for a linker on another system: which functions and constants each has, by what the crates
that bind them declare. Of a framework the linker needs no more, and Apple's own stubs may not be passed on.

A stub is a text file (`.tbd`, version 4 of Apple's format, as LLVM's `llvm-readtapi` documents it).
"""

import glob
import json
import os
import re
import subprocess

LINKED = re.compile(r'link\(name\s*=\s*"(\w+)",\s*kind\s*=\s*"framework"')
BLOCK = re.compile(r'extern\s*"C[^"]*"\s*\{([^{}]*)\}')
NAMED = re.compile(r"\b(?:fn|static)\s+(\w+)")

STUB = """--- !tapi-tbd
tbd-version: 4
targets: [ x86_64-macos, arm64-macos ]
install-name: '/System/Library/Frameworks/{name}.framework/Versions/A/{name}'
exports:
  - targets: [ x86_64-macos, arm64-macos ]
    symbols: [ {symbols} ]
...
"""


def written(package: str, target: str, folder: str) -> str:
    """Writes stubs of the frameworks that the crates of a package bind; the folder."""
    for name, symbols in sorted(bound(package, target).items()):
        framework = os.path.join(folder, f"{name}.framework")
        os.makedirs(framework, exist_ok=True)
        listed = ", ".join(f"_{symbol}" for symbol in sorted(symbols))
        with open(os.path.join(framework, f"{name}.tbd"), "w") as file:
            file.write(STUB.format(name=name, symbols=listed))
    return folder


def bound(package: str, target: str) -> dict[str, set[str]]:
    """Names by framework."""
    found: dict[str, set[str]] = {}
    for sources in crates(package, target):
        texts = []
        for path in glob.glob(os.path.join(sources, "**", "*.rs"), recursive=True):
            with open(path, encoding="utf-8") as file:
                texts.append(file.read())
        frameworks = {name for text in texts for name in LINKED.findall(text)}
        blocks = [block for text in texts for block in BLOCK.findall(text)]
        names = {name for block in blocks for name in NAMED.findall(block)}
        for framework in frameworks:
            found.setdefault(framework, set()).update(names)
    return found


def crates(package: str, target: str) -> list[str]:
    """Folders with the sources of the crates that are linked into a package."""
    tree = ["cargo", "tree", "--locked", "--package", package, "--target", target]
    tree += ["--edges", "normal", "--prefix", "none", "--format", "{p}"]
    linked = {" ".join(line.split()[:2]) for line in output(tree).splitlines() if line}
    listed = ["cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={target}"]
    packages = json.loads(output(listed))["packages"]
    return [
        os.path.dirname(found["manifest_path"])
        for found in packages
        if f"{found['name']} v{found['version']}" in linked
    ]


def output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
