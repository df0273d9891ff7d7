#!/bin/sh
# What installing, upgrading and erasing an .rpm does to a system.
# Run as root: rpm-test.sh FOLDER RPM NEWER
#   FOLDER  a minimal Debian with rpm
#   RPM     the package
#   NEWER   a higher version of it, with another configuration

set -eu
root=$1 rpm=$2 newer=$3
export LC_ALL=C

fail() {
    echo "rpm test: $*" >&2
    exit 1
}
inside() { chroot "$root" "$@"; }
# Debian has its own package manager: rpm wants to be told so, and knows nothing of what is there.
rpm() {
    what=$1
    shift
    inside rpm "$what" --force-debian "$@"
}
state() { inside systemctl is-enabled telnet-monitor 2>/dev/null || :; }
traces() { inside find / -xdev -path /proc -prune -o -path /tmp -prune -o -name '*telnet-monitor*' -print | sort; }

rpm --erase --nodeps telnet-monitor >/dev/null 2>&1 || :
inside userdel telnet-monitor >/dev/null 2>&1 || :
config=$root/etc/telnet-monitor/config.toml
rm -rf "$root/etc/telnet-monitor"
before=$(traces)
cp "$rpm" "$root/tmp/telnet-monitor.rpm"
cp "$newer" "$root/tmp/newer.rpm"

rpm --install --nodeps /tmp/telnet-monitor.rpm
[ "$(rpm --verify --nodeps telnet-monitor)" = '' ] || fail 'files differ from what the package says'
strangers=$(rpm --query --queryformat '[%{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}\n]' telnet-monitor |
    grep -v '^root:root ' || :)
[ "$strangers" = '' ] || fail "files are not root's: $strangers"
writable=$(rpm --query --list telnet-monitor | while read -r path; do
    find "$root$path" -maxdepth 0 -perm /022
done)
[ "$writable" = '' ] || fail "files that others may write: $writable"
[ "$(rpm --query --configfiles telnet-monitor)" = /etc/telnet-monitor/config.toml ] ||
    fail 'the configuration is not marked as such'
inside telnet-monitor --version | grep -q '^telnet-monitor ' || fail 'it does not run'
inside telnet-monitor check -c /etc/telnet-monitor/config.toml >/dev/null
inside getent passwd telnet-monitor >/dev/null || fail 'no user'
[ "$(state)" = disabled ] || fail 'installing enabled the service'

# An administrator enables it and changes the configuration; an upgrade keeps both, and puts the
# configuration of the newer version beside.
inside systemctl enable telnet-monitor >/dev/null 2>&1
echo 'log = "warn" # by hand' >"$config"
rpm --upgrade --nodeps /tmp/newer.rpm
[ "$(rpm --query --queryformat '%{VERSION}' telnet-monitor)" = 999 ] || fail 'not upgraded'
grep -q 'by hand' "$config" || fail 'an upgrade overwrote the configuration'
[ -e "$config.rpmnew" ] || fail 'an upgrade left no configuration of the newer version'
[ "$(state)" = enabled ] || fail 'an upgrade disabled the service'

rpm --erase --nodeps telnet-monitor
[ ! -e "$root/usr/bin/telnet-monitor" ] || fail 'erasing left the program'
grep -q 'by hand' "$config.rpmsave" || fail 'erasing took the configuration'
rm "$config.rpmsave" "$config.rpmnew"
# Left with what was not rpm's.
rmdir "$root/etc/telnet-monitor"
after=$(traces)
[ "$after" = "$before" ] || fail "erasing left something: $after, before $before"
echo 'rpm test: passed'
