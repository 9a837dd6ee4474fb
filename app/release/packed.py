"""Archives, byte for byte the same from the same files: tar.gz, zip, and Debian's format (deb(5))."""

import gzip
import hashlib
import io
import os
import tarfile
import time
import zipfile
from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    content: bytes = b""
    mode: int = 0o644
    link: str = ""
    """Where it is a symbolic link, what it names."""


@dataclass(frozen=True)
class Package:
    """A package of Debian: its control fields in their order, and its files by path without the first slash."""

    control: dict[str, str]
    files: dict[str, File]


def tar(files: dict[str, File], epoch: int) -> bytes:
    """Of folders and files in order, owned by root, gzipped."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in sorted(_folders(files) | files.keys()):
            file = files.get(name)
            entry = tarfile.TarInfo(name if file else name + "/")
            entry.mtime, entry.uname, entry.gname = epoch, "root", "root"
            if file and file.link:
                entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, file.link, 0o777
            elif file:
                entry.size, entry.mode = len(file.content), file.mode
            else:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry, io.BytesIO(file.content) if file else None)
    return gzip.compress(buffer.getvalue(), compresslevel=9, mtime=0)


def _folders(files: dict[str, File]) -> set[str]:
    parts = [name.split("/") for name in files]
    return {"/".join(path[:depth]) for path in parts for depth in range(1, len(path))}


def tarred(files: dict[str, File], epoch: int, path: str) -> None:
    with open(path, "wb") as out:
        out.write(tar(files, epoch))


def zipped(files: dict[str, File], epoch: int, path: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, time.gmtime(epoch)[:6])
            entry.external_attr = files[name].mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name].content)


def debian(package: Package, epoch: int, folder: str) -> str:
    """Writes a package under the name that Debian gives it; its path."""
    fields = package.control
    size = sum(len(file.content) for file in package.files.values())
    lines = [f"{name}: {value}\n" for name, value in (fields | {"Installed-Size": str(-(-size // 1024))}).items()]
    sums = [f"{hashlib.md5(file.content).hexdigest()}  {name}\n" for name, file in sorted(package.files.items()) if not file.link]
    control = {"control": File("".join(lines).encode()), "md5sums": File("".join(sums).encode())}
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": tar(control, epoch),
        "data.tar.gz": tar(package.files, epoch),
    }
    path = os.path.join(folder, f"{fields['Package']}_{fields['Version']}_{fields['Architecture']}.deb")
    with open(path, "wb") as out:
        out.write(b"!<arch>\n")
        for name, content in members.items():
            out.write(f"{name:<16}{epoch:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
            out.write(content + b"\n" * (len(content) % 2))
    return path


def sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
