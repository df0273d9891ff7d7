systemd-sysusers telnet-monitor.conf >/dev/null 2>&1 ||
    useradd --system --no-create-home --home-dir / --shell /sbin/nologin telnet-monitor ||
    getent passwd telnet-monitor >/dev/null
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
fi
