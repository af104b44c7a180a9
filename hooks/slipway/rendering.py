"""Rendering a service from the template, by Copier's public interface only.

Copier takes most of a second to import: what renders nothing, such as `slipway update --abort`,
does not pay for it.
"""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from jinja2 import TemplateError

from slipway.answers import ANSWERS_FILE
from slipway.errors import SlipwayError
from slipway.git import git

TEMPLATE_PARTS = ("copier.yml", "template")


def repository_root() -> Path:
    """Return the root of this repository, where `copier.yml` stands."""
    return Path(__file__).resolve().parents[2]


def snapshot(
    repository: Path,
    destination: Path,
    ref: str | None = None,
    *,
    parts: tuple[str, ...] = TEMPLATE_PARTS,
) -> Path:
    """Copy the template out of a repository, without its history.

    Copier renders a plain folder without cloning it first, several times as fast.

    Args:
        repository: a git repository that holds a template.
        destination: the folder to write; made when missing.
        ref: a commit or tag; without it, the working tree as it is.
        parts: the files and folders to copy; all of them when empty.

    Returns:
        `destination`.

    Raises:
        SlipwayError: `ref` is not in the repository.

    """
    destination.mkdir(parents=True, exist_ok=True)
    if ref is not None:
        archive = git(repository, "archive", "--format=tar", ref, "--", *parts)
        subprocess.run(["tar", "-x", "-C", str(destination)], input=archive, check=True)
        return destination
    listed = git(
        repository, "ls-files", "-z", "--cached", "--others", "--exclude-standard",
        "--", *parts,
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
    from copier import run_copy
    from copier.errors import DirtyLocalWarning

    with warnings.catch_warnings(), readable_errors():
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
    return destination


def render_again(
    template: Path,
    destination: Path,
    answers: bytes,
    *,
    data: Mapping[str, str] = MappingProxyType({}),
    ask: Sequence[str] = (),
    leave_out: Sequence[str] = (),
) -> Path:
    """Render a service with the answers that it has recorded.

    What a version of the template no longer accepts falls back to its default, as in
    `copier update`.

    Args:
        template: a plain folder that holds a template.
        destination: the folder to write; made when missing.
        answers: the content of the service's answers file.
        data: answers that replace recorded ones, as they are typed.
        ask: questions to ask on the terminal.
        leave_out: patterns of files that are not wanted, as in `_exclude`.

    Returns:
        `destination`.

    Raises:
        SlipwayError: an answer was refused, or a file of the template does not render.

    """
    from copier import Settings, run_copy

    destination.mkdir(parents=True, exist_ok=True)
    (destination / ANSWERS_FILE).write_bytes(answers)
    with readable_errors():
        run_copy(
            str(template),
            destination,
            data=dict(data),
            defaults=True,
            overwrite=True,
            quiet=True,
            ask=ask,
            exclude=leave_out,
            # A person's own defaults would make two people's updates differ.
            settings=Settings(),
        )
    return destination


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn what Copier raises into an error of one line."""
    from copier.errors import CopierAnswersInterrupt, CopierError

    try:
        yield
    except CopierAnswersInterrupt as error:
        raise SlipwayError("stopped at a question: nothing is changed") from error
    except (CopierError, TemplateError, ValueError, TypeError) as error:
        raise SlipwayError(" ".join(str(error).split())) from error
