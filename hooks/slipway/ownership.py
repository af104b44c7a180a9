"""Who owns which file of a service, as `copier.yml` says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from jinja2.sandbox import SandboxedEnvironment
from pathspec import PathSpec


class Owner(Enum):
    """Who changes a file, and what updates do to it."""

    TEMPLATE = "template"
    SEEDED_AT_COPY = "service, seeded at copy"
    SEEDED_WHEN_MISSING = "service, seeded when missing"


def owners(settings: Mapping[str, Any]) -> Callable[[str], Owner]:
    """Return a function from a file of a service, as a path with slashes, to its owner.

    Args:
        settings: the content of `copier.yml`.

    Returns:
        The function. What stands in no list is the template's.

    """
    jinja = SandboxedEnvironment(
        **{name: value for name, value in settings["_envops"].items() if name != "undefined"}
    )
    # As `copier update` sees the list when it renders over a service that has its answers.
    context = {"_copier_operation": "update", "_external_data": {"previous": {"stack": "any"}}}

    def matcher(patterns: list[str]) -> PathSpec[Any]:
        return PathSpec.from_lines(
            "gitignore", (jinja.from_string(pattern).render(context) for pattern in patterns)
        )

    kept = matcher(settings["_skip_if_exists"])
    left_out = matcher(settings["_exclude"])

    def owner(path: str) -> Owner:
        if not kept.match_file(path):
            return Owner.TEMPLATE
        return Owner.SEEDED_AT_COPY if left_out.match_file(path) else Owner.SEEDED_WHEN_MISSING

    return owner
