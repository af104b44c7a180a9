"""Logs: service code logs through its logger, one JSON object a line, and prints nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pygments.lexer import Lexer
from pygments.lexers.go import GoLexer
from pygments.lexers.javascript import JavascriptLexer, TypeScriptLexer
from pygments.lexers.python import PythonLexer
from pygments.token import Comment, String, _TokenType

from slipway.gates.findings import Fault, Gate, Place
from slipway.gates.service import Service

TESTS = re.compile(
    r"(?:.*/)?(?:(?:tests?|__tests__|testdata|fixtures|spec)/.*|conftest\.py|test_[^/]*|"
    r"[^/]*_test\.\w+|[^/]*\.(?:test|spec)\.\w+)"
)
NO_SERVICE_CODE = re.compile(
    r"(?:.*/)?(?:scripts|tools|docs|examples|bench(?:marks)?|hack|vendor|node_modules)/.*"
)
# A program says on stderr why it does not start: nothing logs yet.
PROGRAM = re.compile(r"(?:.*/)?(?:__main__|main|cli|manage)\.\w+")
# What turns records into lines writes them to stdout, by design.
TELEMETRY = re.compile(r"(?:.*/)?telemetry\.\w+")


@dataclass(frozen=True)
class Language:
    """How a language prints."""

    lexer: type[Lexer]
    # A call, up to its opening parenthesis.
    prints: re.Pattern[str]
    # The call and its arguments, when it writes to stderr.
    to_stderr: re.Pattern[str]


PYTHON = Language(
    PythonLexer,
    re.compile(r"(?<![\w.])(?:p?print|sys\.(?:stdout|stderr)\.write)\s*\("),
    re.compile(r"\bsys\.stderr\b"),
)
JAVASCRIPT = Language(
    JavascriptLexer,
    re.compile(
        r"(?<![\w.$])(?:console\s*\.\s*(?:log|info|debug|warn|error|trace|dir|table)"
        r"|process\.(?:stdout|stderr)\.write)\s*\("
    ),
    re.compile(r"console\s*\.\s*(?:error|warn)|process\.stderr"),
)
GO = Language(
    GoLexer,
    re.compile(
        r"(?<![\w.])(?:fmt\.Print(?:f|ln)?|fmt\.Fprint(?:f|ln)?(?=\(\s*os\.Std)|print(?:ln)?"
        r"|os\.(?:Stdout|Stderr)\.Write(?:String)?)\s*\("
    ),
    re.compile(r"\bos\.Stderr\b"),
)
LANGUAGES = {
    ".py": PYTHON,
    ".go": GO,
    **dict.fromkeys((".js", ".mjs", ".cjs", ".jsx"), JAVASCRIPT),
    **dict.fromkeys(
        (".ts", ".mts", ".cts", ".tsx"),
        Language(TypeScriptLexer, JAVASCRIPT.prints, JAVASCRIPT.to_stderr),
    ),
}


def prints(service: Service) -> Iterator[Fault]:
    """Find service code that prints where it should log."""
    for file in service.files:
        language = LANGUAGES.get(f".{file.rpartition('.')[2]}")
        if language is None or any(
            one.fullmatch(file) for one in (TESTS, NO_SERVICE_CODE, TELEMETRY)
        ):
            continue
        text = service.text(file) or ""
        if not language.prints.search(text):
            continue
        code = code_of(text, language.lexer)
        for found in language.prints.finditer(code):
            call = code[found.start() : end_of_call(code, found.end())]
            if PROGRAM.fullmatch(file) and language.to_stderr.search(call):
                continue
            line = code.count("\n", 0, found.start()) + 1
            call_name = "".join(found[0].split())
            yield Fault(Place(file, line), f"{call_name!r} is no log line")


def code_of(text: str, lexer: type[Lexer]) -> str:
    """Return a program with blanks for its comments and texts, line by line as it was."""

    def is_code(kind: _TokenType) -> bool:
        return not {Comment, String} & set(kind.split())

    pieces = (
        piece if is_code(kind) else re.sub(r"\S", " ", piece)
        for _, kind, piece in lexer().get_tokens_unprocessed(text)
    )
    return "".join(pieces)


def end_of_call(code: str, start: int) -> int:
    """Return where the parenthesis closes that opens just before `start`."""
    depth = 1
    for position in range(start, len(code)):
        depth += {"(": 1, ")": -1}.get(code[position], 0)
        if depth == 0:
            return position
    return len(code)


GATES = (
    Gate(
        "logs-structured",
        "Service code logs, and prints nothing",
        "Python, JavaScript, TypeScript and Go outside of tests and scripts; a program's own file"
        " (`main`, `cli`) may say on stderr why it does not start",
        "Log it through the service's logger, which writes one JSON object a line",
        prints,
    ),
)
