"""Secrets: none in code, in the image, in a manifest, or in a file that git knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from detect_secrets.filters import heuristic
from detect_secrets.filters.allowlist import is_line_allowlisted
from detect_secrets.plugins.base import BasePlugin
from detect_secrets.settings import get_plugins, transient_settings
from detect_secrets.util.code_snippet import get_code_snippet

from slipway.answers import ANSWERS_FILE
from slipway.gates.findings import Fault, Gate, Place
from slipway.gates.kustomize import kind, name
from slipway.gates.located import Value
from slipway.gates.logs import LANGUAGES, TESTS
from slipway.gates.paths import beside
from slipway.gates.service import LOCK_FILE, Service, is_compose
from slipway.gates.stores import literals, variables

# Names of what holds a secret itself; a name that ends in FILE or the like holds where it is.
SECRET = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|pwd|secrets?|tokens?|credentials?"
    r"|(?:api|auth|access|private|secret|encryption|signing|account)_?key)(?:_|$)"
)
ELSEWHERE = re.compile(
    r"_(?:file|path|dir|name|ref|url|uri|store|class|ttl|seconds|expiry|lifetime|timeout|enabled"
    r"|length|header)$"
)
NAME_BEFORE = re.compile(r"([\w.-]+)[\"']?\s*:?=?\s*[\"'`]?$")
IN_ADDRESS = re.compile(r"://[^/\s:@]*:(?P<password>[^@\s/$<{]+)@")
MADE_FOR_SECRETS = re.compile(
    r"(?:.*/)?(?:\.env(?:\.[\w.-]+)?|id_(?:rsa|dsa|ecdsa|ed25519)|[^/]+\.(?:p12|pfx))"
)
DOCUMENT = re.compile(r".*\.(?:md|rst|adoc)")
EXAMPLE = re.compile(r".*\.(?:example|sample|template|dist|pub)")

# Secrets that have a form of their own: these find nothing by chance.
EXACT = (
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "DiscordBotTokenDetector",
    "GitHubTokenDetector", "GitLabTokenDetector", "JwtTokenDetector", "MailchimpDetector",
    "NpmDetector", "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector",
    "SendGridDetector", "SlackDetector", "SquareOAuthDetector", "StripeDetector",
    "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
# Passwords by the name or the address beside them: in tests these are made up.
BY_NAME = ("BasicAuthDetector", "KeywordDetector")
# What every line has that they find something in; they are slow, and this is not.
SPEAKS_OF_ONE = re.compile(r"key|pass|pwd|secret|contrase|://", re.IGNORECASE)


def names_a_secret(name: str) -> bool:
    """Say whether a variable of this name holds a secret."""
    words = snake(name)
    return bool(SECRET.search(words)) and not ELSEWHERE.search(words)


def snake(name: str) -> str:
    """Return a name in one spelling: `dbPassword` and `DB-PASSWORD` are `db_password`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[-.]", "_", name).lower()


def is_literal(value: str) -> bool:
    """Say whether a value stands there itself, not as a reference to another place."""
    switch = value.lower() in ("true", "false", "yes", "no", "0", "1")
    return bool(value) and not switch and not value.startswith(("$", "<", "{", "/run/"))


def what_is_secret(name: str, value: str) -> str:
    """Return what is secret about a variable; empty for nothing. The secret is not repeated."""
    if names_a_secret(name) and is_literal(value):
        return f"{name} is set to {masked(value)}"
    if found := IN_ADDRESS.search(value):
        return f"{name} is an address with the password {masked(found['password'])}"
    return ""


def masked(secret: str) -> str:
    """Return enough of a secret to recognise it by: reports end up in logs."""
    shown = secret[:2] if len(secret) > 8 else ""
    return repr(f"{shown}…")


def in_image(service: Service) -> Iterator[Fault]:
    """Find secrets that building puts into an image or its history."""
    for dockerfile in service.dockerfiles:
        for instruction in dockerfile.instructions:
            if instruction.name in ("ENV", "ARG"):
                for variable, value in instruction.variables:
                    if problem := what_is_secret(variable, value.text):
                        yield Fault(value.place, f"{instruction.name} {problem}")
                    elif instruction.name == "ARG" and names_a_secret(variable):
                        yield Fault(value.place, f"ARG {variable} stays in the image's history")
            elif instruction.name in ("COPY", "ADD"):
                for word in instruction.arguments[:-1]:
                    if MADE_FOR_SECRETS.fullmatch(word.text) and not EXAMPLE.fullmatch(word.text):
                        yield Fault(word.place, f"{instruction.name} takes {word.text!r} along")


def in_manifest(service: Service) -> Iterator[Fault]:
    """Find secrets in Compose files, manifests and the files they are made from."""
    for variable, value, place in variables(service):
        if problem := what_is_secret(variable, value):
            yield Fault(place, problem)
    for project in service.projects:
        for one in project.services:
            for variable, value, place in one.variables("build", "args"):
                if problem := what_is_secret(variable, value):
                    yield Fault(place, f"build argument {problem}")
        for secret in project.value.mapping("secrets").values():
            file = secret.get("file")
            if file and (path := beside(file.at.file, file.text)) in service.files:
                yield Fault(file.at, f"the secret's file {path!r} is known to git")
    for resource in service.manifests:
        yield from _in_resource(resource, service)


def _in_resource(resource: Value, service: Service) -> Iterator[Fault]:
    if kind(resource) == "Secret" and "sops" not in resource.entries:
        for key in ("data", "stringData"):
            for entry, value in resource.mapping(key).items():
                yield Fault(value.at, f"Secret {name(resource)!r} holds {entry!r}")
    for variable, _, place in literals(resource, "secretGenerator"):
        yield Fault(place, f"a secretGenerator holds {variable!r}")
    for generator in resource.listed("secretGenerator"):
        for key in ("files", "envs"):
            for source in generator.listed(key):
                path = beside(source.at.file, source.text.rpartition("=")[2])
                if path in service.files:
                    yield Fault(source.at, f"a secretGenerator reads {path!r}, known to git")


def in_code(service: Service) -> Iterator[Fault]:
    """Find secrets anywhere else, with detect-secrets; none is verified, nothing is sent."""
    known = {fault.place for gate in (in_image, in_manifest) for fault in gate(service)}
    exact, by_name = plugins(EXACT), plugins(BY_NAME)
    for file in service.files:
        text = None if LOCK_FILE.fullmatch(file) else service.text(file)
        lines = (text or "").splitlines()
        guessed = may_hold_passwords(file)
        for number, line in enumerate(lines, start=1):
            place = Place(file, number)
            if place in known or is_allowed(lines, place):
                continue
            found = [
                *(secret for one in exact for secret in one.analyze_line(file, line, number)),
                *(
                    secret
                    for one in (by_name if guessed and SPEAKS_OF_ONE.search(line) else ())
                    for secret in one.analyze_line(file, line, number)
                    if not is_made_up(secret.secret_value or "", file, line, one)
                ),
            ]
            for secret in found[:1]:
                yield Fault(place, f"{secret.type} {masked(secret.secret_value or '')}")


def plugins(names: Sequence[str]) -> list[BasePlugin]:
    """Return the named detectors of detect-secrets."""
    with transient_settings({"plugins_used": [{"name": name} for name in names]}):
        return list(get_plugins())


def is_allowed(lines: list[str], place: Place) -> bool:
    """Say whether a comment on the line, or on the one before, says that it is no secret."""
    around = lines[max(place.line - 2, 0) : place.line]
    if not any("pragma" in line for line in around):
        return False
    snippet = get_code_snippet(lines, place.line)
    return bool(is_line_allowlisted(place.file, lines[place.line - 1], snippet))


def may_hold_passwords(file: str) -> bool:
    """Say whether a name beside a text tells that the text is a password.

    In tests and documents it is made up, in answers it is a choice; manifests are read more
    closely elsewhere.
    """
    manifest = file.startswith("deploy/") or is_compose(file)
    made_up = TESTS.fullmatch(file) or DOCUMENT.fullmatch(file) or file == ANSWERS_FILE
    return not (made_up or manifest)


def is_made_up(secret: str, file: str, line: str, plugin: BasePlugin) -> bool:
    """Say whether what a detector took for a password is the name of something, or a blank."""
    before = NAME_BEFORE.search(line.partition(secret)[0])
    is_place = bool(before and ELSEWHERE.search(snake(before[1])))
    is_sentence = " " in secret.partition(" #")[0].strip()
    in_quotes = any(quote + secret in line for quote in "\"'`")
    is_code = f".{file.rpartition('.')[2]}" in LANGUAGES
    return (
        is_place
        or is_sentence
        or (is_code and not in_quotes and "://" not in line)
        or heuristic.is_indirect_reference(line)
        or heuristic.is_likely_id_string(secret, line, plugin)
        or heuristic.is_not_alphanumeric_string(secret)
        or heuristic.is_potential_uuid(secret)
        or heuristic.is_prefixed_with_dollar_sign(secret)
        or heuristic.is_sequential_string(secret)
        or heuristic.is_templated_secret(secret)
    )


def files_made_for_secrets(service: Service) -> Iterator[Fault]:
    """Find files that are made to hold secrets and that git knows."""
    for file in service.files:
        if MADE_FOR_SECRETS.fullmatch(file) and not EXAMPLE.fullmatch(file):
            yield Fault(Place(file, 1), f"{file!r} is made to hold secrets, and git knows it")


GATES = (
    Gate(
        "secret-in-code",
        "No secret stands in a file",
        "every text file but lock files, with detect-secrets; in tests and documents, only secrets"
        " that have a form of their own",
        "Revoke it, then read it from a mounted file; if it is none, say"
        " `pragma: allowlist secret` in a comment on the line",
        in_code,
    ),
    Gate(
        "secret-in-image",
        "No secret gets into an image",
        "`ENV`, `ARG`, `COPY` and `ADD` of Dockerfiles",
        "Take it out, and mount it: `RUN --mount=type=secret` while building, a file while running",
        in_image,
    ),
    Gate(
        "secret-in-manifest",
        "No secret stands in a manifest",
        "`kind: Secret`, `ConfigMap`, generators, `*.env` files, variables of pods and of Compose,"
        " build arguments, and files of Compose's secrets",
        "Take it out; create the Secret in the cluster, and mount it as a file",
        in_manifest,
    ),
    Gate(
        "secret-file",
        "No file that is made for secrets is in git",
        "names of files: `.env`, private keys, key stores; `.env.example` is fine",
        "Run `git rm --cached` on it, name it in `.gitignore`, and revoke what it held",
        files_made_for_secrets,
    ),
)
