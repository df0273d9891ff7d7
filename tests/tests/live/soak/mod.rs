//! An agent in mixed traffic while everything around it breaks, again and again: each session alerts
//! once at each end, the ledgers add up, and the agent holds no more at the end than at the start.

mod subject;
mod traffic;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use telnet_tests::{kernel, lab, load, wait};

use self::subject::{About, Holdings, Subject};
use self::traffic::Traffic;

/// Sessions that are made while the agent does not read.
const BURST: usize = 60;
/// Sessions that are open while there is no agent.
const HELD: usize = 5;
/// Steps of plain traffic after each fault.
const STEPS: usize = 8;
/// Between two of them. The traffic is the pace, and nothing is waited for.
const PAUSE: Duration = Duration::from_secs(1);
/// The same where the processor is emulated, so that a step itself takes its time.
const EMULATED_PAUSE: Duration = Duration::from_millis(100);
/// Programs that are run before anything is compared: more processes than the agent remembers, so
/// that what these take is taken from then on.
const PROGRAMS: usize = 4_096;
/// Passes until the agent has what it takes. Its memory grows by steps, each with a burst that it has
/// to read at once ([`Fault::RingTooSmall`]) and that took more than any before: in an hour eleven of
/// 56 did, half of them among the first eight.
const WARM_UP: usize = 3;
/// How far the clock is set back and forth, in seconds: further than a rule looks back.
const CLOCK_STEP: i64 = 15 * 60;
/// For the alerts of a fault to arrive.
const SETTLED_BY: Duration = Duration::from_mins(3);
/// The part of the time in which the agent is restarted too, as a divisor. After that it is left
/// running, and what it holds is looked at.
const RESTARTS_FOR: u32 = 4;

/// What happens to the agent or around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The search server hangs up on everybody.
    SearchServerDown,
    Reload,
    BadReload,
    /// More happens than the ring buffer has room for.
    RingTooSmall,
    /// Wall time goes forth and back.
    ClockStep,
    Restart,
    Kill,
}

const FAULTS: [Fault; 7] = [
    Fault::SearchServerDown,
    Fault::Reload,
    Fault::RingTooSmall,
    Fault::Restart,
    Fault::BadReload,
    Fault::ClockStep,
    Fault::Kill,
];

impl Fault {
    /// Whether another process is the agent after it.
    fn ends_the_agent(self) -> bool {
        matches!(self, Self::Restart | Self::Kill)
    }

    /// A clock is set only on a machine of the test's own.
    fn is_allowed(self) -> bool {
        self != Self::ClockStep || load::may_set_clock()
    }

    fn strike(self, subject: &mut Subject<'_>, traffic: &mut Traffic<'_>) -> Result<()> {
        match self {
            Self::SearchServerDown => subject.without_search_server(|| {
                traffic.step()?;
                traffic.visit()
            })?,
            Self::Reload => {
                traffic.hold(HELD)?;
                subject.reload()?;
                traffic.step()?;
            }
            Self::BadReload => subject.reload_badly()?,
            Self::RingTooSmall => {
                subject.without_reader(|| traffic.hold(BURST))?;
                settle(subject, traffic)?;
                // Their ends alone can fill the ring buffer.
                traffic.release();
                wait_for_room(subject, traffic)?;
            }
            Self::ClockStep => {
                step_clock(CLOCK_STEP)?;
                let forth = traffic.step().and_then(|()| settle(subject, traffic));
                // Whatever came of it: the machine is used after this too.
                step_clock(-CLOCK_STEP)?;
                forth?;
                traffic.step()?;
            }
            Self::Restart => {
                subject.end()?;
                traffic.hold(HELD)?;
                subject.begin()?;
            }
            Self::Kill => {
                // What is over already and was not told cannot be found again.
                settle(subject, traffic)?;
                traffic.hold(HELD)?;
                traffic.expect_kill()?;
                subject.kill()?;
                traffic.hold(HELD)?;
                subject.begin()?;
            }
        }
        settle(subject, traffic)?;
        traffic.release();
        Ok(())
    }
}

/// Wall time and not any other.
fn step_clock(seconds: i64) -> Result<()> {
    let now = clock_gettime(ClockId::Realtime);
    let then = Timespec {
        tv_sec: now.tv_sec + seconds,
        ..now
    };
    Ok(clock_settime(ClockId::Realtime, then)?)
}

/// Waits until everything that was made has alerted.
fn settle(subject: &Subject<'_>, traffic: &Traffic<'_>) -> Result<()> {
    let settled = wait::until_after("all alerts", SETTLED_BY, || {
        Ok(differences(subject, traffic)?.is_empty().then_some(()))
    });
    if settled.is_err() {
        let found = differences(subject, traffic)?;
        return settled.with_context(|| format!("{found:?}"));
    }
    settled
}

/// Waits until the ring buffer has room: a session that stays open is told once everything before it
/// was read, and one that is over at once is never told while there is no room.
fn wait_for_room(subject: &Subject<'_>, traffic: &mut Traffic<'_>) -> Result<()> {
    traffic.hold(1)?;
    settle(subject, traffic)
}

/// Which ends of sessions did not alert as often as they were made, with both numbers. Not those
/// that the kernel ran no program for.
fn differences(
    subject: &Subject<'_>,
    traffic: &Traffic<'_>,
) -> Result<BTreeMap<About, [usize; 2]>> {
    let (made, found) = (traffic.expected(), subject.alerts());
    let times = |of: &BTreeMap<About, usize>, about| of.get(about).copied().unwrap_or_default();
    let mut all: BTreeMap<About, [usize; 2]> = made
        .keys()
        .chain(found.keys())
        .map(|about| (about.clone(), [times(&made, about), times(&found, about)]))
        .filter(|(_, [made, found])| made != found)
        .collect();
    if !all.is_empty() {
        let withheld = traffic.withheld()?;
        all.retain(|(_, port), _| !withheld.contains(port));
        // Without its cookie a session that is found again has another id: what was delivered, and
        // not noted before the kill, is alerted twice.
        if kernel::lacks("socket_cookies") {
            all.retain(|(_, port), [made, found]| {
                !traffic.was_open_at_a_kill(*port) || *found != *made + 1
            });
        }
    }
    Ok(all)
}

/// The lowest of each number: what is held all the time, and not for a moment.
fn least(holdings: &[Holdings]) -> Result<Holdings> {
    let lowest = holdings.iter().copied().reduce(|one, other| Holdings {
        resident: one.resident.min(other.resident),
        files: one.files.min(other.files),
        threads: one.threads.min(other.threads),
    });
    lowest.context("never looked at what the agent holds")
}

/// A tenth and a megabyte are noise of an allocator.
fn are_no_more(early: Holdings, late: Holdings) -> Result<()> {
    let most = early.resident + early.resident / 10 + 1024;
    ensure!(late.resident <= most, "memory grew: {early:?}, {late:?}");
    ensure!(
        late.files <= early.files && late.threads <= early.threads,
        "files or threads are left behind: {early:?}, {late:?}"
    );
    Ok(())
}

/// What was done, and what was not compared: without either the result is no proof. Not through
/// libtest's capture.
fn tell(
    struck: &BTreeMap<String, usize>,
    [early, late]: [Holdings; 2],
    subject: &Subject<'_>,
    traffic: &Traffic<'_>,
) -> Result<()> {
    let ahead = subject.made_after(Timestamp::now())?;
    ensure!(
        ahead > 0 || !load::may_set_clock(),
        "the clock was set, and no document is dated ahead"
    );
    let withheld = traffic.withheld()?;
    writeln!(
        io::stderr(),
        "soak: {struck:?}; at first {early:?}, at the end {late:?}; {ahead} documents dated ahead; \
         left out, since the kernel ran no program for them: sessions with ports {withheld:?}"
    )?;
    Ok(())
}

#[test]
fn faults_in_mixed_traffic_lose_nothing_and_leave_nothing_behind() -> Result<()> {
    let time = load::soak()?;
    lab::live_alone(|lab| {
        let mut subject = Subject::start(lab)?;
        let mut traffic = Traffic::start(lab)?;
        soak(&mut subject, &mut traffic, time).map_err(|error| subject.explain(&error))
    })
}

fn soak(subject: &mut Subject<'_>, traffic: &mut Traffic<'_>, time: Duration) -> Result<()> {
    let start = Instant::now();
    let pause = if load::is_emulated() {
        EMULATED_PAUSE
    } else {
        PAUSE
    };
    let mut struck = BTreeMap::new();
    let mut pass = |subject: &mut Subject<'_>, traffic: &mut Traffic<'_>, leaves_it_alone: bool| {
        let mut holdings = Vec::new();
        for fault in FAULTS {
            if !fault.is_allowed() || leaves_it_alone && fault.ends_the_agent() {
                continue;
            }
            fault.strike(subject, traffic).with_context(|| {
                format!("{fault:?}, {} s after the start", start.elapsed().as_secs())
            })?;
            *struck.entry(format!("{fault:?}")).or_default() += 1;
            for _ in 0..STEPS {
                traffic.step()?;
                thread::sleep(pause);
            }
            holdings.push(subject.holdings()?);
        }
        least(&holdings)
    };
    while start.elapsed() < time / RESTARTS_FOR {
        pass(subject, traffic, false)?;
    }
    traffic.run_programs(PROGRAMS)?;
    wait_for_room(subject, traffic)?;
    let mut held = Vec::new();
    while held.len() <= WARM_UP || start.elapsed() < time {
        held.push(pass(subject, traffic, true)?);
    }
    settle(subject, traffic)?;
    subject.end()?;
    let found = differences(subject, traffic)?;
    ensure!(found.is_empty(), "{found:#?}");
    let complaints = subject.search().complaints();
    ensure!(complaints.is_empty(), "{complaints:?}");
    let early = *held.get(WARM_UP - 1).context("nothing to compare")?;
    let late = *held.last().context("nothing to compare")?;
    tell(&struck, [early, late], subject, traffic)?;
    are_no_more(early, late).with_context(|| format!("{held:?}"))
}
