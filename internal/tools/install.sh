#!/usr/bin/env bash
# install.sh WHAT COMMAND...: runs a `go build -v` or `go install -v` that takes
# minutes, and shows that it is alive: one line every 100 packages instead of one
# each. If the command fails, its last lines are shown.
set -euo pipefail

what=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT

echo ">> building $what (once; a few minutes on a small machine)"
start=$SECONDS
if ! "$@" 2>&1 | tee "$log" | awk 'NR % 100 == 0 { print "   " NR " packages fetched or built"; fflush() }'; then
	tail -n 20 "$log" >&2
	echo ">> $what: not built" >&2
	exit 1
fi
echo ">> $what: ready after $((SECONDS - start)) s"
