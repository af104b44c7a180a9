"""Services are edited by people: odd files are read, and what cannot be read is one line."""

import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slipway.answers import ANSWERS_FILE
from slipway.errors import SlipwayError
from slipway.gates import GATES, check
from slipway.gates.compose import interpolated
from slipway.gates.dockerfile import read_dockerfile
from slipway.gates.images import images_of, what_is_loose
from slipway.gates.secrets import names_a_secret
from slipway.gates.service import Service

from tests.gates.conftest import Mutated
from tests.gates.mutations import (
    AWS_KEY,
    CHANGES,
    COMPOSE,
    DEPLOYMENT,
    DOCKERFILE,
    PASSWORD,
    Mutation,
)

NAME = "service_name: signups\n"


def edited(mutated: Mutated, path: str, old: str, new: str) -> Path:
    """Return a service with one edit."""
    return mutated(Mutation("", "", {path: {old: new}}, path, "", ""))


def found(service: Path) -> list[tuple[str, str]]:
    """Return the gates that find something, with the file."""
    return [(one.gate, one.file) for one in check(service)]


def write(folder: Path, path: str, content: str | bytes) -> None:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)


# -- which files -----------------------------------------------------------------------------------


def test_a_service_that_has_nothing_passes_no_gate_by_having_nothing(tmp_path: Path) -> None:
    write(tmp_path, ANSWERS_FILE, NAME)

    assert found(tmp_path) == [
        ("health-image", DOCKERFILE),
        ("health-probes", DEPLOYMENT),
        ("rollback-documented", "README.md"),
        ("parity", COMPOSE),
        ("rules-valid", "observability/rules/alerts.yaml"),
        ("dashboards-present", "observability/dashboards/red.json"),
        ("dashboards-present", "observability/dashboards/slo.json"),
        ("dashboards-present", "observability/dashboards/use.json"),
    ]


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (None, "is no rendered service: it has no .copier-answers.yml"),
        ("a: [", "is no YAML: take it from an earlier commit"),
        ("- a\n", "names no service_name: take it from an earlier commit"),
        ("service_name: 3\n", "names no service_name"),
        ("\0", "is no YAML"),
    ],
)
def test_what_is_no_service_is_one_line(tmp_path: Path, answers: str | None, says: str) -> None:
    if answers is not None:
        write(tmp_path, ANSWERS_FILE, answers)

    with pytest.raises(SlipwayError, match=says) as error:
        check(tmp_path)

    assert "\n" not in str(error.value)


@pytest.mark.parametrize("how", ["without-git", "untracked", "tracked", "in-an-ignored-folder"])
def test_ignored_files_are_read_only_when_they_are_tracked(
    mutated: Mutated, tmp_path: Path, how: str
) -> None:
    service = edited(mutated, ".env", "", f"KEY={AWS_KEY}\n")
    write(service, ".venv/lib/tool.py", 'print("a tool\'s own affair")\n')
    if how == "in-an-ignored-folder":
        git(tmp_path, "init")
        write(tmp_path, ".gitignore", "service/\n")
    elif how != "without-git":
        git(service, "init")
        git(service, "add", "--all")
    if how == "tracked":
        git(service, "add", "--force", ".env")

    expected = [("secret-in-code", ".env"), ("secret-file", ".env")] if how == "tracked" else []
    assert found(service) == expected


def test_a_new_file_counts_before_it_is_added_and_a_deleted_one_does_not(mutated: Mutated) -> None:
    service = edited(mutated, "src/app/new.py", "", "print(1)\n")
    git(service, "init")
    assert found(service) == [("logs-structured", "src/app/new.py")]

    git(service, "add", "--all")
    (service / "src/app/new.py").unlink()
    assert found(service) == []


def test_binary_files_and_links_are_left_alone(mutated: Mutated, tmp_path: Path) -> None:
    service = edited(mutated, "src/app/old.py", "", "")
    write(service, "src/app/picture.py", b"\x89PNG\0print(1)\n" + AWS_KEY.encode())
    write(service, "src/app/old.py", b"# latin \xe4\nprint(1)\n")
    write(tmp_path, "outside.py", "print(1)\n")
    (service / "src/app/link.py").symlink_to(tmp_path / "outside.py")
    (service / "src/app/gone.py").symlink_to("nowhere")

    assert found(service) == [("logs-structured", "src/app/old.py")]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("src/app/texts.py", 'PASSWORD_HINT = "Your password has expired, choose another"'),
        ("src/app/texts.py", "password = settings.password"),
        ("src/app/texts.py", 'url = f"postgres://{user}:{password}@db/x"'),
        ("src/app/texts.py", 'LOG = "print(1)"  # print(2)'),
        ("src/app/texts.py", 'PASSWORD = ""'),
        ("tests/test_x.py", f'PASSWORD = "{PASSWORD}"'),
        ("docs/x.md", f'Set `password: "{PASSWORD}"`.'),
        ("ci.yml", "NPM_TOKEN: ${{ secrets.NPM_TOKEN }}"),
        ("config.yaml", "password_file: /run/secrets/x"),
        ("config.yaml", "secret_name: signups-database"),
        ("uv.lock", f'password = "{PASSWORD}"'),
        ("deploy/base/configuration.env", "TOKEN_LIFETIME=3600"),
        ("deploy/base/configuration.env", "PASSWORD_RESET_TOKEN=true"),
    ],
)
def test_what_only_looks_like_a_fault_is_none(mutated: Mutated, path: str, line: str) -> None:
    assert found(edited(mutated, path, "", f"{line}\n")) == []


def test_a_secret_that_is_none_can_say_so(mutated: Mutated) -> None:
    service = edited(mutated, "a.py", "", f'KEY = "{AWS_KEY}"  # pragma: allowlist secret\n')

    assert found(service) == []


# -- YAML ------------------------------------------------------------------------------------------

BROKEN = {
    "tab": "a:\n\tb: 1\n",
    "unclosed": "a: [1,\n",
    "anchor-in-itself": "a: &a\n  b: *a\n",
    "unknown-anchor": "a: *b\n",
    "nested-too-deep": "[" * 100_000,
}


@pytest.mark.parametrize("path", [DEPLOYMENT, COMPOSE, CHANGES, "deploy/extra.yml"])
@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_yaml_that_cannot_be_read_is_one_line_with_its_place(
    mutated: Mutated, path: str, text: str
) -> None:
    service = edited(mutated, path, "", "")
    write(service, path, text)

    with pytest.raises(SlipwayError) as error:
        check(service)

    assert str(error.value).startswith(path)
    assert "\n" not in str(error.value)
    assert "no YAML" in str(error.value)


def test_yaml_that_is_nobody_s_manifest_may_be_anything(mutated: Mutated) -> None:
    service = edited(mutated, "tests/fixtures/broken.yaml", "", "a: [")
    write(service, "charts/template.yaml", "{{ if .Values.x }}\na: {{ .x }}\n")

    assert found(service) == []


ODD = {
    "empty": "",
    "comments": "# nothing\n---\n---\n",
    "scalar": "hello\n",
    "list": "- a\n- b\n",
    "nulls": "spec:\nmetadata:\nkind:\nservices:\nimages:\nresources:\n",
    "wrong-types": "kind: Deployment\nspec: [1]\nservices: [a]\nresources: x\nimages: {a: b}\n",
    "no-containers": "kind: Deployment\napiVersion: apps/v1\nspec: {template: {spec: {}}}\n",
    "odd-containers": "kind: Deployment\napiVersion: apps/v1\n"
    "spec: {template: {spec: {containers: [null, 3, {}, {name: [1]}], volumes: [null, 1]}}}\n",
    "keys": "1: a\nnull: b\n[1, 2]: c\n? {a: b}\n: d\n",
    "twice": "kind: A\nkind: Pod\n",
    "tags": "a: !!python/object:os.system x\nb: !Ref c\nservices: !reset null\n",
    "list-of-lists": "apiVersion: v1\nkind: List\nitems:\n"
    "  - {kind: PodList, apiVersion: v1, items: [{kind: Pod}, null]}\n",
    "circle": "resources: [., .., ../., deployment.yaml]\ncomponents: [., changes, release]\n",
    "odd-services": "include: [gone.yaml, 3, {path: [compose.yaml]}, null]\n"
    "services: {a: null, b: {extends: b}, c: {extends: {service: c, file: compose.yaml}},"
    " d: {image: [x], build: [], environment: [A, B=c, null, 3], depends_on: [a]}}\n",
    "odd-patches": "patches: [null, 3, {}, {path: gone.yaml}, {patch: ''}, {patch: '[3, {}]'},"
    " {target: {kind: '['}, patch: '[{op: remove, path: /x/-1/9}]'}]\n"
    "images: [null, {}, {name: x}]\n"
    "configMapGenerator: [null, {literals: [x, null]}]\nsecretGenerator: [{files: [null]}]\n",
    "anchors": "x: &x {a: 1}\ny: {<<: [*x, *x], a: 2}\nz: {<<: 3}\n",
    "laughs": "a: &a [1, 1]\n"
    + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghijk")),
}  # fmt: skip


@pytest.mark.parametrize("path", [DEPLOYMENT, COMPOSE, CHANGES, "deploy/base/kustomization.yaml"])
@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_yaml_is_read(mutated: Mutated, path: str, text: str) -> None:
    service = edited(mutated, path, "", "")
    write(service, path, text)

    check(service)


READ = (DEPLOYMENT, COMPOSE, CHANGES, DOCKERFILE, "README.md", "src/app/api.py", ANSWERS_FILE)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_edit_gives_findings_or_one_line(
    services_everything: Path, tmp_path: Path, data: st.DataObject
) -> None:
    service = tmp_path / "service"
    shutil.rmtree(service, ignore_errors=True)
    shutil.copytree(services_everything, service)
    for path in data.draw(st.sets(st.sampled_from(READ), min_size=1, max_size=3)):
        lines = (service / path).read_text().splitlines(keepends=True)
        first = data.draw(st.integers(0, len(lines)))
        last = data.draw(st.integers(first, min(first + 8, len(lines))))
        insert = data.draw(
            st.lists(
                st.one_of(
                    st.sampled_from(lines),
                    st.text(max_size=20).map(lambda text: f"{text}\n"),
                    st.sampled_from(["  - &x\n", "{\n", "- null\n", "FROM\n", "\\\n", "# <<EOF\n"]),
                ),
                max_size=4,
            )
        )
        changed = "".join([*lines[:first], *insert, *lines[last:]])
        (service / path).write_bytes(changed.encode(errors="surrogatepass"))

    try:
        findings = check(service, [gate for gate in GATES if gate.id != "secret-in-code"])
    except SlipwayError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either is fine
        return
    for one in findings:
        assert "\n" not in str(one)
        assert one.line >= 1


# -- Compose's variables and Dockerfiles -----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", ""),
        ("$A-b", "-b"),
        ("${A:-b}", "b"),
        ("${A-b:c}", "b:c"),
        ("x${A:-${B:-c}}y", "xcy"),
        ("$${A:-b}", "${A:-b}"),
        ("${A:?missing}", ""),
        ("${A:+b}", ""),
        ("${A", ""),
        ("$", "$"),
        ("$$", "$"),
        ("a}b", "a}b"),
    ],
)
def test_variables_have_their_defaults(text: str, value: str) -> None:
    assert interpolated(text) == value


FROM = "FROM a:1\n"


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("", []),
        ("FROM", [("", 1)]),
        ("# escape=`\nFROM `\n  a:1", [("a:1", 2)]),
        ("FROM \\\r\n# why\r\n\r\n  a:1\r\n", [("a:1", 1)]),
        (f"{FROM}RUN <<EOF\nFROM b\nEOF\nFROM c:1", [("a:1", 1), ("c:1", 5)]),
        (f"{FROM}COPY <<-'EOF' x\n\tFROM b\n\tEOF\n{FROM}", [("a:1", 1), ("a:1", 5)]),
        (f"{FROM}RUN echo $((1<<2))\nFROM b:1", [("a:1", 1), ("b:1", 3)]),
        (f"{FROM}RUN echo \\", [("a:1", 1)]),
        ("FROM a:1 AS b\nFROM B\nCOPY --from=b x y\nCOPY --from=0 x y", [("a:1", 1)]),
        ("ARG A=1\nFROM ${A:-x}:$A\nFROM ${B:-y}:2", [("1:1", 2), ("y:2", 3)]),
        ("FROM scratch", []),
        ('FROM "a:1"', [("a:1", 1)]),
    ],
)
def test_dockerfiles_are_read_as_the_builder_does(text: str, images: list[tuple[str, int]]) -> None:
    read = images_of(read_dockerfile(text, DOCKERFILE))

    assert [(image, place.line) for image, place in read] == images


@pytest.mark.parametrize(
    "image",
    [
        "a:1", "a/b:v2-alpine", "r.example:5000/a:1", f"a@sha256:{'0' * 64}",
        f"a:latest@sha256:{'0' * 64}", "gcr.io/distroless/static-debian13:nonroot",
    ],
)  # fmt: skip
def test_a_version_or_a_digest_is_enough(image: str) -> None:
    assert what_is_loose(image) == ""


@pytest.mark.parametrize(
    "name",
    [
        "DATABASE_PASSWORD_FILE", "TOKEN_TTL_SECONDS", "secretName", "CACHE_KEY", "PUBLIC_KEY",
        "SECRET_STORE", "AUTHOR", "MONKEY", "tokenUrl", "PASSWORD_MIN_LENGTH",
    ],
)  # fmt: skip
def test_names_beside_a_secret_are_no_secrets(name: str) -> None:
    assert not names_a_secret(name)


@pytest.mark.parametrize(
    "name", ["PASSWORD", "dbPassword", "API-KEY", "GITHUB_TOKEN", "client.secret", "awsSecretKey"]
)
def test_names_of_secrets_are(name: str) -> None:
    assert names_a_secret(name)


# -- environments ----------------------------------------------------------------------------------


def test_what_is_released_runs_by_digest(mutated: Mutated) -> None:
    release = "deploy/environments/production/release/kustomization.yaml"
    service = edited(mutated, release, "newTag: not-released", f"digest: sha256:{'0' * 64}")

    # What is released needs a drill, and this service has had none.
    assert {gate for gate, _ in found(service)} == {"rollback-drilled"}
    # Of the Deployment and of the Job that migrates.
    for workload in Service(service).environments["deploy/environments/production"]:
        assert workload.app is not None
        image = workload.app.get("image")
        assert image is not None
        assert image.text == f"ghcr.io/example/signups@sha256:{'0' * 64}"


def test_a_release_without_an_image_is_fine(mutated: Mutated) -> None:
    release = "deploy/environments/production/release/kustomization.yaml"
    service = edited(mutated, release, "", "")
    write(service, release, "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n")

    assert found(service) == []


def test_a_folder_beside_the_environments_is_built_as_well(mutated: Mutated) -> None:
    service = edited(mutated, "deploy/preview/kustomization.yaml", "", "resources: [../base]\n")

    [finding] = check(service)

    assert (finding.gate, finding.file) == ("image-pinned", DEPLOYMENT)
    assert "'app' has no tag" in finding.problem
