"""Reading Markdown: what a document names, and whether it is there."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

FENCE = re.compile(r"(?ms)^```[a-z]*\n(.*?)^```$")
# What is no file of the repository or of a rendered service: made later, or a name with a slash.
NOT_FILES = re.compile(
    r"/|build/|\.tools/|\.local/|[a-z]+/(json|problem)$|[a-z0-9.-]+\.(io|com|org)/|.*://|v[0-9]"
    r"|\.slipway\.yaml$|slipway/update\.json$|upstream/tags/|runbooks/drills/$"
)
PATH = re.compile(
    r"\.?[\w.*\[\]{}-]+(/[\w.*\[\]{}-]+)+/?|\.?[\w-]+\.(md|yaml|yml|toml|lock|py|json)"
)


def outside_blocks(text: str) -> str:
    """Return a document without its code blocks."""
    return FENCE.sub("", text)


def links(text: str) -> list[str]:
    """Return where the links of a document go."""
    return re.findall(r"\]\(([^)\s]+)\)", outside_blocks(text))


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as the usual hosts make them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"(?m)^#+ (.+)$", outside_blocks(text))
    }


def broken_links(file: Path) -> list[str]:
    """Return the relative links of a document that lead nowhere."""
    text = file.read_text(encoding="utf-8")
    broken = []
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (file.parent / name) if name else file
        if not target.exists() or (
            anchor and anchor not in anchors(target.read_text(encoding="utf-8"))
        ):
            broken.append(link)
    return broken


def spans(text: str) -> list[str]:
    """Return what stands in backticks in a document's text."""
    return re.findall(r"`([^`\n]+)`", outside_blocks(text))


def named_files(text: str) -> Iterator[str]:
    """Give the files and folders that a document's text names; of a test, its file."""
    for span in spans(text):
        name = span.split("::")[0]
        if PATH.fullmatch(name) and not NOT_FILES.match(name):
            yield name


def missing_files(text: str, there: set[str]) -> list[str]:
    """Return the named files that are neither paths nor folders among those that are there.

    Args:
        text: a document.
        there: files, as paths with slashes from a root. A name may be the end of one, as the name
            of a file in a folder that the text spoke of before.

    Returns:
        The names, with `*` and words in capitals standing for anything.

    """
    folders = {str(parent) for file in there for parent in Path(file).parents}
    known = [f"/{entry}" for entry in there | folders]
    missing = []
    for name in named_files(text):
        pattern = re.sub(r"\b[A-Z]{4,}\b", "*", name.rstrip("/")) if "/" in name else name
        pattern = pattern.replace("[", "[[]")
        if not any(fnmatchcase(entry, f"*/{pattern}") for entry in known):
            missing.append(name)
    return missing


def missing_tests(text: str, root: Path) -> list[str]:
    """Return the tests that a document names, as FILE::TEST, and that do not exist."""
    missing = []
    for span in spans(text):
        name, separator, test = span.partition("::")
        if separator and not (
            (root / name).is_file()
            and re.search(rf"(?m)^(async )?def {test}\(", (root / name).read_text(encoding="utf-8"))
        ):
            missing.append(span)
    return missing


def make_targets(text: str) -> set[str]:
    """Return what a document tells to make."""
    code = "\n".join([*FENCE.findall(text), *spans(text)])
    return set(re.findall(r"(?m)(?:^|\$ |&& )make ([a-z][a-z-]*)", code))


def targets_of(makefile: str) -> set[str]:
    """Return the targets of a Makefile that its help lists."""
    return set(re.findall(r"(?m)^([a-z-]+):.*## ", makefile))
