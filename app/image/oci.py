"""An OCI image layout, written byte for byte the same from the same inputs.

Formats: github.com/opencontainers/image-spec (image-layout.md, manifest.md, config.md, image-index.md). A document about an
image, such as its list of components, is a manifest of its own whose `subject` is the image's.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from dataclasses import dataclass

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"


@dataclass(frozen=True)
class File:
    """A file of an image."""

    content: bytes
    mode: int = 0o444


@dataclass(frozen=True)
class Image:
    """What is in an image for one architecture (amd64, arm64), and how it runs."""

    architecture: str
    files: dict[str, File]
    entrypoint: list[str]
    user: str
    labels: dict[str, str]
    created: str
    """RFC 3339."""


def layer(files: dict[str, File], epoch: int) -> bytes:
    """An archive of these files and the folders above them, owned by root, all of one time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(_folders(files) | files.keys()):
            entry = tarfile.TarInfo(name)
            entry.mtime = epoch
            file = files.get(name)
            if file is None:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            else:
                entry.size, entry.mode = len(file.content), file.mode
                archive.addfile(entry, io.BytesIO(file.content))
    return buffer.getvalue()


def _folders(files: dict[str, File]) -> set[str]:
    folders = set()
    for name in files:
        parts = name.split("/")[:-1]
        folders |= {"/".join(parts[: count + 1]) for count in range(len(parts))}
    return folders


class Layout:
    """A folder with an image layout in it."""

    def __init__(self, folder: str):
        self.folder = folder
        self.manifests: list[dict] = []
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(os.path.join(folder, "blobs", "sha256"))

    def blob(self, content: bytes, media_type: str) -> dict:
        """Writes a blob; its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        with open(os.path.join(self.folder, "blobs", "sha256", digest), "wb") as file:
            file.write(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def document(self, value: dict, media_type: str) -> dict:
        """Writes JSON as a blob; its descriptor."""
        return self.blob(_json(value), media_type)

    def image(self, image: Image, epoch: int) -> dict:
        """Writes an image; the descriptor of its manifest."""
        archive = layer(image.files, epoch)
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9, mtime=0, filename="") as out:
            out.write(archive)
        diff = f"sha256:{hashlib.sha256(archive).hexdigest()}"
        config = {
            "architecture": image.architecture,
            "os": "linux",
            "created": image.created,
            "config": {
                "User": image.user,
                "Entrypoint": image.entrypoint,
                "WorkingDir": "/",
                "Labels": image.labels,
            },
            "rootfs": {"type": "layers", "diff_ids": [diff]},
            "history": [{"created": image.created, "created_by": "app/image/build"}],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.document(config, CONFIG),
            "layers": [self.blob(packed.getvalue(), LAYER)],
            "annotations": image.labels,
        }
        return self.document(manifest, MANIFEST) | {
            "platform": {"architecture": image.architecture, "os": "linux"}
        }

    def about(self, subject: dict, content: bytes, media_type: str) -> None:
        """Writes a document about an image."""
        subject = {key: subject[key] for key in ("mediaType", "digest", "size")}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": media_type,
            "config": self.blob(b"{}", EMPTY),
            "layers": [self.blob(content, media_type)],
            "subject": subject,
        }
        self.manifests.append(self.document(manifest, MANIFEST) | {"artifactType": media_type})

    def close(self, images: list[dict], name: str, labels: dict[str, str]) -> str:
        """Writes the index of these images under a name; its digest."""
        index = {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": images,
            "annotations": labels,
        }
        all_images = self.document(index, INDEX)
        all_images["annotations"] = {"org.opencontainers.image.ref.name": name}
        self.manifests.insert(0, all_images)
        self.index()
        return all_images["digest"]

    def index(self) -> None:
        """Writes which manifests are there."""
        top = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self.manifests}
        self._write("index.json", _json(top))
        self._write("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))

    def _write(self, name: str, content: bytes) -> None:
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(content)


def archive(folder: str, file: str, epoch: int) -> None:
    """Packs a layout into one file, as `skopeo copy oci-archive:` takes it."""
    with tarfile.open(file, mode="w", format=tarfile.USTAR_FORMAT) as out:
        for root, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(root, name)
                entry = tarfile.TarInfo(os.path.relpath(path, folder))
                entry.mtime, entry.mode = epoch, 0o644
                entry.size = os.path.getsize(path)
                with open(path, "rb") as content:
                    out.addfile(entry, content)


def _json(value: dict) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
