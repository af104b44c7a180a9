"""The worst that people and machines type into a text field, the same in every run."""

import random
import re
from collections.abc import Iterator

LONGEST = 10_000

# Each means something in a language that an answer can reach.
FRAGMENTS = [
    *("'", '"', "`", "\\", "\\\\", "'''", '"""', "\\'", '\\"', "'\"'\"'", '"\\', "\\\\\\"),
    *("[[", "]]", "[[ 7 * 7 ]]", "[%", "%]", "[% raw %]", "[#", "#]", "{{", "}}", "{{ 7 * 7 }}"),
    *("{%", "{#", "${}", "${HOME}", "$HOME", "$", "$$", "$(id)", "$((1))", "`id`", "%", "%s", "%n"),
    *("a: b", ":", ": ", " #", "#", "# x", "&a", "*a", "!!python/none", "|", ">", ">-", "|-"),
    "---",
    *("...", "- x", "-", "--", "-rf", "? x", "@a", "[a]", "{a: b}", "[", "{", "]", "}", ",", "a,b"),
    *("yes", "no", "on", "off", "y", "n", "true", "True", "FALSE", "null", "Null", "~", "None"),
    *("0", "1", "-1", "+1", "1.0", ".5", "1e3", "1_000", "0x1", "0o7", "0b1", "007", "1:20", "<<"),
    *(".inf", ".nan", "2020-01-01", "2020-01-01T00:00:00Z", "=", "=x", "==", "a=b", ";", "a;b"),
    "&&",
    *("<b>x</b>", "<script>alert(1)</script>", "<!-- x", "-->", "&amp;", "&#x41;", "&lt;"),
    "<a@b.c>",
    *("[x](http://a.b)", "![x](y)", "[x]: y", "**x**", "__x__", "_x_", "~~x~~", "~~~", "```"),
    "***",
    *("1. x", "1) x", "+ x", "> x", "| a | b |", "http://a.b", "<http://a.b>", "www.a.b"),
    ":smile:",
    *("$math$", "^", "!", "!x", "x!", "..", "../..", "/", "//", "/etc/passwd", "a/b", "a//b"),
    "C:\\",
    *("\n", "\r", "\r\n", "\t", "\0", "\x07", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u2029", "\v"),
    *("a\nb", "a\n", "\na", "a\n\nb: c", "a\r\nFROM x", "a\n[x]\ny = 1", "a\nx:\n\techo", "x\ny=1"),
    *("é", "e\u0301", "ß", "İ", "日本語", "Ελλάδα", "привет", "עברית", "العربية", "नमस्ते", "ﬁ"),
    *("\u202eabc", "\u200f", "\u200b", "\u00a0", "\ufeff", "\u00ad", "\ud800", "\U0010ffff"),
    "\ue000",
    *("😀", "❤️", "👨‍👩‍👧", "🏳️‍🌈", "🇺🇳", "1️⃣", "a😀b", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "Ⅷ", "²", "١٢٣"),  # noqa: RUF001
    *(" ", "  ", " a", "a ", "a  b", "a ", "\\n", "\\u0041", "\\x41", "\\0", "%20", "%00", "%0a"),
    *(".git", ".", "-a", "a-", "_", "__", "a__b", "a_", "a.", "A", "ABC", "@", "a@b", ":80"),
    ":99999",
    *("sha256:0", "@sha256:" + "0" * 64, ":latest", "'; DROP TABLE x; --", "|| true"),
    "> /dev/null",
    *("EOF", "\\\nEOF", "\\", "#!/bin/sh", "if", "None", "undefined", "NaN", "constructor", "[]"),
    "{}",
]  # fmt: skip


def strings(likely: str) -> list[str]:
    """Return hostile answers to one question, at least two hundred, none twice.

    Args:
        likely: an answer that the question accepts; half of the strings are close to it.

    """
    return list(dict.fromkeys(_strings(likely)))


def _strings(likely: str) -> Iterator[str]:
    chance = random.Random(likely)  # noqa: S311 - the same in every run
    yield ""
    for fragment in FRAGMENTS:
        yield fragment
        yield likely + fragment
        yield fragment + likely
        middle = chance.randint(0, len(likely))
        yield likely[:middle] + fragment + likely[middle:]
    for character in ("a", "-", "😀", "[[", "\\", '"', "a/", "a."):
        yield (character * LONGEST)[:LONGEST]
        yield likely + (character * LONGEST)[:LONGEST]
    for length in (*range(28, 34), *range(61, 66), *range(198, 203)):
        yield "a" * length
        yield ("a-" * length)[: length - 1] + "a"
        yield ("likely: " + "it's \\ $x " * length)[: length - 1] + "."
    for _ in range(100):
        yield "".join(chance.choices(FRAGMENTS, k=chance.randint(2, 6)))
        yield "".join(chr(chance.randint(0x20, 0x17F)) for _ in range(chance.randint(1, 40)))
        yield "".join(chance.choices(likely + "-._~/0", k=len(likely)))


def worst(accepted: list[str], count: int) -> list[str]:
    """Return the most hostile of some answers: those that look least like a plain word."""

    def strangeness(text: str) -> tuple[int, int, str]:
        is_word = re.fullmatch(r"[a-z]{3,}", text) is not None
        reads_as_another_type = re.fullmatch(r"[-+.]?\d[\w.:+-]*|[a-zA-Z~]{1,5}", text) is not None
        special = {character for character in text if not character.isalnum()}
        return (-is_word, len(special) + 5 * reads_as_another_type, text)

    return sorted(accepted, key=strangeness, reverse=True)[:count]


def packed(accepted: list[str], longest: int) -> list[str]:
    """Return a few long texts that hold every fragment that is accepted alone."""
    fragments = [fragment for fragment in FRAGMENTS if fragment in set(accepted)]
    texts = [""]
    for fragment in fragments:
        if len(texts[-1]) + len(fragment) >= longest:
            texts.append("")
        texts[-1] = f"{texts[-1]} {fragment}".strip()
    return texts
