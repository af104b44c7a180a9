"""Each lock file agrees with the manifest that is rendered beside it."""

import os
import re
import shutil
from pathlib import Path

import pytest
from slipway.errors import SlipwayError
from slipway.git import git
from slipway.maintainers import locks
from slipway.rendering import repository_root, snapshot


@pytest.fixture(autouse=True)
def tools() -> None:
    """Skip where the tool of a stack is missing; the image's build holds the locks there too."""
    if "UV" not in os.environ and shutil.which("uv") is None:
        pytest.skip("uv is not on the PATH: make test brings it")


# The other stacks' tools need an image; tests/contract/test_image.py holds their locks there.
PYTHON = next(stack for stack in locks.STACKS if stack.name == "python")


def stale(repository: Path) -> list[str]:
    try:
        return [lock.name for lock in locks.stale_locks(repository, [PYTHON])]
    except locks.LockError:
        raise
    except SlipwayError as error:
        pytest.skip(str(error))


def test_every_lock_file_of_python_is_current() -> None:
    assert stale(repository_root()) == []


def test_a_changed_dependency_and_a_missing_lock_file_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, other = locks.Variant("none", "none"), locks.Variant("none", "redis")
    monkeypatch.setattr(locks, "VARIANTS", (plain, other))
    repository = snapshot(repository_root(), tmp_path / "repository")
    git(repository, "init", "--quiet")
    manifest = PYTHON.room(repository) / "pyproject.toml.jinja"
    text = manifest.read_text(encoding="utf-8")
    changed = re.sub(r'"httpx>=[^"]+"', '"httpx"', text)
    assert changed != text
    manifest.write_text(changed, encoding="utf-8")
    other.lock(repository, PYTHON).unlink()
    assert stale(repository) == [
        plain.lock(repository, PYTHON).name,
        other.lock(repository, PYTHON).name,
    ]
