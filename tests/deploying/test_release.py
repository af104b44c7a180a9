"""What a release is: the file in release/, what ran before, and how far a rollout is."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.deploying.scripts import script
from tests.services import Services

release = script("release")
cluster = script("cluster")
A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
MARK = "signups-deploy/rolled-back"

FORMS = {
    "seed": (
        "images:\n  - name: app\n    newName: ghcr.io/example/signups\n    newTag: not-released\n"
    ),
    "by kustomize": f"images:\n- digest: {B}\n  name: app\n  newName: ghcr.io/example/signups\n",
    "a tag beside a digest": (
        f"images:\n  - name: app\n    newName: ghcr.io/example/signups\n    newTag: 1.2.3\n"
        f"    digest: {B}\n"
    ),
    "neither": "images:\n  - name: app\n    newName: ghcr.io/example/signups",
    "quoted, with comments": (
        "# Runs in dev.\nimages:\n  # ours\n  - name: 'app'\n"
        '    newName: "ghcr.io/example/signups"\n    newTag: "1.2.3" # of Monday\n'
    ),
    "name last": f"images:\n  - newName: ghcr.io/example/signups\n    digest: {B}\n    name: app\n",
}
OTHERS = "  - name: proxy\n    newName: ghcr.io/example/proxy\n    newTag: '2.0'\n"


# -- release/kustomization.yaml --------------------------------------------------------------------


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_the_digest_is_written_and_nothing_else_changes(text: str) -> None:
    image = release.Image("ghcr.io/example/signups", A)

    written = release.with_image(text, image)

    [entry] = yaml.safe_load(written)["images"]
    assert entry == {"name": "app", "newName": image.repository, "digest": A}
    assert release.released_image(written) == image
    assert release.with_image(written, image) == written
    changed = set(text.splitlines()) ^ set(written.splitlines())
    assert all("digest:" in line or "newTag:" in line for line in changed), changed


def test_other_images_stay(services: Services) -> None:
    seed = services({}) / "deploy/environments/dev/release/kustomization.yaml"
    for text in (
        seed.read_text() + OTHERS,
        seed.read_text().replace("images:\n", f"images:\n{OTHERS}"),
    ):
        written = release.with_image(text, release.Image("ghcr.io/example/signups", A))
        assert OTHERS in written
        assert written == text.replace("newTag: not-released", f"digest: {A}")


def test_the_seed_was_never_released(services: Services) -> None:
    for folder in (services({}) / "deploy/environments").iterdir():
        text = (folder / "release/kustomization.yaml").read_text()
        assert release.released_image(text).digest == ""
        assert "not-released" not in release.with_image(text, release.Image("a/b", A))


def test_another_repository_is_written_too() -> None:
    for text in FORMS.values():
        written = release.with_image(text, release.Image("mirror.example.org:5000/signups", A))
        [entry] = yaml.safe_load(written)["images"]
        assert entry["newName"] == "mirror.example.org:5000/signups"


@pytest.mark.parametrize("text", ["", "images: []\n", OTHERS, "images:\n  - name: app\n"])
def test_a_file_without_the_image_is_refused(text: str) -> None:
    with pytest.raises(cluster.CannotRunError):
        release.released_image(text)


@given(st.text(alphabet="0123456789abcdef", min_size=64, max_size=64))
def test_every_digest_is_one_and_names_a_job(hexadecimal: str) -> None:
    digest = f"sha256:{hexadecimal}"
    assert release.parse_digest(digest) == digest
    name = release.migration_name("s" * 30, digest)
    assert len(name) <= 63
    assert name == f"{'s' * 30}-migrate-{hexadecimal[:12]}"


@given(st.text())
def test_nothing_else_is_a_digest(text: str) -> None:
    for wrong in (text, f"sha256:{text}", f"{A}{text or ' '}", f"{A}\n"):
        with pytest.raises(cluster.CannotRunError):
            release.parse_digest(wrong)


@pytest.mark.parametrize(
    ("text", "repository"),
    [
        (f"ghcr.io/a/b@{A}", "ghcr.io/a/b"),
        (f"ghcr.io/a/b:1.2.3@{A}", "ghcr.io/a/b"),
        (f"localhost:5000/b@{A}", "localhost:5000/b"),
        (f"localhost:5000/b:1@{A}", "localhost:5000/b"),
    ],
)
def test_an_image_is_a_repository_and_a_digest(text: str, repository: str) -> None:
    assert release.parse_image(text) == release.Image(repository, A)


# -- what ran before -------------------------------------------------------------------------------


def template(digest: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app.kubernetes.io/name": "signups"}},
        "spec": {"containers": [{"name": "app", "image": f"ghcr.io/a/b@{digest}"}], **spec},
    }


def replica_set(
    revision: int, pod: dict[str, Any], *, key: str = "deployment.kubernetes.io/revision",
    available: int = 0, rolled_back: str = "", owner: str = "u1",
) -> dict[str, Any]:  # fmt: skip
    labels = {**pod["metadata"]["labels"], "pod-template-hash": f"h{revision}"}
    annotations = {key: str(revision), **({MARK: rolled_back} if rolled_back else {})}
    return {
        "metadata": {
            "name": f"signups-h{revision}",
            "annotations": annotations,
            "ownerReferences": [{"uid": owner, "name": "signups"}],
        },
        "spec": {"template": {**pod, "metadata": {**pod["metadata"], "labels": labels}}},
        "status": {"availableReplicas": available} if available else {},
    }


def history(*replica_sets: dict[str, Any]) -> Any:
    return release.history(replica_sets, "u1", MARK)


def test_a_release_is_remembered_as_it_was_applied() -> None:
    [past] = history(replica_set(3, template(A)))
    assert past.template == template(A)
    assert past.image == release.Image("ghcr.io/a/b", A)


def test_releases_of_others_are_none_of_ours() -> None:
    assert history(replica_set(1, template(A), owner="u2")) == []


@pytest.mark.parametrize(
    "key", ["deployment.kubernetes.io/revision", "rollout.argoproj.io/revision"]
)
def test_the_release_before_is_the_last_one_that_was_another(key: str) -> None:
    # As text, 10 comes before 9.
    pasts = history(
        replica_set(9, template(A), key=key),
        replica_set(11, template(C), key=key),
        replica_set(10, template(B), key=key),
    )
    assert [past.revision for past in pasts] == [11, 10, 9]
    assert release.release_before(pasts).image.digest == B


def test_a_release_that_was_given_up_is_not_gone_back_to() -> None:
    pasts = history(
        replica_set(3, template(A)),
        replica_set(2, template(B), rolled_back="2026-01-01T00:00:00Z"),
        replica_set(1, template(C)),
    )
    assert release.release_before(pasts).image.digest == C
    # Whoever names it gets it.
    assert release.release_of(pasts, B).revision == 2


def test_a_restart_is_no_release() -> None:
    restarted = template(B)
    restarted["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "now"}
    pasts = history(
        replica_set(3, restarted), replica_set(2, template(B)), replica_set(1, template(A))
    )
    assert release.release_before(pasts).image.digest == A


def test_another_configuration_is_another_release() -> None:
    configured = template(A, volumes=[{"name": "x"}])
    pasts = history(replica_set(2, configured), replica_set(1, template(A)))
    assert release.release_before(pasts).revision == 1


@pytest.mark.parametrize("known", [[], [replica_set(1, template(A))]])
def test_where_nothing_ran_before_there_is_nothing_to_go_back_to(known: list[Any]) -> None:
    assert release.release_before(history(*known)) is None
    assert release.release_of(history(*known), B) is None


def test_of_one_image_the_newest_that_was_not_given_up_is_taken() -> None:
    pasts = history(
        replica_set(4, template(B)),
        replica_set(3, template(A, volumes=[]), rolled_back="2026-01-01T00:00:00Z"),
        replica_set(2, template(A)),
        replica_set(1, template(A, volumes=[{}])),
    )
    assert release.release_of(pasts, A).revision == 2


def test_what_serves_has_pods_or_is_what_a_rollout_calls_stable() -> None:
    pasts = history(
        replica_set(3, template(C)), replica_set(2, template(B), available=3),
        replica_set(1, template(A), available=3),
    )  # fmt: skip
    assert release.release_that_serves(pasts).revision == 2
    assert release.release_that_serves(pasts, "h1").revision == 1
    assert release.release_that_serves(pasts, "gone") is None


# -- how far a rollout is --------------------------------------------------------------------------


def deployment(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"generation": 5},
        "spec": {"replicas": 3, "progressDeadlineSeconds": 120},
        "status": {"observedGeneration": 5, **status},
    }


DONE = {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}
EXCEEDED = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
QUOTA = [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]


@pytest.mark.parametrize(
    ("status", "state", "says"),
    [
        (DONE, "serving", "3 of 3 pods serve"),
        ({**DONE, "observedGeneration": 4}, "unseen", "not seen"),
        ({**DONE, "replicas": 4}, "waiting", "3 of 3 pods are new, 4 in all"),
        ({**DONE, "availableReplicas": 2}, "waiting", "are new"),
        ({**DONE, "updatedReplicas": 1}, "waiting", "1 of 3 pods are new"),
        ({**DONE, "updatedReplicas": 1, "conditions": QUOTA}, "waiting", "exceeded quota"),
        ({**DONE, "conditions": EXCEEDED}, "failed", "no new pod became ready within 120 s"),
        ({}, "waiting", "0 of 3"),
    ],
)
def test_how_far_a_deployment_is(status: dict[str, Any], state: str, says: str) -> None:
    progress = release.progress_of_deployment(deployment(**status))
    assert progress.state == state
    assert says in progress.says


HEALTHY = {
    "observedGeneration": "7", "workloadObservedGeneration": "5", "phase": "Healthy",
    "stableRS": "h2", "currentPodHash": "h2", "availableReplicas": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "state", "says"),
    [
        ({}, "serving", "3 pods serve"),
        ({"observedGeneration": "6"}, "unseen", "not seen"),
        # Healthy still, but with the release before.
        ({"workloadObservedGeneration": "4"}, "unseen", "not seen"),
        ({"currentPodHash": "h3"}, "waiting", "Healthy"),
        ({"phase": "Paused", "message": "CanaryPauseStep"}, "waiting", "Paused: CanaryPauseStep"),
        ({"phase": "Degraded", "message": "aborted"}, "failed", "Degraded: aborted"),
        (
            {
                "workloadObservedGeneration": None,
                "phase": "Degraded",
                "conditions": [
                    {"type": "InvalidSpec", "status": "True", "message": "no such step"}
                ],
            },
            "failed",
            "no such step",
        ),
    ],
)
def test_how_far_a_rollout_is(changes: dict[str, Any], state: str, says: str) -> None:
    rollout = {"metadata": {"generation": 7}, "status": {**HEALTHY, **changes}}
    progress = release.progress_of_rollout(rollout, deployment())
    assert progress.state == state
    assert says in progress.says


def test_no_pods_are_no_release_that_serves() -> None:
    """Somebody scaled to none, and the autoscaler leaves it so."""
    none = {"replicas": 0}
    scaled = deployment()
    assert release.progress_of_deployment({**scaled, "spec": none}).state == "failed"
    rollout = {"metadata": {"generation": 7}, "status": {**HEALTHY}, "spec": none}
    assert release.progress_of_rollout(rollout, scaled).state == "failed"


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "signups-1"}, "status": {"containerStatuses": [status]}}


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"ready": True, "state": {"running": {}}}, []),
        ({"ready": False, "state": {"running": {}}},
         ["signups-1: it runs, and its readiness probe fails"]),
        ({"ready": False,
          "state": {"waiting": {"reason": "ErrImagePull", "message": "not\nfound"}}},
         ["signups-1: ErrImagePull not found"]),
        ({"ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
          "lastState": {"terminated": {"exitCode": 2}}},
         ["signups-1: CrashLoopBackOff; it ended with exit code 2"]),
        ({"ready": False, "state": {"terminated": {"exitCode": 1, "reason": "Error"}}},
         ["signups-1: it ended with exit code 1 (Error)"]),
    ],
)  # fmt: skip
def test_pods_say_why_they_are_not_ready(status: dict[str, Any], says: list[str]) -> None:
    assert release.complaints([pod(**status)]) == says


def test_a_pod_that_no_node_takes_says_so() -> None:
    waiting = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"}
    unplaced = {"metadata": {"name": "signups-1"}, "status": {"conditions": [waiting]}}
    assert release.complaints([unplaced]) == ["signups-1: 0/2 nodes are available"]


@pytest.mark.parametrize(("restarts", "reason", "loops"), [
    (3, "CrashLoopBackOff", True), (2, "CrashLoopBackOff", False), (3, "ErrImagePull", False),
])  # fmt: skip
def test_a_crash_loop_is_one_after_the_third_end(restarts: int, reason: str, loops: bool) -> None:
    status = {"restartCount": restarts, "state": {"waiting": {"reason": reason}}}
    assert release.crash_loops([pod(**status)]) is loops


def test_a_sidecar_that_ends_again_and_again_is_a_crash_loop_too() -> None:
    status = {"restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    beside = {"metadata": {"name": "signups-1"}, "status": {"initContainerStatuses": [status]}}
    assert release.crash_loops([beside])
