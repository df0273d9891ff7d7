#!/bin/sh
# What a person sees who plays with the guest: alerts, and a shell.
. /vm/case
apt-get install --yes /vm/telnet-monitor.deb >/tmp/install.log 2>&1 || cat /tmp/install.log
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up && ip route add default via 10.0.2.2
echo
echo "Kernel $(uname -r), Debian with systemd and telnet.socket. Alerts appear below."
echo "From here:              telnet 127.0.0.1"
echo "From another terminal:  telnet 127.0.0.1 $PORT"
echo "User alice, password wonderland. To end: exit"
echo
telnet-monitor run &
/bin/sh
