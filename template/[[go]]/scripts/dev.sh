#!/bin/sh
# Builds and starts the service anew at every edit of cmd/ and internal/, which compose mounts.
# What the image has compiled is linked to, what is new goes to /tmp: all else is read-only.
set -eu
cp -rs /var/cache/go-build /tmp/ && rm /tmp/go-build/trim.txt
date +%s > /tmp/go-build/trim.txt # keeps the compiler from clearing away links to an old image
service=
trap 'if [ -n "${service}" ]; then kill -TERM "${service}"; wait "${service}"; fi; exit' TERM INT
while true; do
    touch /tmp/built
    if go build -ldflags=-w -o /tmp/next ./cmd/app; then
        if [ -n "${service}" ]; then
            kill -KILL "${service}" 2> /tmp/ended || true # it may have ended by itself
            wait "${service}" || true
        fi
        mv /tmp/next /tmp/app
        /tmp/app &
        service=$!
    fi
    until [ -n "$(find cmd internal -newer /tmp/built -print -quit || true)" ]; do sleep 0.3; done
done
