#!/usr/bin/env bash
# conformance.sh FOLDER: runs the tests that hold our requests, and the emulator's
# answers, against PagerDuty's OpenAPI files. PagerDuty publishes them; they are
# not in this repository. Without them it says so and succeeds, unless
# PAGERDUTY_SPEC_REQUIRED=1.
set -euo pipefail

spec=$1
if [ ! -f "$spec/events-v2.json" ]; then
	echo "conformance: SKIPPED, no PagerDuty OpenAPI files (events-v2.json) in ${spec:-SPEC=, which is empty}"
	[ "${PAGERDUTY_SPEC_REQUIRED:-}" != 1 ]
	exit
fi
packages=$("$(dirname "$0")/named-tests.sh" Conformance | cut -d ' ' -f 1 | sort -u)
if [ -z "$packages" ]; then
	echo "conformance: no test named Conformance found" >&2
	exit 1
fi
# shellcheck disable=SC2086 # one argument a package
PAGERDUTY_SPEC=$(cd "$spec" && pwd) go test -count=1 -v -run Conformance $packages
