#!/usr/bin/env bash
# fuzz.sh TIME: runs every fuzz target of the module for TIME, one after another.
set -euo pipefail

targets=$("$(dirname "$0")/named-tests.sh" '^Fuzz')
if [ -z "$targets" ]; then
	echo "no fuzz target found" >&2
	exit 1
fi
while read -r package name; do
	echo ">> $package $name, $1"
	# Without a bound, making a find smaller can eat the whole time.
	go test -run '^$' -fuzz "^$name\$" -fuzzminimizetime 100x -fuzztime "$1" "$package" </dev/null
done <<<"$targets"
echo ">> $(wc -l <<<"$targets") fuzz targets passed"
