"""What a validator accepts stands in every file exactly as it was given.

The same service is rendered with markers first. Each file of a hostile service must then read as
the file with the markers does, with every marker replaced: a value that is cut, unescaped, read
as another type or spills into its surroundings is a difference.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
from slipway.rendering import render

from tests import hostile
from tests.engines.fixtures.docker import Docker
from tests.interview.test_hostile_answers import SAFE
from tests.interview.validators import Validators
from tests.product import derived, files, interview
from tests.render.programs import kustomize
from tests.render.reading import Unreadable, read, read_dockerfile, read_yaml
from tests.services import Services, mutated

ROWS = 25
DESCRIPTIONS = 60
# Everything that can be rendered, so that an answer reaches every file it can reach.
LARGEST = {
    **{"datastore": "postgres", "cache": "redis"},
    **{"edge": "gateway", "secrets": "external-secrets", "rollout": "canary"},
}

MARKERS: dict[str, Any] = {
    "service_name": "mark-service",
    "repository_url": "https://mark.example/mark-owner/mark-repository",
    "team": "mark-team",
    "description": "Mark of the description",
    "image": "mark.example/mark-image",
    "domain": "mark-domain.example",
    "gateway": "mark-gateway/mark-public",
    "secret_store": "mark-store",
    "grafana_url": "https://mark.example/mark-grafana",
    "environments": ["mark-env-1", "mark-env-2"],
    "business_metrics": {"mark_metric": "counter"},
}

LONGEST_DESCRIPTION = 200

# No validator takes more, and no language is without its trap in it.
WORST_DESCRIPTION = (
    '# \\ it\'s "100 %" of $HOME ${A} $(id) `x` [a](b) <b>&lt; *x* _y_ ~~z~~: {{ a }} [[ b ]]'
    " [% c %] [# d #] && | > ; 'q' \\n \\\" \\$ $$ ''' \"\"\" é 日本 עברית 😀 ❤️ -- - 1. =\\"
)

DEFAULT_ROOM = f"[[{interview().entries['stack'].details['default']}]]"


def markers() -> dict[str, Any]:
    return {**LARGEST, **MARKERS}


# -- what is expected ------------------------------------------------------------------------------


def replacements(answers: Mapping[str, Any]) -> dict[str, str]:
    """Return what must stand where each marker stands."""
    pairs: dict[str, str] = {}
    for name, marker in MARKERS.items():
        given = answers[name]
        pairs |= dict(zip(marker, given, strict=True)) if not isinstance(marker, str) else {
            marker: given
        }  # fmt: skip
    # Manifests name the Gateway's namespace and name apart.
    pairs |= dict(zip(MARKERS["gateway"].split("/"), answers["gateway"].split("/"), strict=True))
    # The one derived value that is made of an answer: copier.yml says how.
    assert derived("database") == "[[ service_name | replace('-', '_') ]]"
    pairs[MARKERS["service_name"].replace("-", "_")] = answers["service_name"].replace("-", "_")
    return pairs


def substitute(value: Any, pairs: Mapping[str, str]) -> Any:
    """Return a file's content with every marker replaced, at once."""
    if isinstance(value, str):
        pattern = "|".join(re.escape(marker) for marker in sorted(pairs, key=len, reverse=True))
        return re.sub(pattern, lambda found: pairs[found[0]], value)
    if isinstance(value, Mapping):
        return {substitute(k, pairs): substitute(v, pairs) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(substitute(item, pairs) for item in value)
    return value


def differences(
    marked: Mapping[str, bytes], made: Mapping[str, bytes], answers: Mapping[str, Any]
) -> list[str]:
    """Return the files that do not hold the answers exactly."""
    pairs = replacements(answers)
    problems = []
    expected_files = {substitute(path, pairs): path for path in marked}
    if set(expected_files) != set(made):
        problems.append(f"other files: {sorted(set(expected_files) ^ set(made))}")
    for path, content in made.items():
        source = expected_files.get(path)
        if source is None or marked[source] == content:
            continue
        try:
            found, expected = read(path, content), substitute(read(source, marked[source]), pairs)
        except Unreadable as error:
            problems.append(str(error))
            continue
        if found != expected:
            problems.append(f"{path}: {first_difference(found, expected)}")
    return problems


def first_difference(found: Any, expected: Any) -> str:
    if type(found) is type(expected):
        if isinstance(found, Mapping) and found.keys() == expected.keys():
            return next(
                first_difference(found[k], expected[k]) for k in found if found[k] != expected[k]
            )
        if isinstance(found, list | tuple) and len(found) == len(expected):
            return next(
                first_difference(a, b) for a, b in zip(found, expected, strict=True) if a != b
            )
    return f"{found!r} in place of {expected!r}"[:300]


# -- what is given ---------------------------------------------------------------------------------


def rows(template: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield sets of answers in which every question has its most hostile accepted values."""
    validators = Validators(template / "copier.yml", folder)
    chosen: dict[str, list[Any]] = {
        name: hostile.worst(validators.accepted(name, hostile.strings(likely)), ROWS)
        for name, (likely, _) in SAFE.items()
    }
    descriptions = validators.accepted("description", hostile.strings(SAFE["description"][0]))
    chosen["domain"] = [text for text in chosen["domain"] if text]  # an edge needs one
    packed = hostile.packed(descriptions, LONGEST_DESCRIPTION)
    chosen["description"] = [*packed, *chosen["description"]][:ROWS]
    names = [[text] for text in hostile.strings("production") if text]
    environments: list[str] = [one for [one] in validators.accepted("environments", names)]
    chosen["environments"] = [
        list(pair)
        for pair in zip(
            hostile.worst(environments, ROWS),
            hostile.worst(environments, ROWS + 1)[1:],
            strict=True,
        )
    ]
    metrics = [{text: "counter"} for text in hostile.strings("active_users")]
    chosen["business_metrics"] = sorted(
        validators.accepted("business_metrics", metrics), key=lambda one: (len(str(one)), str(one))
    )[:ROWS]
    assert set(chosen) == set(MARKERS)
    columns = [islice(cycle(chosen[name]), ROWS) for name in MARKERS]
    for row in zip(*columns, strict=True):
        yield {**LARGEST, **dict(zip(MARKERS, row, strict=True))}


@pytest.fixture(scope="module")
def hostile_rows(template: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return list(rows(template, tmp_path_factory.mktemp("validators")))


@pytest.fixture(scope="module")
def marked(services: Services) -> dict[str, bytes]:
    return files(services(markers()))


# -- the proofs ------------------------------------------------------------------------------------


def test_every_question_whose_answer_is_text_has_a_marker() -> None:
    with_text = {q.name for q in interview().questions if q.is_free_text}

    assert with_text | {"environments", "business_metrics"} == set(MARKERS)


@pytest.mark.parametrize("question", MARKERS)
def test_every_answer_reaches_at_least_the_answers_file(
    marked: dict[str, bytes], question: str
) -> None:
    marker = MARKERS[question]
    texts = [marker] if isinstance(marker, str) else list(marker)

    reached = [p for p, content in marked.items() if all(t.encode() in content for t in texts)]

    assert interview().settings["_answers_file"] in reached


@pytest.mark.parametrize("number", range(ROWS))
def test_hostile_answers_stand_in_every_file_exactly(
    services: Services, marked: dict[str, bytes], hostile_rows: list[dict[str, Any]], number: int
) -> None:
    answers = hostile_rows[number]

    assert differences(marked, files(services(answers)), answers) == [], answers


def test_the_worst_description_stands_in_every_file_exactly(
    services: Services, marked: dict[str, bytes]
) -> None:
    answers = {**markers(), "description": WORST_DESCRIPTION}

    assert differences(marked, files(services(answers)), answers) == []


def test_hundreds_of_descriptions_stand_in_every_file_exactly(
    template: Path, tmp_path: Path, marked: dict[str, bytes]
) -> None:
    """The one answer that may hold any character, in the files that it reaches.

    One render of them all: each folder of the yield has another description.
    """
    given = hostile.strings(SAFE["description"][0])
    validators = Validators(template / "copier.yml", tmp_path / "validators")
    accepted = hostile.worst(validators.accepted("description", given), DESCRIPTIONS)
    assert len(accepted) == DESCRIPTIONS
    marker = MARKERS["description"].encode()
    reached = {
        path: content
        for path, content in marked.items()
        if marker in content and path != interview().settings["_answers_file"]
    }
    assert len(reached) > 1
    many = tmp_path / "template"
    shutil.copytree(template / "template" / "_partials", many / "template" / "_partials")
    shutil.copy(template / "copier.yml", many)
    folder = many / "template" / "[% yield text from given %][[ given.index(text) ]][% endyield %]"
    folder.mkdir()
    for path in reached:
        found = [
            source
            for source in (template / "template").rglob(f"{Path(path).name}.jinja")
            if _renders_into(source.relative_to(template / "template").parent, Path(path).parent)
        ]
        [source] = [one for one in found if DEFAULT_ROOM in one.parts] or found
        (folder / source.name).write_text("[% set description = text %]\n" + source.read_text())

    made = render(many, tmp_path / "services", {**markers(), "given": accepted})

    for number, description in enumerate(accepted):
        answers = {**markers(), "description": description}
        assert differences(reached, files(made / str(number)), answers) == [], description


def _renders_into(source: Path, folder: Path) -> bool:
    """Say whether a folder of the template is that one of a service; rooms render to nothing."""
    return tuple(part for part in source.parts if not part.startswith("[")) == folder.parts


def test_the_makefile_lists_the_environments_as_they_are(
    services: Services, hostile_rows: list[dict[str, Any]]
) -> None:
    for answers in hostile_rows[:5]:
        shown = subprocess.run(
            ["make", "--eval=show:;@echo '$(ENVIRONMENTS)'", "show"],
            cwd=services(answers),
            capture_output=True,
            text=True,
            check=True,
        )
        assert shown.stdout.split() == answers["environments"]


def test_business_metrics_reach_the_image_as_name_and_kind(services: Services) -> None:
    metrics = {"z": "counter", "null": "gauge", "a" * 40: "counter", "no": "gauge"}
    text = (services({"business_metrics": metrics}) / "Dockerfile").read_text()

    given = [
        pairs["BUSINESS_METRICS"]
        for keyword, pairs in read_dockerfile(text)
        if keyword == "ENV" and "BUSINESS_METRICS" in pairs
    ]

    assert given
    for value in given:
        assert dict(pair.split("=") for pair in value.split(",")) == metrics


# -- negative controls -----------------------------------------------------------------------------

QUOTE = "template/_partials/quote.jinja"
JSON = "\n[[ text | to_json(ensure_ascii=False) ]]"
# Language: what stands in the macro, and what stands in its place.
UNQUOTED = {
    "YAML": (f"[%- else -%]{JSON}", "[%- else -%][[ text ]]"),
    "TOML": (f"toml(text) -%]{JSON}", 'toml(text) -%]"[[ text ]]"'),
    "TOML with the escapes of JSON": (JSON, "[[ text | to_json ]]"),
    "Dockerfile without dollars": (r" | replace('$', '\\$')", ""),
    "Dockerfile without backslashes": (r" | replace('\\', '\\\\')", ""),
    "Markdown": (r"\\\\`*_\\[\\]<>&~|$", r"\\\\"),
    "Markdown at the start": (r" | regex_replace('\\A([#+=>-])', '\\\\\\1')", ""),
}


@pytest.mark.parametrize("language", UNQUOTED)
def test_an_answer_that_is_not_quoted_is_noticed(
    template: Path, tmp_path: Path, marked: dict[str, bytes], language: str
) -> None:
    old, new = UNQUOTED[language]
    spoilt = mutated(template, tmp_path / "template", {QUOTE: {old: new}})
    answers = {**markers(), "description": WORST_DESCRIPTION}

    made = files(render(spoilt, tmp_path / "service", answers))

    del made[interview().settings["_answers_file"]]  # it names the other folder
    assert len(differences(marked, made, answers)) > 1


def test_a_name_that_yaml_reads_as_another_type_is_noticed(
    template: Path, tmp_path: Path, marked: dict[str, bytes]
) -> None:
    spoilt = mutated(
        template, tmp_path / "template", {QUOTE: {"and (text | from_yaml) is string": ""}}
    )
    answers = {**markers(), "service_name": "no", "team": "null"}

    made = files(render(spoilt, tmp_path / "service", answers))

    assert any("catalog-info.yaml" in problem for problem in differences(marked, made, answers))


# -- the real thing --------------------------------------------------------------------------------


@pytest.mark.engine("docker")
def test_buildkit_reads_what_our_reader_of_dockerfiles_reads(
    docker: Docker, services: Services, hostile_rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Without this, the tests above would show only what we think a Dockerfile means."""
    descriptions = [*(row["description"] for row in hostile_rows), WORST_DESCRIPTION]
    expected = {f"d{number}": text for number, text in enumerate(descriptions)}
    lines = ["FROM scratch"]
    for number, text in enumerate(descriptions):
        answers = next((r for r in hostile_rows if r["description"] == text), None)
        made = services(answers or {**markers(), "description": WORST_DESCRIPTION})
        label = re.compile(r"^ *org\.opencontainers\.image\.description=(.*?)( \\)?$", re.MULTILINE)
        found = label.search((made / "Dockerfile").read_text())
        assert found
        lines.append(f"LABEL d{number}={found[1]}")
    (tmp_path / "Dockerfile").write_text("\n".join(lines) + "\n")
    labelled = [pairs for keyword, pairs in read_dockerfile("\n".join(lines)) if keyword == "LABEL"]
    tag = docker.build(tmp_path)
    try:
        labels = docker.inspect(tag)["Config"]["Labels"]
    finally:
        docker.run("image", "rm", "--force", tag)

    assert {name: value for pairs in labelled for name, value in pairs.items()} == expected
    assert {name: labels[name] for name in expected} == expected


@pytest.mark.engine("kustomize")
def test_kustomize_keeps_names_that_yaml_reads_as_other_types(
    services: Services, hostile_rows: list[dict[str, Any]]
) -> None:
    for answers in hostile_rows[:5]:
        for environment in answers["environments"]:
            built = read_yaml(kustomize(services(answers), environment))
            maps = [one["data"] for one in built if one["kind"] == "ConfigMap"]
            named = [one["ENVIRONMENT"] for one in maps if "ENVIRONMENT" in one]
            assert named == [environment]
            assert {
                one["metadata"]["namespace"] for one in built if one["kind"] != "Namespace"
            } == {f"{answers['service_name']}-{environment}"}
