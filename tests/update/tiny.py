"""A template of a few small files, with two releases, and a service made from it.

Most of what an update promises does not depend on what a template holds; these render at once.
"""

import io
import os
import shutil
import stat
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

from slipway.cli import main

from tests.services import once
from tests.update.project import IDENTITY, NEW, OLD, Project, Template, commit, git

INTERVIEW = """\
_subdirectory: template
_templates_suffix: .jinja
_answers_file: .copier-answers.yml
_preserve_symlinks: true
_envops:
  block_start_string: "[%"
  block_end_string: "%]"
  variable_start_string: "[["
  variable_end_string: "]]"
  keep_trailing_newline: true
  undefined: jinja2.StrictUndefined
_skip_if_exists:
  - /README.md
  - /src/**
  - /seeds/**
_exclude:
  - "[% if _copier_operation == 'update' %]/README.md[% endif %]"
  - "[% if _copier_operation == 'update' %]/src/**[% endif %]"

service_name:
  type: str
  help: Name of the service
  validator: "[% if not service_name.isalpha() %][[ service_name ]] is not a name[% endif %]"

colour:
  type: str
  help: Colour of the service
  choices: [red, green, blue]
  default: red
"""

ANSWERS = """\
# Changes here will be overwritten by Copier
[[ _copier_answers | to_nice_yaml -]]
"""

# In the middle, so that what a service writes at either end merges.
LINES = "".join(f"line {number}\n" for number in range(1, 21))
MIDDLE = ("line 10\n", "line 10 of the new release\n")

FILES: Mapping[str, str] = {
    "[[ _copier_conf.answers_file ]].jinja": ANSWERS,
    "Makefile.jinja": f"# [[ service_name ]] is [[ colour ]]\n{LINES}",
    "README.md.jinja": "# [[ service_name ]]\n",
    "src/app.txt": "The service's own code.\n",
    "seeds/first.txt": "A seed.\n",
    ".gitignore": ".env\nnode_modules/\n",
    "settings/[[ colour ]].txt.jinja": "[[ colour ]]\n",
    "settings/plain.txt": LINES,
    "settings/before.txt": f"has another name in the next release\n{LINES}",
    "settings/quiet.txt": "never changes\n",
    "dropped.txt": "goes in the next release\n",
    "folder/file.txt": "becomes a file of the folder's name\n",
    "thing": "becomes a folder of the file's name\n",
    "run.sh": "#!/bin/sh\necho run\n",
    "later.sh": "#!/bin/sh\necho executable in the next release\n",
}
EXECUTABLE = ("run.sh",)

UPGRADING = f"""\
# Upgrading

## {NEW[1:]} - 2026-01-01

Restart the service.

## {OLD[1:]}

The first version.
"""


def make_template(folder: Path, change: Callable[[Path], object] = lambda _: None) -> None:
    """Make the repository of the template, with its first release."""
    inside = folder / "template"
    for path, text in FILES.items():
        (inside / path).parent.mkdir(parents=True, exist_ok=True)
        (inside / path).write_text(text)
    for path in EXECUTABLE:
        (inside / path).chmod(0o755)
    (inside / "link.txt").symlink_to("settings/quiet.txt")
    (folder / "copier.yml").write_text(INTERVIEW)
    change(folder)
    commit(folder, f"Release {OLD}", tag=OLD)


def next_release_for_copier(folder: Path) -> None:
    """Change the template in every way that `copier update` can follow, too."""
    inside = folder / "template"
    for name in ("Makefile.jinja", "settings/plain.txt"):
        replace(inside / name, *MIDDLE)
    (inside / "settings/before.txt").rename(inside / "settings/after.txt")
    (inside / "dropped.txt").unlink()
    (inside / "later.sh").chmod(0o755)
    (inside / "link.txt").unlink()
    (inside / "link.txt").symlink_to("settings/plain.txt")
    (inside / "added").mkdir()
    (inside / "added/new.txt").write_text("new\n")
    (inside / "README.md.jinja").write_text("# [[ service_name ]], otherwise\n")
    (folder / "UPGRADING.md").write_text(UPGRADING)
    with (folder / "copier.yml").open("a") as file:
        file.write(
            "\nsize:\n  type: str\n  help: Size of the service\n  default: small\n"
            "\nsecret:\n  type: str\n  help: For the platform\n  default: none\n"
            '  ask: "[[ false ]]"\n'
        )


def next_release(folder: Path) -> None:
    """Change the template in every way that a release may, and in one that Copier cannot follow."""
    next_release_for_copier(folder)
    inside = folder / "template"
    shutil.rmtree(inside / "folder")
    (inside / "folder").write_text("was a folder\n")
    (inside / "thing").unlink()
    (inside / "thing").mkdir()
    (inside / "thing/inside.txt").write_text("was a file\n")


@dataclass(frozen=True)
class Tiny:
    """The template with both releases, and a service of the first in its first commit."""

    template: Template
    service: Project

    def clone(self, folder: Path) -> Project:
        """Return a service of one's own; the template stays where it is."""
        shutil.copytree(self.service.folder, folder, symlinks=True)
        return Project(folder)


def tiny(shared: Path) -> Tiny:
    """Return the two, made once for all tests of a run."""

    def both(folder: Path) -> None:
        make_template(folder)
        Template(folder).release(next_release)

    template = Template(once(shared / "tiny-template", both))

    def start(folder: Path) -> None:
        Project(folder).copy(template, {}).commit("Start")

    return Tiny(template, Project(once(shared / "tiny-service", start)))


def replace(file: Path, old: str, new: str) -> None:
    """Replace a text that stands in a file."""
    text = file.read_text()
    assert old in text, f"{file.name} no longer holds {old!r}"
    file.write_text(text.replace(old, new, 1))


@dataclass(frozen=True)
class Ran:
    """What a command left behind: its exit code and what it wrote."""

    code: int
    out: str
    err: str


def slipway(
    *arguments: str | Path,
    fine: tuple[int, ...] = (0,),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Ran:
    """Run the command in this process, without a terminal: importing Copier takes longest."""
    out, err, argv = io.StringIO(), io.StringIO(), ["slipway", *map(str, arguments)]
    with (
        patch.dict(os.environ, {**IDENTITY, **environment}),
        patch.object(sys, "argv", argv),
        patch.object(sys, "stdin", io.StringIO()),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    ran = Ran(code, out.getvalue(), err.getvalue())
    assert code in fine, f"{' '.join(argv)}: exit code {code}: {ran.err or ran.out}"
    return ran


def worktree(folder: Path) -> dict[str, tuple[str, bool, bytes]]:
    """Return all that is in a folder, git's own aside: kind, executable bit and content."""
    return {
        path.relative_to(folder).as_posix(): fact(path)
        for path in sorted(folder.rglob("*"))
        if ".git" not in path.relative_to(folder).parts
    }


def fact(path: Path) -> tuple[str, bool, bytes]:
    """Return what a path is."""
    if path.is_symlink():
        return "link", False, os.fsencode(path.readlink())
    if path.is_dir():
        return "folder", False, b""
    return "file", bool(path.stat().st_mode & stat.S_IXUSR), path.read_bytes()


def state(folder: Path) -> dict[str, Any]:
    """Return worktree, index and references of a repository."""
    asked = {
        "index": ("ls-files", "--stage", "-z"),
        "status": ("--no-optional-locks", "status", "--porcelain", "-z", "--ignored"),
        "references": ("for-each-ref",),
        "head": ("rev-parse", "HEAD"),
        "branch": ("rev-parse", "--symbolic-full-name", "HEAD"),
    }
    return {
        "worktree": worktree(folder),
        **{name: git(folder, *arguments) for name, arguments in asked.items()},
    }


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return in which words two states differ, short enough to be read."""
    files = {*one["worktree"], *other["worktree"]}
    found = [
        path for path in sorted(files) if one["worktree"].get(path) != other["worktree"].get(path)
    ]
    return found + [name for name in one if name != "worktree" and one[name] != other[name]]


def refused(ran: Ran, reason: str) -> None:
    """Check that a command said in one line why it could not run."""
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("slipway: ")
    assert ran.err.endswith("\n")
    assert len(ran.err.splitlines()) == 1
    assert reason in ran.err, ran.err
