"""Requests are counted exactly once, whatever instances and their telemetry go through."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.observability.rules import FILES, RULES, promtool

COUNT = "http_server_request_duration_seconds_count"
RECORD = "service:http_server_requests:increase1m"
MINUTES = 90
LIVES = 60

# -- by promtool: restarts, instances that come and go, silence ------------------------------------


@dataclass(frozen=True)
class Life:
    """What one instance's counter reads, minute by minute; None where nothing arrives."""

    values: list[int | None]

    @property
    def counted(self) -> int:
        """Return what a reader can know of: the first value, growth, what follows a reset."""
        total, last = 0, 0
        for value in self.values:
            if value is not None:
                total += value - last if value >= last else value
                last = value
        return total

    @property
    def notation(self) -> str:
        return " ".join("_" if value is None else str(value) for value in self.values)


def lives(chance: random.Random) -> Iterator[Life]:
    """Yield the instances of one service: some restart, some are silent for up to 20 minutes."""
    for _ in range(chance.randint(1, 4)):
        begins = chance.randint(0, MINUTES // 2)
        ends = chance.randint(begins + 1, MINUTES - 6)
        values: list[int | None] = [None] * begins
        value = chance.choice([1, 20])
        silent = 0
        for _ in range(begins, ends):
            if chance.random() < 0.05 and value > 1:
                value = chance.randint(0, value - 1)  # a restart that can be seen
            else:
                value += chance.choice([0, 0, 1, 7, 100])
            silent = silent - 1 if silent else chance.choice([0] * 15 + [1, 4, 5, 6, 20])
            values.append(None if silent else value)
        yield Life(values)


def count_by_promtool(rules: list[Path], folder: Path, chance: random.Random) -> str:
    """Let the rules count many services at once; return what promtool says of the sums."""
    services = [list(lives(chance)) for _ in range(LIVES)]
    series = [
        {
            "series": f'{COUNT}{{service_namespace="example",service_name="signups",'
            f'deployment_environment_name="{number}",service_instance_id="{instance}"}}',
            "values": life.notation,
        }
        for number, service in enumerate(services)
        for instance, life in enumerate(service)
    ]
    samples = [
        {
            "labels": '{service_namespace="example",service_name="signups",'
            f'deployment_environment_name="{number}"}}',
            "value": sum(life.counted for life in service),
        }
        for number, service in enumerate(services)
        if any(value is not None for life in service for value in life.values)
    ]
    check = {
        "expr": f"sum_over_time({RECORD}[{MINUTES + 1}m])",
        "eval_time": f"{MINUTES}m",
        "exp_samples": samples,
    }
    tests = {
        "rule_files": [str(file) for file in rules],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [check]}],
    }
    (folder / "tests.yaml").write_text(yaml.safe_dump(tests))
    return promtool("test", "rules", folder / "tests.yaml").stdout


@pytest.mark.engine("promtool")
@pytest.mark.parametrize("seed", [1, 2])
def test_the_minutes_add_up_to_every_request(service: Path, tmp_path: Path, seed: int) -> None:
    rules = [service / RULES / name for name in FILES[:1]]
    said = count_by_promtool(rules, tmp_path, random.Random(seed))  # noqa: S311 - the same each time
    assert "SUCCESS" in said, said[:3000]


@pytest.mark.engine("promtool")
def test_increase_does_not_add_up(tmp_path: Path) -> None:
    """The negative control: Prometheus' own function leaves out the first value of a series."""
    rule = {
        "record": RECORD,
        "expr": "sum by (service_namespace, service_name, deployment_environment_name)"
        f" (increase({COUNT}[2m]) / 2)",
    }
    (tmp_path / "rules.yaml").write_text(
        yaml.safe_dump({"groups": [{"name": "naive", "rules": [rule]}]})
    )
    said = count_by_promtool([tmp_path / "rules.yaml"], tmp_path, random.Random(1))  # noqa: S311
    assert "FAILED" in said


# -- by a model: what arrives late -----------------------------------------------------------------
# promtool has every sample at once, so that nothing can arrive late in it. The model holds the
# two ways of asking what a counter stood at a minute ago: now, or as it was noted then.


@dataclass(frozen=True)
class Sample:
    """A counter's value, of a second, that arrives some seconds later."""

    second: int
    value: int
    delay: int


def last(samples: list[Sample], at: int, known: int, lookback: int = 300) -> int | None:
    """Return the newest value of the last five minutes, of what had arrived when `known`."""
    visible = [
        sample
        for sample in samples
        if at - lookback < sample.second <= at and sample.second + sample.delay <= known
    ]
    return max(visible, key=lambda sample: sample.second).value if visible else None


def by_notes(samples: list[Sample], end: int) -> int:
    """Count as the rules do: against the newest value that was noted in an earlier minute."""
    total = 0
    noted: int | None = None
    for minute in range(0, end + 60, 60):
        value = last(samples, minute, minute)
        if value is not None:
            total += value if noted is None or value < noted else value - noted
            noted = value
    return total


def by_asking_again(samples: list[Sample], end: int) -> int:
    """Count against what the counter is now known to have stood at a minute ago."""
    total = 0
    for minute in range(0, end + 60, 60):
        value = last(samples, minute, minute)
        before = last(samples, minute - 60, minute)
        if value is not None:
            total += value if before is None or value < before else value - before
    return total


def exported(steps: list[int], silent_from: int, silent_for: int, delay: int) -> list[Sample]:
    """Return samples every 15 s; those of an outage of the collector arrive when it is over."""
    samples = []
    value = 0
    for number, step in enumerate(steps):
        value += step
        second = 15 * number
        waits = silent_from <= second < silent_from + silent_for
        samples.append(Sample(second, value, silent_from + silent_for - second if waits else delay))
    return samples


@settings(max_examples=300, deadline=None)
@given(
    steps=st.lists(st.integers(0, 50), min_size=20, max_size=120),
    silent_from=st.integers(0, 1200),
    silent_for=st.sampled_from([0, 60, 600]),
    delay=st.integers(0, 20),
)
def test_what_arrives_late_is_counted_once(
    steps: list[int], silent_from: int, silent_for: int, delay: int
) -> None:
    samples = exported(steps, silent_from, silent_for, delay)
    # The last value stays until everything has arrived.
    end = samples[-1].second + max(sample.delay for sample in samples) + 60
    samples += [
        Sample(second, samples[-1].value, 0)
        for second in range(samples[-1].second + 15, end + 60, 15)
    ]
    assert by_notes(samples, end) == sum(steps)


@pytest.mark.parametrize("count", [by_asking_again])
def test_asking_again_loses_what_arrives_late(count: Callable[[list[Sample], int], int]) -> None:
    """The negative control: the minute of an outage of the collector is never counted."""
    steps = [10] * 80
    samples = exported(steps, silent_from=305, silent_for=60, delay=0)
    end = samples[-1].second
    assert count(samples, end) < by_notes(samples, end) == sum(steps)
