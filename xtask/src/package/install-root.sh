#!/bin/sh
# Makes a minimal Debian to install packages into.
# Run as root: install-root.sh FOLDER

set -eu
root=$1
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
rm -rf "$root"
debootstrap --variant=minbase --include=systemd bookworm "$root"
# Nothing may be started in here.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
# Man pages are looked at.
rm -f "$root/etc/dpkg/dpkg.cfg.d/docker" "$root/etc/dpkg/dpkg.cfg.d/excludes"
# By apt, which knows the order that packages are configured in; debootstrap guesses.
chroot "$root" apt-get install --yes --no-install-recommends lintian man-db rpm
