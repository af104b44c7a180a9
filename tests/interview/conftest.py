"""The fixtures of this folder."""

from tests.services import service, services, template

__all__ = ["service", "services", "template"]
