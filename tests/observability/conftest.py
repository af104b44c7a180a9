"""The fixtures of this folder."""

from tests.services import nothing_of_the_user, service, services, shared, template

__all__ = ["nothing_of_the_user", "service", "services", "shared", "template"]
