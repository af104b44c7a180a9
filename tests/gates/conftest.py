"""The fixtures of this folder: services that pass every gate."""

from collections.abc import Callable
from pathlib import Path

import pytest
from slipway.maintainers.answer_sets import EVERYTHING

from tests.gates.mutations import Mutation
from tests.services import Services, nothing_of_the_user, service, services, shared, template

__all__ = ["nothing_of_the_user", "service", "services", "shared", "template"]

Mutated = Callable[[Mutation], Path]


@pytest.fixture
def mutated(services: Services, tmp_path: Path) -> Mutated:
    """Spoils a copy of the service that has everything."""

    def spoil(mutation: Mutation) -> Path:
        answers = {**EVERYTHING, "stack": mutation.stack}
        return mutation.apply(services(answers), tmp_path / "service")

    return spoil


@pytest.fixture(scope="session")
def services_everything(services: Services) -> Path:
    """Return the service that has everything."""
    return services(EVERYTHING)
