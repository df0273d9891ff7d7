if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    # Upgraded: what ran runs on with the new version.
    if [ "$1" -ge 1 ]; then
        systemctl try-restart telnet-monitor.service || :
    fi
fi
