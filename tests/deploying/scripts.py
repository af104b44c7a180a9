"""The modules of a rendered service's scripts/, as the scripts import each other."""

import importlib
import sys
from types import ModuleType

from slipway.rendering import repository_root

FOLDER = repository_root() / "template" / "scripts"


def script(name: str) -> ModuleType:
    """Return a module of scripts/."""
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    return importlib.import_module(name)
