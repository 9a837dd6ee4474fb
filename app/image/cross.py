"""A compiler from amd64 to arm64, of Debian's packages, unpacked into .cache/image: rustup's has no library for arm64 where
only package registries can be reached. It needs a Debian or Ubuntu with gcc-aarch64-linux-gnu, which is installed where
this runs as root.
"""

import glob
import os
import shutil
import subprocess
import sys

FOLDER = os.path.abspath(".cache/image")
# The compiler, its libraries, and Rust's own library for both.
PACKAGES = ["rustc-web", "libstd-rust-web-dev", "libstd-rust-web-dev:arm64"]
LINKER = "aarch64-linux-gnu-gcc"
TARGET = "AARCH64_UNKNOWN_LINUX_GNU"


def environment(flags: list[str]) -> dict[str, str]:
    """Variables with which cargo compiles for arm64, into a target folder of its own."""
    if shutil.which(LINKER) is None:
        installed("gcc-aarch64-linux-gnu")
    compiler = os.path.join(FOLDER, "rustc")
    if not os.path.exists(compiler):
        unpack(compiler)
    return {
        "RUSTC": compiler,
        "CARGO_TARGET_DIR": target_folder(),
        f"CARGO_TARGET_{TARGET}_LINKER": LINKER,
        "CC_aarch64_unknown_linux_gnu": LINKER,
        "AR_aarch64_unknown_linux_gnu": "aarch64-linux-gnu-ar",
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags),
    }


def target_folder() -> str:
    return os.path.abspath("target/arm64")


def unpack(compiler: str) -> None:
    """Fetches the packages and what they need, and writes a script that starts the compiler among them."""
    lists, root = os.path.join(FOLDER, "lists"), os.path.join(FOLDER, "root")
    os.makedirs(os.path.join(lists, "partial"), exist_ok=True)
    apt = [
        "-qq", "-o", f"Dir::State::lists={lists}",
        "-o", "APT::Architectures::=amd64", "-o", "APT::Architectures::=arm64",
        "-o", "APT::Sandbox::User=root",
    ]
    run(["apt-get", *apt, "update"])
    for package in PACKAGES + libraries(apt):
        run(["apt-get", *apt, "download", package], FOLDER)
    for package in glob.glob(os.path.join(FOLDER, "*.deb")):
        run(["dpkg", "-x", package, root])
        os.remove(package)
    with open(compiler, "w") as script:
        script.write(f'#!/bin/sh\nLD_LIBRARY_PATH={root}/usr/lib/x86_64-linux-gnu exec {root}/usr/bin/rustc "$@"\n')
    os.chmod(compiler, 0o755)


def libraries(apt: list[str]) -> list[str]:
    """The shared libraries of the compiler, whose names hold a version."""
    found = []
    for package in ["libstd-rust-web-dev"]:
        found += dependencies(apt, package, "libstd-rust-web-")
    for package in list(found):
        found += dependencies(apt, package, "libllvm")
    return found


def dependencies(apt: list[str], package: str, prefix: str) -> list[str]:
    options = [option for option in apt if option != "-qq"]
    shown = subprocess.run(
        ["apt-cache", *options, "depends", package], check=True, capture_output=True, text=True
    ).stdout
    names = (line.split()[-1] for line in shown.splitlines() if "Depends:" in line)
    return [name for name in names if name.startswith(prefix)]


def installed(package: str) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(f"{package} is not installed; install it, or build with --architectures amd64")
    run(["apt-get", "update", "-qq"])
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package])


def run(command: list[str], folder: str | None = None) -> None:
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
