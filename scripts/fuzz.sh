#!/usr/bin/env bash
# Runs every fuzz target for a while, one after the other: scripts/fuzz.sh 10s
# A package's tests are built once for all its targets. What is found is kept in
# the package's testdata/fuzz, as "go test -fuzz" does.
set -euo pipefail
time=${1:-10s}
root=$PWD
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
cache=$(go env GOCACHE)/fuzz
found=0
built=
while IFS=: read -r file target; do
	found=$((found + 1))
	package=$(dirname "$file")
	if [ "$package" != "$built" ]; then
		go test -c -fuzz=. -o "$bin/fuzz.test" "./$package"
		built=$package
	fi
	echo "== $target ($package)"
	(cd "$package" && "$bin/fuzz.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$time" \
		-test.fuzzminimizetime 100x -test.fuzzcachedir "$cache/$(cd "$root" && go list "./$package")")
done < <(grep -rHoE --include='*_test.go' --exclude-dir=node_modules '^func Fuzz[A-Za-z0-9_]+' . | sed -E 's|^\./||; s|func ||' | sort)
if [ "$found" -eq 0 ]; then
	echo "fuzz: no targets found" >&2
	exit 1
fi
echo "fuzz: $found targets held"
