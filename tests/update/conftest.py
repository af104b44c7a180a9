"""The fixtures of this folder."""

from tests.services import service, services, shared, template

__all__ = ["service", "services", "shared", "template"]
