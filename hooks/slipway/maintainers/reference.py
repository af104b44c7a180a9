"""`make docs`: the reference pages that are written from the template itself."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import typer
import typer.core
import typer.main
import yaml

from slipway.answers import ANSWERS_FILE
from slipway.cli import app
from slipway.errors import SlipwayError
from slipway.gates import GATES
from slipway.maintainers.answer_sets import EVERYTHING, Answers
from slipway.maintainers.purposes import PURPOSES
from slipway.ownership import owners
from slipway.rendering import render, snapshot
from slipway.source import questions

FOLDER = Path("docs", "reference")
EXAMPLE: Answers = {"service_name": "signups"}
# An answer of each type that no validator takes.
REFUSED: Mapping[str, object] = {"str": "\n", "int": 0, "float": 0.0, "yaml": "x"}
TYPES: Mapping[type, str] = {
    str: "text",
    bool: "yes or no",
    int: "whole number",
    float: "number",
    list: "list",
    dict: "mapping",
}


def write(repository: Path) -> list[Path]:
    """Write every generated page; return those that were not current."""
    changed = []
    for path, text in pages(repository).items():
        page = repository / path
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
            changed.append(page)
    return changed


def refuse_stale(repository: Path) -> None:
    """Raise a SlipwayError that names the generated pages which are not current."""
    stale = [
        str(path)
        for path, text in pages(repository).items()
        if not (repository / path).is_file()
        or (repository / path).read_text(encoding="utf-8") != text
    ]
    if stale:
        raise SlipwayError(f"{', '.join(stale)}: not current, run make docs")


def pages(repository: Path) -> dict[Path, str]:
    """Return the text of every generated page by its path in the repository."""
    with tempfile.TemporaryDirectory(prefix="slipway-") as scratch:
        template = snapshot(repository, Path(scratch, "template"))
        settings = yaml.safe_load((template / "copier.yml").read_text(encoding="utf-8"))
        return {
            FOLDER / "questions.md": questions_page(template, settings, Path(scratch, "example")),
            FOLDER / "commands.md": commands_page(),
            FOLDER / "gates.md": gates_page(),
            FOLDER / "files.md": files_page(template, settings, Path(scratch, "services")),
        }


# COMMANDS -------------------------------------------------------------------


def commands_page() -> str:
    """Return the page of the command `slipway`, from the command line itself."""
    lines = [
        "# Commands",
        "",
        "Written by `make docs` from the command line of `slipway`. It needs Python 3.11, git 2.38",
        "and nothing installed before: `uvx --from git+URL slipway ...`, with the template's",
        "address as URL. `slipway` writes no commit; what it changes is staged.",
        "",
        "| exit code | means |",
        "|---|---|",
        "| 0 | fine |",
        "| 1 | found something: a conflict, a difference, a gate that fails |",
        "| 2 | could not run; one line on standard error says why, and nothing is changed |",
        "",
        "On a terminal the commands print tables and colours, elsewhere plain lines; with `--json`",
        "one JSON object.",
        "",
        "What a service's own `make` does with a cluster is in",
        "[What the cluster must have](platform.md#the-commands).",
    ]
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)  # noqa: S101 - an app of several commands
    for name, command in sorted(group.commands.items()):
        lines += ["", f"## `slipway {name}`", "", str(command.help), ""]
        for parameter in command.params:
            described = parameter.get_help_record(typer.Context(command))
            if described is not None and parameter.name != "help":
                shown, text = described
                shown = shown.removesuffix(" <path>")
                lines.append(f"- `{shown.strip()}`: {re.sub(r'  .*$', '', text)}")
    return "\n".join([*lines, ""])


# QUESTIONS ------------------------------------------------------------------


def questions_page(template: Path, settings: Mapping[str, Any], scratch: Path) -> str:
    """Return the page of questions.

    Args:
        template: the template's folder.
        settings: the content of its `copier.yml`.
        scratch: a folder to render into.

    Returns:
        Markdown.

    """
    answers = recorded(render(template, scratch / "example", EXAMPLE))
    service: list[str] = []
    platform: list[str] = []
    for name, question in questions(settings).items():
        lines = ["", f"### `{name}`", "", question["help"].replace("<", r"\<") + ".", ""]
        lines += [f"- Type: {TYPES[type(answers[name])]}"]
        lines += [f"- Default: {default(name, question, answers)}"]
        if "choices" in question:
            lines += ["- Choices:", *(f"  - {line}" for line in choices(question["choices"]))]
        elif "validator" in question:
            accepted = what_is_accepted(template, name, question, scratch / "refused")
            lines += [f"- Accepted: {accepted}"]
        (platform if "ask" in question else service).extend(lines)
    return "\n".join(
        [
            "# Questions",
            "",
            "Written by `make docs` from `copier.yml`. Every answer is recorded in",
            f"`{ANSWERS_FILE}` of the service; `copier copy --data NAME=VALUE` and",
            "`copier update --data NAME=VALUE` answer a question without asking.",
            "",
            "## The service",
            *service,
            "",
            "## The platform's settings",
            "",
            "Asked only when `platform_settings` is yes, recorded always. An organisation's fork",
            "sets its defaults here, once.",
            *platform,
            "",
        ]
    )


def default(name: str, question: Mapping[str, Any], answers: Mapping[str, Any]) -> str:
    """Return a question's default in words; computed ones as they come out for the example."""
    if "default" not in question:
        return "none, an answer is required"
    value = answers[name]
    text = "empty" if value == "" else f"`{plain(value)}`"
    if "[[" in str(question["default"]):
        text += ", from earlier answers (here for a service named `signups`)"
    return text


def plain(value: object) -> str:
    """Return a value as a person writes it in an answer."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return yaml.safe_dump(value, default_flow_style=True, width=1000).strip().removesuffix("\n...")


def choices(offered: Mapping[str, object] | Sequence[object]) -> Iterator[str]:
    """Give a line of Markdown for each choice of a question."""
    if isinstance(offered, Mapping):
        for label, value in offered.items():
            yield f"`{plain(value)}`: {label}"
    else:
        for value in offered:
            yield f"`{plain(value)}`"


def what_is_accepted(template: Path, name: str, question: Mapping[str, Any], scratch: Path) -> str:
    """Return what a question accepts, in the words with which it refuses an answer.

    Raises:
        SlipwayError: the question took an answer that none should take.

    """
    bad = REFUSED[question["type"]]
    try:
        render(template, scratch, {**EXAMPLE, name: bad})
    except SlipwayError as refusal:
        found = re.search(r" is not (.*)", str(refusal))
        if found and f"'{name}'" in str(refusal):
            return found[1]
        raise
    raise SlipwayError(f"copier.yml: {name} accepts {json.dumps(bad)}")


# GATES ----------------------------------------------------------------------


def gates_page() -> str:
    """Return the page of quality gates, from the gates themselves."""
    return "\n".join(
        [
            "# Quality gates",
            "",
            "Written by `make docs` from `hooks/slipway/gates`. In a service, `make gates` checks",
            "the files with `slipway gates`, starts the production image with its stores and waits",
            "until its own health check passes.",
            "",
            "Every finding is one line: file, line, gate, what is wrong, what to do. Secrets are",
            "not repeated. Read are the files that git tracks or would add; outside of a",
            "repository, all but what the service's `.gitignore` names. An environment is read",
            "as Kustomize builds it: resources, components, patches and images.",
            "",
            "| gate | what holds | what is read | what to do about a finding |",
            "|---|---|---|---|",
            *(f"| `{one.id}` | {one.title} | {one.reads} | {one.remedy} |" for one in GATES),
            "",
            "Not seen by files alone, and no gate yet: whether an alert arrives, a panel has data,",
            "and whether another service uses the same database.",
            "",
        ]
    )


# FILES ----------------------------------------------------------------------


def files_page(template: Path, settings: Mapping[str, Any], scratch: Path) -> str:
    """Return the page of rendered files.

    Args:
        template: the template's folder.
        settings: the content of its `copier.yml`.
        scratch: a folder to render into.

    Returns:
        Markdown.

    Raises:
        SlipwayError: a file has no purpose, or a purpose has no file.

    """
    owner = owners(settings)
    conditions = files(template, settings, scratch)
    purposes = {path: purpose(path) for path in sorted(conditions, key=folders_last)}
    if unused := set(PURPOSES) - set(purposes.values()):
        raise SlipwayError(
            f"hooks/slipway/maintainers/purposes.py: no file matches {', '.join(sorted(unused))}"
        )
    rows = [
        f"| `{path}` | {owner(path).value} | {conditions[path]} | {PURPOSES[pattern]} |"
        for path, pattern in purposes.items()
    ]
    return "\n".join(
        [
            "# Files",
            "",
            "Written by `make docs` from the template and the lists in `copier.yml`.",
            "",
            "| owner | what an update does |",
            "|---|---|",
            "| template | rewrites it and merges the service's edits |",
            "| service, seeded at copy | nothing: the starter is there for the first day |",
            "| service, seeded when missing | writes it when it is not there, as for a new"
            " environment; else nothing |",
            "",
            "A file that is not listed belongs to the service.",
            "",
            "| file | owner | only with | what it is |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def folders_last(path: str) -> tuple[int, str]:
    """Return the key that sorts a folder's own files before its folders."""
    return ("/" in path, path)


def purpose(path: str) -> str:
    """Return the pattern in PURPOSES that covers a file; a SlipwayError when none does."""
    for pattern in PURPOSES:
        if fnmatchcase(path, pattern):
            return pattern
    raise SlipwayError(f"{path}: say what it is for in hooks/slipway/maintainers/purposes.py")


def files(template: Path, settings: Mapping[str, Any], scratch: Path) -> dict[str, str]:
    """Return every file that the template can render, and the answers that it takes.

    One service has everything; from it each choice is changed alone, and what comes or goes
    with the choice depends on it.

    Args:
        template: the template's folder.
        settings: the content of its `copier.yml`.
        scratch: a folder to render into.

    Returns:
        Conditions such as `datastore: postgres` by path; empty when the file is always there.

    """
    asked = questions(settings)
    stacks = options(asked["stack"])
    switches = {
        name: values
        for name in asked
        if name not in ("stack", "platform_settings") and len(values := options(asked[name])) > 1
    }
    # By file: the answers to each question with which it is there.
    there: dict[str, dict[str, set[object]]] = {}
    for stack in stacks:
        service = scratch / str(stack)
        base = {**EVERYTHING, "stack": stack}
        found = rendered(template, base, service)
        answers = recorded(service)
        for name, values in switches.items():
            for value in values:
                changed = {**base, name: value}
                paths = (
                    found
                    if value == answers[name]
                    else rendered(template, changed, scratch / f"{stack}-{name}-{value}")
                )
                for path in paths:
                    there.setdefault(path, {}).setdefault(name, set()).add(value)
                    there[path].setdefault("stack", set()).add(stack)
    switches = {"stack": stacks, **switches}
    return {
        path: ", ".join(
            f"`{name}: {plain(value)}`"
            for name, values in switches.items()
            for value in values
            if value in with_answers.get(name, ()) and len(with_answers[name]) < len(values)
        )
        for path, with_answers in there.items()
    }


def recorded(service: Path) -> dict[str, Any]:
    """Return the answers that a service records."""
    answers: dict[str, Any] = yaml.safe_load((service / ANSWERS_FILE).read_text(encoding="utf-8"))
    return answers


def options(question: Mapping[str, Any]) -> list[object]:
    """Return the values of a choice in words or of a yes-or-no question, else nothing."""
    if question["type"] == "bool":
        return [True, False]
    if question["type"] != "str" or "choices" not in question:
        return []
    offered = question["choices"]
    return list(offered.values() if isinstance(offered, dict) else offered)


def rendered(template: Path, answers: Answers, scratch: Path) -> set[str]:
    """Return the files of one service; every environment's folder under the name of one."""
    render(template, scratch, answers)
    return {
        re.sub(
            r"^(deploy/environments)/[^/]+/",
            r"\1/ENVIRONMENT/",
            path.relative_to(scratch).as_posix(),
        )
        for path in scratch.rglob("*")
        if path.is_file()
    }
