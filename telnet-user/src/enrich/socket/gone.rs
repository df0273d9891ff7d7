//! Which of many connections have ended: each is asked for, and those that do not answer are looked
//! up in one list of all, since an answer can need an interface's number that nobody told.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
};

use super::{
    SocketFinder,
    open::Connection,
    wire::{Entry, canonical},
};
use crate::probe::record::TcpState;

impl SocketFinder {
    /// For each connection whether it has certainly ended: it could be asked for, and it is neither
    /// there nor in a list of all.
    pub(in crate::enrich) fn gone(&mut self, connections: &[Connection]) -> Vec<bool> {
        let mut absent: HashMap<Option<u32>, Vec<usize>> = HashMap::new();
        for (index, connection) in connections.iter().enumerate() {
            if !self.is_there(connection) {
                absent.entry(connection.netns).or_default().push(index);
            }
        }
        let mut gone = vec![false; connections.len()];
        for (netns, indexes) in absent {
            let Some(alive) = self.alive(netns) else {
                continue;
            };
            for index in indexes {
                if let (Some(gone), Some(connection)) =
                    (gone.get_mut(index), connections.get(index))
                {
                    *gone = alive.lacks(connection);
                }
            }
        }
        gone
    }

    /// Whether `sock_diag` finds it by its ends.
    fn is_there(&mut self, connection: &Connection) -> bool {
        let Connection {
            netns,
            local,
            remote,
            cookie,
        } = *connection;
        let Some(way) = self.way_to(netns).filter(|_| connection.has_port()) else {
            return false;
        };
        let asked = self.with_diag(netns, &way, |diag| diag.find(local, remote, cookie));
        let found = self.told(asked).flatten();
        found.is_some_and(|entry| connection.is(&entry))
    }

    fn alive(&mut self, netns: Option<u32>) -> Option<Alive> {
        let way = self.way_to(netns)?;
        let mut alive = Alive::default();
        let mut note = |entry: &Entry| {
            alive.note(entry);
            None
        };
        self.list_in(netns, &way, &mut note, |diag, each| diag.list(each))?;
        Some(alive)
    }
}

/// The connections of a namespace, to look many others up in.
#[derive(Debug, Default)]
struct Alive {
    cookies: HashSet<u64>,
    ends: HashSet<(SocketAddr, SocketAddr)>,
    /// Ends of those that are listed without a cookie.
    bare: HashSet<(SocketAddr, SocketAddr)>,
}

impl Alive {
    fn note(&mut self, entry: &Entry) {
        if entry.state == TcpState::Listen {
            return;
        }
        let ends = (entry.local, entry.remote);
        self.ends.insert(ends);
        match entry.cookie {
            Some(cookie) => {
                self.cookies.insert(cookie);
            }
            None => {
                self.bare.insert(ends);
            }
        }
    }

    /// Whether a connection is certainly none of them.
    fn lacks(&self, connection: &Connection) -> bool {
        let ends = (canonical(connection.local), canonical(connection.remote));
        match connection.cookie {
            Some(cookie) if connection.has_port() => {
                !self.cookies.contains(&cookie) && !self.bare.contains(&ends)
            }
            Some(cookie) => self.bare.is_empty() && !self.cookies.contains(&cookie),
            None => connection.has_port() && !self.ends.contains(&ends),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(local: &str, cookie: Option<u64>) -> Connection {
        Connection {
            netns: None,
            local: local.parse().expect("an address"),
            remote: "192.0.2.2:23".parse().expect("an address"),
            cookie,
        }
    }

    fn alive(entries: &[(&str, Option<u64>)]) -> Alive {
        let mut alive = Alive::default();
        for &(local, cookie) in entries {
            let Connection { local, remote, .. } = connection(local, cookie);
            alive.note(&Entry {
                local,
                remote,
                state: TcpState::SynSent,
                cookie,
                inode: 1,
                interface: 0,
                counters: None,
            });
        }
        alive
    }

    #[test]
    fn only_what_can_be_known_is_gone() {
        let here = "192.0.2.1:40000";
        let without_port = "192.0.2.1:0";
        for (listed, asked, is_gone) in [
            (&[(here, Some(1))][..], (here, Some(1)), false),
            (&[(here, Some(2))], (here, Some(1)), true),
            (&[(here, None)], (here, Some(1)), false),
            (&[(here, Some(1))], (here, None), false),
            (&[], (here, None), true),
            // connect(2) had not chosen a port when it was told.
            (&[(here, Some(1))], (without_port, Some(1)), false),
            (&[(here, Some(2))], (without_port, Some(1)), true),
            (&[(here, None)], (without_port, Some(1)), false),
            (&[], (without_port, None), false),
        ] {
            let connection = connection(asked.0, asked.1);
            assert_eq!(
                alive(listed).lacks(&connection),
                is_gone,
                "{listed:?} {asked:?}"
            );
        }
    }
}
