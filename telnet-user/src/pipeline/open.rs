//! What the kernel lists as open, compared with what is known from records.

use super::{Enrich, Now, Output, Pipeline};
use crate::probe::filter::Filter;

impl<E: Enrich> Pipeline<E> {
    /// Takes in what is open and passes the filter: once the probe is attached, and after records
    /// were lost. What is not known from records is reported by [`Self::report_found`], after those
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
        self.tracker.ended(ended.map(|(session, _)| session.key));
        self.flush(now, out);
    }

    /// Reports what was found and is not known from records.
    pub fn report_found(&mut self, now: &Now, out: &mut Vec<Output>) {
        self.tracker.report_found(now.boot, &mut self.observations);
        if let Some(keeper) = &mut self.memories.keeper {
            keeper.clean_up();
        }
        self.flush(now, out);
    }
}
