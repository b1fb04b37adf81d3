#!/usr/bin/env bash
# Looks for known vulnerabilities in what the program calls. That the list of
# vulnerabilities cannot be reached is the only failure that is let pass, and
# it is said loudly.
set -euo pipefail
version=v1.8.0
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
GOBIN=$tools go install "golang.org/x/vuln/cmd/govulncheck@$version"
status=0
"$tools/govulncheck" ./... >"$tools/out" 2>&1 || status=$?
cat "$tools/out"
[ "$status" -ne 0 ] || exit 0
# Status 3 says that something was found; 1 is any other failure.
if [ "$status" -eq 1 ] && grep -q '^govulncheck: fetching vulnerabilities: ' "$tools/out"; then
	echo '########################################################################' >&2
	echo '## govulncheck DID NOT CHECK ANYTHING: its data could not be reached. ##' >&2
	echo '########################################################################' >&2
	exit 0
fi
exit "$status"
