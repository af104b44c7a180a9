"""Every alert, caused by a real fault in a real service, reaches whoever it is for.

Each story is one service, from health through a fault, and what arrived. A few run at once.
Beside each rule stands the same with its threshold out of reach, which must not arrive. Time runs
faster by one factor for everything, see live.py.

`make alerts` tells the stories of every stack; otherwise they are those of one.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.contract.conftest import Build, Render, built, rendered
from tests.contract.stacks import STACKS, Stack
from tests.engines.fixtures import backends
from tests.engines.fixtures.docker import Docker
from tests.observability import live
from tests.observability.live import Arrival, Scene
from tests.services import nothing_of_the_user, shared, template

__all__ = ["built", "nothing_of_the_user", "rendered", "shared", "template"]

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.engine("docker", "collector", "images", "prometheus", "promtool", "alertmanager"),
]

CHOSEN = os.environ.get("SLIPWAY_ALERT_STACKS", STACKS[0].name).split()
LABELS = 'service_namespace="example",service_name="signups",deployment_environment_name="local"'
HOUR = 3600.0
# In minutes.
DAY = 24 * 60
WEEK = 7 * DAY
QUIET = 6.0
# So many stories at once leave two processors time to keep time.
AT_ONCE = 3
# In seconds, for what takes a few.
PATIENCE = 120
# What a fault may do beside what it is caused for.
ALLOWED = {
    "outage": {"AvailabilityBudgetBurnsFast", "AvailabilityBudgetBurnsSlowly"},
    "outage without inhibition": {"AvailabilityBudgetBurnsFast", "AvailabilityBudgetBurnsSlowly"},
    "slowness": {"LatencyBudgetBurnsFast", "LatencyBudgetBurnsSlowly"},
    "slow burns": {"AvailabilityBudgetBurnsSlowly", "LatencyBudgetBurnsSlowly"},
    "down": {"ServiceDown", "BusinessMetricStopped"},
    "restarts": {"CrashLooping", "CollectorDropsData"},
}
# The alert, who hears of it, and the story in which it is caused.
ALERTS = (
    ("AvailabilityBudgetBurnsFast", "pager", "outage"),
    ("LatencyBudgetBurnsFast", "pager", "slowness"),
    ("AvailabilityBudgetBurnsSlowly", "ticket", "slow burns"),
    ("LatencyBudgetBurnsSlowly", "ticket", "slow burns"),
    ("ServiceDown", "pager", "down"),
    ("BusinessMetricStopped", "ticket", "down"),
    ("CrashLooping", "ticket", "restarts"),
    ("CollectorDropsData", "log", "restarts"),
    ("Watchdog", "heartbeat", "outage"),
)


@dataclass
class Told:
    """What came of a story.

    Attributes:
        arrived: what reached somebody.
        by_mistake: the same by the rules with a mistake.
        while_healthy: the names of alerts that somebody was bothered with before any fault.
        seconds: from the fault to the first arrival.
        held_back: which alerts fired and were held back, by the alert that was the reason.

    """

    arrived: list[Arrival] = field(default_factory=list)
    by_mistake: list[Arrival] = field(default_factory=list)
    while_healthy: set[str] = field(default_factory=set)
    seconds: dict[str, float] = field(default_factory=dict)
    held_back: dict[str, set[str]] = field(default_factory=dict)

    def names(self, *receivers: str) -> set[str]:
        """Return which alerts arrived at some receivers."""
        return names(self.arrived, *receivers)

    def of(self, name: str, status: str = "firing") -> list[Arrival]:
        """Return what arrived of one alert."""
        return [one for one in self.arrived if (one.name, one.status) == (name, status)]


def names(arrived: list[Arrival], *receivers: str) -> set[str]:
    """Return which alerts arrived at some receivers."""
    return {one.name for one in arrived if one.receiver in receivers}


PEOPLE = ("pager", "ticket", "log")


# The stories --------------------------------------------------------------------------------------


def healthy(scene: Scene, told: Told) -> None:
    """Let the service do its work for a while; its requests are counted."""
    counted = "sum(service:http_server_requests:increase1m) > 0"
    assert scene.backends.wait_for(lambda one: one.query(counted)), "no requests are counted"
    time.sleep(QUIET)
    told.while_healthy = names(live.arrivals(scene.backends), *PEOPLE)


def caused(scene: Scene, told: Told, name: str, fault: float) -> None:
    """Wait until an alert has arrived; `fault` is when it began."""
    told.seconds[name] = live.wait(scene.backends, name, PATIENCE).at - fault


def held_back(scene: Scene, told: Told, name: str, by: str) -> None:
    """Wait until an alert fires and is held back because of another one."""
    found = scene.backends.wait_for(lambda one: name in live.held_back(one), PATIENCE)
    assert found, f"{name} is not held back\n{live.explain(scene.backends, name)}"
    told.held_back.setdefault(by, set()).add(name)


def seen(scene: Scene, instances: int) -> None:
    """Wait until so many instances of the service have reported, and all but the last are gone."""
    counted = f"count(last_over_time(instance:process:present2m[1h])) >= {instances}"
    alone = f"{counted} and on () service:instances:count == 1"
    assert scene.backends.wait_for(lambda one: one.query(alone), PATIENCE), (
        f"no instance {instances}"
    )


def outage(scene: Scene, told: Told) -> None:
    """A flag closes sign-ups, so that each of them is answered with 503, and opens them again."""
    healthy(scene, told)
    scene.surroundings.closed_every, fault = 1, time.time()
    caused(scene, told, "AvailabilityBudgetBurnsFast", fault)
    held_back(scene, told, "AvailabilityBudgetBurnsSlowly", "AvailabilityBudgetBurnsFast")
    scene.surroundings.closed_every = 0
    live.wait(scene.backends, "AvailabilityBudgetBurnsFast", PATIENCE, status="resolved")


def outage_without_inhibition(scene: Scene, told: Told) -> None:
    """The same, and no alert holds back another."""
    healthy(scene, told)
    scene.surroundings.closed_every, fault = 1, time.time()
    caused(scene, told, "AvailabilityBudgetBurnsFast", fault)
    caused(scene, told, "AvailabilityBudgetBurnsSlowly", fault)


def slowness(scene: Scene, told: Told) -> None:
    """The upstream takes longer than a request may, and recovers."""
    healthy(scene, told)
    scene.surroundings.slow_every, fault = 1, time.time()
    caused(scene, told, "LatencyBudgetBurnsFast", fault)
    held_back(scene, told, "LatencyBudgetBurnsSlowly", "LatencyBudgetBurnsFast")
    scene.surroundings.slow_every = 0
    live.wait(scene.backends, "LatencyBudgetBurnsFast", PATIENCE, status="resolved")


def slow_burns(scene: Scene, told: Told) -> None:
    """After a day with too many errors and half a day without, there are a few again."""
    healthy(scene, told)
    # 1 in 220 requests fails and 1 in 24 is slow: the budgets would last for days.
    scene.surroundings.closed_every = 55
    scene.surroundings.slow_every, fault = 6, time.time()
    caused(scene, told, "AvailabilityBudgetBurnsSlowly", fault)
    caused(scene, told, "LatencyBudgetBurnsSlowly", fault)


def down(scene: Scene, told: Told) -> None:
    """Nobody signs up any more; before that is noticed the service dies, and comes back."""
    healthy(scene, told)
    scene.traffic.sign_ups, stopped = 0, time.time()
    time.sleep(0.75 * HOUR / STORIES["down"].factor)
    scene.container.signal("KILL")
    caused(scene, told, "ServiceDown", time.time())
    held_back(scene, told, "BusinessMetricStopped", "ServiceDown")
    scene.container.docker.run("start", scene.container.name)
    live.wait(scene.backends, "ServiceDown", PATIENCE, status="resolved")
    # What was held back is heard once the reason is gone.
    caused(scene, told, "BusinessMetricStopped", stopped)


def restarts(scene: Scene, told: Told) -> None:
    """The store of traces is out of order, and the service dies again and again."""
    healthy(scene, told)
    scene.surroundings.refuses_traces, fault = True, time.time()
    caused(scene, told, "CollectorDropsData", fault)
    scene.surroundings.refuses_traces, fault = False, time.time()
    for instances in range(2, 8):
        scene.restart()
        seen(scene, instances)
        if "CrashLooping" in live.firing(scene.backends):
            break
    caused(scene, told, "CrashLooping", fault)


THREE_DAYS = tuple(range(3 * DAY, 0, -1))
# Without a past the long windows would know no more than the short ones.
HEALTHY: live.Past = {f"service:http_server_requests:increase1m{{{LABELS}}}": lambda _: 7}
# Who waits for an answer asks for no other: many wait at once.
MANY = {"users": 20, "pause": 0.5, "sign_ups": 1}
# A day with too many errors, which ended seven hours ago; the nights are quiet.
BURNED: live.Past = {
    f"service:http_server_requests:increase1m{{{LABELS}}}": lambda _: 4,
    f"service:http_server_errors:increase1m{{{LABELS}}}": lambda ago: 0.02 * (ago > 7 * 60),
    f"service:http_server_slow:increase1m{{{LABELS}}}": lambda ago: 0.2 * (ago > 7 * 60),
}
# Sign-ups yesterday and a week ago at the time of the story, and in the hour before it.
SIGNED_UP: live.Past = {
    f'service:business_events:increase1m{{{LABELS},metric="signups"}}': lambda _: 5,
}
BEFORE = (*range(WEEK + 60, WEEK - 600, -1), *range(DAY + 60, DAY - 600, -1), *range(60, 0, -1))
# The traces' way has room for a few seconds.
SMALL_QUEUE = {
    "exporters": {
        "otlp_http/tempo": {
            "sending_queue": {"queue_size": 500, "batch": {"min_size": 50, "max_size": 100}}
        },
        **live.AT_ONCE["exporters"],
    },
    "service": {"pipelines": {"traces": {"exporters": ["span_metrics", "otlp_http/tempo"]}}},
}


@dataclass(frozen=True)
class Story:
    """One course of events; `factor` is how many times faster than in production time runs."""

    tell: Callable[[Scene, Told], None]
    factor: float = 30
    past: live.Past = field(default_factory=dict)
    minutes: tuple[int, ...] = ()
    collector: Mapping[str, Any] = field(default_factory=dict)
    pace: Mapping[str, Any] = field(default_factory=dict)
    inhibits: bool = True


STORIES = {
    "outage": Story(outage, past=HEALTHY, minutes=THREE_DAYS),
    "outage without inhibition": Story(
        outage_without_inhibition, past=HEALTHY, minutes=THREE_DAYS, inhibits=False
    ),
    "slowness": Story(slowness, past=HEALTHY, minutes=THREE_DAYS, pace=MANY),
    "slow burns": Story(slow_burns, past=BURNED, minutes=THREE_DAYS),
    "down": Story(down, factor=40, past=SIGNED_UP, minutes=BEFORE),
    "restarts": Story(restarts, factor=10, collector=SMALL_QUEUE),
}


@pytest.fixture(scope="module", params=CHOSEN)
def stack(request: pytest.FixtureRequest) -> Stack:
    return next(one for one in STACKS if one.name == request.param)


@pytest.fixture(scope="module")
def service(stack: Stack, rendered: Render) -> Path:
    return rendered(stack)


@pytest.fixture(scope="module")
def telling(
    request: pytest.FixtureRequest,
    docker: Docker,
    stack: Stack,
    service: Path,
    built: Build,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[Told]]]:
    """Tell every story that a chosen test asks for."""
    image = built(stack)
    # Programs that start at the same time keep each other from it.
    setting = threading.Lock()

    def tell(name: str, story: Story) -> Told:
        told = Told()
        with contextlib.ExitStack() as running:
            with setting:
                scene = running.enter_context(set_scene(name, story))
            story.tell(scene, told)
            for one in live.arrivals(scene.backends):
                (told.by_mistake if one.mistaken else told.arrived).append(one)
        return told

    def set_scene(name: str, story: Story) -> contextlib.AbstractContextManager[Scene]:
        return live.scene(
            docker,
            image,
            service,
            tmp_path_factory.mktemp(name.replace(" ", "-")),
            factor=story.factor,
            past=live.history(story.past, story.factor, story.minutes) if story.past else "",
            collector=story.collector,
            pace=story.pace,
            inhibits=story.inhibits,
        )

    tests = [item for item in request.session.items if item.path == request.path]
    asked = {
        one.callspec.params.get("story")
        for one in tests
        if isinstance(one, pytest.Function) and hasattr(one, "callspec")
    }
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            name: pool.submit(tell, name, story) for name, story in STORIES.items() if name in asked
        }


Tell = Callable[[str], Told]


@pytest.fixture(scope="module")
def told(telling: dict[str, Future[Told]]) -> Tell:
    """Return what came of a story, once it is over."""

    def ask(name: str) -> Told:
        if error := telling[name].exception():
            raise AssertionError(f"{name}: {error}") from None
        return telling[name].result()

    return ask


# What came of them --------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "receiver", "story"), ALERTS)
def test_an_alert_reaches_who_it_is_for(
    told: Tell, service: Path, name: str, receiver: str, story: str
) -> None:
    arrived = told(story).of(name)
    assert {one.receiver for one in arrived} == {receiver}
    rule = rules_of(service)[name]
    for one in arrived:
        assert one.labels["team"] == "example"
        assert one.labels["service_namespace"] == "example"
        assert one.labels["service_name"] == "signups"
        assert one.labels["severity"] == rule["labels"]["severity"]
        assert one.labels.get("slo") == rule["labels"].get("slo")
        assert one.annotations == rule["annotations"]
        assert set(one.annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
        assert "{{" not in str(rule["annotations"]), "literal: they read the same in every tool"
        runbook = one.annotations["runbook_url"].rpartition("/")[2]
        assert runbook == f"{name}.md"
        assert (service / "runbooks" / runbook).is_file()


def test_every_alert_of_the_rules_is_caused(service: Path) -> None:
    assert {name for name, *_ in ALERTS} == set(rules_of(service))


@pytest.mark.parametrize("story", STORIES)
def test_a_healthy_service_bothers_nobody(told: Tell, story: str) -> None:
    assert told(story).while_healthy == set()
    assert told(story).names("heartbeat") == {"Watchdog"}


@pytest.mark.parametrize("story", STORIES)
def test_a_fault_bothers_nobody_with_anything_else(told: Tell, story: str) -> None:
    assert told(story).names(*PEOPLE) <= ALLOWED[story]


@pytest.mark.parametrize("story", STORIES)
def test_with_a_threshold_out_of_reach_nothing_arrives(told: Tell, story: str) -> None:
    """But the Watchdog, which has none: those rules were evaluated and sent as well."""
    assert {one.name for one in told(story).by_mistake} == {"Watchdog"}


@pytest.mark.parametrize(
    ("name", "story"),
    [
        ("AvailabilityBudgetBurnsFast", "outage"),
        ("LatencyBudgetBurnsFast", "slowness"),
        ("ServiceDown", "down"),
    ],
)
def test_a_page_is_taken_back_when_the_fault_is_over(told: Tell, name: str, story: str) -> None:
    assert {one.receiver for one in told(story).of(name, "resolved")} == {"pager"}


@pytest.mark.parametrize(
    ("page", "ticket", "story"),
    [
        ("AvailabilityBudgetBurnsFast", "AvailabilityBudgetBurnsSlowly", "outage"),
        ("LatencyBudgetBurnsFast", "LatencyBudgetBurnsSlowly", "slowness"),
    ],
)
def test_a_page_holds_back_the_ticket_of_the_same_objective(
    told: Tell, page: str, ticket: str, story: str
) -> None:
    assert told(story).held_back == {page: {ticket}}
    assert only_after(told(story), ticket, page)


@pytest.mark.parametrize("story", ["down"])
def test_a_service_that_is_down_holds_back_its_symptoms(told: Tell, story: str) -> None:
    assert told(story).held_back == {"ServiceDown": {"BusinessMetricStopped"}}
    assert only_after(told(story), "BusinessMetricStopped", "ServiceDown")


@pytest.mark.parametrize("story", ["outage without inhibition"])
def test_without_the_rules_that_hold_back_the_ticket_arrives_as_well(
    told: Tell, story: str
) -> None:
    assert told(story).names("pager") == {"AvailabilityBudgetBurnsFast"}
    assert told(story).names("ticket") == {"AvailabilityBudgetBurnsSlowly"}
    assert not told(story).of("AvailabilityBudgetBurnsFast", "resolved"), "the page still holds"


def only_after(told: Told, held: str, page: str) -> bool:
    """Say whether an alert was held back until the page was taken back; a second is its way."""
    (resolved, *_) = told.of(page, "resolved")
    return all(one.at > resolved.at - 1 for one in told.of(held))


def rules_of(service: Path) -> dict[str, dict[str, Any]]:
    """Return the alerts of a service, by their names."""
    found = [yaml.safe_load(file.read_text()) for file in backends.rule_files(service)]
    rules = [rule for one in found for group in one["groups"] for rule in group["rules"]]
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


# Time ---------------------------------------------------------------------------------------------

FACTOR = 30
Parse = Callable[[str], Any]


@pytest.fixture(scope="module")
def parse(service: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parse]:
    """Ask Prometheus how it reads an expression."""
    folder = tmp_path_factory.mktemp("parser")
    with backends.running(service, folder, backends.Setup(logs=False)) as running:

        def ask(expression: str) -> Any:
            url = f"{running.url('prometheus')}/api/v1/parse_query"
            answer = httpx.post(url, data={"query": expression})
            assert answer.status_code == httpx.codes.OK, answer.text
            return answer.json()["data"]

        yield ask


def slower(tree: Any, factor: float) -> Any:
    """Return an expression, as Prometheus has read it, with each duration made so much longer."""
    if isinstance(tree, list):
        return [slower(one, factor) for one in tree]
    if not isinstance(tree, dict):
        return tree
    times = {"range", "offset", "step"}
    return {
        name: value * factor if name in times else slower(value, factor)
        for name, value in tree.items()
    }


def test_every_duration_is_shortened_alike_and_nothing_else(service: Path, parse: Parse) -> None:
    durations = 0
    for file in backends.rule_files(service):
        before = yaml.safe_load(file.read_text())
        after = live.scaled(before, FACTOR)
        for old_group, new_group in zip(before["groups"], after["groups"], strict=True):
            assert live.duration(old_group["interval"]) == FACTOR * live.duration(
                new_group["interval"]
            )
            assert {**new_group, "interval": 0, "rules": 0} == {
                **old_group,
                "interval": 0,
                "rules": 0,
            }
            for old, new in zip(old_group["rules"], new_group["rules"], strict=True):
                assert slower(parse(new["expr"]), FACTOR) == parse(old["expr"])
                durations += len(live.DURATION.findall(old["expr"]))
                for name in {"for", "keep_firing_for"} & set(old):
                    assert live.duration(old[name]) == FACTOR * live.duration(new[name])
                rest = {"expr": 0, "for": 0, "keep_firing_for": 0}
                assert {**new, **rest} == {**old, **rest}
                # A number of seconds would not be shortened.
                assert not re.search(r"\b(time|timestamp|rate|deriv)\(", old["expr"])
    assert durations > 30


def test_a_duration_that_is_left_alone_is_noticed(parse: Parse) -> None:
    expression = "sum_over_time(service:x:increase1m[1h] offset 1d)"
    forgotten = live.scaled({"expr": expression}, FACTOR)["expr"].replace("2880000ms", "1d")
    assert "120000ms" in forgotten
    assert slower(parse(forgotten), FACTOR) != parse(expression)
    right = live.scaled({"expr": expression}, FACTOR)["expr"]
    assert slower(parse(right), FACTOR) == parse(expression)


def test_names_strings_and_numbers_keep_what_looks_like_a_duration() -> None:
    rule = {"alert": "5m", "expr": "x:ratio_rate5m{window=\"5m\",a!='1h'} > 14.4 * 0.001"}
    assert live.scaled(rule, FACTOR) == rule
