"""A template with versions and a service made from it, as people have them: git repositories."""

import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from copier import run_copy, run_update
from copier.errors import MissingFileWarning
from pathspec import PathSpec

from tests.product import Interview, files, read_interview
from tests.services import SMALLEST

OLD, NEW = "v1.0.0", "v1.1.0"

# Whatever git's settings of the machine say.
IDENTITY = {
    **{f"GIT_{role}_NAME": "Test" for role in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{role}_EMAIL": "test@example.com" for role in ("AUTHOR", "COMMITTER")},
}

UNSIGNED = ("-c", "commit.gpgSign=false", "-c", "tag.gpgSign=false")


def git(folder: Path, *arguments: str) -> str:
    """Run git and return what it printed."""
    done = subprocess.run(
        [
            "git",
            "-C",
            str(folder),
            "-c",
            "commit.gpgSign=false",
            "-c",
            "tag.gpgSign=false",
            *arguments,
        ],
        env={**os.environ, **IDENTITY},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def commit(folder: Path, message: str, *, tag: str = "") -> None:
    """Commit everything in a folder, which becomes a repository if it is none."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    if tag:
        git(folder, "tag", "--annotate", "--message", message, tag)


class Template:
    """A repository of the template with tagged versions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def clone(self, folder: Path) -> "Template":
        """Return a copy of one's own."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Template(folder)

    def release(self, change: Callable[[Path], None], *, tag: str = NEW) -> "Template":
        """Change the files and tag the result."""
        change(self.folder)
        commit(self.folder, f"Release {tag}", tag=tag)
        return self

    @property
    def interview(self) -> Interview:
        return read_interview(self.folder / "copier.yml")


class Project:
    """A service's repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def copy(self, template: Template, answers: Mapping[str, Any], *, ref: str = OLD) -> "Project":
        """Render the service here, over what is here, and commit it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MissingFileWarning)
            run_copy(
                str(template.folder),
                self.folder,
                data={**SMALLEST, **answers},
                defaults=True,
                overwrite=True,
                quiet=True,
                vcs_ref=ref,
            )
        return self

    def update(self, *, ref: str = OLD, **answers: Any) -> "Project":
        """Run `copier update --defaults --data …`, without --trust."""
        with warnings.catch_warnings():
            # From the two renders that are compared: they have no answers, on purpose.
            warnings.simplefilter("ignore", MissingFileWarning)
            run_update(
                self.folder, data=answers, defaults=True, overwrite=True, quiet=True, vcs_ref=ref
            )
        return self

    def commit(self, message: str = "Work on the service") -> "Project":
        commit(self.folder, message)
        return self

    def clone(self, folder: Path) -> "Project":
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def read(self, path: str) -> str:
        return (self.folder / path).read_text()

    def files(self) -> dict[str, bytes]:
        return files(self.folder)

    def changed(self) -> list[str]:
        """Return what git sees as changed, new or gone."""
        return git(self.folder, "status", "--porcelain", "--untracked-files=all").splitlines()

    def conflicts(self) -> list[str]:
        """Return the files that a merge left undecided."""
        unmerged = git(self.folder, "diff", "--name-only", "--diff-filter=U").splitlines()
        rejected = [path for path in self.files() if path.endswith((".rej", ".orig"))]
        marked = [path for path, text in self.files().items() if b"\n>>>>>>> after" in text]
        return sorted({*unmerged, *rejected, *marked})

    def edit(self, paths: Sequence[str]) -> "Project":
        """Let the service's owner write a line into each file, and commit."""
        for path in paths:
            file = self.folder / path
            file.write_text(f"{file.read_text()}# the service's own line in {path}\n")
        return self.commit()


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Return whether a path is in a list of Copier's patterns."""
    return PathSpec.from_lines("gitignore", patterns).match_file


def owned(interview: Interview, paths: Sequence[str] | Mapping[str, object]) -> list[str]:
    """Return the files that belong to the service."""
    return sorted(filter(matcher(interview.settings["_skip_if_exists"]), paths))


def lost(
    interview: Interview, before: Mapping[str, bytes], after: Mapping[str, bytes]
) -> list[str]:
    """Return the files of the service that an update has deleted or changed."""
    return [
        f"{path}: {'changed' if path in after else 'deleted'}"
        for path in owned(interview, before)
        if after.get(path) != before[path]
    ]
