"""The fixtures of this folder: a cluster that knows the kinds of others."""

import pytest

from tests.engines import catalogue
from tests.engines.fixtures.cluster import Cluster
from tests.engines.plugin import require
from tests.services import nothing_of_the_user, service, services, shared, template

__all__ = ["nothing_of_the_user", "service", "services", "shared", "template"]


@pytest.fixture(scope="session")
def platform(cluster: Cluster) -> Cluster:
    """Give the cluster with the custom resources that a platform has."""
    require("custom-resources")
    folder = catalogue.CUSTOM_RESOURCES.folder
    cluster.kubectl("apply", "--server-side", f"--filename={folder}", timeout=300)
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all")
    return cluster
