//! Room for events that are kept for a while.

/// A bound in bytes, shared by all rules of an engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    limit: usize,
    used: usize,
}

impl Room {
    /// Room for `limit` bytes.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, used: 0 }
    }

    /// Takes `bytes` of it; `false`, and nothing taken, when there are not as many left.
    pub(crate) const fn take(&mut self, bytes: usize) -> bool {
        let used = self.used.saturating_add(bytes);
        let fits = used <= self.limit;
        if fits {
            self.used = used;
        }
        fits
    }

    /// Gives back what was taken.
    pub(crate) const fn give(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::Room;

    #[test]
    fn what_is_taken_is_missing_until_it_is_given_back() {
        let mut room = Room::new(10);
        assert!(room.take(7) && !room.take(4) && room.take(3));
        room.give(7);
        assert!(room.take(7) && !room.take(1) && !room.take(usize::MAX));
    }
}
