#!/bin/sh
# Builds Debian bookworm with systemd and telnet servers, packed as an initial file system.
# Run as root: make-image.sh FOLDER IMAGE XINETD MIRROR KEYRING
#   FOLDER  where the system is put together, and removed at the end
#   IMAGE   what is written (cpio, gzip)
#   XINETD  the program, since Debian lets only one super-server be installed
#   MIRROR  where the packages are, and KEYRING who signed their lists

set -eu
folder=$1 image=$2 xinetd=$3 mirror=$4 keyring=$5
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

rm -rf "$folder"
debootstrap --variant=minbase --keyring="$keyring" \
    --include=systemd,systemd-sysv,udev,dbus,login,kmod,procps,iproute2 \
    bookworm "$folder" "$mirror"

# Nothing may be started in here, and dpkg runs scripts that would.
printf '#!/bin/sh\nexit 101\n' >"$folder/usr/sbin/policy-rc.d"
chmod 755 "$folder/usr/sbin/policy-rc.d"
chroot "$folder" apt-get install --yes --no-install-recommends \
    openbsd-inetd inetutils-telnetd inetutils-telnet libwrap0
rm "$folder/usr/sbin/policy-rc.d"
install -m 755 "$xinetd" "$folder/usr/sbin/xinetd"

chroot "$folder" useradd --create-home --shell /bin/sh alice
echo alice:wonderland | chroot "$folder" chpasswd
chroot "$folder" passwd --delete root
echo guest >"$folder/etc/hostname"
ln -sf /sbin/init "$folder/init"
# One telnet server at a time, and the tests say which.
chroot "$folder" systemctl disable inetd.service
echo 'telnet stream tcp nowait root /usr/sbin/telnetd telnetd' >"$folder/etc/inetd.conf"
cat >"$folder/etc/xinetd.conf" <<END
service telnet
{
    socket_type = stream
    protocol = tcp
    wait = no
    user = root
    server = /usr/sbin/telnetd
    cps = 0 0
}
END

# What no program of the guest reads.
chroot "$folder" apt-get clean
rm -rf "$folder"/var/lib/apt/lists/* "$folder"/usr/share/doc "$folder"/usr/share/man \
    "$folder"/usr/share/locale "$folder"/usr/share/i18n

# One after the other: a pipe has only the last one's status.
(cd "$folder" && find . -xdev -print0) >"$image.names"
(cd "$folder" && cpio --quiet --null --create --format=newc) <"$image.names" >"$image.cpio"
gzip -1 <"$image.cpio" >"$image.new"
rm -rf "$folder" "$image.names" "$image.cpio"
mv "$image.new" "$image"
