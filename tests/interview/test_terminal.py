"""Somebody answers the interview on a terminal: what is asked, and what is not."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.interview.test_questions import answers
from tests.product import Question, interview
from tests.services import SMALLEST, without_rooms

PATIENCE = 60.0
ROWS, COLUMNS = 50, 250  # no help text is wrapped


def talk(command: Sequence[str | Path], dialogue: Sequence[tuple[str, str]]) -> str:
    """Run a program on a terminal and return what it showed.

    Args:
        command: the program and its arguments.
        dialogue: what it shows when it waits, and the line to type then.

    """
    terminal, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    program = subprocess.Popen(
        [str(part) for part in command],
        stdin=side,
        stdout=side,
        stderr=side,
        env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        start_new_session=True,
    )
    os.close(side)
    shown = ""
    left = list(dialogue)
    end = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < end:
            ready, _, _ = select.select([terminal], [], [], 1)
            if ready:
                try:
                    shown += os.read(terminal, 65536).decode(errors="replace")
                except OSError:  # the program has closed the terminal
                    break
            if left and left[0][0] in shown:
                os.write(terminal, (left.pop(0)[1] + "\r").encode())
        program.wait(timeout=max(1.0, end - time.monotonic()))
    finally:
        program.kill()
        program.wait()
        os.close(terminal)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


def asked(shown: str) -> list[str]:
    """Return the questions that were shown, in their order."""
    places = {
        question.name: shown.find(question.details["help"]) for question in interview().questions
    }
    found = {name: place for name, place in places.items() if place >= 0}
    return sorted(found, key=found.__getitem__)


def line(question: Question, *, review: bool) -> str:
    """Return what is typed: the default, but for the name and the opener of the settings."""
    if question.name == "platform_settings" and review:
        return "y"
    return SMALLEST.get(question.name, "")


@pytest.mark.parametrize("review", [False, True], ids=["as they are", "reviewed"])
def test_the_platform_settings_are_asked_on_request_only(
    template: Path, tmp_path: Path, review: bool
) -> None:
    expected = [q for q in interview().questions if review or not q.of_the_platform]

    shown = talk(
        [
            *(sys.executable, "-m", "copier", "copy"),
            *(without_rooms(template, tmp_path / "template"), tmp_path / "service"),
        ],
        [(question.details["help"], line(question, review=review)) for question in expected],
    )

    assert asked(shown) == [question.name for question in expected], shown
    assert answers(tmp_path / "service")["platform_settings"] is review


def test_a_refused_answer_is_explained_and_asked_again(template: Path, tmp_path: Path) -> None:
    refusal = '"Sign Ups" is not a service name'
    questions = [question for question in interview().questions if not question.of_the_platform]
    erase = "\x08" * len("Sign Ups")

    shown = talk(
        [
            *(sys.executable, "-m", "copier", "copy"),
            *(without_rooms(template, tmp_path / "template"), tmp_path / "service"),
        ],
        [
            (questions[0].details["help"], "Sign Ups"),
            (refusal, f"{erase}{SMALLEST['service_name']}"),
            *((question.details["help"], "") for question in questions[1:]),
        ],
    )

    assert refusal in shown
    assert answers(tmp_path / "service")["service_name"] == SMALLEST["service_name"]
