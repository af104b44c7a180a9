"""Blue-green releases by Argo Rollouts: all users go over at once, and back at once."""

import pytest

from tests.cluster.shop import CHANGES, SERVICE, Shop, digest_of, set_in_changes

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
    print(f"blue-green, a switch: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    assert asked(judged) == {digests["second"]}
    before = judged.names()

    with judged.users() as users:
        judged.make("rollback")
    print(f"blue-green, the switch back: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    assert asked(judged) == {digests["first"]}
    assert judged.names() == before, "pods were kept for that"


def test_a_release_with_errors_is_switched_back(
    judged: Shop, digests: dict[str, str], faulty: str
) -> None:
    with judged.users() as users:
        said = judged.deploy(faulty, check=False)
    assert f"{digests['first']} serves again" in said, said
    print(f"blue-green, a faulty release: {users.noticed}")
    assert 0 < users.noticed.failed < 0.25 * users.noticed.sent, users.noticed
    assert asked(judged) == {digests["first"]}


def test_a_release_that_cannot_be_judged_gets_no_users(
    judged: Shop, digests: dict[str, str]
) -> None:
    variables = judged.folder / CHANGES / "configuration.env"
    kept = variables.read_text()
    set_in_changes(judged.folder, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    try:
        with judged.users() as users:
            said = judged.deploy(digests["third"], check=False)
    finally:
        variables.write_text(kept)
    assert "serves again" in said, said
    assert users.noticed.failed == 0, users.noticed
    assert asked(judged) == {digests["first"]}


def test_the_drill_passes(judged: Shop) -> None:
    with judged.users() as users:
        page = judged.drill()
    print(f"{ROLLOUT}, a drill: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    assert f"| rollout | {ROLLOUT} |" in page
