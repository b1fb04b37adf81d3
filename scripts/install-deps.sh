#!/usr/bin/env bash
# Installs what the whole test run, the rigs and CI need besides Go, on Debian
# or Ubuntu. Safe to run again: what is there is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(postgresql chromium postfix opendkim opendkim-tools python3-dkim python3-authres swaks openssl git curl jq ca-certificates make python3 msmtp libsasl2-modules rspamd spamassassin spamd)

as_root=()
if [ "$(id -u)" -ne 0 ]; then
	as_root=(sudo)
fi

missing=()
for package in "${packages[@]}"; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing+=("$package")
done
# Node.js may come from Debian or from elsewhere, then with npm inside.
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)

if [ ${#missing[@]} -gt 0 ]; then
	echo "install-deps: installing ${missing[*]}"
	# Postfix asks questions unless they are answered before. "No configuration"
	# keeps it from starting: the rigs run an instance of their own.
	"${as_root[@]}" debconf-set-selections <<'END'
postfix postfix/main_mailer_type select No configuration
postfix postfix/mailname string localhost
END
	"${as_root[@]}" apt-get update -q
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
fi

# The ACME authority of the tests, beside the programs of the benchmarks.
if command -v go >/dev/null; then
	cache=${XDG_CACHE_HOME:-$HOME/.cache}/postroad-bench
	pebble=v2.10.1
	if [ ! -x "$cache/pebble-$pebble" ]; then
		mkdir -p "$cache/build"
		GOBIN="$cache/build" go install "github.com/letsencrypt/pebble/v2/cmd/pebble@$pebble"
		mv "$cache/build/pebble" "$cache/pebble-$pebble"
		rmdir "$cache/build"
	fi
fi

# The mail servers the benchmarks compare with are not installed: they are kept
# in the cache directory of the user, who has to be root to run them. Package
# lists that are old name files that are gone.
if [ "$(id -u)" -eq 0 ] && command -v go >/dev/null; then
	go run ./bench fetch || {
		apt-get update -q
		go run ./bench fetch
	}
fi
echo "install-deps: everything is there"
