"""What the documents say is there, and what is there is in the documents."""

import re
from pathlib import Path

import pytest
import yaml
from slipway.git import git
from slipway.maintainers.answer_sets import ANSWER_SETS, EVERYTHING
from slipway.rendering import render, repository_root, snapshot

from tests.maintenance import documents

ROOT = repository_root()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
# Its code spans are answers, not files.
ANSWERS = ROOT / "docs/reference/questions.md"
DECISIONS = sorted(ROOT.glob("docs/decisions/*.md"))
CONTRACT = (ROOT / "docs/reference/service-contract.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    return render(snapshot(ROOT, folder / "template"), folder / "service", EVERYTHING)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").decode()
    folder = tmp_path_factory.mktemp("services")
    template = snapshot(ROOT, folder / "template")
    rendered: set[str] = set()
    for name, answers in ANSWER_SETS.items():
        made = render(template, folder / name, answers)
        rendered |= {str(file.relative_to(made)) for file in made.rglob("*") if file.is_file()}
    return {name for name in [*listed.split("\0"), *rendered] if name}


def by_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_links_lead_somewhere(page: Path) -> None:
    assert documents.broken_links(page) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n[a](#a-page) [b](page.md#nowhere) [c](none.md) [d](https://e.f)\n")
    assert documents.broken_links(page) == ["page.md#nowhere", "none.md"]


@pytest.mark.parametrize("page", [page for page in PAGES if page != ANSWERS], ids=by_name)
def test_files_that_are_named_are_there(page: Path, there: set[str]) -> None:
    assert documents.missing_files(page.read_text(encoding="utf-8"), there) == []


def test_a_missing_file_is_noticed(there: set[str]) -> None:
    text = (
        "`tests/maintenance/test_docs.py` `src/app/telemetry.py` `deploy/base/` `telemetry.py` "
        "`deploy/environments/ENVIRONMENT/release/` `migrations/*.sql` `application/json` "
        "`template/[[python]]/` `src/app/nothing.py` `deploy/nowhere/` `nothing.py` `*/gone.md`"
    )
    assert documents.missing_files(text, there) == [
        "src/app/nothing.py", "deploy/nowhere/", "nothing.py", "*/gone.md",
    ]  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_tests_that_are_named_are_there(page: Path) -> None:
    assert documents.missing_tests(page.read_text(encoding="utf-8"), ROOT) == []


def test_a_missing_test_is_noticed() -> None:
    here = "tests/maintenance/test_docs.py"
    text = (
        f"`{here}::test_a_missing_test_is_noticed` `{here}::test_nothing` `tests/none.py::test_a`"
    )
    assert documents.missing_tests(text, ROOT) == [f"{here}::test_nothing", "tests/none.py::test_a"]


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_commands_that_are_named_exist(page: Path, service: Path) -> None:
    makefiles = [ROOT / "Makefile", service / "Makefile"]
    known = set().union(*(documents.targets_of(file.read_text()) for file in makefiles))
    assert documents.make_targets(page.read_text(encoding="utf-8")) - known == set()


def test_the_readme_names_the_two_commands() -> None:
    named = documents.make_targets((ROOT / "README.md").read_text(encoding="utf-8"))
    assert named >= {"demo", "test", "engines", "render-diff"}


def test_the_service_s_readme_names_commands_of_its_makefile(service: Path) -> None:
    named = documents.make_targets((service / "README.md").read_text(encoding="utf-8"))
    known = documents.targets_of((service / "Makefile").read_text(encoding="utf-8"))
    assert named >= {"up", "dev", "test"}
    assert named - known == set()


def test_an_unknown_command_is_noticed() -> None:
    text = (
        "Run `make it-so` or\n\n```console\n$ cd x && make up\n$ make   # lists\n```\n, make sense."
    )
    assert documents.make_targets(text) == {"it-so", "up"}


def test_the_readme_s_tree_is_what_is_rendered(service: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = documents.FENCE.findall(text.partition("## What is rendered")[2])[0]
    listed = [
        name
        for line in tree.splitlines()
        for name in re.findall(r"\S+/(?= )|\.?\w[\w./-]+(?=  )", line)
    ]
    assert len(listed) > 15
    assert [name for name in listed if not (service / name).exists()] == []
    roots = {Path(name).parts[0] for name in listed}
    assert roots == {entry.name for entry in service.iterdir()}


@pytest.mark.parametrize("page", DECISIONS, ids=by_name)
def test_a_decision_is_numbered_listed_and_complete(page: Path) -> None:
    assert re.fullmatch(r"\d{4}-[a-z-]+\.md", page.name)
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"(?m)^## (.+)$", text)
    assert [one for one in headings if one in ("Context", "Decision", "Consequences")] == [
        "Context", "Decision", "Consequences",
    ]  # fmt: skip
    title = re.match(r"# (.+)\n", text)
    assert title is not None
    row = f"| {page.name[:4]} | [{title[1]}](decisions/{page.name}) |"
    assert row in (ROOT / "docs/index.md").read_text(encoding="utf-8")


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(page.name[:4]) for page in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs/index.md"
    linked = {
        (index.parent / link.partition("#")[0]).resolve()
        for link in documents.links(index.read_text(encoding="utf-8"))
    }
    assert {page for page in ROOT.glob("docs/**/*.md") if page not in linked} == {index}


def test_the_contract_has_every_variable_that_a_service_sets(service: Path) -> None:
    compose = yaml.safe_load((service / "compose.yaml").read_text(encoding="utf-8"))
    used = set(compose["services"]["app"]["environment"])
    used |= set(
        re.findall(
            r"(?m)^(?:ENV|   ) +([A-Z_]+)=",
            (service / "Dockerfile").read_text(encoding="utf-8"),
        )
    )
    for file in service.glob("deploy/**/configuration.env"):
        used |= set(re.findall(r"(?m)^([A-Z_]+)=", file.read_text(encoding="utf-8")))
    used = {name for name in used if not name.startswith(("PYTHON", "UV_"))} - {
        "PATH",
        "ENVIRONMENT",
    }
    assert {"PORT", "LOG_LEVEL", "DATABASE_URL", "SERVICE_VERSION"} <= used
    documented = set(re.findall(r"`([A-Z][A-Z_]+)`", CONTRACT))
    assert used - documented == set()


def test_the_contract_s_steps_of_a_stop_are_the_template_s() -> None:
    settings = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    table = CONTRACT.partition("The numbers stand once")[2]
    names = ("edge_timeout", "drain", "pre_stop", "grace_period", "compose_stop")
    assert [int(number) for number in re.findall(r"(?m)^\| (\d+) \|", table)] == [
        settings["shutdown"]["default"][name] for name in names
    ]


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_no_page_names_a_place_on_one_machine(page: Path) -> None:
    assert re.findall(r"/(?:work|root|home|tmp)/\S*", page.read_text(encoding="utf-8")) == []
