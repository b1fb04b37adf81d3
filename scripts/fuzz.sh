#!/usr/bin/env bash
# Runs every fuzz target for a while, one after the other: scripts/fuzz.sh 10s
set -euo pipefail
time=${1:-10s}
found=0
while IFS=: read -r file target; do
	found=$((found + 1))
	echo "== $target ($(dirname "$file"))"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 100x "./$(dirname "$file")"
done < <(grep -rHoE --include='*_test.go' --exclude-dir=node_modules '^func Fuzz[A-Za-z0-9_]+' . | sed -E 's|^\./||; s|func ||' | sort)
if [ "$found" -eq 0 ]; then
	echo "fuzz: no targets found" >&2
	exit 1
fi
echo "fuzz: $found targets held"
