"""The rendered rules: read, run by promtool, and spoilt one number at a time."""

import copy
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.engines import observing

RULES = Path("observability/rules")
FILES = ("slo.yaml", "alerts.yaml")
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")

Rule = dict[str, Any]


def groups(file: Path) -> list[dict[str, Any]]:
    """Return the groups of a rule file or of a PrometheusRule."""
    content = yaml.safe_load(file.read_text())
    found: list[dict[str, Any]] = content.get("groups") or content["spec"]["groups"]
    return found


def rules(service: Path) -> list[Rule]:
    """Return every rule of a service, in the order in which they are evaluated."""
    return [
        rule
        for name in FILES
        for group in groups(service / RULES / name)
        for rule in group["rules"]
    ]


def name_of(rule: Rule) -> str:
    """Return the name of the series that a rule records, or of its alert."""
    return str(rule.get("record") or rule["alert"])


def alerts(service: Path) -> dict[str, Rule]:
    return {rule["alert"]: rule for rule in rules(service) if "alert" in rule}


def promtool(*arguments: str | Path, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    """Run promtool; its output, of both kinds, is in stdout."""
    return subprocess.run(
        [observing.PROMTOOL.path, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=timeout,
    )


def unreadable_promql(expressions: Sequence[str], folder: Path) -> str:
    """Return what promtool says about expressions: nothing when it can read each of them."""
    records = [{"record": f"line:{n}", "expr": one} for n, one in enumerate(expressions)]
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": records}]}))
    done = promtool("check", "rules", "--lint=none", file)
    return "" if done.returncode == 0 else done.stdout


# -- one number at a time --------------------------------------------------------------------------

# What stands beside each length of time; the tests look this closely.
NEIGHBOURS = {
    "1m": ("0s", "2m"),
    "2m": ("1m", "3m"),
    "5m": ("4m", "6m"),
    "15m": ("12m", "18m"),
    "30m": ("24m", "36m"),
    "1h": ("30m", "2h"),
    "2h": ("1h", "3h"),
    "6h": ("5h", "7h"),
    "1d": ("12h", "2d"),
    "3d": ("2d", "4d"),
    "30d": ("29d", "31d"),
    "1w": ("6d", "8d"),
}
# Counts are mutated by one, measures by a tenth.
COUNTS = {"2", "3", "5", "10", "15", "90"}
LITERAL = re.compile(r'"[^"]*"|(?<=ratio_rate)\w+|(?<![\w:.])\d[\w.]*')


@dataclass(frozen=True)
class Mutant:
    """A rule with one number changed.

    Attributes:
        name: of the rule, with a number of its own.
        what: which number became which, where in the expression.
        rule: the changed rule, under its own name.

    """

    name: str
    what: str
    rule: Rule


def _others(text: str, *, recorded_window: bool) -> Sequence[str]:
    if text.startswith('"'):
        return {'"5.."': ['"4.."']}.get(text, [])
    if recorded_window:
        at = WINDOWS.index(text)
        return [*WINDOWS[max(at - 1, 0) : at], *WINDOWS[at + 1 : at + 2]]
    if text in NEIGHBOURS:
        return NEIGHBOURS[text]
    if text in COUNTS:
        return [str(int(text) - 1), str(int(text) + 1)]
    if text in {"0", "1"}:
        return [str(int(text) - 1), str(int(text) + 1)]
    return [f"{float(text) * factor:.12g}" for factor in (0.9, 1.1)]


def _changes(rule: Rule) -> Iterator[tuple[str, Rule]]:
    expression = rule["expr"]
    for occurrence, match in enumerate(LITERAL.finditer(expression)):
        recorded = expression[: match.start()].endswith("ratio_rate")
        factor = "alert" in rule and re.match(r" \* ", expression[match.end() :])
        text = match[0]
        others = (
            [f"{float(text) * by:.12g}" for by in (0.9, 1.1)]
            if factor and not text.startswith('"') and text != "0"
            else _others(text, recorded_window=recorded)
        )
        for other in others:
            changed = expression[: match.start()] + other + expression[match.end() :]
            yield f"expr #{occurrence} {text} -> {other}", {**rule, "expr": changed}
    if "for" in rule:
        for other in NEIGHBOURS[rule["for"]]:
            yield f"for {rule['for']} -> {other}", {**rule, "for": other}


def mutants(rule: Rule) -> list[Mutant]:
    """Return the rule with each of its numbers made smaller and larger, one at a time.

    The first is the rule as it is: it must pass where the others fail.
    """
    kind = "record" if "record" in rule else "alert"
    changes = [("as it is", rule), *_changes(rule)]
    return [
        Mutant(f"{name_of(rule)}__{number}", what, {**changed, kind: f"{name_of(rule)}__{number}"})
        for number, (what, changed) in enumerate(changes)
    ]


def needed(expressions: Sequence[str], everything: Sequence[Rule]) -> list[Rule]:
    """Return the recorded series that expressions are made of, in order."""
    wanted = [
        rule
        for rule in everything
        if "record" in rule and any(rule["record"] in expression for expression in expressions)
    ]
    if not wanted:
        return []
    before = needed([rule["expr"] for rule in wanted], everything)
    return [rule for rule in everything if rule in before or rule in wanted]


def _renamed(check: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    changed = copy.deepcopy(dict(check))
    if "alertname" in changed:
        changed["alertname"] = new
        return changed
    changed["expr"] = changed["expr"].replace(old, new)
    for sample in changed.get("exp_samples", []):
        sample["labels"] = sample["labels"].replace(old, new)
    return changed


def _mentions(check: Mapping[str, Any], name: str) -> bool:
    if "alertname" in check:
        return bool(check["alertname"] == name)
    return re.search(rf"(?<![\w:]){re.escape(name)}(?![\w:])", check["expr"]) is not None


def survivors(service: Path, rule: Rule, folder: Path) -> list[str]:
    """Return which changes of a rule the service's own tests do not notice.

    All mutants stand side by side in one file, so that promtool runs once for each test file.
    """
    everything = rules(service)
    candidates = mutants(rule)
    folder.mkdir(parents=True, exist_ok=True)
    group = {
        "name": "mutants",
        "rules": [
            *needed([mutant.rule["expr"] for mutant in candidates], everything),
            *(mutant.rule for mutant in candidates),
        ],
    }
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [group]}, sort_keys=False))
    noticed: set[str] = set()
    for file in sorted((service / RULES / "tests").glob("*.yaml")):
        tests = yaml.safe_load(file.read_text())
        tests |= {"rule_files": ["rules.yaml"], "group_eval_order": ["mutants"]}
        kept = []
        for test in tests["tests"]:
            for checks in ("alert_rule_test", "promql_expr_test"):
                test[checks] = [
                    _renamed(check, name_of(rule), mutant.name)
                    for check in test.get(checks, [])
                    if _mentions(check, name_of(rule))
                    for mutant in candidates
                ]
            if test["alert_rule_test"] or test["promql_expr_test"]:
                kept.append(test)
        if not kept:
            continue
        (folder / file.name).write_text(yaml.safe_dump(tests | {"tests": kept}, sort_keys=False))
        result = promtool("test", "rules", folder / file.name)
        assert "SUCCESS" in result.stdout or "FAILED" in result.stdout, result.stdout
        noticed |= set(re.findall(rf"{re.escape(name_of(rule))}__\d+", result.stdout))
    as_it_is, *changed = candidates
    assert as_it_is.name not in noticed, f"{name_of(rule)} fails its own tests"
    return [f"{name_of(rule)}: {m.what}" for m in changed if m.name not in noticed]
