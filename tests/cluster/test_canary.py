"""Canaries by Argo Rollouts, judged by the rules behind the objectives."""

import pytest

from tests.cluster.shop import Shop

pytestmark = [
    pytest.mark.long,
    pytest.mark.quiet,
    pytest.mark.engine("cluster", "custom-resources", "argo-rollouts", "docker", "images"),
    pytest.mark.engine("observers"),
]

ROLLOUT = "canary"


def test_a_good_release_is_promoted(judged: Shop, digests: dict[str, str]) -> None:
    with judged.users() as users:
        said = judged.deploy(digests["second"])
    print(f"canary, a good release: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    assert digests["second"] in said
    assert judged.cluster.eventually(lambda: judged.digests() == {digests["second"]}, 120)


def test_a_release_with_errors_is_given_up(
    judged: Shop, digests: dict[str, str], faulty: str
) -> None:
    with judged.users() as users:
        said = judged.deploy(faulty, check=False)
    assert "serves again" in said, said
    print(f"canary, a faulty release: {users.noticed}")
    # A quarter of the pods fails a fifth of its requests.
    assert 0 < users.noticed.failed < 0.25 * users.noticed.sent, users.noticed
    assert judged.cluster.eventually(lambda: judged.digests() == {digests["second"]}, 120)


def test_a_release_that_nobody_asks_does_not_pass(judged: Shop, digests: dict[str, str]) -> None:
    said = judged.deploy(digests["third"], "TIMEOUT=90", check=False)
    assert "serves again" in said, said
    assert judged.cluster.eventually(lambda: judged.digests() == {digests["second"]}, 120)


def test_a_rollback_takes_no_steps_and_drops_nothing(judged: Shop, digests: dict[str, str]) -> None:
    with judged.users() as users:
        said = judged.make("rollback", f"TO={digests['first']}")
    assert digests["first"] in said
    print(f"canary, a rollback: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    assert judged.cluster.eventually(lambda: judged.digests() == {digests["first"]}, 120)


def test_the_drill_passes(judged: Shop) -> None:
    with judged.users() as users:
        page = judged.drill()
    print(f"{ROLLOUT}, a drill: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    assert f"| rollout | {ROLLOUT} |" in page
