"""`make render-diff` shows what a change to the template does to services, and nothing else."""

import subprocess
import sys

import pytest
from slipway.errors import SlipwayError
from slipway.git import git
from slipway.maintainers.render_diff import compare

from tests.maintenance.conftest import Repository

SETS = {
    "plain": {"service_name": "signups"},
    "stored": {"service_name": "billing", "datastore": "postgres"},
}


def test_an_unchanged_template_is_said_in_one_line(repository: Repository) -> None:
    assert str(compare(repository.folder, "HEAD", SETS)) == (
        "# HEAD -> working tree\n# nothing changes in: plain, stored\n"
    )


def test_a_change_is_shown_once_with_the_services_that_have_it(repository: Repository) -> None:
    repository.replace("template/Makefile.jinja", "PORT =", "PORT :=")
    comparison = compare(repository.folder, "main", SETS)
    (change,) = comparison.changes
    assert change.answer_sets == ["plain", "stored"]
    assert "--- a/Makefile\n+++ b/Makefile\n" in change.diff
    assert "\n-PORT = 8080" in change.diff
    assert "\n+PORT := 8080" in change.diff
    assert comparison.identical == []


def test_a_change_behind_an_answer_is_shown_where_it_is(repository: Repository) -> None:
    repository.replace("template/compose.yaml.jinja", "image: p", "image: q")
    text = str(compare(repository.folder, "HEAD", SETS))
    assert "# nothing changes in: plain\n" in text
    assert "# in: stored\n" in text
    assert "\n+  image: q\n" in text


def test_a_new_file_and_a_lost_one_are_shown(repository: Repository) -> None:
    (repository.folder / "template" / "NEW.md").write_text("new\n")
    git(repository.folder, "rm", "--quiet", "template/notes.md")
    text = str(compare(repository.folder, "HEAD", SETS))
    assert "+++ b/NEW.md\n" in text
    assert "--- a/notes.md\n" in text


def test_what_is_shown_is_a_patch(repository: Repository) -> None:
    repository.replace("template/Makefile.jinja", "PORT =", "PORT :=")
    (repository.folder / "template" / "NEW.md").write_text("new\n")
    patch = repository.folder / "the.patch"
    patch.write_text(str(compare(repository.folder, "HEAD", SETS)), encoding="utf-8")
    counted = git(repository.folder, "apply", "--numstat", str(patch)).decode()
    assert sorted(counted.splitlines()) == ["1\t0\tNEW.md", "1\t1\tMakefile"]


def test_a_service_that_the_base_refuses_is_named_with_the_reason(repository: Repository) -> None:
    repository.replace("copier.yml", "PostgreSQL: postgres", "PostgreSQL: pg")
    repository.commit()
    repository.replace("copier.yml", "PostgreSQL: pg", "PostgreSQL: postgres")
    comparison = compare(repository.folder, "HEAD", SETS)
    assert list(comparison.refused) == ["stored"]
    assert "# HEAD does not render stored: Invalid choice for 'datastore'" in str(comparison)


def test_a_working_tree_that_does_not_render_is_an_error(repository: Repository) -> None:
    repository.replace("template/Makefile.jinja", "[[ port ]]", "[[ nobody ]]")
    with pytest.raises(SlipwayError, match="does not render plain: 'nobody' is undefined"):
        compare(repository.folder, "HEAD", SETS)


@pytest.mark.parametrize("ref", ["nowhere", "--output=x", "", "HEAD:copier.yml"])
def test_a_wrong_ref_is_named(ref: str, repository: Repository) -> None:
    with pytest.raises(SlipwayError, match=f"^'{ref}' is no tag, branch or commit"):
        compare(repository.folder, ref, SETS)


def test_a_commit_without_a_template_is_named(repository: Repository) -> None:
    git(repository.folder, "rm", "--quiet", "copier.yml")
    repository.commit()
    with pytest.raises(SlipwayError, match=r"^HEAD holds no template"):
        compare(repository.folder, "HEAD", SETS)


def test_an_error_is_one_line_and_exit_code_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "slipway.maintainers", "render-diff", "nowhere"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "'nowhere' is no tag, branch or commit of this repository\n"
    assert done.stdout == ""
