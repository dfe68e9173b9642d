#!/usr/bin/env bash
# build.sh ROOT: makes the root file system of the container image in the folder
# ROOT, which must be empty or absent. The Dockerfile's build stage runs it, and so
# does the test of this folder, so that what is shipped is inspected where no
# container runs.
#
# VERSION and REVISION override what git says of this checkout; GOOS and GOARCH ask
# for another platform than this machine's.
set -euo pipefail
umask 022

mkdir -p "$1"
root=$(cd "$1" && pwd)
if [ -n "$(ls -A "$root")" ]; then
	echo "$root is not empty" >&2
	exit 1
fi
roots=/etc/ssl/certs/ca-certificates.crt
if [ ! -s "$roots" ]; then
	echo "no CA roots in $roots: install the package ca-certificates" >&2
	exit 1
fi
cd "$(dirname "$0")/../../.."

make --no-print-directory build OUT="$root/bin/" PROGRAMS=./cmd/pagerelay \
	${VERSION:+VERSION="$VERSION"} ${REVISION:+REVISION="$REVISION"}

install -D -m 0644 "$roots" "$root$roots"
install -d -m 0755 "$root/etc/pagerelay"
install -d -m 0700 "$root/var/lib/pagerelay"
echo 'nonroot:x:65532:65532:nonroot:/var/lib/pagerelay:/sbin/nologin' >"$root/etc/passwd"
echo 'nonroot:x:65532:' >"$root/etc/group"
chmod 0644 "$root/etc/passwd" "$root/etc/group"
