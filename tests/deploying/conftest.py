"""The fixtures of this folder: services, and kubectl with a kubeconfig of its own."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.engines.fixtures.backends import free_ports
from tests.services import Services, nothing_of_the_user, service, services, shared, template

__all__ = ["nothing_of_the_user", "service", "services", "shared", "template"]


@pytest.fixture
def own(services: Services, tmp_path: Path) -> Path:
    """Return a copy of a service with a database, to write to."""
    return shutil.copytree(services({"datastore": "postgres"}), tmp_path / "service")


@pytest.fixture
def nowhere(tmp_path: Path) -> Mapping[str, str]:
    """Return the environment of a kubectl whose one context leads to a port that is closed."""
    [port] = free_ports(1)
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(kubeconfig(f"http://127.0.0.1:{port}")))
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(file)}


def kubeconfig(server: str, current: str = "here") -> dict[str, object]:
    """Return a kubeconfig with one context, named here."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": server}}],
        "users": [{"name": "here", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
        "current-context": current,
    }
