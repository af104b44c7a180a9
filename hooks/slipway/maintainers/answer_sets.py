"""The services that stand for all others when a person reads what the template renders."""

from __future__ import annotations

from collections.abc import Mapping

Answers = Mapping[str, object]

# Together they render every file of the template: a test holds every choice against them.
EVERYTHING: Answers = {
    "service_name": "signups",
    "datastore": "postgres",
    "cache": "redis",
    "edge": "gateway",
    "domain": "signups.example.com",
}

ANSWER_SETS: Mapping[str, Answers] = {
    "defaults": {"service_name": "signups"},
    "everything": EVERYTHING,
    "node": {**EVERYTHING, "stack": "node"},
    "go": {**EVERYTHING, "stack": "go"},
    "postgres": {"service_name": "signups", "datastore": "postgres", "edge": "none"},
    "own-code": {"service_name": "signups", "starter": False, "feature_flags": False},
    "canary": {
        **EVERYTHING,
        "rollout": "canary",
        "secrets": "external-secrets",
        "starter": False,
    },
    "blue-green": {
        **EVERYTHING,
        "rollout": "blue-green",
        "edge": "ingress",
        "starter": False,
    },
    "cloudwatch": {"service_name": "signups", "logs": "cloudwatch"},
    "platform": {
        "service_name": "billing-export",
        "repository_url": "https://git.example.org/payments/billing/export",
        "team": "payments",
        "description": 'Sends "yesterday\'s" invoices: 100 % of them',
        "cache": "redis",
        "environments": ["test", "europe", "america"],
        "production_environments": ["europe", "america"],
        "port": 9000,
        "logs": "elasticsearch",
        "business_metrics": {"exports": "counter"},
    },
}
