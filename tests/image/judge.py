"""Given a small program, when its image is written: what skopeo and umoci make of it."""

import json
import os
import stat
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.abspath("app/image"))

import components
import oci

LABELS = {"org.opencontainers.image.title": "cfgw", "org.opencontainers.image.version": "1.2.3"}
FILES = {
    "cfgw": oci.File(b"a program", 0o555),
    "etc/ssl/certs/ca-certificates.crt": oci.File(b"roots"),
}
SBOM = "application/vnd.cyclonedx+json"


def written(folder: str) -> str:
    layout = oci.Layout(os.path.join(folder, "layout"))
    images = []
    for architecture in ["amd64", "arm64"]:
        image = oci.Image(architecture, FILES, ["/cfgw"], "65532:65532", LABELS, "2026-01-02T03:04:05Z")
        images.append(layout.image(image, 1))
        layout.about(images[-1], b"{}", SBOM)
    digest = layout.close(images, "1.2.3", LABELS)
    oci.archive(layout.folder, os.path.join(folder, "image.tar"), 1)
    return digest


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def the_same_inputs_are_the_same_bytes(folders: list[str]) -> None:
    digests = {written(folder) for folder in folders}
    archives = {open(os.path.join(folder, "image.tar"), "rb").read() for folder in folders}
    assert len(digests) == len(archives) == 1, digests


def skopeo_reads_each_architecture(folder: str) -> None:
    for architecture in ["amd64", "arm64"]:
        for source in [f"oci:{folder}/layout:1.2.3", f"oci-archive:{folder}/image.tar:1.2.3"]:
            select = ["--override-arch", architecture, "--override-os", "linux"]
            found = json.loads(output("skopeo", *select, "inspect", source))
            assert found["Architecture"] == architecture, found
            assert found["Labels"] == LABELS, found
            config = json.loads(output("skopeo", *select, "inspect", "--config", source))["config"]
            assert config["User"] == "65532:65532" and config["Entrypoint"] == ["/cfgw"], config


def umoci_unpacks_what_was_put_in(folder: str) -> None:
    copied = os.path.join(folder, "one")
    source = f"oci:{folder}/layout:1.2.3"
    output("skopeo", "--override-arch", "amd64", "--override-os", "linux", "copy", source, f"oci:{copied}:one")
    bundle = os.path.join(folder, "bundle")
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    output("umoci", "unpack", *rootless, "--image", f"{copied}:one", bundle)
    for name, file in FILES.items():
        path = os.path.join(bundle, "rootfs", name)
        assert open(path, "rb").read() == file.content, name
        assert stat.S_IMODE(os.stat(path).st_mode) == file.mode, name


def documents_name_their_image(folder: str) -> None:
    with open(os.path.join(folder, "layout", "index.json")) as file:
        manifests = json.load(file)["manifests"]
    about = [found for found in manifests if found.get("artifactType") == SBOM]
    blob = lambda digest: os.path.join(folder, "layout", "blobs", "sha256", digest.split(":")[1])
    subjects = {json.load(open(blob(found["digest"])))["subject"]["digest"] for found in about}
    images = {found["digest"] for found in json.load(open(blob(manifests[0]["digest"])))["manifests"]}
    assert subjects == images and len(images) == 2, subjects


def components_are_those_that_are_linked() -> None:
    listed = json.loads(components.listed("app", "cfgw", "x86_64-unknown-linux-gnu", "1.2.3"))
    names = {component["name"] for component in listed["components"]}
    assert {"hyper", "rustls", "kube-client", "domain"} <= names, names
    assert not {"wiremock", "mockall", "standin", "windows-sys"} & names, names
    described = {component["bom-ref"] for component in listed["components"]} | {"cfgw"}
    used = {name for entry in listed["dependencies"] for name in [entry["ref"], *entry["dependsOn"]]}
    assert used == described, used ^ described
    print(f"{len(names)} components")


def main() -> None:
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        the_same_inputs_are_the_same_bytes([first, second])
        skopeo_reads_each_architecture(first)
        umoci_unpacks_what_was_put_in(first)
        documents_name_their_image(first)
    components_are_those_that_are_linked()
    print("skopeo and umoci read the image; ok")


main()
