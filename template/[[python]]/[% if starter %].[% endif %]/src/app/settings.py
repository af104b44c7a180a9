"""The configuration of the service: environment variables and mounted files, nothing else."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

type Environment = Mapping[str, str]

LOG_LEVELS = ("error", "warn", "info", "debug")
SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)


class ConfigurationError(Exception):
    """A variable is missing or malformed; the text names it and says what is accepted."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"configuration: {name}: {problem}")


class EmptySecretError(ValueError):
    """A file that should hold a secret is empty, as while it is being replaced."""


@dataclass(frozen=True)
class Settings:
    """What every part of the service may need; a store reads its own variables."""

    port: int
    service_name: str
    log_level: str
    drain_seconds: int
    business_metrics: Mapping[str, str]
    upstream_url: str | None
    flags_url: str | None

    @classmethod
    def read(cls, env: Environment) -> "Settings":
        """Read and check the environment; raises `ConfigurationError`."""
        check_telemetry(env)
        return cls(
            port=port(env),
            service_name=service_name(env),
            log_level=one_of(env, "LOG_LEVEL", LOG_LEVELS),
            drain_seconds=whole_number(env, "SHUTDOWN_DRAIN_SECONDS", "whole seconds", 0, 3600),
            business_metrics=business_metrics(env),
            upstream_url=optional_url(env, "UPSTREAM_URL"),
            flags_url=optional_url(env, "FLAGS_URL"),
        )


def required(env: Environment, name: str, accepted: str) -> str:
    """A variable that must be set; an empty one counts as missing."""
    value = env.get(name, "")
    if not value:
        raise ConfigurationError(name, f"missing; set {accepted}")
    return value


def whole_number(env: Environment, name: str, noun: str, lowest: int, highest: int) -> int:
    """A whole number within bounds."""
    accepted = f"{noun} from {lowest} to {highest}"
    value = required(env, name, accepted)
    if not (re.fullmatch("[0-9]{1,9}", value) and lowest <= int(value) <= highest):
        raise ConfigurationError(name, f"{quoted(value)} is not {accepted}")
    return int(value)


def one_of(env: Environment, name: str, choices: tuple[str, ...]) -> str:
    """One of a few words."""
    accepted = ", ".join(choices)
    value = required(env, name, f"one of {accepted}")
    if value not in choices:
        raise ConfigurationError(name, f"{quoted(value)} is not one of {accepted}")
    return value


def port(env: Environment) -> int:
    """The port to listen on."""
    return whole_number(env, "PORT", "a port number", 1, 65535)


def service_name(env: Environment) -> str:
    """The name that logs, traces and metrics carry."""
    value = required(env, "OTEL_SERVICE_NAME", "the name of the service")
    if not re.fullmatch("[a-z]([a-z0-9-]{0,61}[a-z0-9])?", value):
        accepted = "lower-case letters, digits and dashes, at most 63"
        raise ConfigurationError(
            "OTEL_SERVICE_NAME", f"{quoted(value)} is not a DNS label: {accepted}"
        )
    return value


def business_metrics(env: Environment) -> dict[str, str]:
    """`signups=counter,active_users=gauge` as a mapping; may be empty."""
    found: dict[str, str] = {}
    for item in filter(None, env.get("BUSINESS_METRICS", "").split(",")):
        name, _, kind = item.partition("=")
        if not re.fullmatch("[a-z][a-z0-9_.]*", name) or kind not in ("counter", "gauge"):
            accepted = "name=counter or name=gauge"
            raise ConfigurationError("BUSINESS_METRICS", f"{quoted(item)} is not {accepted}")
        found[name] = kind
    return found


def optional_url(env: Environment, name: str) -> str | None:
    """An http URL without its trailing slash, or None. Its value is never printed."""
    return url(env, name, ("http", "https")).rstrip("/") if env.get(name) else None


def url(env: Environment, name: str, schemes: tuple[str, ...]) -> str:
    """A URL with a host and without a password. Its value is never printed."""
    accepted = f"a {' or '.join(schemes)} URL with a host"
    value = required(env, name, accepted)
    try:
        parts = urlsplit(value)
        valid = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigurationError(name, f"is not {accepted}")
    if parts.password is not None:
        raise ConfigurationError(name, "holds a password; put it in a file of its own")
    return value


def secret_file(env: Environment, name: str) -> Path:
    """A readable file that holds a secret."""
    value = required(env, name, "the path of a file that holds the secret")
    shown = value if value.isprintable() and len(value) <= 200 else quoted(value)
    try:
        read_secret(Path(value))
    except EmptySecretError:
        raise ConfigurationError(name, f"{shown} is empty") from None
    except (OSError, ValueError):
        raise ConfigurationError(name, f"{shown} cannot be read") from None
    return Path(value)


def read_secret(path: Path) -> str:
    """The secret in a file, without the newline that ends it."""
    secret = path.read_text(encoding="utf-8").rstrip("\r\n")
    if not secret:
        raise EmptySecretError
    return secret


def check_telemetry(env: Environment) -> None:
    """The variables that OpenTelemetry reads itself: it would start without saying a word."""
    optional_url(env, "OTEL_EXPORTER_OTLP_ENDPOINT")
    if env.get("OTEL_METRIC_EXPORT_INTERVAL"):
        whole_number(env, "OTEL_METRIC_EXPORT_INTERVAL", "milliseconds", 100, 3_600_000)
    if env.get("OTEL_LOGS_EXPORTER"):
        one_of(env, "OTEL_LOGS_EXPORTER", ("otlp", "none"))
    if env.get("OTEL_TRACES_SAMPLER"):
        one_of(env, "OTEL_TRACES_SAMPLER", SAMPLERS)
    name = "OTEL_TRACES_SAMPLER_ARG"
    if env.get(name) and not re.fullmatch(r"0(\.[0-9]+)?|1(\.0+)?", env[name]):
        raise ConfigurationError(name, f"{quoted(env[name])} is not a ratio from 0 to 1")


def quoted(value: str) -> str:
    """A value on one line, shortened."""
    return json.dumps(value if len(value) <= 60 else value[:60] + "...")
