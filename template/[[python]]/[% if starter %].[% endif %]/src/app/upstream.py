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
        self._client: httpx.AsyncClient | None = None
        if base_url is not None:
            self._client = httpx.AsyncClient(
                base_url=base_url, timeout=TIMEOUT_SECONDS, trust_env=False
            )
            telemetry.instrument_client(self._client)

    async def close(self) -> None:
        """Close the connections."""
        if self._client:
            await self._client.aclose()

    async def tell(self, signup: NewSignup) -> None:
        """Send a new sign-up on, within the time limit."""
        if not self._client:
            return
        try:
            # The limit of the client is for each read; this one is for all of it. The body of the
            # answer is not read: only the status matters.
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                self._client.stream("POST", "signups", json=signup.model_dump()) as answer,
            ):
                problem = str(answer.status_code) if answer.status_code >= 300 else ""
        except (httpx.HTTPError, TimeoutError) as error:
            problem = type(error).__name__
        if problem:
            _logger.error("the upstream did not take a sign-up", extra={"error.type": problem})
