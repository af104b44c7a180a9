"""Tests compile each text of the template once; what they render is what people get."""

import subprocess
import sys
from pathlib import Path

import pytest
from jinja2.sandbox import SandboxedEnvironment

from tests.product import files
from tests.services import SMALLEST, Services


@pytest.mark.parametrize("stack", ["python", "go"])
def test_a_service_of_the_tests_is_what_copier_renders(
    template: Path, services: Services, stack: str, tmp_path: Path
) -> None:
    answers = {"stack": stack, "datastore": "postgres", "cache": "redis"}
    data = [f"--data={name}={value}" for name, value in {**SMALLEST, **answers}.items()]
    command = [sys.executable, "-m", "copier", "copy", "--defaults", "--quiet", *data]
    subprocess.run([*command, str(template), str(tmp_path / "service")], check=True)
    services(answers)

    # The second one, of which every text was compiled before.
    assert files(services(answers, again=1)) == files(tmp_path / "service")


def test_the_same_text_in_another_syntax_is_another_text() -> None:
    text = "[[ answer ]] {{ answer }}"
    for syntax, rendered in (
        (
            SandboxedEnvironment(variable_start_string="[[", variable_end_string="]]"),
            "1 {{ answer }}",
        ),
        (SandboxedEnvironment(), "[[ answer ]] 1"),
    ):
        assert syntax.from_string(text).render(answer=1) == rendered
