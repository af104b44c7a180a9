"""The shared part of the template knows no stack: what names one is listed, with the reason."""

import re
from pathlib import Path

from tests.product import interview
from tests.services import mutated

# What mentions a stack outside its room, and why it must.
KNOWN = {
    "copier.yml": "the question, the rooms, the manifests and the ownership of their files",
    "template/_partials/pins.yaml": "the versions of the bases",
}

# Run the template's own command and the script for alerts, whatever the stack.
NO_STACK = re.compile(r"(?m)^(?:uvx|interpreter) = .*$")

# Words of English and of Kubernetes too.
SPELLED = {
    "go": r"golang|go\.mod|go\.sum|go build",
    "node": r"nodejs|node\.js|node:[0-9]|package\.json|tsconfig",
}


def mentions(template: Path, stacks: list[str]) -> set[str]:
    """Return the files outside the rooms that name a stack or one of its tools."""
    named = [SPELLED.get(stack, stack) for stack in stacks]
    words = re.compile(rf"(?<![a-z])({'|'.join(named)}|uv|pnpm|pyproject)(?![a-z.])", re.I)
    files = [template / "copier.yml", *(template / "template").rglob("*")]
    shared = [
        file
        for file in files
        if file.is_file()
        and not any(f"[[{stack}]]" in file.parts for stack in stacks)
        and words.search(NO_STACK.sub("", file.read_text()))
    ]
    return {str(file.relative_to(template)) for file in shared}


def test_only_the_listed_files_name_a_stack(template: Path) -> None:
    stacks = [str(choice) for choice in interview().entries["stack"].choices]
    assert len(stacks) > 1
    assert mentions(template, stacks) == set(KNOWN)


def test_a_shared_file_that_names_a_stack_is_noticed(template: Path, tmp_path: Path) -> None:
    changes = {"template/Makefile.jinja": {"$(docker) build": "$(docker) build --python"}}
    spoilt = mutated(template, tmp_path / "template", changes)
    assert mentions(spoilt, ["python", "node", "go"]) == {*KNOWN, "template/Makefile.jinja"}
