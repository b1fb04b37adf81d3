#!/usr/bin/env bash
# Runs a command with a private PostgreSQL:
#
#   scripts/with-postgres.sh go test ./...
#
# The server lives in a temporary directory on a free port, without syncing to
# disk, and is gone afterwards. POSTROAD_TEST_POSTGRES tells the command where
# it is. A server the variable names already is used as it is.
set -euo pipefail

if [ $# -eq 0 ]; then
	echo "usage: $0 COMMAND [ARGUMENT...]" >&2
	exit 2
fi
if [ -n "${POSTROAD_TEST_POSTGRES:-}" ]; then
	exec "$@"
fi

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true)
if [ -z "$bin" ] && command -v postgres >/dev/null; then
	bin=$(dirname "$(command -v postgres)")
fi
if [ -z "$bin" ] || [ ! -x "$bin/initdb" ]; then
	echo "with-postgres: no PostgreSQL server found; scripts/install-deps.sh installs one" >&2
	exit 1
fi

dir=$(mktemp -d -t postroad-postgres-XXXXXX)
# PostgreSQL refuses to run as root.
run=()
if [ "$(id -u)" -eq 0 ]; then
	chown postgres "$dir"
	run=(setpriv --reuid postgres --regid postgres --init-groups)
fi

stop() {
	"${run[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
	rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM

cd_back=$PWD
cd "$dir"
"${run[@]}" "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale C.UTF-8 --no-sync >"$dir/log" 2>&1 ||
	{ cat "$dir/log" >&2; exit 1; }

# A free port may be taken before the server gets it: try a few.
for attempt in 1 2 3 4 5; do
	port=$((20000 + (RANDOM + $$) % 30000))
	if "${run[@]}" "$bin/pg_ctl" -D "$dir/data" -l "$dir/data/server.log" -w -t 30 -o "-p $port -k $dir -c listen_addresses=127.0.0.1 \
		-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=300" start >/dev/null 2>&1; then
		break
	fi
	if [ "$attempt" -eq 5 ]; then
		echo "with-postgres: the server does not start" >&2
		cat "$dir/data/server.log" >&2 || true
		exit 1
	fi
done
cd "$cd_back"

export POSTROAD_TEST_POSTGRES="postgres://postgres@127.0.0.1:$port/postgres?sslmode=disable"
"$@"
