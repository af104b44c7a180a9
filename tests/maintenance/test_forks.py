"""An organisation's fork edits one block of `copier.yml`, and its services follow."""

import re
from pathlib import Path

import pytest
import yaml
from slipway.answers import ANSWERS_FILE
from slipway.errors import SlipwayError
from slipway.rendering import render

from tests.product import COPIER_YML, files
from tests.services import SMALLEST, mutated

# A question of the block, a default that nobody has, and a file that follows it.
DEFAULTS = [
    ("port", "23456", "deploy/base/deployment.yaml"),
    ("grafana_url", "https://grafana.fork.invalid", "README.md"),
    (
        "image",
        '"registry.fork.invalid/[[ service_name ]]"',
        "deploy/environments/production/release/kustomization.yaml",
    ),
]


def block() -> str:
    """Return the platform's block of copier.yml."""
    found = re.search(r"(?ms)^# THE PLATFORM -+$.*?(?=^# [A-Z]+ -+$)", COPIER_YML.read_text())
    assert found is not None
    return found[0]


def changed(template: Path, folder: Path, question: str, default: str) -> Path:
    """Render a service from a template with one default changed, in that block."""
    edited, edits = re.subn(
        rf"(?ms)^({question}:$.*?^  default: ).*?(?=^  ask: )", rf"\g<1>{default}\n", block()
    )
    assert edits == 1
    fork = mutated(template, folder / "fork", {"copier.yml": {block(): edited}})
    return render(fork, folder / "service", SMALLEST)


@pytest.mark.parametrize(("question", "default", "file"), DEFAULTS, ids=lambda text: text[:20])
def test_one_default_of_the_platform_changes_every_new_service(
    question: str, default: str, file: str, template: Path, service: Path, tmp_path: Path
) -> None:
    fork = changed(template, tmp_path, question, default)

    recorded = [yaml.safe_load((one / ANSWERS_FILE).read_text()) for one in (service, fork)]
    differ = {name for name, value in recorded[0].items() if recorded[1][name] != value}
    assert differ - {"_src_path"} == {question}
    before, after = files(service), files(fork)
    assert before.keys() == after.keys()
    assert file in {path for path, text in after.items() if before[path] != text}


def test_a_default_that_the_question_refuses_is_noticed(template: Path, tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match="'port': 80 is not a port from 1024 to 65535"):
        changed(template, tmp_path, "port", "80")
