#!/bin/busybox sh
# First process of a guest. The kernel's log is on ttyS0; everything the host reads is on ttyS1.
# /vm/case says what to do: MODE, and what that mode needs.

bb=/bin/busybox
$bb mkdir -p /proc /sys /dev /tmp /run /root /etc /var/run
$bb mount -t proc proc /proc
$bb --install -s /bin
export PATH=/bin:/vm HOME=/root LC_ALL=C
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t sysfs sys /sys
mount -t tracefs tracefs /sys/kernel/tracing
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
for module in /vm/modules/*.ko; do
    [ -e "$module" ] && insmod "$module"
done
hostname guest
ip link set lo up
# An oops ends the guest, so that it cannot pass for a pass.
echo 1 >/proc/sys/kernel/panic_on_oops
ulimit -c 0

. /vm/case

export TELNET_MONITOR_BIN=/vm/telnet-monitor
export TELNET_TEST_PEER=/vm/telnet-test-peer
export TELNET_TEST_ROOT=/vm/root

# Runs of the live tests, one for each way to learn who accepted, and of the refusals.
suites() {
    for suite in $SUITES; do
        echo "@begin $suite"
        case $suite in
            refusals) refusals ;;
            auto) live $FILTER ;;
            *) live $FORCED_FILTER ;;
        esac
        echo "@end $?"
    done
}

live() {
    TELNET_MONITOR_ACCEPTOR=$suite /vm/live --test-threads=1 "$@"
}

# Situations that need a machine of their own. Reports as the test program does.
refusals() {
    passed=0 failed=0
    mount -t tmpfs nothing /sys/kernel/btf
    refused types_that_are_hidden "does not expose its types" $TELNET_MONITOR_BIN
    umount /sys/kernel/btf
    refused kernel_that_is_too_old "is too old" /vm/setarch x86_64 --uname-2.6 $TELNET_MONITOR_BIN
    echo "test result: done. $passed passed; $failed failed"
    [ $failed = 0 ]
}

# refused NAME SENTENCE AGENT...: the agent must end with code 3 and that sentence.
refused() {
    name=$1 sentence=$2
    shift 2
    output=$(timeout 60 "$@" run --duration 1s 2>&1)
    code=$?
    case $code,$output in
        3,*"$sentence"*)
            echo "test refusals::$name ... ok"
            passed=$((passed + 1))
            ;;
        *)
            echo "test refusals::$name ... FAILED"
            echo "exit code $code: $output"
            failed=$((failed + 1))
            ;;
    esac
}

# A telnetd and the agent, to play with.
demo() {
    ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up && ip route add default via 10.0.2.2
    cat >/tmp/xinetd.conf <<END
service telnet
{
    type = UNLISTED
    socket_type = stream
    protocol = tcp
    wait = no
    user = root
    port = 23
    server = /vm/root/usr/sbin/telnetd
    server_args = -E /bin/sh
}
END
    echo "telnet stream tcp nowait root /vm/root/usr/sbin/telnetd telnetd -E /bin/sh" >/tmp/inetd.conf
    export LD_LIBRARY_PATH=/vm/root/usr/lib/x86_64-linux-gnu:/vm/root/lib/x86_64-linux-gnu
    case $TELNETD in
        busybox) telnetd -l /bin/sh ;;
        inetd) /vm/root/usr/sbin/inetd /tmp/inetd.conf ;;
        xinetd) /vm/root/usr/sbin/xinetd -f /tmp/xinetd.conf ;;
    esac
    unset LD_LIBRARY_PATH
    echo
    echo "Kernel $(uname -r) with $TELNETD as telnet server. Alerts appear below."
    echo "From here:              telnet 127.0.0.1"
    echo "From another terminal:  telnet 127.0.0.1 $PORT"
    echo "To end: exit"
    echo
    /vm/telnet-monitor run &
    setsid cttyhack sh
}

case $MODE in
    suites) suites >/dev/ttyS1 2>&1 ;;
    demo) demo ;;
esac
echo "@done" >/dev/ttyS1
# Let the serial line drain before the machine goes away.
sleep 1
reboot -f
