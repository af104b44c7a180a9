"""Reads versions.yaml."""

from functools import cache
from pathlib import Path

import yaml

FILE = Path(__file__).with_name("versions.yaml")


@cache
def all_versions() -> dict[str, str]:
    """Return every pinned version by name."""
    read = yaml.load(FILE.read_text(), Loader=yaml.BaseLoader)  # noqa: S506 - strings only
    return {str(name): str(value) for name, value in read.items()}


def version(name: str) -> str:
    """Return the pinned version of one program."""
    return all_versions()[name]
