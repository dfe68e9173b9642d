#!/usr/bin/env bash
# named-tests.sh PATTERN: prints a line "PACKAGE NAME" for each test, benchmark or
# fuzz target of the module whose name matches PATTERN.
set -euo pipefail

list=$(go test -list "$1" ./...)
awk '$1 == "ok" { for (i = 0; i < n; i++) print $2, names[i]; n = 0; next }
     $1 == "?" { next }
     { names[n++] = $1 }' <<<"$list"
