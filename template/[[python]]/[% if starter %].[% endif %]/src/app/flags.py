"""Feature flags through OpenFeature, from an OFREP server when FLAGS_URL names one."""

import asyncio
import logging
import time

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode

_logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 0.5
PAUSE_SECONDS = 5  # after a failure the defaults hold for so long


class Flags:
    """Boolean flags; without a server, or when it is gone, the defaults."""

    def __init__(self, flags_url: str | None) -> None:
        self._remote = flags_url is not None
        self._paused_until = 0.0
        self._warned_at = float("-inf")
        if flags_url is not None:
            api.set_provider(OFREPProvider(flags_url, timeout=TIMEOUT_SECONDS))
            # It logs each failure with the exception; ours is one line a minute.
            logging.getLogger("openfeature").setLevel(logging.CRITICAL)
        self._client = api.get_client()

    async def enabled(self, flag: str, default: bool, targeting_key: str = "") -> bool:
        """Whether a flag is on. The targeting key leaves the process: never a personal detail."""
        if not self._remote or time.monotonic() < self._paused_until:
            return default
        context = EvaluationContext(targeting_key or None)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):  # the client blocks, hence the thread
                details = await asyncio.to_thread(
                    self._client.get_boolean_details, flag, default, context
                )
        except TimeoutError:
            self._failed(flag, "timeout")
            return default
        if details.error_code:
            self._failed(flag, details.error_code.value)
        return details.value

    def _failed(self, flag: str, problem: str) -> None:
        now = time.monotonic()
        if problem != ErrorCode.FLAG_NOT_FOUND.value:  # a server that does not know it is there
            self._paused_until = now + PAUSE_SECONDS
        if now - self._warned_at >= 60:
            self._warned_at = now
            extra = {"feature_flag.key": flag, "error.type": problem}
            _logger.warning("a flag cannot be evaluated: its default holds", extra=extra)
