"""Every gate passes on what is rendered, and fails on a spoilt copy, at the exact line."""

from dataclasses import replace

import pytest
from slipway.gates import GATES, check
from slipway.gates.findings import Gate
from slipway.maintainers.answer_sets import ANSWER_SETS

from tests.gates.conftest import Mutated
from tests.gates.mutations import MUTATIONS, Mutation
from tests.services import Services

# Reads every line of every file. What it says of other gates' mutations, its own say better.
SLOW = "secret-in-code"


def gates_for(mutation: Mutation) -> list[Gate]:
    """Return the gates to hold a mutation against: all, but the slow one only for secrets."""
    return [gate for gate in GATES if gate.id != SLOW or mutation.gate.startswith("secret-")]


@pytest.mark.parametrize("name", ANSWER_SETS)
def test_a_rendered_service_passes_every_gate(services: Services, name: str) -> None:
    assert list(map(str, check(services(ANSWER_SETS[name])))) == []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_a_mutation_fails_its_gate_at_the_exact_line_and_no_other(
    mutated: Mutated, mutation: Mutation
) -> None:
    service = mutated(mutation)

    findings = check(service, gates_for(mutation))

    where = [(found.gate, found.file, found.line) for found in findings]
    assert where == [(mutation.gate, mutation.file, mutation.number(service))], findings
    assert mutation.says in findings[0].problem


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.id)
def test_a_gate_that_is_switched_off_is_noticed(mutated: Mutated, gate: Gate) -> None:
    mutations = [mutation for mutation in MUTATIONS if mutation.gate == gate.id]
    assert mutations, f"no mutation fails {gate.id}: add one"

    off = replace(gate, check=lambda _: iter(()))
    findings = check(mutated(mutations[0]), [off if one is gate else one for one in GATES])

    assert findings == []


def test_every_mutation_has_a_name_of_its_own_and_a_gate() -> None:
    assert len({str(mutation) for mutation in MUTATIONS}) == len(MUTATIONS)
    assert {mutation.gate for mutation in MUTATIONS} == {gate.id for gate in GATES}


def test_no_finding_repeats_a_secret(mutated: Mutated) -> None:
    mutation = next(one for one in MUTATIONS if str(one) == "secret-in-manifest-variables")
    [finding] = check(mutated(mutation))

    assert "kX9" not in str(finding)
