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
    kept = PathSpec.from_lines("gitignore", patterns(settings, "_skip_if_exists"))
    left_out = PathSpec.from_lines("gitignore", patterns(settings, "_exclude"))

    def owner(path: str) -> Owner:
        if not kept.match_file(path):
            return Owner.TEMPLATE
        return Owner.SEEDED_AT_COPY if left_out.match_file(path) else Owner.SEEDED_WHEN_MISSING

    return owner


def seeded_at_copy(settings: Mapping[str, Any]) -> list[str]:
    """Return the patterns of what the service owns from its first day, in their order.

    What else `_exclude` lists is no file of a service, or one that the template gave up.
    """
    kept = set(patterns(settings, "_skip_if_exists"))
    return [pattern for pattern in patterns(settings, "_exclude") if pattern in kept]


def patterns(settings: Mapping[str, Any], name: str) -> list[str]:
    """Return a list of `copier.yml` as an update over a service with answers sees it."""
    jinja = SandboxedEnvironment(
        **{key: value for key, value in settings.get("_envops", {}).items() if key != "undefined"}
    )
    context = {"_copier_operation": "update", "_external_data": {"previous": {"stack": "any"}}}
    rendered = (jinja.from_string(each).render(context) for each in settings.get(name, ()))
    return [pattern for pattern in rendered if pattern]
