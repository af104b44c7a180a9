"""Blue-green releases by Argo Rollouts: all users go over at once, and back at once."""

import pytest

from tests.cluster.shop import ENVIRONMENT, SERVICE, Shop, digest_of

pytestmark = [
    pytest.mark.long,
    pytest.mark.quiet,
    pytest.mark.engine("cluster", "custom-resources", "argo-rollouts", "docker", "images"),
    pytest.mark.engine("observers"),
]

ROLLOUT = "blue-green"


def asked(shop: Shop) -> set[str]:
    """Return the digests of the pods that the Service sends users to."""
    chosen = shop.get("service", SERVICE)["spec"]["selector"]
    return {
        digest_of(pod) for pod in shop.pods() if chosen.items() <= pod["metadata"]["labels"].items()
    }


def test_a_switch_and_the_switch_back_drop_nothing(judged: Shop, digests: dict[str, str]) -> None:
    with judged.users() as users:
        judged.deploy(digests["second"])
    assert users.noticed
    print(f"blue-green, a switch: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    assert asked(judged) == {digests["second"]}
    before = {pod["metadata"]["name"] for pod in judged.pods()}

    with judged.users() as users:
        judged.make("rollback")
    assert users.noticed
    print(f"blue-green, the switch back: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    assert asked(judged) == {digests["first"]}
    assert {pod["metadata"]["name"] for pod in judged.pods()} == before, "pods were kept for that"


def test_a_release_with_errors_is_switched_back(
    judged: Shop, digests: dict[str, str], faulty: str
) -> None:
    with judged.users() as users:
        said = judged.deploy(faulty, check=False)
    assert f"{digests['first']} serves again" in said, said
    assert users.noticed
    print(f"blue-green, a faulty release: {users.noticed}")
    assert 0 < users.noticed.failed < 0.25 * users.noticed.sent, users.noticed
    assert asked(judged) == {digests["first"]}


def test_a_release_that_cannot_be_judged_gets_no_users(
    judged: Shop, digests: dict[str, str]
) -> None:
    variables = judged.folder / f"deploy/environments/{ENVIRONMENT}/changes/configuration.env"
    kept = variables.read_text()
    variables.write_text(f"{kept}OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9\n")
    try:
        with judged.users() as users:
            said = judged.deploy(digests["third"], check=False)
    finally:
        variables.write_text(kept)
    assert "serves again" in said, said
    assert users.noticed
    assert users.noticed.failed == 0, users.noticed
    assert asked(judged) == {digests["first"]}


def test_the_drill_passes(judged: Shop) -> None:
    with judged.users() as users:
        page = judged.drill()
    assert users.noticed
    print(f"{ROLLOUT}, a drill: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    assert f"| rollout | {ROLLOUT} |" in page
