"""Paths inside a service, with slashes."""

from __future__ import annotations

import posixpath


def beside(file: str, path: str) -> str:
    """Return a path that a file names, relative to the service; `.` is the service."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(file), path))
