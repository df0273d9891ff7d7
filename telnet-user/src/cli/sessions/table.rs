//! Rows as aligned lines of text.

use std::{borrow::Cow, net::SocketAddr, time::Duration};

use crate::{enrich::facts::Container, probe::record::TcpState, session::Direction};

/// Longest name of a process or user in a row, in characters.
const MAX_NAME: usize = 32;

/// Longest command line in a row, in characters.
const MAX_COMMAND: usize = 64;

/// Longest name of a unit in a row, in characters.
const MAX_UNIT: usize = 64;

/// Digits of a container's id in a row, as many as the runtimes' own tools show.
const CONTAINER_DIGITS: usize = 12;

/// What is unknown, or does not apply.
const NOTHING: &str = "-";

const COLUMNS: usize = 14;

/// Titles, and whether the column holds numbers. Received and sent are bytes of payload.
const TITLES: [(&str, Align); COLUMNS] = [
    ("DIRECTION", Align::Left),
    ("LOCAL", Align::Left),
    ("REMOTE", Align::Left),
    ("STATE", Align::Left),
    ("PROCESS", Align::Left),
    ("USER", Align::Left),
    ("LOGIN", Align::Left),
    ("LOGIN USER", Align::Left),
    ("CONTAINER/UNIT", Align::Left),
    ("PROCESS AGE", Align::Right),
    ("RECEIVED", Align::Right),
    ("SENT", Align::Right),
    ("NETNS", Align::Left),
    ("LAST COMMAND", Align::Left),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

/// An open session or listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Which side this host is on; none for a listener.
    pub(super) direction: Option<Direction>,
    /// This host's end.
    pub(super) local: SocketAddr,
    /// The peer's end; means nothing for a listener.
    pub(super) remote: SocketAddr,
    /// State of the socket.
    pub(super) state: TcpState,
    /// Name and pid of the closest process known.
    pub(super) process: Option<(Option<String>, u32)>,
    /// Its user.
    pub(super) user: Option<String>,
    /// How far its login came, as documents say it.
    pub(super) login: Option<&'static str>,
    /// Who was let in.
    pub(super) login_user: Option<String>,
    /// The program that the user of the session started last, with its arguments.
    pub(super) last_command: Option<String>,
    /// The container it runs in.
    pub(super) container: Option<Container>,
    /// The systemd unit it belongs to.
    pub(super) unit: Option<String>,
    /// Time since it started.
    pub(super) process_age: Option<Duration>,
    /// Bytes of payload received.
    pub(super) received: Option<u64>,
    /// Bytes of payload sent and acknowledged.
    pub(super) sent: Option<u64>,
    /// Network namespace, unless it is the own one.
    pub(super) netns: Option<u32>,
}

/// The titles, then a line for each row.
pub(super) fn lines(rows: &[Row]) -> Vec<String> {
    let titles = TITLES.map(|(title, _)| Cow::Borrowed(title));
    let table: Vec<_> = std::iter::once(titles)
        .chain(rows.iter().map(Row::cells))
        .collect();
    let mut widths = [0; COLUMNS];
    for cells in &table {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = cell.chars().count().max(*width);
        }
    }
    table.iter().map(|cells| line(cells, widths)).collect()
}

fn line(cells: &[Cow<'static, str>; COLUMNS], widths: [usize; COLUMNS]) -> String {
    let mut line = String::new();
    for ((cell, width), (_, align)) in cells.iter().zip(widths).zip(TITLES) {
        if !line.is_empty() {
            line.push_str("  ");
        }
        let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
        let (first, second) = match align {
            Align::Left => (cell.as_ref(), padding.as_str()),
            Align::Right => (padding.as_str(), cell.as_ref()),
        };
        line.push_str(first);
        line.push_str(second);
    }
    line.truncate(line.trim_end().len());
    line
}

impl Row {
    fn cells(&self) -> [Cow<'static, str>; COLUMNS] {
        let remote = self.direction.map(|_| self.remote.to_string());
        let process = self.process.as_ref().map(|(name, pid)| {
            let name = name.as_deref().unwrap_or_default();
            format!("{}[{pid}]", printable(name, MAX_NAME))
        });
        let place = match (&self.container, &self.unit) {
            (Some(container), _) => Some(container_name(container)),
            (None, Some(unit)) => Some(printable(unit, MAX_UNIT)),
            (None, None) => None,
        };
        let name =
            |user: &Option<String>| cell(user.as_deref().map(|user| printable(user, MAX_NAME)));
        let command = self.last_command.as_deref();
        [
            match self.direction {
                None => "listen",
                Some(Direction::Ingress) => "in",
                Some(Direction::Egress) => "out",
            }
            .into(),
            self.local.to_string().into(),
            cell(remote),
            state(self.state).into(),
            cell(process),
            name(&self.user),
            self.login.unwrap_or(NOTHING).into(),
            name(&self.login_user),
            cell(place),
            cell(self.process_age.map(age)),
            cell(self.received.map(|bytes| bytes.to_string())),
            cell(self.sent.map(|bytes| bytes.to_string())),
            cell(self.netns.map(|netns| netns.to_string())),
            cell(command.map(|command| printable(command, MAX_COMMAND))),
        ]
    }
}

fn cell(text: Option<String>) -> Cow<'static, str> {
    text.filter(|text| !text.is_empty())
        .map_or(Cow::Borrowed(NOTHING), Cow::Owned)
}

/// `RUNTIME:ID`, the id cut as the runtimes do.
fn container_name(container: &Container) -> String {
    let is_hex = container.id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let limit = if is_hex { CONTAINER_DIGITS } else { MAX_UNIT };
    let id: String = container.id.chars().take(limit).collect();
    let id = printable(&id, MAX_UNIT);
    match container.runtime {
        Some(runtime) => format!("{runtime}:{id}"),
        None => id,
    }
}

/// Text that whoever runs programs on the host chose: letters, digits and ASCII as they are, all
/// else, such as control characters and what changes the direction of text, as `\u{..}`. At most
/// `limit` characters, the last one `…` if it is cut.
fn printable(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    let mut length = 0;
    for character in text.chars() {
        let is_plain =
            character.is_ascii_graphic() || character == ' ' || character.is_alphanumeric();
        let written = if is_plain {
            character.to_string()
        } else {
            character.escape_unicode().to_string()
        };
        length += written.chars().count();
        if length > limit {
            return cut(&shown, limit);
        }
        shown.push_str(&written);
    }
    shown
}

/// The head of a text that is too long, with a sign that it is.
fn cut(text: &str, limit: usize) -> String {
    let mut head: String = text.chars().take(limit.saturating_sub(1)).collect();
    head.push('…');
    head
}

/// The two largest units of time.
fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// Names as in tcp(7).
const fn state(state: TcpState) -> &'static str {
    match state {
        TcpState::Established => "ESTABLISHED",
        TcpState::SynSent => "SYN_SENT",
        TcpState::SynRecv => "SYN_RECV",
        TcpState::FinWait1 => "FIN_WAIT1",
        TcpState::FinWait2 => "FIN_WAIT2",
        TcpState::Close => "CLOSE",
        TcpState::CloseWait => "CLOSE_WAIT",
        TcpState::LastAck => "LAST_ACK",
        TcpState::Listen => "LISTEN",
        TcpState::Closing => "CLOSING",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener() -> Row {
        Row {
            direction: None,
            local: "[::]:23".parse().expect("an address"),
            remote: "[::]:0".parse().expect("an address"),
            state: TcpState::Listen,
            process: Some((Some("inetd".to_owned()), 812)),
            user: Some("root".to_owned()),
            login: None,
            login_user: None,
            last_command: None,
            container: None,
            unit: Some("inetd.service".to_owned()),
            process_age: Some(Duration::from_secs(93_784)),
            received: None,
            sent: None,
            netns: None,
        }
    }

    fn session() -> Row {
        Row {
            direction: Some(Direction::Ingress),
            local: "192.0.2.1:23".parse().expect("an address"),
            remote: "203.0.113.7:50000".parse().expect("an address"),
            state: TcpState::Established,
            process: Some((Some("telnetd".to_owned()), 31_337)),
            container: Some(Container {
                id: "0123456789abcdef".repeat(4),
                runtime: Some("docker"),
                pod_uid: None,
            }),
            login: Some("succeeded"),
            login_user: Some("alice".to_owned()),
            last_command: Some("ls -l /etc".to_owned()),
            process_age: Some(Duration::from_secs(7)),
            received: Some(42),
            sent: Some(1234),
            netns: Some(4_026_532_001),
            ..listener()
        }
    }

    #[test]
    fn columns_line_up() {
        let unknown = Row {
            direction: Some(Direction::Egress),
            process: None,
            user: None,
            login: None,
            login_user: None,
            last_command: None,
            container: None,
            unit: None,
            process_age: None,
            received: None,
            sent: None,
            netns: None,
            ..session()
        };
        assert_eq!(
            lines(&[listener(), session(), unknown]),
            [
                "DIRECTION  LOCAL         REMOTE             STATE        PROCESS         USER  \
                 LOGIN      LOGIN USER  CONTAINER/UNIT       PROCESS AGE  RECEIVED  SENT  \
                 NETNS       LAST COMMAND",
                "listen     [::]:23       -                  LISTEN       inetd[812]      root  \
                 -          -           inetd.service              1d02h         -     -  \
                 -           -",
                "in         192.0.2.1:23  203.0.113.7:50000  ESTABLISHED  telnetd[31337]  root  \
                 succeeded  alice       docker:0123456789ab           7s        42  1234  \
                 4026532001  ls -l /etc",
                "out        192.0.2.1:23  203.0.113.7:50000  ESTABLISHED  -               -     \
                 -          -           -                              -         -     -  \
                 -           -",
            ]
        );
    }

    #[test]
    fn names_cannot_reach_the_terminal() {
        for (name, expected) in [
            ("a\u{1b}[2J", r"a\u{1b}[2J[1]"),
            ("a\nb\u{9b}1m", r"a\u{a}b\u{9b}1m[1]"),
            ("\u{202e}x\u{200b}", r"\u{202e}x\u{200b}[1]"),
            ("été", "été[1]"),
            ("", "[1]"),
            (
                &"x".repeat(300),
                &format!("{}…[1]", "x".repeat(MAX_NAME - 1)),
            ),
            (&"\u{7}".repeat(15), r"\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}…[1]"),
        ] {
            let row = Row {
                process: Some((Some(name.to_owned()), 1)),
                user: Some(name.to_owned()),
                login_user: Some(name.to_owned()),
                last_command: Some(name.to_owned()),
                container: None,
                unit: Some(name.to_owned()),
                ..session()
            };
            assert_eq!(row.cells()[4], expected, "{name:?}");
            for line in lines(&[row]) {
                assert!(!line.chars().any(char::is_control), "{line:?}");
            }
        }
    }

    #[test]
    fn an_age_has_two_units() {
        for (seconds, expected) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m00s"),
            (3599, "59m59s"),
            (3600, "1h00m"),
            (86_399, "23h59m"),
            (86_400, "1d00h"),
            (900_000, "10d10h"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn a_container_named_by_a_word_keeps_it() {
        let named = Container {
            id: "build-machine-one".to_owned(),
            runtime: Some("lxc"),
            pod_uid: None,
        };
        assert_eq!(container_name(&named), "lxc:build-machine-one");
    }
}
