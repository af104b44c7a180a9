"""A bounded load that counts what its users would have noticed."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

# A balancer asks this often whether an instance still wants requests.
READINESS_PERIOD = 0.1


@dataclass
class Outcome:
    """What happened to the requests of a load."""

    answered: Counter[int] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """How many requests were sent."""
        return self.answered.total() + self.failed.total()

    @property
    def noticed(self) -> list[str]:
        """What a user would complain of: no answer, or a server's error."""
        errors = [
            f"{count} times {status}" for status, count in self.answered.items() if status >= 500
        ]
        return errors + [f"{count} times {error}" for error, count in self.failed.items()]


class Balancer:
    """Sends requests as a balancer does: as long as `/readyz` says that they are welcome.

    Half of the users keep their connection, half open one for each request.
    """

    def __init__(self, url: str, *, users: int = 12, path: str = "/signups") -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._path = path
        self._users = users
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.outcome = Outcome()
        self.refused_at: float | None = None
        self._threads: list[threading.Thread] = []

    def start(self, seconds: float) -> None:
        """Start the load; it ends by itself after so many seconds."""
        until = time.monotonic() + seconds
        self._threads = [threading.Thread(target=self._watch, args=(until,), daemon=True)]
        self._threads += [
            threading.Thread(target=self._user, args=(until, number % 2 == 0), daemon=True)
            for number in range(self._users)
        ]
        for thread in self._threads:
            thread.start()

    def wait(self) -> Outcome:
        """Wait for the load's end and return what happened."""
        for thread in self._threads:
            thread.join()
        return self.outcome

    def _watch(self, until: float) -> None:
        """Take the instance out once it says that it is not ready, or no longer answers."""
        while time.monotonic() < until and not self._over.wait(READINESS_PERIOD):
            try:
                connection = http.client.HTTPConnection(self._host, self._port, timeout=5)
                connection.request("GET", "/readyz")
                ready = connection.getresponse().status == 200
                connection.close()
            except OSError:
                ready = False
            if not ready:
                self.refused_at = time.monotonic()
                self._over.set()

    def _user(self, until: float, keeps: bool) -> None:
        connection: http.client.HTTPConnection | None = None
        while time.monotonic() < until and not self._over.is_set():
            connection = connection or http.client.HTTPConnection(
                self._host, self._port, timeout=25
            )
            try:
                connection.request(
                    "POST",
                    self._path,
                    body=b'{"email": "load@example.com"}',
                    headers={"Content-Type": "application/json"},
                )
                answer = connection.getresponse()
                answer.read()
                with self._lock:
                    self.outcome.answered[answer.status] += 1
                gone = answer.will_close
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.outcome.failed[type(error).__name__] += 1
                gone = True
            if gone or not keeps:
                connection.close()
                connection = None
            time.sleep(0.02)
        if connection:
            connection.close()


def eventually(check: Callable[[], bool], seconds: float, period: float = 0.1) -> bool:
    """Say whether `check` comes true within so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if check():
            return True
        time.sleep(period)
    return check()
