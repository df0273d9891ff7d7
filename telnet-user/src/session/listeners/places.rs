//! Which of many listening sockets one is: by its cookie, or by where it is bound.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
};

use crate::{probe::record::SocketKey, session::Listener};

/// Keys of listening sockets, by what tells them apart.
#[derive(Debug, Default)]
pub(in crate::session) struct Places {
    by_cookie: HashMap<u64, u64>,
    by_place: BTreeSet<Place>,
}

/// Where a socket is bound, whether its cookie is known, its namespace and its key: an order in
/// which those that a question is about stand together.
type Place = (SocketAddr, bool, Option<u32>, u64);

impl Places {
    /// Adds a listener under a key.
    pub(in crate::session) fn add(&mut self, key: u64, listener: &Listener) {
        if let Some(cookie) = listener.key.cookie {
            self.by_cookie.insert(cookie, key);
        }
        self.by_place.insert(place(key, listener));
    }

    /// Forgets a listener that was added under this key.
    pub(super) fn forget(&mut self, key: u64, listener: &Listener) {
        if let Some(cookie) = listener.key.cookie
            && self.by_cookie.get(&cookie) == Some(&key)
        {
            self.by_cookie.remove(&cookie);
        }
        self.by_place.remove(&place(key, listener));
    }

    /// The key of a socket: by its cookie, or by where it is bound as far as one of the two cookies is
    /// not known.
    pub(in crate::session) fn find(
        &self,
        key: SocketKey,
        netns: Option<u32>,
        local: SocketAddr,
    ) -> Option<u64> {
        let Some(cookie) = key.cookie else {
            return self.at(netns, local).next();
        };
        let same = self.by_cookie.get(&cookie).copied();
        same.or_else(|| self.among(netns, local, false).next())
    }

    /// The keys of those bound to `local` that can be in this namespace.
    pub(super) fn at(&self, netns: Option<u32>, local: SocketAddr) -> impl Iterator<Item = u64> {
        let have_cookie = [false, true].into_iter();
        have_cookie.flat_map(move |has_cookie| self.among(netns, local, has_cookie))
    }

    fn among(
        &self,
        netns: Option<u32>,
        local: SocketAddr,
        has_cookie: bool,
    ) -> impl Iterator<Item = u64> {
        let known = netns.map_or((0, u32::MAX), |netns| (netns, netns));
        let namespaces = [(None, None), (Some(known.0), Some(known.1))];
        let places = namespaces.into_iter().flat_map(move |(first, last)| {
            let first = (local, has_cookie, first, 0);
            self.by_place
                .range(first..=(local, has_cookie, last, u64::MAX))
        });
        places.map(|(.., key)| *key)
    }
}

const fn place(key: u64, listener: &Listener) -> Place {
    let has_cookie = listener.key.cookie.is_some();
    (listener.local, has_cookie, listener.netns, key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::session::may_equal;

    /// By cookie, or by address where one of the two has none.
    fn is_same(one: &Listener, other: &Listener) -> bool {
        match (one.key.cookie, other.key.cookie) {
            (Some(one), Some(other)) => one == other,
            _ => may_equal(one.netns, other.netns) && one.local == other.local,
        }
    }

    fn listeners() -> impl Strategy<Value = Listener> {
        let cookie = proptest::option::of(0..8_u64);
        let netns = proptest::option::of(0..3_u32);
        (cookie, netns, 23..26_u16).prop_map(|(cookie, netns, port)| Listener {
            key: SocketKey { address: 0, cookie },
            netns,
            local: ([127, 0, 0, 1], port).into(),
            opened: None,
            preexisting: true,
            reported: false,
            owner: None,
        })
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_a_look_at_all_finds(
            known in proptest::collection::vec(listeners(), 0..12),
            gone in proptest::collection::vec(any::<bool>(), 12),
            asked in listeners(),
        ) {
            let mut places = Places::default();
            let mut there: Vec<(u64, Listener)> = Vec::new();
            for (key, listener) in (0..).zip(known) {
                let cookie = listener.key.cookie;
                if cookie.is_none() || there.iter().all(|(_, other)| other.key.cookie != cookie) {
                    places.add(key, &listener);
                    there.push((key, listener));
                }
            }
            let mut gone = gone.into_iter();
            there.retain(|(key, listener)| {
                let is_gone = gone.next().unwrap_or_default();
                if is_gone {
                    places.forget(*key, listener);
                }
                !is_gone
            });
            let same = there.iter().filter(|(_, listener)| is_same(listener, &asked));
            let same: Vec<u64> = same.map(|(key, _)| *key).collect();
            match places.find(asked.key, asked.netns, asked.local) {
                Some(found) => prop_assert!(same.contains(&found)),
                None => prop_assert!(same.is_empty()),
            }
            let near = there.iter().filter(|(_, listener)| {
                may_equal(listener.netns, asked.netns) && listener.local == asked.local
            });
            let mut near: Vec<u64> = near.map(|(key, _)| *key).collect();
            let mut at: Vec<u64> = places.at(asked.netns, asked.local).collect();
            near.sort_unstable();
            at.sort_unstable();
            prop_assert_eq!(at, near);
            for (key, listener) in there {
                places.forget(key, &listener);
            }
            prop_assert!(places.by_cookie.is_empty() && places.by_place.is_empty());
        }
    }
}
