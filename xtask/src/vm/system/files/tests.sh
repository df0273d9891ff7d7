#!/bin/sh
# The tests of a whole system; everything the host reads is on ttyS1.
exec >/dev/ttyS1 2>&1
. /vm/case
export TELNET_SYSTEM_GUEST=1 LC_ALL=C
[ -z "$EMULATED" ] || export TELNET_TEST_EMULATED="$EMULATED"
export TELNET_TEST_LACKS="$LACKS"
echo "@begin $SUITES"
/vm/lib/ld-linux-*.so.* --library-path /vm/lib /vm/system --test-threads=1 $FILTER
echo "@end $?"
echo "@done"
# Let the serial line drain before the machine goes away.
sleep 1
systemctl reboot --force --force
