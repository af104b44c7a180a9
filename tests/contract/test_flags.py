"""Flags in both states, and the code's defaults when the provider is gone."""

import functools
import json
import time
from pathlib import Path

import httpx
import yaml
from slipway.rendering import render

from tests.contract.load import eventually
from tests.contract.recording import environment
from tests.engines.fixtures.docker import Docker

SIGN_UP = {"email": "a@example.com"}


def test_a_kill_switch_and_a_gradual_rollout_and_a_provider_that_goes(
    docker: Docker, image: str, template: Path, tmp_path: Path
) -> None:
    service = render(template, tmp_path / "service", {"service_name": "signups"})
    flags_file = service / "deploy/flags/flags.json"
    compose = yaml.safe_load((service / "compose.yaml").read_text())
    flags = json.loads(flags_file.read_text())
    flagd = docker.container(
        compose["services"]["flags"]["image"],
        *compose["services"]["flags"]["command"],
        port=8016,
        mounts={flags_file.parent: "/etc/flagd"},
    )
    with flagd as provider:
        variables = environment("", FLAGS_URL=f"http://{provider.address}:8016")
        with docker.container(image, environment=variables) as container:
            container.healthy()
            url = f"{container.url}/signups"
            assert eventually(lambda: httpx.post(url, json=SIGN_UP).status_code == 201, 5)

            welcomed = [httpx.post(url, json=SIGN_UP).json()["welcome"] for _ in range(60)]
            assert 0 < sum(welcomed) < 30, "about one in ten is welcomed"

            flags["flags"]["signups-open"]["defaultVariant"] = "off"
            flags_file.write_text(json.dumps(flags))
            assert eventually(lambda: httpx.post(url, json=SIGN_UP).status_code == 503, 15)
            closed = httpx.post(url, json=SIGN_UP)
            assert closed.json() == {"error": "sign-ups are closed"}
            assert closed.headers["retry-after"]

            provider.stop(timeout=1)
            assert eventually(lambda: httpx.post(url, json=SIGN_UP).status_code == 201, 15)
            started = time.monotonic()
            assert httpx.post(url, json=SIGN_UP).json()["welcome"] is False
            assert time.monotonic() - started < 2, "a flag provider that is gone slows nobody down"


def test_a_rollout_by_shares_keeps_whom_it_has_let_in(
    docker: Docker, template: Path, tmp_path: Path
) -> None:
    """The rendered flag at 0, 10, 50 and 100 percent, and the same user asked twice."""
    service = render(template, tmp_path / "service", {"service_name": "signups"})
    flags_file = service / "deploy/flags/flags.json"
    compose = yaml.safe_load((service / "compose.yaml").read_text())
    flags = json.loads(flags_file.read_text())
    users = [f"user-{number}" for number in range(100)]
    seen: dict[int, set[str]] = {}
    with (
        docker.container(
            compose["services"]["flags"]["image"],
            *compose["services"]["flags"]["command"],
            port=8016,
            mounts={flags_file.parent: "/etc/flagd"},
        ) as provider,
        httpx.Client(base_url=f"{provider.url}/ofrep/v1/evaluate/flags", trust_env=False) as client,
    ):

        def welcomed(user: str) -> bool:
            answer = client.post("/welcome", json={"context": {"targetingKey": user}})
            return bool(answer.json()["value"])

        def known(flag: str) -> bool:
            try:
                return client.post(flag, json={}).is_success
            except httpx.TransportError:  # the server is about to start
                return False

        for share in (0, 10, 50, 100):
            targeting = flags["flags"]["welcome"]["targeting"]["fractional"]
            targeting[:] = [["on", share], ["off", 100 - share]]
            # Whether the edit has arrived is asked by a flag that comes with it.
            flags["flags"][f"at-{share}"] = flags["flags"]["signups-open"]
            flags_file.write_text(json.dumps(flags))
            assert eventually(functools.partial(known, f"/at-{share}"), 10)
            seen[share] = {user for user in users if welcomed(user)}
            assert seen[share] == {user for user in users if welcomed(user)}, "asked again"
    assert seen[0] == set()
    assert 3 <= len(seen[10]) <= 20, "about one in ten"
    assert 35 <= len(seen[50]) <= 65, "about one in two"
    assert seen[100] == set(users)
    assert seen[10] < seen[50], "who was let in stays in"
