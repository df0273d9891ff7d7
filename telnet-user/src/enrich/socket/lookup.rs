//! Many connections, looked up at once: each is asked for by its ends, and those that do not answer
//! are looked for in one list, since an answer can need an interface's number that nobody told.

use std::{collections::HashMap, net::SocketAddr};

use super::{
    SocketFinder,
    diag::Diag,
    error::Error,
    namespace::{MAX_KNOWN, Way},
    open::Connection,
    table,
    wire::{Entry, canonical},
};
use crate::probe::record::TcpState;

/// What there is of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// It is there.
    There(Entry),
    /// It has certainly ended: it could be asked for, and is not in a list of all.
    Gone,
    /// It was not found, and could be there.
    Unknown,
}

impl SocketFinder {
    /// For each connection whether it has certainly ended.
    pub(in crate::enrich) fn gone(&mut self, connections: &[Connection]) -> Vec<bool> {
        let lookups = self.look_up(connections);
        lookups.iter().map(|(_, it)| *it == Lookup::Gone).collect()
    }

    /// What there is of each connection, and in which namespace: by `sock_diag` if that works, else by
    /// the tables in `/proc`.
    pub(super) fn look_up(&mut self, connections: &[Connection]) -> Vec<(Option<u32>, Lookup)> {
        let mut lookups = vec![(None, Lookup::Unknown); connections.len()];
        let mut namespaces: HashMap<Option<u32>, (Vec<&Connection>, Vec<&mut _>)> = HashMap::new();
        for (connection, lookup) in connections.iter().zip(&mut lookups) {
            let (wanted, lookups) = namespaces.entry(connection.netns).or_default();
            wanted.push(connection);
            lookups.push(lookup);
        }
        for (netns, (wanted, lookups)) in namespaces {
            let found = if netns.is_some() {
                let found = self.look_up_in(netns, &wanted).unwrap_or_default();
                found.into_iter().map(|lookup| (netns, lookup)).collect()
            } else {
                self.look_up_everywhere(&wanted)
            };
            for (lookup, found) in lookups.into_iter().zip(found) {
                *lookup = found;
            }
        }
        lookups
    }

    /// In every namespace, since a kernel that tells none has sessions of all of them.
    fn look_up_everywhere(&mut self, wanted: &[&Connection]) -> Vec<(Option<u32>, Lookup)> {
        let all = self.namespaces.all(&self.proc_root);
        let all = self.told(all).unwrap_or_default();
        let is_complete = (1..MAX_KNOWN).contains(&all.len());
        let mut everywhere = Everywhere::new(wanted.len(), is_complete);
        if all.is_empty() {
            everywhere.add(None, self.look_up_by(None, &self.own_way(), wanted));
        }
        for (netns, way) in all {
            let netns = Some(netns);
            everywhere.add(netns, self.look_up_by(netns, &way, wanted));
        }
        everywhere.lookups()
    }

    fn look_up_in(&mut self, netns: Option<u32>, wanted: &[&Connection]) -> Option<Vec<Lookup>> {
        let way = self.way_to(netns)?;
        self.look_up_by(netns, &way, wanted)
    }

    fn look_up_by(
        &mut self,
        netns: Option<u32>,
        way: &Way,
        wanted: &[&Connection],
    ) -> Option<Vec<Lookup>> {
        let asked = self.with_diag(netns, way, |diag| ask(diag, wanted));
        if let Some(found) = self.told(asked) {
            return Some(found);
        }
        let mut missing = Missing::default();
        for connection in wanted {
            missing.add(connection);
        }
        let read = table::list(way.process()?, |entry| missing.see(&entry));
        self.told(read.map_err(Error::Proc))?;
        Some(missing.lookups())
    }
}

/// Connections that are looked for in one namespace after another.
#[derive(Debug)]
struct Everywhere {
    wanted: Vec<Places>,
    /// Each namespace that there is has answered.
    is_complete: bool,
}

/// Where a connection is, as far as that is known.
#[derive(Clone, Debug, Default)]
struct Places {
    found: Option<(Option<u32>, Entry)>,
    /// More than one is it: without a cookie it is known by its ends alone.
    several: bool,
    /// It could be where it was not found.
    uncertain: bool,
}

impl Everywhere {
    fn new(wanted: usize, is_complete: bool) -> Self {
        Self {
            wanted: vec![Places::default(); wanted],
            is_complete,
        }
    }

    /// Takes in what a namespace has of each; nothing when it did not answer.
    fn add(&mut self, netns: Option<u32>, answer: Option<Vec<Lookup>>) {
        let Some(lookups) = answer else {
            self.is_complete = false;
            return;
        };
        for (places, lookup) in self.wanted.iter_mut().zip(lookups) {
            match lookup {
                Lookup::There(entry) => {
                    places.several |= places.found.replace((netns, entry)).is_some();
                }
                Lookup::Unknown => places.uncertain = true,
                Lookup::Gone => {}
            }
        }
    }

    fn lookups(self) -> Vec<(Option<u32>, Lookup)> {
        let lookup = |places: Places| match places.found {
            Some((netns, entry)) if !places.several => (netns, Lookup::There(entry)),
            None if self.is_complete && !places.uncertain => (None, Lookup::Gone),
            Some(_) | None => (None, Lookup::Unknown),
        };
        self.wanted.into_iter().map(lookup).collect()
    }
}

/// What there is of each of `wanted` in the namespace of `diag`.
pub(super) fn ask(diag: &mut Diag, wanted: &[&Connection]) -> Result<Vec<Lookup>, Error> {
    let mut lookups = Vec::with_capacity(wanted.len());
    let mut missing = Missing::default();
    for connection in wanted {
        let found = by_ends(diag, connection)?;
        if found.is_none() {
            missing.add(connection);
        }
        lookups.push(found.map(Lookup::There));
    }
    if let Some((local, remote)) = missing.ports() {
        // Sockets that are bound to an interface, such as those with link-local ends and those in a
        // VRF, answer only to its number, which nobody told.
        diag.list_between(local, remote, |entry| missing.see(&entry))?;
    }
    let mut missing = missing.lookups().into_iter();
    let fill = |found: Option<Lookup>| found.or_else(|| missing.next());
    Ok(lookups
        .into_iter()
        .map(fill)
        .map(|lookup| lookup.unwrap_or(Lookup::Unknown))
        .collect())
}

fn by_ends(diag: &mut Diag, connection: &Connection) -> Result<Option<Entry>, Error> {
    if !connection.has_port() {
        return Ok(None);
    }
    let Connection { local, remote, .. } = *connection;
    let found = diag.find(local, remote, connection.cookie)?;
    Ok(found.filter(|entry| connection.is(entry)))
}

/// Connections of one namespace that are looked for in a list of its sockets.
#[derive(Debug, Default)]
struct Missing<'a> {
    wanted: Vec<(&'a Connection, Option<Entry>)>,
    /// Which of them have this cookie,
    by_cookie: HashMap<u64, Vec<usize>>,
    /// and which these ends.
    by_ends: HashMap<(SocketAddr, SocketAddr), Vec<usize>>,
    /// A socket is listed without its cookie.
    without_cookie: bool,
}

impl<'a> Missing<'a> {
    fn add(&mut self, connection: &'a Connection) {
        let index = self.wanted.len();
        if let Some(cookie) = connection.cookie {
            self.by_cookie.entry(cookie).or_default().push(index);
        }
        let ends = (canonical(connection.local), canonical(connection.remote));
        self.by_ends.entry(ends).or_default().push(index);
        self.wanted.push((connection, None));
    }

    /// The local and the remote port that all have, 0 where they differ; none when nothing is
    /// missing.
    fn ports(&self) -> Option<(u16, u16)> {
        let ports = |&(it, _): &(&Connection, _)| (it.local.port(), it.remote.port());
        let common = |one, other| if one == other { one } else { 0 };
        self.wanted
            .iter()
            .map(ports)
            .reduce(|one, other| (common(one.0, other.0), common(one.1, other.1)))
    }

    /// Takes in one socket of the list.
    fn see(&mut self, entry: &Entry) {
        self.without_cookie |= entry.cookie.is_none() && entry.state != TcpState::Listen;
        let same_cookie = entry.cookie.and_then(|it| self.by_cookie.get(&it));
        let same_ends = self.by_ends.get(&(entry.local, entry.remote));
        for index in [same_cookie, same_ends].into_iter().flatten().flatten() {
            if let Some((connection, found)) = self.wanted.get_mut(*index)
                && connection.is(entry)
            {
                *found = Some(entry.clone());
            }
        }
    }

    /// At the end of the list.
    fn lookups(self) -> Vec<Lookup> {
        let without_cookie = self.without_cookie;
        let lookup = |(connection, found): (&Connection, Option<Entry>)| match found {
            Some(entry) => Lookup::There(entry),
            None if connection.has_port() => Lookup::Gone,
            // Only its cookie can tell it.
            None if connection.cookie.is_some() && !without_cookie => Lookup::Gone,
            None => Lookup::Unknown,
        };
        self.wanted.into_iter().map(lookup).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "192.0.2.1:40000";
    const WITHOUT_PORT: &str = "192.0.2.1:0";

    fn connection(local: &str, cookie: Option<u64>) -> Connection {
        Connection {
            netns: None,
            local: local.parse().expect("an address"),
            remote: "192.0.2.2:23".parse().expect("an address"),
            cookie,
        }
    }

    fn entry(local: &str, cookie: Option<u64>) -> Entry {
        let Connection { local, remote, .. } = connection(local, cookie);
        Entry {
            local,
            remote,
            state: TcpState::SynSent,
            cookie,
            inode: 1,
            interface: 0,
            counters: None,
        }
    }

    fn looked_up(listed: &[Entry], wanted: &[Connection]) -> Vec<Lookup> {
        let mut missing = Missing::default();
        for connection in wanted {
            missing.add(connection);
        }
        for entry in listed {
            missing.see(entry);
        }
        missing.lookups()
    }

    #[test]
    fn only_what_can_be_known_is_there_or_gone() {
        enum Is {
            There,
            Gone,
            Unknown,
        }
        for (listed, asked, is) in [
            (&[(HERE, Some(1))][..], (HERE, Some(1)), Is::There),
            (&[(HERE, Some(2))], (HERE, Some(1)), Is::Gone),
            (&[(HERE, None)], (HERE, Some(1)), Is::There),
            (&[(HERE, Some(1))], (HERE, None), Is::There),
            (&[], (HERE, None), Is::Gone),
            // connect(2) had not chosen a port when it was told.
            (&[(HERE, Some(1))], (WITHOUT_PORT, Some(1)), Is::There),
            (&[(HERE, Some(2))], (WITHOUT_PORT, Some(1)), Is::Gone),
            (&[(HERE, None)], (WITHOUT_PORT, Some(1)), Is::Unknown),
            (&[(HERE, Some(2))], (WITHOUT_PORT, None), Is::Unknown),
            (&[], (WITHOUT_PORT, None), Is::Unknown),
        ] {
            let entries: Vec<_> = listed.iter().map(|it| entry(it.0, it.1)).collect();
            let expected = match is {
                Is::There => Lookup::There(entries[0].clone()),
                Is::Gone => Lookup::Gone,
                Is::Unknown => Lookup::Unknown,
            };
            let found = looked_up(&entries, &[connection(asked.0, asked.1)]);
            assert_eq!(found, [expected], "{listed:?} {asked:?}");
        }
    }

    #[test]
    fn what_is_in_a_namespace_that_is_not_known_is_gone_when_none_has_it() {
        use Lookup::{Gone, There, Unknown};
        let there = || There(entry(HERE, None));
        for (is_complete, answers, expected) in [
            (true, vec![Some(Gone), Some(Gone)], (None, Gone)),
            (true, vec![Some(Gone), Some(there())], (Some(1), there())),
            (true, vec![Some(there()), Some(Gone)], (Some(0), there())),
            // One did not answer, or not all are known.
            (true, vec![None, Some(Gone)], (None, Unknown)),
            (true, vec![None, Some(there())], (Some(1), there())),
            (false, vec![Some(Gone), Some(Gone)], (None, Unknown)),
            (true, vec![Some(Unknown), Some(Gone)], (None, Unknown)),
            // Which of them is meant cannot be told.
            (true, vec![Some(there()); 2], (None, Unknown)),
            (true, vec![Some(there()); 3], (None, Unknown)),
            (
                true,
                vec![Some(there()), Some(there()), Some(Gone)],
                (None, Unknown),
            ),
        ] {
            let mut everywhere = Everywhere::new(1, is_complete);
            for (netns, answer) in (0..).zip(answers) {
                everywhere.add(Some(netns), answer.map(|lookup| vec![lookup]));
            }
            assert_eq!(everywhere.lookups(), [expected]);
        }
    }

    #[test]
    fn each_of_many_gets_its_own_and_a_listener_is_none_of_them() {
        let other = "192.0.2.1:40001";
        let listener = Entry {
            state: TcpState::Listen,
            ..entry(other, Some(3))
        };
        let listed = [listener, entry(HERE, Some(2)), entry(HERE, Some(1))];
        let wanted = [
            connection(other, Some(3)),
            connection(HERE, Some(1)),
            connection(HERE, Some(2)),
            connection(HERE, Some(1)),
        ];
        let there = |index: usize| Lookup::There(listed[index].clone());
        assert_eq!(
            looked_up(&listed, &wanted),
            [Lookup::Gone, there(2), there(1), there(2)]
        );
    }

    #[test]
    fn the_kernel_lists_the_ports_that_all_have() {
        for (wanted, expected) in [
            (&[][..], None),
            (&[HERE], Some((40000, 23))),
            (&[HERE, HERE], Some((40000, 23))),
            (&[HERE, "192.0.2.1:40001"], Some((0, 23))),
            (&[WITHOUT_PORT, HERE], Some((0, 23))),
        ] {
            let connections: Vec<_> = wanted.iter().map(|it| connection(it, None)).collect();
            let mut missing = Missing::default();
            for connection in &connections {
                missing.add(connection);
            }
            assert_eq!(missing.ports(), expected, "{wanted:?}");
        }
    }
}
