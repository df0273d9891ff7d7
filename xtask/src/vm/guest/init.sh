#!/bin/busybox sh
# First process of a guest. The kernel's log is on the first serial line; everything the host reads
# is on LINE, the second. /vm/case says that, what to do: MODE, and what that mode needs.

bb=/bin/busybox
$bb mkdir -p /proc /sys /dev /tmp /run /root /etc /var/log /var/run
$bb mount -t proc proc /proc
$bb --install -s /bin
export PATH=/bin:/vm HOME=/root LC_ALL=C
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t sysfs sys /sys
mount -t tracefs tracefs /sys/kernel/tracing
mount -t securityfs securityfs /sys/kernel/security
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
for module in /vm/modules/*.ko; do
    [ -e "$module" ] && insmod "$module"
done
# Libraries and PAM's modules that are unpacked and not installed: telnetd hands LD_LIBRARY_PATH on
# to nobody.
for from in /vm/root/lib/*-linux-gnu /vm/root/usr/lib/*-linux-gnu; do
    libraries=${from#/vm/root}
    mkdir -p $libraries
    for file in $from/*; do
        [ ! -e "$file" ] || [ -e "$libraries/${file##*/}" ] || ln -s "$file" $libraries/
    done
done
# Only where the packages bring the C library along.
for loader in /vm/root/lib/ld-linux*; do
    [ ! -e "$loader" ] || ln -s "$loader" /lib/
done
hostname guest
ip link set lo up
ulimit -c 0

. /vm/case

export TELNET_MONITOR_BIN=/vm/telnet-monitor
export TELNET_TEST_PEER=/vm/telnet-test-peer
export TELNET_TEST_ROOT=/vm/root
export TELNET_TEST_LACKS="$LACKS"
# Nobody else has this machine.
export TELNET_TEST_CLOCK=1
# The fewest passes that it takes, which are more minutes than this.
export TELNET_TEST_SOAK_MINUTES=1
export TELNET_TEST_SESSIONS="$SESSIONS"
[ -z "$EMULATED" ] || export TELNET_TEST_EMULATED="$EMULATED"

# What this kernel gives, runs of the live tests, one for each way to learn who accepted, and what
# the agent must refuse.
suites() {
    for suite in $SUITES; do
        echo "@begin $suite"
        case $suite in
            kernel) kernel ;;
            refusals) refusals ;;
            userspace) live $FILTER $SKIP_UNHOOKED ;;
            *) live $FILTER ;;
        esac
        echo "@end $?"
    done
}

live() {
    TELNET_MONITOR_ACCEPTOR=$suite /vm/live --test-threads=1 $SKIP "$@"
}

# What the agent must find on this kernel: HOOK, and nothing missing but LACKS.
kernel() {
    passed=0 failed=0
    log=$(timeout 60 $TELNET_MONITOR_BIN run --duration 1s 2>&1)
    shown "$log" "accept hook attached" "$HOOK"
    verdict "kernel::accept_hook_is_$HOOK" $? "$log"
    # Lines of the log that the expected lacks account for.
    explained=0
    for lack in $LACKS; do
        case " $FEATURES " in
            *" $lack "*) ! has_$lack ;;
            *)
                explained=$((explained + 1))
                shown "$log" "missing=" "no $(echo $lack | tr _ ' ')"
                ;;
        esac
        verdict "kernel::is_without_$lack" $? "$log"
    done
    [ "$(echo "$log" | grep -c missing=)" = $explained ] && has_all_features
    verdict kernel::lacks_nothing_else $? "$log"
    result
}

# What a kernel may lack without a word of the agent's at start.
FEATURES="landlock mptcp tracefs"

has_landlock() {
    grep -q landlock /sys/kernel/security/lsm
}

has_mptcp() {
    [ -e /proc/sys/net/mptcp ]
}

has_tracefs() {
    grep -q . /sys/kernel/tracing/events/sock/inet_sock_set_state/format
}

has_all_features() {
    for feature in $FEATURES; do
        case " $LACKS " in
            *" $feature "*) ;;
            *) has_$feature || return ;;
        esac
    done
}

# shown TEXT WORD...: whether one line of the text has all words.
shown() {
    lines=$1
    shift
    for word in "$@"; do
        lines=$(echo "$lines" | grep -F -- "$word") || return
    done
}

# Situations that need a machine of their own.
refusals() {
    passed=0 failed=0
    refused kernel_that_is_too_old "is too old" /vm/setarch x86_64 --uname-2.6 $TELNET_MONITOR_BIN
    result
}

# refused NAME SENTENCE AGENT...: the agent must end with code 3 and that sentence.
refused() {
    name=$1 sentence=$2
    shift 2
    output=$(timeout 60 "$@" run --duration 1s 2>&1)
    code=$?
    case $code,$output in
        3,*"$sentence"*) verdict "refusals::$name" 0 ;;
        *) verdict "refusals::$name" 1 "exit code $code: $output" ;;
    esac
}

# verdict NAME STATUS EVIDENCE and result report as the test program does.
verdict() {
    if [ "$2" = 0 ]; then
        echo "test $1 ... ok"
        passed=$((passed + 1))
    else
        echo "test $1 ... FAILED"
        echo "$3"
        failed=$((failed + 1))
    fi
}

result() {
    echo "test result: done. $passed passed; $failed failed"
    [ $failed = 0 ]
}

# A telnetd and the agent, to play with.
demo() {
    ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up && ip route add default via 10.0.2.2
    echo "alice:$(mkpasswd -m sha256 wonderland):1000:1000:Alice:/tmp:/bin/sh" >>/etc/passwd
    echo "alice:x:1000:" >>/etc/group
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
    server_args = -E /bin/login
}
END
    echo "telnet stream tcp nowait root /vm/root/usr/sbin/telnetd telnetd -E /bin/login" >/tmp/inetd.conf
    export LD_LIBRARY_PATH=$(echo /vm/root/usr/lib/*-linux-gnu):$(echo /vm/root/lib/*-linux-gnu)
    case $TELNETD in
        busybox) telnetd -l /bin/login ;;
        inetd) /vm/root/usr/sbin/inetd /tmp/inetd.conf ;;
        xinetd) /vm/root/usr/sbin/xinetd -f /tmp/xinetd.conf ;;
    esac
    unset LD_LIBRARY_PATH
    echo
    echo "Kernel $(uname -r) with $TELNETD as telnet server. Alerts appear below."
    echo "From here:              telnet 127.0.0.1"
    echo "From another terminal:  telnet 127.0.0.1 $PORT"
    echo "User alice, password wonderland. To end: exit"
    echo
    /vm/telnet-monitor run &
    setsid cttyhack sh
}

case $MODE in
    suites)
        # However long a test takes, the host can tell a busy guest from one that hangs.
        (while sleep 5; do echo "@alive"; done >$LINE) &
        suites >$LINE 2>&1
        ;;
    demo) demo ;;
esac
echo "@done" >$LINE
# Let the serial line drain before the machine goes away.
sleep 1
reboot -f
