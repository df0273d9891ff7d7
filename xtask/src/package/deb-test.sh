#!/bin/sh
# What installing, upgrading, removing and purging a .deb does to a system, and what lintian says.
# Run as root: deb-test.sh FOLDER DEB
#   FOLDER  a minimal Debian with lintian
#   DEB     the package

set -eu
root=$1 deb=$2
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

fail() {
    echo "deb test: $*" >&2
    exit 1
}
inside() { chroot "$root" "$@"; }
# The package, built again under a higher version: what an upgrade meets.
newer() {
    work=$root/tmp/newer
    rm -rf "$work"
    dpkg-deb --raw-extract "$deb" "$work"
    sed -i 's/^Version: .*/&+newer/' "$work/DEBIAN/control"
    echo '# shipped by the newer version' >>"$work/etc/telnet-monitor/config.toml"
    # Sums are of the files as they are now.
    (cd "$work" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z |
        xargs -0 md5sum >DEBIAN/md5sums)
    dpkg-deb --root-owner-group --build "$work" "$root/tmp/newer.deb" >/dev/null
}

inside dpkg --purge telnet-monitor >/dev/null 2>&1 || :
inside userdel telnet-monitor >/dev/null 2>&1 || :
before=$(mktemp)
trap 'rm -f "$before"' EXIT
inside find /etc/systemd /etc/telnet-monitor /var/lib/telnet-monitor /var/log/telnet-monitor \
    2>/dev/null | sort >"$before" || :

cp "$deb" "$root/tmp/telnet-monitor.deb"
config=$root/etc/telnet-monitor/config.toml

inside lintian --allow-root --fail-on error --tag-display-limit 0 /tmp/telnet-monitor.deb

inside dpkg --install /tmp/telnet-monitor.deb
inside telnet-monitor --version | grep -q '^telnet-monitor ' || fail 'it does not run'
inside telnet-monitor check -c /etc/telnet-monitor/config.toml >/dev/null
inside getent passwd telnet-monitor >/dev/null || fail 'no user'
[ "$(inside systemctl is-enabled telnet-monitor 2>/dev/null || :)" = disabled ] ||
    fail 'installing enabled the service'
inside man -w telnet-monitor telnet-monitor-run >/dev/null || fail 'no man pages'
inside bash -n /usr/share/bash-completion/completions/telnet-monitor || fail 'broken completions'
[ "$(inside dpkg --verify telnet-monitor)" = '' ] || fail 'files differ from their sums'

# An administrator enables it and changes the configuration; an upgrade keeps both.
inside systemctl enable telnet-monitor >/dev/null 2>&1
echo 'log = "warn" # by hand' >"$config"
mkdir -p "$root/var/lib/telnet-monitor/spool" "$root/var/log/telnet-monitor"
newer
inside dpkg --force-confold --install /tmp/newer.deb
grep -q 'by hand' "$config" || fail 'an upgrade overwrote the configuration'
[ "$(inside systemctl is-enabled telnet-monitor)" = enabled ] || fail 'an upgrade disabled it'

inside dpkg --remove telnet-monitor
[ -e "$config" ] || fail 'removing took the configuration'
[ -d "$root/var/lib/telnet-monitor" ] || fail 'removing took the spool'
[ ! -e "$root/usr/bin/telnet-monitor" ] || fail 'removing left the program'

inside dpkg --purge telnet-monitor
for path in /etc/telnet-monitor /var/lib/telnet-monitor /var/log/telnet-monitor; do
    [ ! -e "$root$path" ] || fail "purging left $path"
done
! inside getent passwd telnet-monitor >/dev/null || fail 'purging left the user'
! inside getent group telnet-monitor >/dev/null || fail 'purging left the group'
after=$(inside find /etc/systemd /etc/telnet-monitor /var/lib/telnet-monitor \
    /var/log/telnet-monitor 2>/dev/null | sort || :)
[ "$after" = "$(cat "$before")" ] || fail "purging left something: $after"
echo 'deb test: passed'
