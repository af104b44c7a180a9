"""A service's repository: what must be so before anything is done to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slipway.answers import ANSWERS_FILE
from slipway.errors import SlipwayError
from slipway.git import git
from slipway.trees import git_path

# What git keeps while something is under way, and what it is called.
UNDER_WAY = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
}


@dataclass(frozen=True)
class Service:
    """A service in its repository.

    Attributes:
        folder: where the service's answers file stands.
        top: the worktree's top folder; the service may be a folder of a larger repository.
        prefix: the way from `top` to `folder`, with a slash at its end, or empty.
        head: the commit that is checked out.

    """

    folder: Path
    top: Path
    prefix: str
    head: str

    @property
    def tree(self) -> str:
        """What git calls the service's committed files."""
        return f"{self.head}:{self.prefix}"


def open_service(folder: Path) -> Service:
    """Find the repository of a service.

    Args:
        folder: the service's folder.

    Raises:
        SlipwayError: it is not in a repository, or nothing is committed there.

    """
    if not folder.is_dir():
        raise SlipwayError(f"{folder} is not a folder")
    try:
        said = git(folder, "rev-parse", "--show-toplevel", "--show-prefix").decode()
    except SlipwayError as error:
        place = folder.resolve()
        if any((above / ".git").exists() for above in (place, *place.parents)):
            raise
        raise SlipwayError(
            f"{place} is not in a git repository: git init, and commit everything"
        ) from error
    top, prefix = said.split("\n")[:2]
    head = git(folder, "rev-parse", "--quiet", "--verify", "HEAD^{commit}", fine=(0, 1, 128))
    if not head.strip():
        raise SlipwayError(f"{folder.resolve()} has no commit yet: commit everything first")
    return Service(folder.resolve(), Path(top), prefix, head.decode().strip())


def refuse_unfinished(service: Service) -> None:
    """Raise a SlipwayError while git itself has something under way."""
    for name, called in UNDER_WAY.items():
        if git_path(service.top, name).exists():
            raise SlipwayError(f"a {called} is under way: finish it or give it up first")
    if git(service.top, "ls-files", "--unmerged"):
        raise SlipwayError("files are in conflict: resolve them and commit first")


def committed_answers(service: Service) -> bytes:
    """Return the answers file as it is committed.

    Raises:
        SlipwayError: there is none, or it is being edited.

    """
    if not git(service.top, "ls-tree", service.head, f"{service.prefix}{ANSWERS_FILE}"):
        raise SlipwayError(
            f"{service.folder} is no service of a template: no {ANSWERS_FILE} is committed there"
        )
    if changed_files(service, f"{service.prefix}{ANSWERS_FILE}"):
        raise SlipwayError(
            f"{ANSWERS_FILE} has changes that are not committed: git restore it; "
            "slipway update --data name=value changes an answer"
        )
    return git(service.top, "show", f"{service.head}:{service.prefix}{ANSWERS_FILE}")


def changed_files(service: Service, *paths: str) -> set[str]:
    """Return which tracked files differ from the commit, staged or not, as paths from the top."""
    listed = git(
        service.top,
        *("--no-optional-locks", "status", "--porcelain", "-z", "--no-renames"),
        *("--untracked-files=no", "--", *(paths or (".",))),
    )
    return {line[3:] for line in listed.decode(errors="surrogateescape").split("\0") if line}
