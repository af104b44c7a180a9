from pathlib import Path

import pytest

from app.settings import ConfigurationError, Settings, secret_file, url

VALID = {
    "PORT": "8080",
    "OTEL_SERVICE_NAME": "demo",
    "LOG_LEVEL": "info",
    "SHUTDOWN_DRAIN_SECONDS": "20",
    "BUSINESS_METRICS": "signups=counter,active_users=gauge",
}


def test_a_valid_environment_is_read() -> None:
    settings = Settings.read(VALID | {"UPSTREAM_URL": "http://next:8080/"})

    assert settings.port == 8080
    assert settings.business_metrics == {"signups": "counter", "active_users": "gauge"}
    assert settings.upstream_url == "http://next:8080"
    assert settings.flags_url is None


def test_an_empty_optional_variable_is_absent() -> None:
    empty = {"UPSTREAM_URL": "", "FLAGS_URL": "", "OTEL_TRACES_SAMPLER": "", "BUSINESS_METRICS": ""}

    settings = Settings.read(VALID | empty)

    assert settings.upstream_url is None
    assert settings.business_metrics == {}


@pytest.mark.parametrize("name", ["PORT", "OTEL_SERVICE_NAME", "LOG_LEVEL"])
@pytest.mark.parametrize("environment", [{}, {"value": ""}])
def test_a_missing_variable_is_named(name: str, environment: dict[str, str]) -> None:
    others = {key: value for key, value in VALID.items() if key != name}
    if environment:
        others[name] = environment["value"]

    with pytest.raises(ConfigurationError, match=f"^configuration: {name}: missing; set "):
        Settings.read(others)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("PORT", "80x", '"80x" is not a port number from 1 to 65535'),
        ("PORT", "0", '"0" is not a port number from 1 to 65535'),
        ("PORT", "65536", '"65536" is not a port number from 1 to 65535'),
        ("PORT", "٨٠", "is not a port number"),
        ("PORT", "80\n81", r'"80\n81" is not'),
        ("LOG_LEVEL", "INFO", '"INFO" is not one of error, warn, info, debug'),
        ("SHUTDOWN_DRAIN_SECONDS", "1.5", '"1.5" is not whole seconds from 0 to 3600'),
        ("OTEL_SERVICE_NAME", "-demo", '"-demo" is not a DNS label'),
        ("BUSINESS_METRICS", "a=count", '"a=count" is not name=counter or name=gauge'),
        ("OTEL_METRIC_EXPORT_INTERVAL", "soon", '"soon" is not milliseconds from'),
        ("OTEL_TRACES_SAMPLER", "some", '"some" is not one of always_on'),
        ("OTEL_TRACES_SAMPLER_ARG", "2", '"2" is not a ratio from 0 to 1'),
        ("OTEL_LOGS_EXPORTER", "console", '"console" is not one of otlp, none'),
    ],
)
def test_a_malformed_value_is_named_with_what_is_accepted(
    name: str, value: str, problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.read(VALID | {name: value})

    text = str(caught.value)
    assert text.startswith(f"configuration: {name}: ")
    assert problem in text
    assert "\n" not in text


@pytest.mark.parametrize("name", ["UPSTREAM_URL", "FLAGS_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"])
@pytest.mark.parametrize(
    "value", ["next:8080", "ftp://canary", "http://", "http://canary:port", "http://u:canary@h/"]
)
def test_a_malformed_url_is_refused_without_its_value(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^configuration: {name}: ") as caught:
        Settings.read(VALID | {name: value})

    assert "canary" not in str(caught.value)


def test_a_url_with_a_password_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="X: holds a password"):
        url({"X": "postgresql://user:secret@host/name"}, "X", ("postgresql",))


def test_a_secret_file_that_cannot_be_read_or_is_empty_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")

    with pytest.raises(ConfigurationError, match=r"X: /\S+/none cannot be read"):
        secret_file({"X": str(tmp_path / "none")}, "X")
    with pytest.raises(ConfigurationError, match=r"X: /\S+/empty is empty"):
        secret_file({"X": str(empty)}, "X")
