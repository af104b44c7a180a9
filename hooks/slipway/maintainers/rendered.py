"""What versions of the template render from the same answers, and what one renders no more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment
from pathspec import PathSpec

from slipway.answers import ANSWERS_FILE
from slipway.errors import SlipwayError
from slipway.maintainers.answer_sets import Answers
from slipway.maintainers.history import Release
from slipway.rendering import render, snapshot

# A commit, or None for the working tree, and answers; the folder of the service.
Renders = Callable[[str | None, Answers], Path]


@dataclass(frozen=True)
class Service:
    """The files of a rendered service, and every answer it recorded."""

    paths: frozenset[str]
    answers: Answers


@dataclass(frozen=True)
class Gone:
    """A file that a release rendered and the working tree does not."""

    path: str
    release: str
    answers: Answers


def renders(repository: Path, scratch: Path) -> Renders:
    """Return a function that renders versions of a template below a folder, each once."""

    def rendered(commit: str | None, answers: Answers) -> Path:
        version = scratch / (commit or "working-tree")
        template = version / "template"
        if not template.is_dir():
            snapshot(repository, template, commit)
        key = hashlib.sha256(json.dumps(answers, sort_keys=True).encode()).hexdigest()[:16]
        service = version / key
        return service if service.is_dir() else render(template, service, answers)

    return rendered


def read_service(folder: Path) -> Service:
    """Read what a render left."""
    recorded = yaml.safe_load((folder / ANSWERS_FILE).read_text(encoding="utf-8"))
    return Service(
        paths=frozenset(
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        ),
        answers={name: value for name, value in recorded.items() if not name.startswith("_")},
    )


def pairs(
    rendered: Renders, release: Release, answer_sets: Iterable[Answers]
) -> Iterator[tuple[Service, Service]]:
    """Give each service as a release rendered it, and as an update to the working tree would.

    Answer sets that the release does not know yet are left out.
    """
    for answers in answer_sets:
        try:
            new = read_service(rendered(None, answers))
        except SlipwayError as error:
            raise SlipwayError(
                f"the template does not render {dict(answers)}: {error}; put right the template, "
                "or the answers in hooks/slipway/maintainers/answer_sets.py"
            ) from error
        try:
            old = read_service(rendered(release.commit, answers))
        except SlipwayError:
            continue
        # An update keeps the answers that are recorded, whatever the defaults are now.
        if any(new.answers.get(name, value) != value for name, value in old.answers.items()):
            # An answer that is no longer taken becomes its default, as it was above.
            with suppress(SlipwayError):
                new = read_service(rendered(None, old.answers))
        yield old, new


def gone(
    rendered: Renders, releases: Iterable[Release], answer_sets: Iterable[Answers]
) -> list[Gone]:
    """Return the files that releases rendered and the working tree does not, each once."""
    found: dict[str, Gone] = {}
    sets = list(answer_sets)
    for release in releases:
        for old, new in pairs(rendered, release, sets):
            for path in sorted(old.paths - new.paths):
                found.setdefault(path, Gone(path, release.version, new.answers))
    return list(found.values())


def unprotected(settings: Mapping[str, Any], files: Iterable[Gone]) -> list[Gone]:
    """Return those files that `_exclude` does not list: an update would delete them.

    Args:
        settings: the content of `copier.yml`.
        files: what is rendered no more.

    Returns:
        The files whose edits would be lost.

    """
    return [one for one in files if not excluded(settings, one.answers).match_file(one.path)]


def excluded(settings: Mapping[str, Any], answers: Answers) -> PathSpec[Any]:
    """Return `_exclude` as it holds for the two renders that an update compares."""
    jinja = SandboxedEnvironment(**{**settings.get("_envops", {}), "undefined": StrictUndefined})
    context = {**answers, "_copier_operation": "update", "_external_data": {"previous": {}}}
    try:
        lines = [
            line
            for pattern in settings.get("_exclude", [])
            for line in jinja.from_string(pattern).render(context).splitlines()
        ]
    except TemplateError as error:
        raise SlipwayError(f"_exclude of copier.yml: {error}; it may name answers only") from error
    return PathSpec.from_lines("gitignore", lines)
