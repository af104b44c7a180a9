"""The HTTP interface of the service."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import Message
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from app import telemetry
from app.flags import Flags
from app.limits import RequestLimits
from app.signups import ActiveUsers, NewSignup, Signup, Store, StoreUnreachableError
from app.upstream import Upstream


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
    """Put the application together, not yet instrumented."""

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
    app.state.service = service
    app.state.readiness = Readiness(service)
    app.add_middleware(RequestLimits, draining=lambda: service.draining)
    _answer_errors(app)
    app.include_router(signups)
    app.include_router(health)
    return app


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


type Services = Annotated[Service, Depends(_service)]


# Sign-ups ---------------------------------------------------------------------------------------

signups = APIRouter(prefix="/signups")


class CreatedSignup(Signup):
    """The answer to a new sign-up; a flag decides about the welcome."""

    welcome: bool


def _json_only(request: Request) -> None:
    header = Message()
    header["content-type"] = request.headers.get("content-type", "")
    if header.get_content_type() != "application/json":
        raise HTTPException(415)


def _signup_id(text: Annotated[str, Path(alias="id")]) -> UUID:
    """Read an id in its one written form; anything else is the id of no sign-up."""
    try:
        signup_id = UUID(text)
    except ValueError:
        raise HTTPException(404) from None
    if str(signup_id) != text:
        raise HTTPException(404)
    return signup_id


type SignupId = Annotated[UUID, Depends(_signup_id)]


@signups.post("", status_code=201, dependencies=[Depends(_json_only)])
async def create_signup(new: NewSignup, service: Services, response: Response) -> CreatedSignup:
    if not await service.flags.enabled("signups-open", default=True):
        raise HTTPException(503, "sign-ups are closed", {"Retry-After": "60"})
    signup = Signup(id=uuid4(), email=new.email, plan=new.plan)
    await service.store.add(signup)
    telemetry.count("signups")
    service.active_users.saw(signup.id)
    await service.upstream.tell(new)
    welcome = await service.flags.enabled("welcome", default=False, targeting_key=str(signup.id))
    response.headers["Location"] = f"/signups/{signup.id}"
    return CreatedSignup(**signup.model_dump(), welcome=welcome)


@signups.get("/{id}")
async def read_signup(signup_id: SignupId, service: Services) -> Signup:
    signup = await service.store.get(signup_id)
    if signup is None:
        raise HTTPException(404)
    service.active_users.saw(signup.id)
    return signup


@signups.post("/{id}/conversion")
async def convert_signup(signup_id: SignupId, service: Services) -> Signup:
    result = await service.store.convert(signup_id)
    if result is None:
        raise HTTPException(404)
    signup, first_time = result
    if first_time:
        telemetry.count("conversions")
    return signup


# Health -----------------------------------------------------------------------------------------

health = APIRouter()
OK = {"status": "ok"}


READINESS_SECONDS = 1  # the store is asked at most so often, however many probes there are


class Readiness:
    """Whether the store can be used."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = asyncio.Lock()
        self._checked_at = float("-inf")
        self._problem: StoreUnreachableError | None = None

    async def check(self) -> None:
        """Raise `StoreUnreachableError` when the store cannot be used."""
        async with self._lock:
            if time.monotonic() - self._checked_at >= READINESS_SECONDS:
                try:
                    await self._service.store.check()
                    self._problem = None
                except StoreUnreachableError as error:
                    self._problem = error
                self._checked_at = time.monotonic()
        if self._problem:
            raise StoreUnreachableError


@health.get("/livez")
async def livez() -> dict[str, str]:
    return OK


@health.get("/startupz")
async def startupz(service: Services) -> dict[str, str]:
    if not service.started:
        raise HTTPException(503, "starting")
    return OK


@health.get("/readyz")
async def readyz(request: Request, service: Services) -> dict[str, str]:
    if service.draining:
        raise HTTPException(503, "draining")
    await request.app.state.readiness.check()
    return OK


# Errors -----------------------------------------------------------------------------------------


def _answer_errors(app: FastAPI) -> None:
    """Make every error a small JSON object that quotes nothing of the request."""

    @app.exception_handler(StarletteHTTPException)
    async def http(_: Request, error: StarletteHTTPException) -> JSONResponse:
        return _error(error.status_code, error.detail.lower(), error.headers)

    @app.exception_handler(RequestValidationError)
    async def validation(_: Request, error: RequestValidationError) -> JSONResponse:
        problems = error.errors()
        if any(problem["type"] == "json_invalid" for problem in problems):
            return _error(400, "malformed JSON")
        places = {problem["loc"][-1] for problem in problems}  # an unknown one is the client's text
        known = [name for name in NewSignup.model_fields if name in places]
        return _error(422, f"invalid {' and '.join(known)}" if known else "invalid body")

    @app.exception_handler(StoreUnreachableError)
    async def unreachable(_: Request, __: StoreUnreachableError) -> JSONResponse:
        return _error(503, "the store is unreachable", {"Retry-After": "5"})

    @app.exception_handler(Exception)
    async def unexpected(_: Request, __: Exception) -> JSONResponse:
        return _error(500, "internal error")


def _error(status: int, text: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": text}, status, headers)
