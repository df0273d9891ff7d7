use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, SocketAddr},
};

use proptest::prelude::*;

use super::*;
use crate::{probe::record::SocketKey, session::Direction};

const BUDGET: Budget = Budget {
    burst: 5,
    per_minute: 600,
    sources: 8,
};

fn at(millis: u64) -> BootTime {
    BootTime::from_nanos(millis * 1_000_000)
}

/// A session from the host with this number.
fn from(host: u8) -> Session {
    Session {
        netns: Some(1),
        ..Session::new(
            SocketKey {
                address: 1,
                cookie: None,
            },
            Direction::Ingress,
            SocketAddr::from((Ipv4Addr::LOCALHOST, 23)),
            SocketAddr::from((Ipv4Addr::new(192, 0, 2, host), 40_000)),
        )
    }
}

fn floods() -> Floods {
    Floods::new(Some(BUDGET))
}

fn take(floods: &mut Floods, host: u8, millis: u64) -> Answer {
    floods.take(&from(host), Outcome::Success, at(millis))
}

/// The summary of the flood that begins with the sixth of seven connections at once.
fn flooded(floods: &mut Floods, host: u8) -> Flood {
    for _ in 0..5 {
        assert_eq!(take(floods, host, 1_000), Answer::Told);
    }
    let Answer::Shed(Reason::Source, Some(began)) = take(floods, host, 1_000) else {
        panic!("the sixth is shed");
    };
    assert_eq!(
        take(floods, host, 1_050),
        Answer::Shed(Reason::Source, None)
    );
    *began
}

#[test]
fn a_flood_is_summed_up_when_it_begins_and_when_it_is_over() {
    let mut floods = floods();
    let began = flooded(&mut floods, 1);
    assert_eq!(began.phase, Phase::Began);
    assert_eq!((began.connections, began.shed, began.number), (6, 1, 0));
    assert_eq!((began.port, began.rate), (Some(23), 6_000));
    assert_eq!(floods.ongoing(), 1);
    assert_eq!(floods.deadline(), Some(at(1_500)));
    assert_eq!(floods.due(at(1_499)), []);
    let ended = floods.due(at(1_500));
    let [ended] = &ended[..] else {
        panic!("one summary: {ended:?}");
    };
    assert_eq!(ended.phase, Phase::Ended);
    assert_eq!((ended.connections, ended.shed, ended.number), (7, 2, 1));
    assert_eq!((ended.start, ended.last), (at(1_000), at(1_050)));
    assert_eq!((floods.ongoing(), floods.deadline()), (0, None));
    assert!(floods.sources.is_empty(), "a whole budget takes no place");
}

#[test]
fn a_flood_that_lasts_is_summed_up_once_a_minute() {
    let mut floods = floods();
    let mut summaries = Vec::new();
    let (mut shed, mut told) = (0, 0);
    // A hundred a second for two minutes and a half.
    for tick in 0..15_000 {
        match take(&mut floods, 1, tick * 10) {
            Answer::Told => told += 1,
            Answer::Shed(_, began) => {
                shed += 1;
                summaries.extend(began.map(|flood| *flood));
            }
        }
        summaries.extend(floods.due(at(tick * 10)));
    }
    summaries.extend(floods.due(at(200_000)));
    let phases: Vec<_> = summaries.iter().map(|flood| flood.phase).collect();
    let expected = [Phase::Began, Phase::Ongoing, Phase::Ongoing, Phase::Ended];
    assert_eq!(phases, expected);
    assert_eq!(summaries[3].shed, shed);
    assert_eq!(told, 5 + 1_499, "ten a second");
    assert!(summaries[1..].iter().all(|flood| flood.rate == 100));
    let ids: HashSet<_> = summaries.iter().map(|f| (f.start, f.number)).collect();
    assert_eq!(ids.len(), 4);
    assert!(summaries.iter().all(|f| f.start == summaries[0].start));
}

#[test]
fn each_outcome_and_direction_has_a_budget_of_its_own() {
    let mut floods = floods();
    flooded(&mut floods, 1);
    for (direction, outcome) in [
        (Direction::Ingress, Outcome::Failure),
        (Direction::Egress, Outcome::Success),
    ] {
        let session = Session {
            direction,
            ..from(1)
        };
        assert_eq!(
            floods.take(&session, outcome, at(1_000)),
            Answer::Told,
            "{direction:?} {outcome:?}"
        );
    }
    let elsewhere = Session {
        netns: Some(2),
        ..from(1)
    };
    let answer = floods.take(&elsewhere, Outcome::Success, at(1_000));
    assert_eq!(answer, Answer::Told);
}

#[test]
fn sources_without_a_place_share_a_budget_and_a_summary() {
    let mut floods = floods();
    for host in 0..8 {
        assert_eq!(take(&mut floods, host, 1_000), Answer::Told);
    }
    for host in 8..13 {
        assert_eq!(take(&mut floods, host, 1_000), Answer::Told);
    }
    let Answer::Shed(Reason::Shared, Some(began)) = take(&mut floods, 13, 1_000) else {
        panic!("the shared budget is used up");
    };
    assert_eq!(began.source.ip, None);
    assert_eq!(began.connections, 6);
    assert_eq!(
        take(&mut floods, 14, 1_000),
        Answer::Shed(Reason::Shared, None)
    );
    // Whoever has a place has a budget.
    assert_eq!(take(&mut floods, 0, 1_000), Answer::Told);
    // 100 ms later the others have their whole budget again, and give way.
    assert_eq!(take(&mut floods, 14, 1_100), Answer::Told);
    assert!(floods.sources.len() <= 8);
    let ended = floods.due(at(1_500));
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].phase, ended[0].shed), (Phase::Ended, 2));
}

#[test]
fn what_connections_do_not_have_in_common_is_left_out() {
    let mut floods = floods();
    let began = flooded(&mut floods, 1);
    assert_eq!(began.ip, Some(Ipv4Addr::LOCALHOST.into()));
    let other = Session {
        local: SocketAddr::from((Ipv4Addr::LOCALHOST, 2_323)),
        ..from(1)
    };
    floods.take(&other, Outcome::Success, at(1_050));
    floods.note_failed_login(&other, Reason::Source);
    let last = floods.finish();
    assert_eq!(last.len(), 1);
    assert_eq!(last[0].phase, Phase::Ongoing, "nobody knows how it ends");
    assert_eq!((last[0].port, last[0].failed_logins), (None, 1));
    assert_eq!(last[0].ip, Some(Ipv4Addr::LOCALHOST.into()));
}

#[test]
fn another_budget_counts_from_the_moment_it_is_there() {
    let mut floods = floods();
    flooded(&mut floods, 1);
    let narrow = Budget { burst: 1, ..BUDGET };
    assert_eq!(floods.set_budget(Some(narrow), at(1_060)), []);
    assert_eq!(floods.due(at(1_060)), []);
    // Of the smaller budget no more than all is missing.
    assert_eq!(floods.due(at(1_160)).len(), 1);
    flooded_again(&mut floods);
    let over = floods.set_budget(None, at(2_000));
    assert_eq!(over.len(), 1, "nothing is shed any longer");
    assert_eq!(over[0].phase, Phase::Ended);
    for _ in 0..100 {
        assert_eq!(take(&mut floods, 1, 2_000), Answer::Told);
    }
    assert!(floods.sources.is_empty() && floods.deadline().is_none());
}

fn flooded_again(floods: &mut Floods) {
    assert_eq!(take(floods, 1, 1_990), Answer::Told);
    assert!(matches!(take(floods, 1, 1_990), Answer::Shed(_, Some(_))));
}

/// Tokens as anybody would write it down: how much time is saved up, one connection costs 100 ms.
#[derive(Clone, Copy)]
struct Tokens {
    saved: u64,
    then: u64,
}

impl Tokens {
    fn take(&mut self, budget: &Budget, now: u64) -> bool {
        let cost = 60_000 / u64::from(budget.per_minute);
        let most = cost * u64::from(budget.burst);
        self.saved = most.min(self.saved + (now - self.then));
        self.then = now;
        let is_left = self.saved >= cost;
        if is_left {
            self.saved -= cost;
        }
        is_left
    }
}

proptest! {
    /// Each source is served as if it were alone, everything that is shed is in a summary, and
    /// memory is bounded, whoever comes when.
    #[test]
    fn every_connection_is_told_or_summed_up(
        steps in proptest::collection::vec((0u8..6, 0u64..400), 0..600),
    ) {
        let mut floods = floods();
        let mut alone: HashMap<u8, Tokens> = HashMap::new();
        let (mut now, mut shed) = (1_000, 0);
        let mut last: HashMap<(Source, BootTime), Flood> = HashMap::new();
        let mut began = 0;
        let mut note = |flood: Flood| {
            began += usize::from(flood.phase == Phase::Began);
            let key = (flood.source, flood.start);
            if let Some(before) = last.insert(key, flood.clone()) {
                assert_eq!(before.number + 1, flood.number);
                assert!(before.shed <= flood.shed && before.phase != Phase::Ended);
            }
        };
        for (host, pause) in steps {
            // Mostly at once.
            now += pause.saturating_sub(300);
            floods.due(at(now)).into_iter().for_each(&mut note);
            let full = Tokens { saved: 500, then: now };
            let expected = alone.entry(host).or_insert(full).take(&BUDGET, now);
            match take(&mut floods, host, now) {
                Answer::Told => prop_assert!(expected),
                Answer::Shed(reason, flood) => {
                    prop_assert!(!expected && reason == Reason::Source);
                    shed += 1;
                    flood.map(|flood| *flood).into_iter().for_each(&mut note);
                }
            }
            prop_assert!(floods.sources.len() <= BUDGET.sources);
            prop_assert!(floods.shared.is_empty());
        }
        floods.due(at(now + 1_000)).into_iter().for_each(&mut note);
        prop_assert_eq!(last.values().map(|flood| flood.shed).sum::<u64>(), shed);
        prop_assert!(last.values().all(|flood| flood.phase == Phase::Ended));
        prop_assert_eq!(began, last.len());
        prop_assert_eq!(floods.ongoing(), 0);
    }

    /// However many sources there are, in whatever order their records come.
    #[test]
    fn the_table_never_grows_beyond_its_size(
        steps in proptest::collection::vec((any::<u8>(), 0u64..10_000), 0..600),
    ) {
        let mut floods = floods();
        let (mut told, mut shed, mut counted) = (0, 0, 0);
        for (host, millis) in &steps {
            match take(&mut floods, *host, *millis) {
                Answer::Told => told += 1,
                Answer::Shed(..) => shed += 1,
            }
            prop_assert!(floods.sources.len() <= BUDGET.sources);
            prop_assert!(floods.shared.len() <= 1);
        }
        for flood in floods.due(at(1_000_000)) {
            counted += flood.shed;
        }
        prop_assert_eq!(told + shed, steps.len());
        prop_assert_eq!(counted, u64::try_from(shed).expect("few"));
    }
}
