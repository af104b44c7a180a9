#!/bin/sh
# Puts one version of uv from PyPI into one file, with nothing but a Python: uv is a single program.
# Usage: install-uv.sh VERSION FILE PYTHON
set -eu
version=$1 file=$2 python=$3

fail() {
    echo "$*" >&2
    exit 2
}

command -v "$python" >/dev/null ||
    fail "$python is missing: install Python 3.11 or newer (Debian: apt-get install python3 python3-venv)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "$("$python" --version 2>&1) is too old: name Python 3.11 or newer, as in make PYTHON=python3.13 demo"

mkdir -p "$(dirname "$file")"
work=$(mktemp -d "$file.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

set -- install --quiet --disable-pip-version-check --no-deps --only-binary :all: "uv==$version"
if "$python" -m venv "$work/venv" >/dev/null 2>&1; then
    "$work/venv/bin/python" -m pip "$@" 2>"$work/errors" || true
elif "$python" -m pip --version >/dev/null 2>&1; then
    "$python" -m pip "$@" --target "$work/venv" 2>"$work/errors" || true
else
    fail "$python has neither venv nor pip: install one (Debian: apt-get install python3-venv)"
fi
[ -x "$work/venv/bin/uv" ] ||
    fail "uv $version does not come from PyPI: $(grep . "$work/errors" | tail -n 1)"
mv "$work/venv/bin/uv" "$file"
