"""Folders as git trees, in a store that knows the service's objects and nothing of its settings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.git import git

OLDEST_GIT = (2, 38)
# What stands for no object, by the kind of names a repository has.
NOTHING = {"sha1": "0" * 40, "sha256": "0" * 64}


@dataclass(frozen=True)
class Entry:
    """One file of a tree.

    Attributes:
        mode: as git writes it, such as 100644.
        content: the object's name.

    """

    mode: str
    content: str


Tree = Mapping[str, Entry]
"""Files by their path, with slashes, below the folder that the tree stands for."""


class Store:
    """A scratch repository whose objects go where the caller wants them."""

    def __init__(self, folder: Path, service: Path, *, keep: bool) -> None:
        """Make the store.

        Args:
            folder: an empty folder for the scratch repository.
            service: a repository whose objects can be read.
            keep: whether objects go into the service's repository and outlive this store.

        Raises:
            SlipwayError: git is older than 2.38, which cannot merge without a worktree.

        """
        refuse_old_git(service)
        objects = git_path(service, "objects")
        kind = git(service, "rev-parse", "--show-object-format").decode().strip()
        git(folder, "init", "--quiet", "--bare", "--template=", f"--object-format={kind}", ".")
        self.folder = folder
        self.nothing = NOTHING[kind]
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "GIT_DIR": str(folder),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Slipway", "GIT_AUTHOR_EMAIL": "slipway@example.com",
            "GIT_COMMITTER_NAME": "Slipway", "GIT_COMMITTER_EMAIL": "slipway@example.com",
        }  # fmt: skip
        if keep:
            self.environment["GIT_OBJECT_DIRECTORY"] = str(objects)
        else:
            self.environment["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = str(objects)

    def git(
        self,
        *arguments: str,
        stdin: bytes = b"",
        fine: tuple[int, ...] = (0,),
        index: str = "index",
        worktree: Path | None = None,
    ) -> bytes:
        """Run git on the store and return what it prints."""
        environment = {**self.environment, "GIT_INDEX_FILE": str(self.folder / index)}
        if worktree is not None:
            environment["GIT_WORK_TREE"] = str(worktree)
        return git(
            worktree or self.folder, *arguments, fine=fine, stdin=stdin, environment=environment
        )

    def add_folder(self, folder: Path) -> dict[str, Entry]:
        """Store every file of a folder, ignored ones included, byte by byte."""
        index = f"index-{folder.name}"
        self.git("add", "--all", "--force", ".", index=index, worktree=folder)
        listed = self.git("ls-files", "--stage", "-z", index=index)
        return dict(parse_entry(line) for line in split(listed))

    def read(self, tree: str) -> dict[str, Entry]:
        """Return the files of a tree that git knows by this name; submodules among them."""
        listed = self.git("ls-tree", "-r", "-z", "--full-tree", tree)
        files = {}
        for line in split(listed):
            facts, path = line.split("\t", 1)
            mode, _, content = facts.split(" ")
            files[path] = Entry(mode, content)
        return files

    def write(self, tree: Tree) -> str:
        """Store a tree and return its name."""
        index = self.folder / "index-write"
        index.unlink(missing_ok=True)
        self.git("update-index", "-z", "--index-info", stdin=index_info(tree), index=index.name)
        return self.git("write-tree", "--missing-ok", index=index.name).decode().strip()

    def commit(self, tree: Tree, *parents: str, branch: str) -> str:
        """Store a commit of a tree under a branch's name, which conflict markers then show."""
        options = [part for parent in parents for part in ("-p", parent)]
        made = self.git("commit-tree", self.write(tree), "-m", branch, *options)
        commit = made.decode().strip()
        self.git("update-ref", f"refs/heads/{branch}", commit)
        return commit

    def contents(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return the content of objects by their names."""
        wanted = list(dict.fromkeys(names))
        if not wanted:
            return {}
        data = self.git("cat-file", "--batch", stdin="\n".join(wanted).encode() + b"\n")
        found, position = {}, 0
        for name in wanted:
            end = data.index(b"\n", position)
            header = data[position:end].split()
            if header[-1] == b"missing":
                raise SlipwayError(f"the repository lacks the object {name}: run git fsck")
            size = int(header[2])
            found[name] = data[end + 1 : end + 1 + size]
            position = end + 2 + size
        return found

    def add(self, content: bytes) -> str:
        """Store a file's content and return its name."""
        made = self.git("hash-object", "-w", "--stdin", "--no-filters", stdin=content)
        return made.decode().strip()

    def hash_files(self, folder: Path, paths: Iterable[str]) -> list[str]:
        """Store files of the service's worktree as git would commit them; their names in order."""
        listed = "".join(f"{path}\n" for path in paths).encode(errors="surrogateescape")
        environment = {**os.environ, "GIT_OBJECT_DIRECTORY": str(self.folder / "objects")}
        names = git(
            folder, "hash-object", "-w", "--stdin-paths", stdin=listed, environment=environment
        )
        return names.decode().split()

    def renames(self, before: str, after: str) -> dict[str, str]:
        """Return which files of a commit have another name in a second one, old to new."""
        listed = self.git(
            "diff-tree", "-r", "-z", "--find-renames=50%", "-l0", "--no-rename-empty",
            "--diff-filter=R",
            "--name-status", before, after,
        )  # fmt: skip
        parts = split(listed)
        return {parts[i + 1]: parts[i + 2] for i in range(0, len(parts), 3)}

    def patch(self, before: Tree, after: Tree) -> str:
        """Return the difference of two trees as git prints it."""
        done = self.git(
            "-c", "core.quotePath=false", "diff-tree", "-r", "-p", "--find-renames",
            "--no-color", self.write(before), self.write(after),
        )  # fmt: skip
        return done.decode(errors="replace")


def refuse_old_git(folder: Path) -> None:
    """Raise a SlipwayError unless git can merge trees."""
    said = git(folder, "version").decode().split()
    version = said[2] if len(said) > 2 else "0"
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST_GIT:
        raise SlipwayError(f"git {version} is too old: install git 2.38 or newer")


def git_path(repository: Path, name: str) -> Path:
    """Return where git keeps something of a repository, of the worktree where it differs."""
    said = git(repository, "rev-parse", "--git-path", name).decode().rstrip("\n")
    return (repository / said).resolve()


def index_info(tree: Tree) -> bytes:
    """Return a tree as `git update-index -z --index-info` reads it."""
    return b"".join(
        f"{entry.mode} {entry.content} 0\t{path}\0".encode(errors="surrogateescape")
        for path, entry in tree.items()
    )


def split(listed: bytes) -> list[str]:
    """Return the parts of what git printed with -z."""
    return [part for part in listed.decode(errors="surrogateescape").split("\0") if part]


def parse_entry(line: str) -> tuple[str, Entry]:
    """Return path and entry of a line of `git ls-files --stage`."""
    facts, path = line.split("\t", 1)
    mode, content, _ = facts.split(" ")
    return path, Entry(mode, content)
