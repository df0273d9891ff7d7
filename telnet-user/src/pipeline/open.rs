//! What the kernel lists as open, compared with what is known from records.

use std::collections::VecDeque;

use super::{Enrich, Now, Output, Pipeline};
use crate::{probe::filter::Filter, session::Observation};

/// So much of what was found is told at once.
const TOLD_AT_ONCE: usize = 256;

impl<E: Enrich> Pipeline<E> {
    /// Takes in what is open and passes the filter: once the probe is attached, and after records
    /// were lost. What is not known from records is reported by [`Self::take_found`], after those
    /// that came meanwhile.
    pub fn find_open(&mut self, filter: &Filter, now: &Now, out: &mut Vec<Output>) {
        let mut comparison = self.tracker.compare(filter);
        let listing = self
            .enrich
            .found(&|port| filter.contains(port), &mut |seen| {
                comparison.is_new(seen)
            });
        let known = comparison.known();
        let kept = std::mem::take(&mut self.memories.kept);
        let time = now.boot;
        let missing =
            self.tracker
                .found(listing, known, filter, kept, time, &mut self.observations);
        let gone = self.enrich.gone(&missing);
        let ended = missing.iter().zip(gone).filter(|(_, is_gone)| *is_gone);
        self.tracker.ended(ended.map(|(session, _)| session));
        self.flush(now, out);
    }

    /// What was found and is not known from records, to be told by [`Self::tell_found`].
    pub fn take_found(&mut self, now: &Now) -> VecDeque<Observation> {
        self.tracker.report_found(now.boot, &mut self.observations);
        self.observations.drain(..).collect()
    }

    /// Tells the first of what was found, to be called until nothing is left, and once if nothing was
    /// found. There may be a hundred thousand, and their documents all at once would take ten times the
    /// memory that is held for them.
    pub fn tell_found(
        &mut self,
        found: &mut VecDeque<Observation>,
        now: &Now,
        out: &mut Vec<Output>,
    ) {
        let count = found.len().min(TOLD_AT_ONCE);
        self.observations.extend(found.drain(..count));
        // Not before: the next run is not to take for told what is still to be told.
        if found.is_empty()
            && let Some(keeper) = &mut self.memories.keeper
        {
            keeper.clean_up();
        }
        self.flush(now, out);
    }
}
