"""The HTTP interface of the service."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, HTTPException, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from app import telemetry
from app.flags import Flags
from app.limits import RequestLimits
from app.signups import ActiveUsers, NewSignup, Signup, Store, StoreUnreachableError
from app.upstream import Upstream

OK = {"status": "ok"}


@dataclass
class Service:
    """What the routes work with."""

    store: Store
    upstream: Upstream
    flags: Flags
    active_users: ActiveUsers = field(default_factory=ActiveUsers)
    started: bool = False
    draining: bool = False


def create_app(service: Service) -> FastAPI:
    """The application, not yet instrumented."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        telemetry.gauge("active_users", service.active_users.count)
        await service.store.open()
        service.started = True
        yield
        await service.upstream.close()
        await service.store.close()

    app = FastAPI(
        lifespan=lifespan,
        telemetry=telemetry.fastapi(),
        openapi_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(RequestLimits, draining=lambda: service.draining)
    _add_errors(app)
    _add_health(app, service)
    _add_signups(app, service)
    return app


def _add_signups(app: FastAPI, service: Service) -> None:
    @app.post("/signups", status_code=201, dependencies=[Depends(_json_only)])
    async def create_signup(new: NewSignup, response: Response) -> dict[str, object]:
        if not await service.flags.enabled("signups-open", default=True):
            raise HTTPException(503, "sign-ups are closed", {"Retry-After": "60"})
        signup = Signup(id=uuid4(), email=new.email, plan=new.plan)
        await service.store.add(signup)
        telemetry.count("signups")
        service.active_users.saw(signup.id)
        await service.upstream.tell(new)
        welcome = await service.flags.enabled("welcome", False, targeting_key=str(signup.id))
        response.headers["Location"] = f"/signups/{signup.id}"
        return _body(signup) | {"welcome": welcome}

    @app.get("/signups/{id}")
    async def read_signup(signup_id: SignupId) -> dict[str, object]:
        signup = await service.store.get(signup_id)
        if signup is None:
            raise HTTPException(404)
        service.active_users.saw(signup.id)
        return _body(signup)

    @app.post("/signups/{id}/conversion")
    async def convert_signup(signup_id: SignupId) -> dict[str, object]:
        result = await service.store.convert(signup_id)
        if result is None:
            raise HTTPException(404)
        signup, first = result
        if first:
            telemetry.count("conversions")
        return _body(signup)


def _body(signup: Signup) -> dict[str, object]:
    return signup.model_dump(mode="json", include={"id", "email", "plan", "converted"})


def _signup_id(text: Annotated[str, Path(alias="id")]) -> UUID:
    """The id in the path in its one written form; anything else is no sign-up's."""
    try:
        signup_id = UUID(text)
    except ValueError:
        raise HTTPException(404) from None
    if str(signup_id) != text:
        raise HTTPException(404)
    return signup_id


type SignupId = Annotated[UUID, Depends(_signup_id)]


def _json_only(request: Request) -> None:
    header = Message()
    header["content-type"] = request.headers.get("content-type", "")
    if header.get_content_type() != "application/json":
        raise HTTPException(415)


def _add_health(app: FastAPI, service: Service) -> None:
    ready = _Ready(service.store)

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        return OK

    @app.get("/startupz")
    async def startupz() -> dict[str, str]:
        if not service.started:
            raise HTTPException(503, "starting")
        return OK

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        if service.draining:
            raise HTTPException(503, "draining")
        await ready.check()
        return OK


class _Ready:
    """Asks the store at most once a second, however many ask for readiness."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._lock = asyncio.Lock()
        self._checked_at = float("-inf")
        self._reachable = False

    async def check(self) -> None:
        async with self._lock:
            if self._clock() - self._checked_at >= 1:
                try:
                    await self._store.check()
                    self._reachable = True
                except StoreUnreachableError:
                    self._reachable = False
                self._checked_at = self._clock()
        if not self._reachable:
            raise StoreUnreachableError


def _add_errors(app: FastAPI) -> None:
    """Every error is a small JSON object that quotes nothing from the request."""

    @app.exception_handler(StarletteHTTPException)
    async def http_error(_: Request, error: StarletteHTTPException) -> JSONResponse:
        return _error(error.status_code, error.detail.lower(), error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        if any(problem["type"] == "json_invalid" for problem in error.errors()):
            return _error(400, "malformed JSON")
        names = {problem["loc"][-1] for problem in error.errors()}
        known = ", ".join(name for name in NewSignup.model_fields if name in names)
        return _error(422, f"invalid {known}" if known else "invalid body")

    @app.exception_handler(StoreUnreachableError)
    async def unreachable(_: Request, __: StoreUnreachableError) -> JSONResponse:
        return _error(503, "the store is unreachable", {"Retry-After": "5"})

    @app.exception_handler(Exception)
    async def unexpected(_: Request, __: Exception) -> JSONResponse:
        return _error(500, "internal error")


def _error(status: int, text: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    phrase = HTTPStatus(status).phrase.lower()
    return JSONResponse({"error": text or phrase}, status, headers)
