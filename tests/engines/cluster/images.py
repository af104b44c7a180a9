"""OCI archives of one static program each, made without an engine, for `ctr images import`."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

from tests.engines import debian

MEDIA = "application/vnd.oci.image"
USER = b"root:x:0:0::/:\nnonroot:x:65532:65532::/:\n"
# Name, content (a folder has none) and mode of one entry of an archive.
Entry = tuple[str, bytes | None, int]


def archive(program: Path, name: str, target: Path) -> None:
    """Write the image of a program, which runs as user 65532, under a name with a tag."""
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": f"{MEDIA}.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    content: list[Entry] = [
        ("etc", None, 0o755),
        ("etc/passwd", USER, 0o644),
        ("tmp", None, 0o1777),
        (program.name, program.read_bytes(), 0o755),
    ]
    layer = blob(_packed(content), "layer.v1.tar")
    configuration = {
        "architecture": debian.architecture(),
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        "config": {"User": "65532:65532", "Entrypoint": [f"/{program.name}"], "WorkingDir": "/"},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{MEDIA}.manifest.v1+json",
        "config": blob(json.dumps(configuration).encode(), "config.v1+json"),
        "layers": [layer],
    }
    described = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    described["annotations"] = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
    }
    index = {
        "schemaVersion": 2,
        "mediaType": f"{MEDIA}.index.v1+json",
        "manifests": [described],
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(
        _packed(
            [
                ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}', 0o644),
                ("index.json", json.dumps(index).encode(), 0o644),
                ("blobs", None, 0o755),
                ("blobs/sha256", None, 0o755),
                *((f"blobs/sha256/{digest}", data, 0o644) for digest, data in blobs.items()),
            ]
        )
    )


def _packed(entries: Iterable[Entry]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data, mode in entries:
            entry = tarfile.TarInfo(name)
            entry.mode = mode
            if data is None:
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            else:
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()
