"""Runs the service with its sign-ups in memory, so that its process can be tested without stores.

Everything else is the program that the image runs.
"""

import sys
from unittest import mock

from app.__main__ import main
from app.store_memory import MemoryStore

with mock.patch("app.server.choose_store", return_value=MemoryStore()):
    sys.exit(main(sys.argv[1:]))
