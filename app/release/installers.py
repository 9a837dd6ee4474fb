"""What installers read: krew's manifest, a formula of Homebrew, a package of Debian, checksums, and the notes of a
release.
"""

import gzip
import json
import os
import re
from dataclasses import dataclass

import packed

PROJECT = "https://github.com/cloudflare-gateway-controller/cloudflare-gateway-controller"
ONE_LINE = "Look at Gateways of Cloudflare Tunnels and operate them"
SEVERAL = "Shows Gateways, tunnels and hostnames, finds what is in the way of a request, exposes Services and suspends them."


@dataclass(frozen=True)
class Archive:
    """cfgwctl for a platform, as it is downloaded."""

    name: str
    sha256: str
    program: str
    """The name in it."""
    plugin: str
    """The name by which kubectl finds it."""


def address(version: str, archive: Archive) -> str:
    return f"{PROJECT}/releases/download/v{version}/{archive.name}"


def krew(version: str, archives: dict[str, Archive]) -> str:
    """krew.sigs.k8s.io/docs/developer-guide/plugin-manifest"""
    platforms = []
    for platform, archive in archives.items():
        system, architecture = platform.split("-")
        files = [{"from": archive.program, "to": archive.plugin}, {"from": "LICENSE", "to": "."}]
        platforms.append(
            {
                "selector": {"matchLabels": {"os": system, "arch": architecture}},
                "uri": address(version, archive),
                "sha256": archive.sha256,
                "files": files,
                "bin": archive.plugin,
            }
        )
    manifest = {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "cfgw"},
        "spec": {
            "version": f"v{version}",
            "homepage": PROJECT,
            "shortDescription": ONE_LINE,
            "description": SEVERAL,
            "platforms": platforms,
        },
    }
    # JSON is YAML, and is read by krew as such.
    return json.dumps(manifest, indent=2) + "\n"


def homebrew(version: str, archives: dict[str, Archive]) -> str:
    """docs.brew.sh/Formula-Cookbook"""
    lines = [
        "class Cfgwctl < Formula",
        f'  desc "{ONE_LINE}"',
        f'  homepage "{PROJECT}"',
        f'  version "{version}"',
        '  license "Apache-2.0"',
    ]
    for system, block in [("darwin", "on_macos"), ("linux", "on_linux")]:
        lines += ["", f"  {block} do"]
        for architecture, inner in [("arm64", "on_arm"), ("amd64", "on_intel")]:
            archive = archives.get(f"{system}-{architecture}")
            if archive:
                url = f'      url "{address(version, archive)}"'
                lines += [f"    {inner} do", url, f'      sha256 "{archive.sha256}"', "    end"]
        lines.append("  end")
    lines += [
        "",
        "  def install",
        '    bin.install "cfgwctl"',
        '    bin.install_symlink "cfgwctl" => "kubectl-cfgw"',
        '    man1.install Dir["man/*.1"]',
        '    generate_completions_from_executable(bin/"cfgwctl", "completion")',
        "  end",
        "",
        "  test do",
        '    assert_match version.to_s, shell_output("#{bin}/cfgwctl --version")',
        "  end",
        "end",
    ]
    return "\n".join(lines) + "\n"


def debian(
    version: str, architecture: str, program: bytes, manuals: dict[str, bytes], license: bytes
) -> packed.Package:
    """debian.org/doc/debian-policy"""
    control = {
        "Package": "cfgwctl",
        "Version": version,
        "Architecture": architecture,
        "Maintainer": f"The authors <{PROJECT}>",
        "Section": "admin",
        "Priority": "optional",
        "Homepage": PROJECT,
        "Description": f"{ONE_LINE}\n {SEVERAL}",
    }
    pack = lambda text: packed.File(gzip.compress(text, compresslevel=9, mtime=0))
    files = {
        "usr/bin/cfgwctl": packed.File(program, 0o755),
        "usr/bin/kubectl-cfgw": packed.File(link="cfgwctl"),
        "usr/share/doc/cfgwctl/copyright": packed.File(license),
    }
    files |= {f"usr/share/man/man1/{page}.gz": pack(text) for page, text in manuals.items()}
    return packed.Package(control, files)


def notes(changelog: str, version: str) -> str:
    """The changelog's section of a version, or of what is not released yet."""
    sections = dict(re.findall(r"^## \[?([^\]\n ]+)\]?[^\n]*\n(.*?)(?=^## |\Z)", changelog, re.M | re.S))
    text = sections.get(version) or sections.get("Unreleased")
    if not text:
        raise SystemExit(f"CHANGELOG.md: Not found: {version!r}: write a section of that name")
    return f"# {version}\n\n{text.strip()}\n"


def checksums(folder: str) -> str:
    """As sha256sum --check reads them."""
    names = sorted(name for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name)))
    return "".join(f"{packed.sha256(os.path.join(folder, name))}  {name}\n" for name in names)
