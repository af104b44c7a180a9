"""Serves the application, and ends in order when it is told to."""

import asyncio
import logging
import os
import socket
import time
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from app import telemetry
from app.api import Service, create_app
from app.flags import Flags
from app.settings import Environment, Settings
from app.stores import choose_store
from app.upstream import Upstream

_logger = logging.getLogger(__name__)

ALL_INTERFACES = "0.0.0.0"  # noqa: S104 - in a container there is no other way to be reached
NOTICE_SECONDS = 1.0  # what a load balancer needs to notice that the service is not ready
REQUEST_HEAD_SECONDS = 10
REQUEST_HEAD_BYTES = 16 * 1024
KEEP_ALIVE_SECONDS = 5


class Protocol(H11Protocol):
    """HTTP/1.1 that does not wait for ever for the head of a request."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_request()

    def _expect_request(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self.loop.call_later(REQUEST_HEAD_SECONDS, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


class Server(uvicorn.Server):
    """On SIGTERM: not ready at once, accept for a moment more, drain, and exit with 0."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._exit_at: float | None = None
        self._announced = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the store and the listener."""
        await super().startup(sockets)
        if self.started:
            _logger.info("listening", extra={"server.port": self.config.port})

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; a second signal ends the wait for late requests."""
        if self._service.draining:
            self.should_exit = True
            return
        self._service.draining = True
        self._exit_at = time.monotonic() + NOTICE_SECONDS

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second."""
        if self._exit_at is not None:
            if not self._announced:  # not in the signal's handler, where a log line may be cut
                _logger.info("draining")
                self._announced = True
            if time.monotonic() >= self._exit_at:
                self.should_exit = True
        return await super().on_tick(counter)


def build(settings: Settings, env: Environment) -> tuple[Service, ASGIApp]:
    """Put everything together but the listener."""
    store = choose_store(env)  # may find fault with the environment: before anything has started
    telemetry.start(settings.service_name, settings.log_level, settings.business_metrics)
    service = Service(store, Upstream(settings.upstream_url), Flags(settings.flags_url))
    return service, telemetry.instrument(create_app(service))


def serve(settings: Settings, env: Environment) -> None:
    """Serve until a signal ends it."""
    service, app = build(settings, env)
    config = uvicorn.Config(
        app,
        host=ALL_INTERFACES,
        port=settings.port,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        reset_contextvars=True,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.drain_seconds,
        h11_max_incomplete_event_size=REQUEST_HEAD_BYTES,
    )
    try:
        Server(config, service).run()
        _logger.info("stopped")
    finally:
        telemetry.shutdown()


def develop(settings: Settings) -> None:
    """Serve without draining, and start again whenever a source changes."""
    telemetry.start_logs(settings.service_name, settings.log_level)
    uvicorn.run(
        "app.server:application",
        factory=True,
        host=ALL_INTERFACES,
        port=settings.port,
        log_config=None,
        access_log=False,
        reload=True,
        reload_dirs=[str(Path(__file__).parent)],
        timeout_graceful_shutdown=1,
    )


def application() -> ASGIApp:
    """Build what uvicorn's reloader loads after each edit."""
    return build(Settings.read(os.environ), os.environ)[1]
