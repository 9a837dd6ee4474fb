"""The chart as helm packages it, and as an OCI archive, which `skopeo copy` or `oras` bring to a registry."""

import os
import re
import shutil
import tempfile

import oci
import packed

FOLDER = "charts/cloudflare-gateway-controller"
CONFIG = "application/vnd.cncf.helm.config.v1+json"
CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


def package(program: str, epoch: int, out: str) -> None:
    """Writes both for a version of the program into a folder (helm.sh/docs/topics/registries)."""
    name = os.path.basename(FOLDER)
    files = {}
    for root, _, names in os.walk(FOLDER):
        for file in names:
            path = os.path.join(root, file)
            with open(path, "rb") as content:
                files[os.path.join(name, os.path.relpath(path, FOLDER))] = packed.File(content.read())
    described = metadata(files[f"{name}/Chart.yaml"].content.decode(), program)
    version = described["version"]
    packed.tarred(files, epoch, os.path.join(out, f"{name}-{version}.tgz"))
    folder = tempfile.mkdtemp()
    layout = oci.Layout(folder)
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": layout.document(described, CONFIG),
        "layers": [layout.blob(packed.tar(files, epoch), CONTENT)],
        "annotations": {
            "org.opencontainers.image.title": name,
            "org.opencontainers.image.version": version,
        },
    }
    layout.manifests.append(
        layout.document(manifest, oci.MANIFEST) | {"annotations": {"org.opencontainers.image.ref.name": version}}
    )
    layout.index()
    oci.archive(folder, os.path.join(out, f"{name}-{version}.oci.tar"), epoch)
    shutil.rmtree(folder)


def metadata(chart: str, program: str) -> dict:
    """The simple fields of Chart.yaml. The chart has a version of its own, and names the program's."""
    fields = dict(re.findall(r'^(\w+): "?([^"\[\n]+)"?$', chart, re.M))
    if fields["appVersion"] != program:
        raise SystemExit(f"{FOLDER}/Chart.yaml: appVersion: Invalid value: {fields['appVersion']}: must be {program}")
    if f"/cfgw:{program}\n" not in chart:
        raise SystemExit(f"{FOLDER}/Chart.yaml: annotations[artifacthub.io/images]: Invalid value: must name cfgw:{program}")
    return fields
