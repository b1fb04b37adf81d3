#!/usr/bin/env bash
# Installs what the whole test run, the rigs and CI need besides Go, on Debian
# or Ubuntu. Safe to run again: what is there is left alone.
set -euo pipefail

packages=(postgresql chromium postfix opendkim opendkim-tools swaks git curl jq ca-certificates make)

missing=()
for package in "${packages[@]}"; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing+=("$package")
done
# Node.js may come from Debian or from elsewhere, then with npm inside.
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)

if [ ${#missing[@]} -eq 0 ]; then
	echo "install-deps: everything is there"
	exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
	as_root=(sudo)
fi
echo "install-deps: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# Postfix asks questions unless they are answered before. "No configuration"
# keeps it from starting: the rigs run an instance of their own.
"${as_root[@]}" debconf-set-selections <<'EOF'
postfix postfix/main_mailer_type select No configuration
postfix postfix/mailname string localhost
EOF
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
