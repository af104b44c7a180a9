#!/bin/bash
# Makes the root file system of debian:trixie-slim from packages.
# Roots that the machine trusts beyond Debian's are trusted in it too, so that a build behind a
# proxy that re-signs works as it does outside; on most machines there are none.
# shellcheck disable=SC2016  # the hooks are expanded by mmdebstrap
set -euo pipefail
output=$1 mirror=$2

SOURCE_DATE_EPOCH=1700000000 mmdebstrap --mode=root --variant=minbase --include=ca-certificates \
  --aptopt='Acquire::Check-Valid-Until "false"' \
  --aptopt='Acquire::Languages "none"' \
  --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/info/*' \
  --dpkgopt=force-unsafe-io \
  --customize-hook='mkdir -p "$1/usr/local/share/ca-certificates"; cp /usr/local/share/ca-certificates/*.crt "$1/usr/local/share/ca-certificates/" 2>/dev/null || true; chroot "$1" update-ca-certificates' \
  --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/log/* "$1"/var/cache/debconf/*-old "$1"/var/cache/ldconfig/aux-cache' \
  trixie "$output" "$mirror"
