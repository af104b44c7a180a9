"""What kubectl's Kustomize builds is read, renamed and turned into data as it is."""

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploying.scripts import script
from tests.kubectl import needs_kubectl
from tests.render.reading import read_yaml
from tests.services import Services

cluster = script("cluster")
rollout = script("rollout")
release = script("release")
doctor = script("doctor")
drill = script("drill")
A, B = (f"sha256:{letter * 64}" for letter in "ab")


def built(service: Path, monkeypatch: pytest.MonkeyPatch, environment: str, digest: str) -> str:
    monkeypatch.chdir(service)
    return str(
        cluster.build(environment, "mirror.example.org/x", digest, "ghcr.io/example/signups")
    )


@needs_kubectl
@pytest.mark.parametrize("environment", ["dev", "production"])
def test_an_environment_is_built_with_an_image_and_no_file_changes(
    own: Path, monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    file = own / f"deploy/environments/{environment}/release/kustomization.yaml"
    seed = file.read_text()

    text = built(own, monkeypatch, environment, A)

    assert f"image: mirror.example.org/x@{A}\n" in text
    assert "not-released" not in text
    assert file.read_text() == seed
    file.write_text(release.with_image(seed, release.Image("ghcr.io/example/signups", B)))
    again = built(own, monkeypatch, environment, A)
    assert again == text
    assert B in built(own, monkeypatch, environment, "")


@needs_kubectl
def test_every_resource_is_found_with_its_kind_and_name(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = built(own, monkeypatch, "production", A)

    found = [(one.api_version, one.kind, one.name) for one in cluster.split(text)]

    assert found == [
        (one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in read_yaml(text)
    ]
    assert read_yaml(cluster.joined(cluster.split(text))) == read_yaml(text)


def under_way(pod: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a blue-green release that Argo says nothing of, with one new pod."""
    deployment = {
        "kind": "Deployment",
        "metadata": {"name": "signups", "generation": 1},
        "spec": {"progressDeadlineSeconds": 0},
    }
    seen = {
        "deployment": deployment,
        "rollout.argoproj.io": {
            "metadata": {"name": "signups", "uid": "u", "generation": 1},
            "status": {
                "observedGeneration": "1", "workloadObservedGeneration": "1",
                "phase": "Progressing", "message": "active service cutover pending",
            },
        },
        "replicasets": [{
            "metadata": {
                "name": "signups-2", "ownerReferences": [{"uid": "u"}],
                "annotations": {"rollout.argoproj.io/revision": "2"},
            },
            "spec": {"template": {"spec": {}}},
        }],
        "pods": [{**pod, "metadata": {"ownerReferences": [{"name": "signups-2"}]}}],
    }  # fmt: skip
    here = cluster.Cluster("signups", "production", "here")
    for reads in ("read", "every"):
        monkeypatch.setattr(cluster.Cluster, reads, lambda _, kind, *_more: seen[kind])
    monkeypatch.setattr(rollout, "POLL", 0)
    resources = [deployment, {"kind": "Rollout", "metadata": {"name": "signups"}}]
    manifests = cluster.split(yaml.safe_dump_all({"apiVersion": "v1", **one} for one in resources))
    return rollout.Release(here, release.Image("ghcr.io/example/signups", A), manifests)


@pytest.mark.parametrize(
    ("ready", "says"),
    [
        ("False", "no new pod became ready within 0 s"),
        # It is judged then, which takes as long as it takes.
        ("True", "not done after 1 s: Progressing: active service cutover pending"),
    ],
)
def test_a_release_whose_pods_never_get_ready_is_given_up_though_argo_waits(
    monkeypatch: pytest.MonkeyPatch, ready: str, says: str
) -> None:
    pod = {"status": {"conditions": [{"type": "Ready", "status": ready}]}}
    progress = rollout.wait(under_way(pod, monkeypatch), 1)
    assert (progress.state, progress.says) == ("failed", says)


@needs_kubectl
def test_the_migration_is_named_by_the_image_and_stays_out_of_what_stands(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = built(own, monkeypatch, "dev", A)
    image = release.Image("mirror.example.org/x", A)
    here = cluster.Cluster("signups", "dev", "here")
    one = rollout.Release(here, image, cluster.split(text))

    job = yaml.safe_load(one.migration.text)

    assert job["metadata"]["name"] == "signups-migrate-aaaaaaaaaaaa"
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == str(image)
    assert "Job" not in {manifest.kind for manifest in one.standing}
    assert len(one.standing) == len(one.manifests) - 1


@needs_kubectl
def test_a_service_that_a_rollout_switches_is_found_and_can_leave_the_pods_to_it(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = built(services({"rollout": "blue-green"}), monkeypatch, "production", A)
    manifests = cluster.split(text)

    names = [name for one in manifests if one.kind == "Rollout" for name in one.switched]

    assert sorted(names) == ["signups", "signups-preview"]
    for one in manifests:
        if one.kind == "Service":
            whole = yaml.safe_load(one.text)
            assert whole["spec"].pop("selector")
            assert yaml.safe_load(one.without_selector().text) == whole


@needs_kubectl
def test_a_canary_switches_no_service(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    text = built(services({"rollout": "canary"}), monkeypatch, "production", A)
    assert [one.switched for one in cluster.split(text) if one.kind == "Rollout"] == [[]]


@needs_kubectl
def test_a_manifest_becomes_data_without_a_cluster(
    own: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    manifests = cluster.split(built(own, monkeypatch, "dev", A))
    [deployment] = [one for one in manifests if one.kind == "Deployment"]
    assert cluster.as_data(deployment) == yaml.safe_load(deployment.text)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("", "kubectl said nothing"),
        ("Warning: old\nerror: no such file\n", "error: no such file"),
        ("E1129 memcache\nThe connection to the server x was refused\n",
         "The connection to the server x was refused"),
        ('error: Apply failed with 2 conflicts: conflicts with "hpa":\n- .spec.replicas\n'
         "- .spec.x\nPlease review the fields above\n",
         'error: Apply failed with 2 conflicts: conflicts with "hpa": .spec.replicas, .spec.x'),
    ],
)  # fmt: skip
def test_what_kubectl_complains_of_is_one_line(said: str, problem: str) -> None:
    assert cluster.problem(said) == problem


# -- the drill -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "probe",
    [
        {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 2},
        {"tcpSocket": {"port": 8080}},
        {"grpc": {"port": 8080}, "timeoutSeconds": 2},
        None,
    ],
)
def test_a_drill_breaks_readiness_and_nothing_else(probe: dict[str, object] | None) -> None:
    container = {"name": "app", "image": "x", "livenessProbe": {"httpGet": {"port": 1}}}
    if probe:
        container["readinessProbe"] = probe
    good = {"spec": {"containers": [{"name": "proxy"}, container]}}

    bad = drill.broken(good)

    spoilt = bad["spec"]["containers"][1].pop("readinessProbe")
    assert [spoilt[key]["port"] for key in ("httpGet", "tcpSocket") if key in spoilt] == [1]
    assert not {"grpc", "exec"} & set(spoilt)
    container.pop("readinessProbe", None)
    assert bad == good


def result(**changes: object) -> object:
    good = {
        "began": "2026-01-02T03:04:05Z", "digest": A, "how": "rolling", "noticed": "no new pod",
        "noticed_after": 121.0, "back_after": 4.0, "exposed": 0, "requests": "600, 0 failed",
        "failed_requests": 0,
    }  # fmt: skip
    return drill.Result(**{**good, **changes})


def test_a_drill_that_went_well_is_reported_so() -> None:
    page = drill.report("signups", "staging", result())
    assert page.startswith("# Rollback drill of signups in staging\n")
    assert "| result | passed |" in page
    assert "| noticed after | 121 s |" in page


@pytest.mark.parametrize(
    "changes", [{"noticed": ""}, {"back_after": None}, {"exposed": 1}, {"failed_requests": 1}]
)
def test_a_drill_that_went_badly_is_not_reported_as_passed(changes: dict[str, object]) -> None:
    assert "| result | failed |" in drill.report("signups", "staging", result(**changes))


# -- the doctor ------------------------------------------------------------------------------------


def test_the_gateways_of_a_route_are_found() -> None:
    route = yaml.safe_dump(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "signups"},
            "spec": {
                "hostnames": ["signups.example.com"],
                "parentRefs": [{"name": "public", "namespace": "gateway-system"}, {"name": "own"}],
                "rules": [{"backendRefs": [{"name": "signups", "port": 80}]}],
            },
        }
    )
    # PyYAML does not indent lists, as Kustomize does not.
    assert doctor.gateways(route) == [("public", "gateway-system"), ("own", "")]
    assert doctor.gateways(route.replace("parentRefs", "others")) == []


@pytest.mark.parametrize(
    ("version", "number"), [("v1.37.2", (1, 37)), ("v1.9.0+x", (1, 9)), ("", (0, 0))]
)
def test_versions_are_compared_as_numbers(version: str, number: tuple[int, int]) -> None:
    assert doctor.number(version) == number


@pytest.mark.parametrize(
    ("api", "kind", "resource"),
    [
        ("v1", "ConfigMap", "configmaps"),
        ("apps/v1", "Deployment", "deployments.apps"),
        ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies.networking.k8s.io"),
        ("networking.k8s.io/v1", "Ingress", "ingresses.networking.k8s.io"),
    ],
)
def test_kinds_are_asked_for_under_their_plural(api: str, kind: str, resource: str) -> None:
    assert doctor.resource_of(cluster.Manifest(f"apiVersion: {api}\nkind: {kind}\n")) == resource


class Told:
    """A cluster that has what a test says: resources by kind and place."""

    service, environment, namespace, context = "signups", "production", "signups-production", "c"

    def __init__(self, **there: dict[str, object]) -> None:
        self.there = there
        self.asked: list[tuple[str, ...]] = []

    def read(self, kind: str, name: str, namespace: str = "") -> object:
        return self.there.get(kind.partition(".")[0], {}).get(f"{namespace}/{name}")

    def every(self, kind: str) -> list[object]:
        return list(self.there.get(kind, {}).values())

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        self.asked.append(arguments)
        return subprocess.CompletedProcess(arguments, 0, stdout="yes")


def lacking(answers: Iterable[Any]) -> list[str]:
    return [one.what for one in answers if one.remedy]


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        ({"password": "eA=="}, []),
        ({"pasword": "eA=="}, ["secret signups-production/signups-database, key password"]),
        (None, ["secret signups-production/signups-database"]),
    ],
)
def test_the_doctor_looks_for_the_secret_and_its_key(
    data: dict[str, str] | None, missing: list[str]
) -> None:
    mounts = cluster.Manifest("kind: Deployment\n        secretName: signups-database\n")
    place = "signups-production/signups-database"
    told = Told(secret={place: {"data": data}} if data else {})
    assert lacking(doctor.secrets(told, [mounts])) == missing


@pytest.mark.parametrize("marked", [True, False])
def test_the_doctor_looks_for_the_class_of_an_ingress_that_names_none(marked: bool) -> None:
    annotations = {"ingressclass.kubernetes.io/is-default-class": "true"} if marked else {}
    told = Told(ingressclasses={"nginx": {"metadata": {"annotations": annotations}}})
    ingress = cluster.Manifest("kind: Ingress\nspec:\n  rules: []\n")
    assert lacking(doctor.edge(told, [ingress])) == (
        [] if marked else ["a default class of ingress"]
    )


@pytest.mark.parametrize("rollout", ["canary", "blue-green"])
@needs_kubectl
def test_the_doctor_looks_for_whom_releases_are_judged_by(
    services: Services, monkeypatch: pytest.MonkeyPatch, rollout: str
) -> None:
    monkeypatch.chdir(services({"rollout": rollout}))
    manifests = cluster.split(cluster.build("production"))
    missing = lacking(doctor.addresses(Told(), manifests))
    assert "service observability/prometheus (analysis of releases)" in missing
    known: dict[str, object] = {
        f"observability/{name}": {"kind": "Service"}
        for name in ("prometheus", "opentelemetry-collector")
    }
    assert lacking(doctor.addresses(Told(service=known), manifests)) == []


@needs_kubectl
def test_the_doctor_asks_for_every_permission_that_the_page_lists(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(services({"rollout": "canary", "datastore": "postgres"}))
    told = Told()
    list(doctor.permissions(told, cluster.split(cluster.build("production"))))
    asked = {
        (verb, "/".join(filter(None, (resource.partition(".")[0], part.partition("=")[2]))))
        for _, _, verb, resource, part in told.asked
    }
    assert asked >= {
        *(("create", "deployments"), ("patch", "deployments"), ("create", "namespaces")),
        *(("get", "pods"), ("create", "pods"), ("delete", "pods"), ("get", "pods/log")),
        *(("create", "jobs"), ("delete", "jobs"), ("list", "replicasets")),
        *(("patch", "replicasets"), ("list", "endpointslices"), ("list", "events")),
        *(
            ("list", "horizontalpodautoscalers"),
            ("patch", "rollouts"),
            ("patch", "rollouts/status"),
        ),
    }
