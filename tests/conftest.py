"""What every test has."""

import os

pytest_plugins = ["tests.compiled_once", "tests.engines.plugin", "tests.quiet"]


def pytest_xdist_auto_num_workers() -> int:
    """Return how many tests run at once: many wait for a container, so one more than can work."""
    return (os.cpu_count() or 1) + 1
