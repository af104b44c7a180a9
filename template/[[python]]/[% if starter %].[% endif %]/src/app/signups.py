"""What the service is about: sign-ups, what a store keeps of them, and who is active."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, Literal, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

# One @ between two parts without blanks or control characters; a dot in the domain.
_EMAIL = r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+\.[^@\s\x00-\x1f\x7f]+$"


type Plan = Literal["free", "paid"]


class NewSignup(BaseModel):
    """What a client sends to sign up."""

    model_config = ConfigDict(extra="forbid")

    email: Annotated[str, Field(max_length=254, pattern=_EMAIL)]
    plan: Plan = "free"


class Signup(BaseModel):
    """A sign-up as it is kept and answered."""

    id: UUID
    email: str
    plan: Plan
    converted: bool = False


class StoreUnreachableError(Exception):
    """The store cannot be asked now; the client may try again."""


class Store(Protocol):
    """Keeps sign-ups. Every method raises `StoreUnreachableError` when it cannot be done now."""

    async def open(self) -> None:
        """Start; a store that cannot be reached yet is no reason to fail."""

    async def close(self) -> None:
        """Let go of every connection."""

    async def check(self) -> None:
        """Find out whether the store can be used."""

    async def add(self, signup: Signup) -> None:
        """Keep a new sign-up."""

    async def get(self, signup_id: UUID) -> Signup | None:
        """The sign-up with this id, if there is one."""

    async def convert(self, signup_id: UUID) -> tuple[Signup, bool] | None:
        """Mark a sign-up as converted; the answer says whether this was the first time."""


class ActiveUsers:
    """Counts the sign-ups that were created or read within the last 15 minutes."""

    WINDOW_SECONDS = 15 * 60
    LIMIT = 100_000  # about 15 MB; beyond it the longest idle ones are forgotten

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[UUID, float] = OrderedDict()

    def saw(self, signup_id: UUID) -> None:
        """Note that this sign-up is active now."""
        self._seen[signup_id] = self._clock()
        self._seen.move_to_end(signup_id)
        if len(self._seen) > self.LIMIT:
            self._seen.popitem(last=False)

    def count(self) -> int:
        """How many are active."""
        oldest = self._clock() - self.WINDOW_SECONDS
        while self._seen and next(iter(self._seen.values())) < oldest:
            self._seen.popitem(last=False)
        return len(self._seen)
