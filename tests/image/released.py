"""Given a small program in the place of cfgwctl, when a release is laid out: what krew, dpkg, helm, crane and skopeo, which
are other people's programs, make of it.
"""

import filecmp
import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager

sys.path[:0] = [os.path.abspath("app/image"), os.path.abspath("app/release")]

import cross

TOOLS = os.path.abspath(".cache/judges")
CHARTS = ["cloudflare-gateway-controller", "cloudflare-gateway-broker"]


def release(folder: str) -> str:
    """Lays out a release with a script as the program; its version."""
    loader = importlib.machinery.SourceFileLoader("release", os.path.abspath("app/release/build"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("release", loader))
    loader.exec_module(module)

    def compiled(_package: str, program: str, platform: str) -> str:
        path = os.path.join(folder, platform, program + (".exe" if platform.startswith("windows") else ""))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(f"#!/bin/sh\necho {platform} $0\n")
        return path

    cross.compiled = compiled
    module.manuals = lambda: {"cfgwctl.1": b".TH cfgwctl 1\n"}
    out = os.path.join(folder, "dist")
    os.makedirs(out)
    module.build(list(cross.TARGETS), False, out)
    with open(os.path.join(out, "cfgw.yaml")) as file:
        return json.load(file)["spec"]["version"].removeprefix("v")


def output(*command: str, **variables: str) -> str:
    environment = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


def checksums_are_right(dist: str) -> None:
    shown = output("sh", "-c", f"cd '{dist}' && sha256sum --check --strict SHA256SUMS")
    assert shown.count(": OK") == len(os.listdir(dist)) - 1, shown


def krew_installs_it_on_each_platform(dist: str, version: str) -> None:
    for platform in cross.TARGETS:
        system, architecture = platform.split("-")
        ending = "zip" if system == "windows" else "tar.gz"
        with tempfile.TemporaryDirectory() as root:
            output(
                f"{TOOLS}/krew", "install",
                f"--manifest={dist}/cfgw.yaml", f"--archive={dist}/cfgwctl-{version}-{platform}.{ending}",
                KREW_ROOT=root, KREW_OS=system, KREW_ARCH=architecture,
            )
            (plugin,) = [name for name in os.listdir(os.path.join(root, "bin")) if "cfgw" in name]
            with open(os.path.join(root, "bin", plugin)) as program:
                assert f"echo {platform} " in program.read(), platform


def dpkg_installs_and_removes_it(dist: str, version: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        dpkg = ["dpkg", f"--root={root}", "--force-not-root", "--force-architecture", "--log=/dev/null"]
        for folder in ["info", "updates"]:
            os.makedirs(os.path.join(root, "var/lib/dpkg", folder))
        for file in ["status", "available"]:
            open(os.path.join(root, "var/lib/dpkg", file), "w").close()
        for architecture in ["amd64", "arm64"]:
            output(*dpkg, "--install", f"{dist}/cfgwctl_{version}_{architecture}.deb")
            shown = output(os.path.join(root, "usr/bin/kubectl-cfgw"))
            assert shown.startswith(f"linux-{architecture} "), shown
            output(*dpkg, "--purge", "cfgwctl")
            assert not os.path.exists(os.path.join(root, "usr/bin")), os.listdir(os.path.join(root, "usr/bin"))


@contextmanager
def registry(folder: str):
    """A registry of crane's; its address."""
    command = [f"{TOOLS}/crane", "registry", "serve", "--address=127.0.0.1:0"]
    log = open(os.path.join(folder, "registry.log"), "w+")
    with subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            yield address(log.name)
        finally:
            server.terminate()


def address(log: str) -> str:
    for _ in range(100):
        time.sleep(0.1)
        with open(log) as file:
            found = re.search(r"serving on port (\d+)", file.read())
        if found:
            return f"127.0.0.1:{found[1]}"
    raise AssertionError("the registry did not begin")


def helm_takes_a_chart_from_a_registry(chart: str, dist: str, folder: str, at: str) -> None:
    (package,) = [name for name in os.listdir(dist) if name.startswith(f"{chart}-") and name.endswith(".tgz")]
    version = package.removeprefix(f"{chart}-").removesuffix(".tgz")
    archive = f"oci-archive:{dist}/{chart}-{version}.oci.tar"
    output("skopeo", "copy", "--dest-tls-verify=false", archive, f"docker://{at}/charts/{chart}:{version}")
    output(f"{TOOLS}/crane", "validate", "--insecure", "--remote", f"{at}/charts/{chart}:{version}")
    helm = os.environ.get("HELM", os.path.abspath(".cache/helm"))
    pulled = os.path.join(folder, f"pulled-{chart}")
    os.makedirs(pulled)
    output(helm, "pull", f"oci://{at}/charts/{chart}", "--version", version, "--plain-http", "--destination", pulled)
    paths = [os.path.join(place, package) for place in (pulled, dist)]
    assert filecmp.cmp(*paths, shallow=False)
    assert f"version: {version}" in output(helm, "show", "chart", paths[0])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as again:
        version = release(folder)
        release(again)
        dist = os.path.join(folder, "dist")
        output("diff", "-r", dist, os.path.join(again, "dist"))
        checksums_are_right(dist)
        krew_installs_it_on_each_platform(dist, version)
        dpkg_installs_and_removes_it(dist, version)
        with registry(folder) as at:
            for chart in CHARTS:
                helm_takes_a_chart_from_a_registry(chart, dist, folder, at)
    print("krew, dpkg, helm, crane and skopeo take the release; ok")


main()
