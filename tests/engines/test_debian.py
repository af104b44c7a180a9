"""The mirror is the one of the machine's own apt, whichever way it is written down."""

from pathlib import Path

import pytest
from slipway.errors import SlipwayError

from tests.engines import debian

OTHERS = {
    "docker.list": "deb [arch=amd64 signed-by=/x.asc] https://other.example/debian trixie stable\n",
    "security.sources": "Types: deb\nURIs: http://security.example/debian-security\n"
    "Suites: trixie-security\nComponents: main\n",
    "off.sources": "Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: trixie\n"
    "Components: main\n",
    "README": "deb http://not-a-source.example/debian trixie main\n",
}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("../sources.list", "deb http://mirror.example/debian trixie main contrib # ours\n"),
        ("../sources.list", "deb [signed-by=/a b=c] http://mirror.example/debian trixie main\n"),
        (
            "zz.sources",
            "# first\nTypes: deb deb-src\n# a comment inside\nURIs: http://mirror.example/debian\n"
            "Suites: trixie\n trixie-updates\nComponents: main\n",
        ),
        (
            "zz.sources",
            "Types: deb\nURIs: http://else.example/debian\nSuites: sid\nComponents: main\n\n"
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie\nComponents: main\n",
        ),
    ],
    ids=["one line", "one line with options", "stanza", "second stanza"],
)
def test_the_mirror_is_found(tmp_path: Path, name: str, text: str) -> None:
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    for other, content in OTHERS.items():
        (folder / other).write_text(content)
    (folder / name).write_text(text)
    assert debian.mirror(tmp_path, "trixie") == "http://mirror.example/debian"


def test_without_a_mirror_one_line_says_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match=r"add the line .deb http\S+ trixie main"):
        debian.mirror(tmp_path, "trixie")
