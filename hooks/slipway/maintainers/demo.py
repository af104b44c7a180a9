"""`make demo`: a service rendered from the working tree, in a git repository of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.git import git
from slipway.rendering import render, snapshot

ANSWERS = {"service_name": "signups", "stack": "python"}
MARK = "slipway.demo"
AUTHOR = ("-c", "user.name=Slipway", "-c", "user.email=slipway@example.com")


def demo(repository: Path, destination: Path) -> str:
    """Render the demo; all of it, or nothing.

    Args:
        repository: this repository.
        destination: the demo's folder. An earlier demo in it is replaced, anything else is not.

    Returns:
        What to do next, for a person to read.

    Raises:
        SlipwayError: the template does not render, or something else stands in `destination`.

    """
    refuse_to_replace(destination)
    committed = not git(repository, "status", "--porcelain").strip()
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".demo-") as scratch:
        work = Path(scratch)
        # Only a rendering of a commit can be updated: Copier records which one it was.
        template = repository if committed else snapshot(repository, work / "template")
        service = render(template, work / "service", ANSWERS)
        commit(service)
        if destination.exists():
            destination.rename(work / "before")
        service.rename(destination)
    return next_steps(destination, committed=committed)


def refuse_to_replace(destination: Path) -> None:
    """Raise a SlipwayError unless the folder is free or holds a demo as it was rendered."""
    if not destination.exists():
        return
    marked = (destination / ".git").is_dir() and git(
        destination, "config", "--local", "--get", MARK, fine=(0, 1)
    ).strip()
    if not marked:
        raise SlipwayError(f"{destination} is not a demo: move it away and run make demo again")
    edited = git(destination, "status", "--porcelain").strip()
    if edited or git(destination, "rev-list", "--count", "HEAD").strip() != b"1":
        raise SlipwayError(
            f"{destination} holds your changes: move it away or delete it, and run make demo again"
        )


def commit(service: Path) -> None:
    """Put a rendered service under git, and mark it as a demo where only git looks."""
    git(service, "init", "--quiet", "--initial-branch", "main")
    git(service, "config", "--local", MARK, "true")
    git(service, "add", "--all")
    git(
        service, *AUTHOR, "-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null",
        "commit", "--quiet", "--message", f"Start {ANSWERS['service_name']}",
    )  # fmt: skip


def next_steps(destination: Path, *, committed: bool) -> str:
    """Return the commands that come next; the folder relative to where we are, if it can be."""
    try:
        folder = destination.relative_to(Path.cwd())
    except ValueError:
        folder = destination
    text = f"""\
{folder} is a Python service named {ANSWERS["service_name"]}. Next:

  cd {folder}
  make           # every command of the service
  make up        # build it and run it (needs Docker with Compose)
  make test      # lint, type-check and test it in its image
"""
    if not committed:
        text += (
            "\nThe template has uncommitted changes, so `copier update` will not work in there.\n"
        )
    return text
