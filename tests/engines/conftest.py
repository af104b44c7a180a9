"""Rendered services, for the engines that run from a service's own files."""

from tests.services import nothing_of_the_user, service, services, shared, template

__all__ = ["nothing_of_the_user", "service", "services", "shared", "template"]
