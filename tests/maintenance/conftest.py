"""A small template that a test may change; what runs around a template does not know which."""

from pathlib import Path

import pytest
import yaml
from slipway.git import git
from slipway.rendering import repository_root

from tests.services import nothing_of_the_user, service, services, shared, template

__all__ = ["nothing_of_the_user", "service", "services", "shared", "template"]

FILES = {
    ".gitignore": "/build/\n",
    "copier.yml": """
_subdirectory: template
_templates_suffix: .jinja
_skip_if_exists: [/README.md, /notes.md]
_exclude: ["[% if _copier_operation == 'update' %]/README.md[% endif %]"]

service_name:
  type: str
  help: Name of the service, as in app.<name>
  validator: >-
    [% if not service_name | regex_search('^[a-z]+$') %]
    [[ service_name | to_json ]] is not a name: lower-case letters
    [% endif %]
stack:
  type: str
  help: Its language
  choices:
    Python: python
  default: python
datastore:
  type: str
  help: Where data is kept
  choices:
    None: none
    PostgreSQL: postgres
  default: none
title:
  type: str
  help: Its title
  default: The [[ service_name ]]
platform_settings:
  type: bool
  help: Ask on
  default: false
starter:
  type: bool
  help: Code too
  default: true
  ask: "[[ platform_settings ]]"
port:
  type: yaml
  help: Its port
  default: 8080
  ask: "[[ platform_settings ]]"
  validator: >-
    [% if port is not integer %]
    [[ port | to_json ]] is not a port from 1024 to 65535
    [% endif %]
""",
    "template/[[ _copier_conf.answers_file ]].jinja": "[[ _copier_answers | to_nice_yaml -]]\n",
    "template/Makefile.jinja": "# [[ service_name ]]\nPORT = [[ port ]]\nup:\ntest:\n",
    "template/compose.yaml.jinja": """
app:
  port: [[ port ]]
[% if datastore == 'postgres' %]
postgres:
  image: p
[% endif %]
""",
    "template/README.md": "Read me.\n",
    "template/notes.md": "Notes.\n",
    "template/[% if starter and datastore == 'postgres' %]src[% endif %]/store.py": "\n",
    "template/deploy/environments/test/space.yaml": "a: 1\n",
}


class Repository:
    """A git repository with a template, in one commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        copier = yaml.safe_load((repository_root() / "copier.yml").read_text(encoding="utf-8"))
        for name, text in FILES.items():
            self.write(name, text)
        envops = yaml.safe_dump({"_envops": copier["_envops"]})
        self.write("copier.yml", envops + FILES["copier.yml"])
        git(folder, "init", "--quiet", "--initial-branch", "main")
        self.commit()

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def commit(self) -> None:
        git(self.folder, "add", "--all")
        git(
            self.folder, "-c", "user.name=Tests", "-c", "user.email=tests@example.com",
            "-c", "commit.gpgsign=false", "commit", "--quiet", "--message", "A change",
        )  # fmt: skip

    def replace(self, file: str, old: str, new: str) -> None:
        """Change a text that is there; a test that changes nothing would show nothing."""
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} does not hold {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")
