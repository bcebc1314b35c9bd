#!/bin/sh
# System packages that pip cannot bring: FFCV's libraries to build it, or to run it once it is built, a C compiler,
# Fashion-MNIST, a dictionary's text, a browser for the page tests and a linter for shell scripts, a database for
# benchmarks.fanout --postgres.
# Usage: docker/system-packages.sh ffcv|ffcv-run|compiler|test|postgres ...
# Exits 0 when all are there, 1 with one sentence when they cannot be had.
set -u
packages=""
for group in "$@"; do
    case "$group" in
        ffcv) packages="$packages pkg-config libopencv-dev libturbojpeg0-dev" ;;
        ffcv-run) packages="$packages libopencv-imgproc406 libturbojpeg0 libgl1 libglib2.0-0" ;;
        compiler) packages="$packages gcc libc6-dev" ;;
        test) packages="$packages dataset-fashion-mnist dict-gcide chromium shellcheck" ;;
        postgres) packages="$packages postgresql" ;;
        *) echo "unknown group $group: ffcv, ffcv-run, compiler, test or postgres" >&2; exit 2 ;;
    esac
done
missing=""
for package in $packages; do
    dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086  # a word for each package
    apt-get update -q >/dev/null && apt-get install -q -y --no-install-recommends $missing >/dev/null && exit 0
fi
echo "Missing system packages:$missing; as root on Debian: apt-get install --no-install-recommends$missing" >&2
exit 1
