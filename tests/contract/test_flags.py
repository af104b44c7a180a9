"""Flags in both states, and the code's defaults when the provider is gone."""

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
