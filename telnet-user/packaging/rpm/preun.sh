# Removed, not upgraded.
if [ "$1" -eq 0 ]; then
    if [ -d /run/systemd/system ]; then
        systemctl --no-reload disable --now telnet-monitor.service || :
    else
        systemctl --no-reload disable telnet-monitor.service || :
    fi
fi
