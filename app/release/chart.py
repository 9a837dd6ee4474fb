"""The charts as helm packages them, and as OCI archives, which `skopeo copy` or `oras` bring to a registry."""

import os
import re
import shutil
import tempfile

import oci
import packed

FOLDERS = ["charts/cloudflare-gateway-controller", "charts/cloudflare-gateway-broker"]
CONFIG = "application/vnd.cncf.helm.config.v1+json"
CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


def package(program: str, epoch: int, out: str) -> None:
    """Writes both of each chart, for a version of the program, into a folder (helm.sh/docs/topics/registries)."""
    for chart in FOLDERS:
        package_one(chart, program, epoch, out)


def package_one(chart: str, program: str, epoch: int, out: str) -> None:
    name = os.path.basename(chart)
    files = {}
    for root, _, names in os.walk(chart):
        for file in names:
            path = os.path.join(root, file)
            with open(path, "rb") as content:
                files[os.path.join(name, os.path.relpath(path, chart))] = packed.File(content.read())
    described = metadata(chart, files[f"{name}/Chart.yaml"].content.decode(), program)
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


def metadata(folder: str, chart: str, program: str) -> dict:
    """The simple fields of Chart.yaml. A chart has a version of its own, and names the program's."""
    fields = dict(re.findall(r'^(\w+): "?([^"\[\n]+)"?$', chart, re.M))
    if fields["appVersion"] != program:
        raise SystemExit(f"{folder}/Chart.yaml: appVersion: Invalid value: {fields['appVersion']}: must be {program}")
    if f"/cfgw:{program}\n" not in chart:
        raise SystemExit(f"{folder}/Chart.yaml: annotations[artifacthub.io/images]: Invalid value: must name cfgw:{program}")
    return fields
