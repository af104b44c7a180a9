"""`make render-diff`: what a change to the template changes in rendered services."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slipway.answers import ANSWERS_FILE
from slipway.errors import SlipwayError
from slipway.git import git
from slipway.maintainers.answer_sets import ANSWER_SETS, Answers
from slipway.rendering import render, snapshot

BEFORE, AFTER = "a", "b"


@dataclass(frozen=True)
class Change:
    """One change to one file, as the first of the answer sets that have it shows it."""

    diff: str
    answer_sets: list[str]


@dataclass(frozen=True)
class Comparison:
    """What differs between the services of two versions of the template."""

    base: str
    changes: list[Change] = field(default_factory=list)
    identical: list[str] = field(default_factory=list)
    # Why the older template renders no such service, by answer set.
    refused: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return one unified diff; lines that start with # are for people, patch skips them."""
        lines = [f"# {self.base} -> working tree"]
        if self.identical:
            lines.append(f"# nothing changes in: {', '.join(self.identical)}")
        for name, reason in self.refused.items():
            lines.append(f"# {self.base} does not render {name}: {reason}")
        for change in self.changes:
            lines += ["", f"# in: {', '.join(change.answer_sets)}", change.diff.rstrip("\n")]
        return "\n".join(lines) + "\n"


def compare(
    repository: Path, base: str, answer_sets: Mapping[str, Answers] = ANSWER_SETS
) -> Comparison:
    """Render every answer set from a commit and from the working tree, and compare.

    Args:
        repository: a repository with a template.
        base: a tag, branch or commit.
        answer_sets: answers by the name under which the comparison shows them.

    Returns:
        The changes, each once.

    Raises:
        SlipwayError: there is no such commit, it holds no template, or the working tree's
            template does not render.

    """
    commit = resolve(repository, base)
    comparison = Comparison(base)
    found: dict[str, Change] = {}
    with tempfile.TemporaryDirectory(prefix="slipway-") as scratch:
        old = snapshot(repository, Path(scratch, "before"), commit)
        new = snapshot(repository, Path(scratch, "after"))
        for name, answers in answer_sets.items():
            services = Path(scratch, "services", name)
            try:
                render(new, services / AFTER, answers)
            except SlipwayError as error:
                raise SlipwayError(f"the working tree does not render {name}: {error}") from error
            try:
                render(old, services / BEFORE, answers)
            except SlipwayError as error:
                comparison.refused[name] = str(error)
                continue
            diffs = differences(services)
            for diff in diffs:
                found.setdefault(essence(diff), Change(diff, [])).answer_sets.append(name)
            if not diffs:
                comparison.identical.append(name)
    comparison.changes.extend(found[key] for key in sorted(found))
    return comparison


def resolve(repository: Path, ref: str) -> str:
    """Return the commit that a name stands for; a SlipwayError when it holds no template."""
    found = git(
        repository, "rev-parse", "--quiet", "--verify", "--end-of-options", f"{ref}^{{commit}}",
        fine=(0, 1, 128),
    )  # fmt: skip
    commit = found.decode().strip()
    if not commit:
        raise SlipwayError(f"{ref!r} is no tag, branch or commit of this repository")
    if not git(repository, "ls-tree", commit, "copier.yml").strip():
        raise SlipwayError(f"{ref} holds no template: it has no copier.yml")
    return commit


def differences(services: Path) -> list[str]:
    """Return the differences of two services, one diff for each file.

    Args:
        services: a folder that holds the services `a` and `b`.

    Returns:
        Unified diffs without `index` lines, which differ where the rest of a file does.

    """
    for side in (BEFORE, AFTER):
        forget_source(services / side / ANSWERS_FILE)
    diff = git(
        services, "-c", "core.quotePath=false", "diff", "--no-index", "--no-prefix", "--no-color",
        "--no-ext-diff", BEFORE, AFTER, fine=(0, 1),
    ).decode()  # fmt: skip
    files = re.split(r"(?m)^(?=diff --git )", diff)
    return [re.sub(r"(?m)^index [0-9a-f]+\.\..*\n", "", file, count=1) for file in files if file]


def essence(diff: str) -> str:
    """Return what makes two diffs of one file the same: all but context and line numbers."""
    return "\n".join(line for line in diff.splitlines() if line[:1] not in (" ", "@"))


def forget_source(answers_file: Path) -> None:
    """Take out of recorded answers where the template was; it was in a temporary folder."""
    if answers_file.is_file():
        text = answers_file.read_text(encoding="utf-8")
        answers_file.write_text(re.sub(r"(?m)^_src_path:.*\n", "", text), encoding="utf-8")
