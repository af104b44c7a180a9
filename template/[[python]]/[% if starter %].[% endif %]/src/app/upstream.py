"""The service that is told about each sign-up, when UPSTREAM_URL names one."""

import asyncio
import logging

import httpx

from app import telemetry
from app.signups import NewSignup

_logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 2


class Upstream:
    """Sends sign-ups on; a failure is logged and never reaches the client."""

    def __init__(self, base_url: str | None) -> None:
        self._url = f"{base_url}/signups" if base_url else None
        self._client = httpx.AsyncClient(
            timeout=TIMEOUT_SECONDS,
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=20),
            trust_env=False,
        )
        telemetry.instrument_client(self._client)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def tell(self, signup: NewSignup) -> None:
        """Send a new sign-up on, within the time limit."""
        if self._url is None:
            return
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                body = signup.model_dump(include={"email", "plan"})
                async with self._client.stream("POST", self._url, json=body) as response:
                    problem = str(response.status_code) if response.status_code >= 400 else None
        except (httpx.HTTPError, TimeoutError) as error:
            problem = type(error).__name__
        if problem:
            _logger.error("the upstream did not take a sign-up", extra={"error.type": problem})
