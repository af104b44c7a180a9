"""Whoever owns a file by the lists of copier.yml keeps it through every update."""

import json
import re
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from tests.product import ROOT, Interview, files, interview, read_interview
from tests.services import Services
from tests.update.conftest import LARGEST
from tests.update.project import NEW, OLD, Project, Template, lost, matcher, owned

# -- the lists -------------------------------------------------------------------------------------


def seeded_at_copy(interview: Interview) -> list[str]:
    """Return the patterns that an update leaves out."""
    always = interview.excluded("copy")
    return [pattern for pattern in interview.excluded("update") if pattern not in always]


def disagreements(interview: Interview) -> list[str]:
    """Return where the two lists of copier.yml contradict each other."""
    kept = interview.settings["_skip_if_exists"]
    at_copy = seeded_at_copy(interview)
    compared = [
        pattern
        for pattern in interview.excluded("update", answered=False)
        if pattern not in interview.excluded("copy")
    ]
    problems = [
        f"{pattern}: put it into _skip_if_exists, too: a second copy overwrites it"
        for pattern in compared
        if pattern not in kept
    ]
    problems += [
        f"{pattern}: exclude it in updates, too: a changed answer deletes it"
        for pattern in kept
        if pattern not in compared
    ]
    in_order = [pattern for pattern in kept if pattern in at_copy]
    if not problems and in_order != at_copy:
        problems.append(f"the lists have two orders: {in_order} and {at_copy}")
    return problems


def test_the_two_lists_agree() -> None:
    assert disagreements(interview()) == []


@pytest.mark.parametrize("pattern", ["/old.yaml", "[% if stack == 'go' %]/old.yaml[% endif %]"])
def test_a_file_that_the_template_gave_up_is_nobody_s(tmp_path: Path, pattern: str) -> None:
    text = (ROOT / "copier.yml").read_text()
    retired = text.replace("\n  - /_partials\n", f'\n  - /_partials\n  - "{pattern}"\n')
    assert retired != text
    (tmp_path / "copier.yml").write_text(retired)

    assert disagreements(read_interview(tmp_path / "copier.yml")) == []


@pytest.mark.parametrize("pattern", interview().settings["_skip_if_exists"])
def test_a_pattern_that_stands_in_one_list_only_is_noticed(tmp_path: Path, pattern: str) -> None:
    """The negative control, for every entry and either list."""
    text = (ROOT / "copier.yml").read_text()
    spoilt = tmp_path / "copier.yml"
    quoted = re.escape(pattern)

    without_skip, number = re.subn(rf'\n  - "?{quoted}"?\n', "\n", text)
    assert number == 1
    spoilt.write_text(without_skip)
    assert any(line.startswith(f"{pattern}:") for line in disagreements(read_interview(spoilt)))

    without_exclude, number = re.subn(rf'\n  - "\[% if [^%]*%\]{quoted}\[% endif %\]"', "", text)
    assert number == 1
    spoilt.write_text(without_exclude)
    assert any(line.startswith(f"{pattern}:") for line in disagreements(read_interview(spoilt)))


def test_every_pattern_names_a_file_that_is_rendered(services: Services) -> None:
    stacks = interview().entries["stack"].choices
    paths = [path for stack in stacks for path in files(services({**LARGEST, "stack": stack}))]
    for pattern in interview().settings["_skip_if_exists"]:
        assert any(map(matcher([pattern.removeprefix("!")]), paths)), (
            f"{pattern}: no file has this name; remove it from copier.yml"
        )


def owners(paths: Mapping[str, object]) -> dict[str, str]:
    """Return who owns each file, in the words of the reference page."""
    at_copy = matcher(seeded_at_copy(interview()))
    own = owned(interview(), paths)
    return {
        path: "template"
        if path not in own
        else "service, seeded at copy"
        if at_copy(path)
        else "service, seeded when missing"
        for path in paths
    }


def test_the_reference_page_names_the_owners(services: Services) -> None:
    page = (ROOT / "docs/reference/files.md").read_text()
    told = dict(re.findall(r"^\| `([^`]+)` \| ([a-z, ]+) \|", page, re.MULTILINE))
    expected = {
        re.sub(r"^deploy/environments/[^/]+", "deploy/environments/ENVIRONMENT", path): owner
        for question in ("stack", "logs", "rollout", "secrets", "edge")
        for choice in interview().entries[question].choices
        for path, owner in owners(
            files(services({**LARGEST, "domain": "signups.example.com", question: choice}))
        ).items()
    }

    assert told == expected, "docs/reference/files.md is not current: run make docs"


def disabled(service: Path) -> list[dict[str, Any]]:
    """Return the rules by which a service's Renovate leaves files alone."""
    rules: list[dict[str, Any]] = json.loads((service / "renovate.json").read_text())[
        "packageRules"
    ]
    return [rule for rule in rules if rule.get("enabled") is False]


def test_renovate_leaves_the_versions_in_the_templates_files_to_the_template(
    services: Services,
) -> None:
    service = services({"datastore": "postgres", "cache": "redis"})
    paths = {p.relative_to(service).as_posix(): p for p in service.rglob("*") if p.is_file()}
    with_images = {
        path
        for path, file in paths.items()
        if re.search(r"^FROM |^ *image: .*/.*:", file.read_text(), re.MULTILINE)
        and owners(paths)[path] == "template"
    }
    [left] = [rule for rule in disabled(service) if "matchUpdateTypes" in rule]

    assert with_images
    for path in with_images:
        assert any(fnmatch(path, pattern) for pattern in left["matchFileNames"]), (
            f"add {path} to the files whose versions Renovate leaves alone"
        )
    for path, owner in owners(paths).items():
        if any(fnmatch(path, pattern) for pattern in left["matchFileNames"]):
            assert owner == "template", f"Renovate never updates {path}: it is the service's"
    assert "digest" not in left["matchUpdateTypes"]


def test_renovate_leaves_the_release_of_an_environment_to_deploy(services: Services) -> None:
    service = services({})
    releases = [p.relative_to(service).as_posix() for p in service.glob("deploy/*/*/release/*")]

    assert releases
    for path in releases:
        assert any(
            fnmatch(path, pattern)
            for rule in disabled(service)
            if "matchUpdateTypes" not in rule
            for pattern in rule["matchFileNames"]
        )


# -- what updates do -------------------------------------------------------------------------------


def another_stack(template: Path) -> None:
    """Add a second stack, as a later release does."""
    file = template / "copier.yml"
    text = file.read_text()
    other = "type: str, when: false, default: \"[% if stack == 'other' %].[% endif %]\""
    for old, new in {
        "    Python (FastAPI, uvicorn, uv): python\n": "    Python: python\n    Other: other\n",
        "{'python': 'pyproject.toml'": "{'other': 'other.toml', 'python': 'pyproject.toml'",
        "\npython: {": f"\nother: {{{other}}}\npython: {{",
    }.items():
        assert old in text, f"copier.yml no longer holds {old!r}: adapt this test"
        text = text.replace(old, new)
    file.write_text(text)
    room = template / "template" / "[[other]]"
    room.mkdir()
    (room / "Dockerfile").write_text("FROM scratch\n")
    (room / "other.toml").write_text('name = "app"\n')


CHANGED_ANSWERS: dict[str, dict[str, Any]] = {
    "starter given up": {"starter": False},
    "another stack": {"stack": "node"},
    "a third stack": {"stack": "go"},
    "environment removed": {"environments": ["dev", "production"]},
    "stores given up": {"datastore": "none", "cache": "none"},
    "flags given up": {"feature_flags": False},
    "everything at once": {
        **{"starter": False, "datastore": "none", "cache": "none", "feature_flags": False},
        "environments": ["qa"],
    },
}


@pytest.mark.parametrize("answers", CHANGED_ANSWERS.values(), ids=CHANGED_ANSWERS)
def test_a_changed_answer_takes_nothing_from_the_service(
    released: Template, project: Project, answers: dict[str, Any]
) -> None:
    before = project.files()

    project.update(**answers)

    assert lost(released.interview, before, project.files()) == []
    assert project.conflicts() == []
    assert project.files() != before, "the answers were changed, and nothing was rendered"


def test_another_stack_takes_nothing_from_the_service(
    own_template: Template, tmp_path: Path
) -> None:
    project = Project(tmp_path / "project").copy(own_template, {}).commit()
    project.edit(owned(own_template.interview, project.files()))
    before = project.files()
    own_template.release(another_stack)

    project.update(ref=NEW, stack="other")

    assert lost(own_template.interview, before, project.files()) == []
    assert project.read("Dockerfile") == "FROM scratch\n"
    assert not (project.folder / "pyproject.toml").exists()


def test_a_later_starter_does_not_come_over_existing_code(
    released: Template, tmp_path: Path
) -> None:
    project = Project(tmp_path / "project").copy(released, {"starter": False})
    (project.folder / "src/app/main.py").write_text("# the service's own code\n")
    (project.folder / "uv.lock").write_text("# the service's own lock\n")
    project.commit()
    before = project.files()

    project.update(starter=True)

    assert lost(released.interview, before, project.files()) == []
    assert set(project.files()) == set(before)


def rewrite_the_seeds(template: Path) -> None:
    """Change every seed, and one file of the template, and add a seed of each kind."""
    room = template / "template" / "[[python]]"
    for file in [
        *room.rglob("src/app/*.py"),
        *(template / "template").rglob("changes/*.jinja"),
        *(template / "template").rglob("flags.json.jinja"),
        *(template / "template").rglob("runbooks/notes.md.jinja"),
    ]:
        if file.name != "telemetry.py":
            file.write_text(f"# the next release\n{file.read_text()}")
    telemetry = room / "src/app/telemetry.py"
    telemetry.write_text(f"# the next release\n{telemetry.read_text()}")
    (room / "[% if starter %].[% endif %]" / "src/app/later.py").write_text("LATER = True\n")


def test_a_release_updates_the_telemetry_and_leaves_the_starter_alone(
    own_template: Template, tmp_path: Path
) -> None:
    project = Project(tmp_path / "project").copy(own_template, {}).commit()
    project.edit(["src/app/telemetry.py", "src/app/server.py", "README.md"])
    before = project.files()
    own_template.release(rewrite_the_seeds)

    project.update(ref=NEW)

    telemetry = project.read("src/app/telemetry.py")
    assert telemetry.startswith("# the next release\n")
    assert telemetry.endswith("# the service's own line in src/app/telemetry.py\n")
    assert project.conflicts() == []
    assert lost(own_template.interview, before, project.files()) == []
    assert set(project.files()) == set(before), "a seed of the next release came into old services"


def test_a_new_environment_gets_its_seeds_and_the_others_keep_theirs(
    released: Template, project: Project
) -> None:
    before = project.files()

    project.update(environments=["dev", "qa", "staging", "production"])

    seeded = {
        name: sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        for name in ("qa", "staging")
        if (folder := project.folder / "deploy/environments" / name)
    }
    assert seeded["qa"] == seeded["staging"]
    assert lost(released.interview, before, project.files()) == []
    assert "the service's own line" not in project.read(
        "deploy/environments/qa/changes/configuration.env"
    )


def test_a_seed_of_an_environment_that_was_deleted_comes_back_and_code_does_not(
    project: Project,
) -> None:
    seed = "deploy/environments/staging/changes/kustomization.yaml"
    code = "src/app/upstream.py"
    for path in (seed, code):
        (project.folder / path).unlink()
    project.commit()

    project.update()

    assert (project.folder / seed).exists()
    assert not (project.folder / code).exists()


# -- negative controls -----------------------------------------------------------------------------


def without(what: str) -> Any:
    """Return a change that takes one half of the ownership out of copier.yml."""

    def change(template: Path) -> None:
        file = template / "copier.yml"
        text, number = re.subn(what, "", file.read_text(), flags=re.MULTILINE)
        assert number, "copier.yml has changed: adapt this negative control"
        file.write_text(text)

    return change


@pytest.mark.parametrize(
    ("what", "answers", "loses"),
    [
        (
            r"^  - \"\[% if _copier_operation == 'update' %\].*\n",
            {"starter": False},
            "src/app/server.py: deleted",
        ),
        (
            r"^  - \"\[% if _copier_operation == 'update' and not .*\n",
            {"environments": ["dev", "production"]},
            "deploy/environments/staging/changes/configuration.env: deleted",
        ),
        (
            r"^  - \"\[% if _copier_operation == 'update' and not .*\n",
            {"feature_flags": False},
            "deploy/flags/flags.json: deleted",
        ),
    ],
    ids=["code", "environment", "flags"],
)
def test_without_its_exclusion_a_file_is_lost(
    own_template: Template, tmp_path: Path, what: str, answers: dict[str, Any], loses: str
) -> None:
    own_template.release(without(what))
    project = Project(tmp_path / "project").copy(own_template, {}, ref=NEW).commit()
    project.edit(owned(own_template.interview, project.files()))
    before = project.files()

    project.update(ref=NEW, **answers)

    assert loses in lost(own_template.interview, before, project.files())


def test_without_skip_if_exists_a_second_copy_overwrites(
    own_template: Template, released: Template, tmp_path: Path
) -> None:
    own_template.release(without(r"^  - /src/\*\*\n"))
    project = Project(tmp_path / "project").copy(own_template, {}, ref=NEW).commit()
    project.edit(["src/app/server.py"])
    before = project.files()

    project.copy(own_template, {}, ref=NEW)

    assert "src/app/server.py: changed" in lost(released.interview, before, project.files())


def test_the_versions_are_those_of_the_tests(released: Template) -> None:
    assert OLD < NEW
    assert released.interview.settings == interview().settings
