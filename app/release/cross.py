"""What cargo needs to compile for each system: Rust's library for it, by rustup, and a linker. For arm64 Linux that is
Debian's; for macOS and Windows zig's, by cargo-zigbuild, both of PyPI.
"""

import os
import shutil
import subprocess
import sys

import frameworks

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# By system and architecture, in Go's words, as registries, krew and Homebrew write them.
TARGETS = {
    "linux-amd64": "x86_64-unknown-linux-gnu",
    "linux-arm64": "aarch64-unknown-linux-gnu",
    "darwin-amd64": "x86_64-apple-darwin",
    "darwin-arm64": "aarch64-apple-darwin",
    "windows-amd64": "x86_64-pc-windows-gnu",
    "windows-arm64": "aarch64-pc-windows-gnullvm",
}
ZIG = ["ziglang==0.17.1", "cargo-zigbuild==0.24.1"]
ARM64_LINKER = "aarch64-linux-gnu-gcc"


def compiled(package: str, program: str, platform: str) -> str:
    """Compiles a program of a package for a platform, linked statically where the system has a stable interface below
    its C library (Linux). The path of the program, in which no path of this machine is."""
    target = TARGETS[platform]
    system = platform.split("-")[0]
    cargo_home = os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo"))
    flags = [f"--remap-path-prefix={ROOT}=/src", f"--remap-path-prefix={cargo_home}=/cargo"]
    if system == "linux":
        flags.append("-Ctarget-feature=+crt-static")
    if system == "darwin":
        stubs = frameworks.written(package, target, os.path.join(ROOT, ".cache", "frameworks"))
        flags.append(f"-Clink-arg=-F{stubs}")
    environment = {**os.environ, "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags)}
    verb = ["build"]
    if platform == "linux-arm64":
        environment |= arm64_linker()
    elif system != "linux":
        verb, environment["PATH"] = ["zigbuild"], f"{zig()}:{os.environ['PATH']}"
    if shutil.which("rustup"):
        run(["rustup", "--quiet", "target", "add", target])
    command = ["cargo", *verb, "--quiet", "--release", "--locked", "--package", package, "--bin", program]
    run([*command, "--target", target], environment)
    folder = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    suffix = ".exe" if system == "windows" else ""
    return os.path.join(folder, target, "release", program + suffix)


def arm64_linker() -> dict[str, str]:
    if shutil.which(ARM64_LINKER) is None:
        installed("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross")
    return {
        "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": ARM64_LINKER,
        "CC_aarch64_unknown_linux_gnu": ARM64_LINKER,
        "AR_aarch64_unknown_linux_gnu": "aarch64-linux-gnu-ar",
    }


def zig() -> str:
    """The folder with cargo-zigbuild and zig in it."""
    folder = os.path.join(ROOT, ".cache", "zig")
    programs = os.path.join(folder, "bin")
    if not os.path.exists(os.path.join(programs, "cargo-zigbuild")):
        run([sys.executable, "-m", "venv", folder])
        run([os.path.join(programs, "pip"), "install", "--quiet", *ZIG])
    return programs


def installed(*packages: str) -> None:
    """Installs packages of Debian where this runs as root, and says what to do where it does not."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(f"{' '.join(packages)}: not installed; install it, or leave out what needs it")
    run(["apt-get", "update", "-qq"])
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages])


def run(command: list[str], environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
