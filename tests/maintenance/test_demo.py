"""`make demo` renders all of a service or nothing, and never over somebody's work."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from copier import run_update
from slipway.answers import ANSWERS_FILE
from slipway.errors import SlipwayError
from slipway.git import git
from slipway.maintainers.demo import demo

from tests.maintenance.conftest import Repository


@pytest.fixture
def destination(repository: Repository) -> Path:
    return repository.folder / "build" / "demo"


def leftovers(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []


def test_a_demo_is_a_service_in_its_first_commit(repository: Repository, destination: Path) -> None:
    said = demo(repository.folder, destination)
    assert (destination / "compose.yaml").is_file()
    assert git(destination, "log", "--format=%s") == b"Start signups\n"
    assert git(destination, "status", "--porcelain") == b""
    assert leftovers(destination.parent) == ["demo"]
    makefile = (destination / "Makefile").read_text(encoding="utf-8")
    for command in ("up", "test"):
        assert f"make {command}" in said
        assert f"\n{command}:" in makefile


@pytest.mark.filterwarnings("ignore::copier.errors.MissingFileWarning")
def test_a_demo_of_a_commit_can_be_updated(repository: Repository, destination: Path) -> None:
    said = demo(repository.folder, destination)
    assert "uncommitted" not in said
    repository.replace("template/Makefile.jinja", "# [[ service_name ]]", "# What we run.")
    repository.commit()
    run_update(destination, defaults=True, overwrite=True, quiet=True, vcs_ref="HEAD")
    assert (destination / "Makefile").read_text(encoding="utf-8").startswith("# What we run.")


def test_a_demo_of_the_working_tree_has_its_changes_and_says_that_it_stays_as_it_is(
    repository: Repository, destination: Path
) -> None:
    repository.replace("template/Makefile.jinja", "# [[ service_name ]]", "# What we run.")
    said = demo(repository.folder, destination)
    assert (destination / "Makefile").read_text(encoding="utf-8").startswith("# What we run.")
    assert "`copier update` will not work" in said
    answers = yaml.safe_load((destination / ANSWERS_FILE).read_text(encoding="utf-8"))
    assert "_commit" not in answers


def test_a_second_demo_replaces_the_first(repository: Repository, destination: Path) -> None:
    demo(repository.folder, destination)
    repository.replace("template/Makefile.jinja", "# [[ service_name ]]", "# What we run.")
    demo(repository.folder, destination)
    assert (destination / "Makefile").read_text(encoding="utf-8").startswith("# What we run.")
    assert leftovers(destination.parent) == ["demo"]


@pytest.mark.parametrize("how", ["edited", "committed", "new file"])
def test_a_demo_that_was_worked_on_stays(
    how: str, repository: Repository, destination: Path
) -> None:
    demo(repository.folder, destination)
    (destination / ("README.md" if how != "new file" else "notes.md")).write_text("mine\n")
    if how == "committed":
        git(
            destination, "-c", "user.name=Me", "-c", "user.email=me@example.com",
            "-c", "commit.gpgsign=false", "commit", "--quiet", "--all", "--message", "Mine",
        )  # fmt: skip
    with pytest.raises(SlipwayError, match="holds your changes: move it away or delete it"):
        demo(repository.folder, destination)
    assert "mine\n" in [file.read_text() for file in destination.glob("*.md")]
    assert leftovers(destination.parent) == ["demo"]


@pytest.mark.parametrize("what", ["folder", "repository", "file"])
def test_what_is_not_a_demo_stays(what: str, repository: Repository, destination: Path) -> None:
    destination.parent.mkdir()
    if what == "file":
        destination.write_text("mine\n")
    else:
        destination.mkdir()
        (destination / "README.md").write_text("mine\n")
    if what == "repository":
        git(destination, "init", "--quiet")
    with pytest.raises(SlipwayError, match="is not a demo: move it away"):
        demo(repository.folder, destination)
    assert (destination if what == "file" else destination / "README.md").read_text() == "mine\n"


def test_a_template_that_does_not_render_leaves_nothing(
    repository: Repository, destination: Path
) -> None:
    repository.replace("template/Makefile.jinja", "[[ port ]]", "[[ nobody ]]")
    with pytest.raises(SlipwayError, match="'nobody' is undefined"):
        demo(repository.folder, destination)
    assert leftovers(destination.parent) == []


def test_an_error_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "slipway.maintainers", "demo", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == f"{tmp_path} is not a demo: move it away and run make demo again\n"
    assert done.stdout == ""
