"""Sign-ups in memory: gone with the process, and not shared between instances."""

from collections import OrderedDict
from uuid import UUID

from app.signups import Signup


class MemoryStore:
    """Keeps the newest sign-ups; older ones make room."""

    LIMIT = 100_000  # about 80 MB

    def __init__(self) -> None:
        self._signups: OrderedDict[UUID, Signup] = OrderedDict()

    async def open(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to let go of."""

    async def check(self) -> None:
        """Memory can always be used."""

    async def add(self, signup: Signup) -> None:
        """Keep a new sign-up, and forget the oldest one when there are too many."""
        self._signups[signup.id] = signup
        if len(self._signups) > self.LIMIT:
            self._signups.popitem(last=False)

    async def get(self, signup_id: UUID) -> Signup | None:
        """The sign-up with this id, if there is one."""
        return self._signups.get(signup_id)

    async def convert(self, signup_id: UUID) -> tuple[Signup, bool] | None:
        """Mark a sign-up as converted; the answer says whether this was the first time."""
        signup = self._signups.get(signup_id)
        if signup is None:
            return None
        if signup.converted:
            return signup, False
        converted = signup.model_copy(update={"converted": True})
        self._signups[signup_id] = converted
        return converted, True
