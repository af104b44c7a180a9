"""Rendering a service from the template, by Copier's public interface only."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections.abc import Mapping
from pathlib import Path

from copier import run_copy
from copier.errors import CopierError, DirtyLocalWarning
from jinja2 import TemplateError

from slipway.errors import SlipwayError
from slipway.git import git

ANSWERS_FILE = ".copier-answers.yml"
TEMPLATE_PARTS = ("copier.yml", "template")


def repository_root() -> Path:
    """Return the root of this repository, where `copier.yml` stands."""
    return Path(__file__).resolve().parents[2]


def snapshot(repository: Path, destination: Path, ref: str | None = None) -> Path:
    """Copy the template out of a repository, without its history.

    Copier renders a plain folder without cloning it first, several times as fast.

    Args:
        repository: a git repository that holds a template.
        destination: the folder to write; made when missing.
        ref: a commit or tag; without it, the working tree as it is.

    Returns:
        `destination`.

    Raises:
        SlipwayError: `ref` is not in the repository.

    """
    destination.mkdir(parents=True, exist_ok=True)
    if ref is not None:
        archive = git(repository, "archive", "--format=tar", ref, "--", *TEMPLATE_PARTS)
        subprocess.run(["tar", "-x", "-C", str(destination)], input=archive, check=True)
        return destination
    listed = git(
        repository, "ls-files", "-z", "--cached", "--others", "--exclude-standard",
        "--", *TEMPLATE_PARTS,
    )  # fmt: skip
    for name in filter(None, listed.decode().split("\0")):
        source = repository / name
        if source.is_file():
            target = destination / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return destination


def render(template: Path | str, destination: Path, answers: Mapping[str, object]) -> Path:
    """Render a service, every question that `answers` leaves open at its default.

    Args:
        template: a folder or repository that holds a template; of a repository, its HEAD
            together with what is not committed yet.
        destination: the folder to write; files that are there are overwritten.
        answers: the answers by the questions' names.

    Returns:
        `destination`.

    Raises:
        SlipwayError: an answer was refused, or a file of the template does not render.

    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DirtyLocalWarning)
            run_copy(
                str(template),
                destination,
                data=dict(answers),
                defaults=True,
                overwrite=True,
                quiet=True,
                vcs_ref="HEAD",
            )
    except (CopierError, TemplateError, ValueError, TypeError) as error:
        raise SlipwayError(" ".join(str(error).split())) from error
    return destination
