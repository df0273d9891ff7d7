if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    # Upgraded: what ran runs on with the new version.
    if [ "$1" -ge 1 ]; then
        systemctl try-restart telnet-monitor.service || :
    fi
fi
# Removed: the folders are not in the package's list of files (cargo-generate-rpm has none in it).
# What an administrator put there stays.
if [ "$1" -eq 0 ]; then
    for folder in /usr/share/telnet-monitor/elasticsearch /usr/share/telnet-monitor/rules \
        /usr/share/telnet-monitor /usr/share/doc/telnet-monitor \
        /usr/share/licenses/telnet-monitor /etc/telnet-monitor; do
        rmdir "$folder" 2>/dev/null || :
    done
fi
