//! Which alerts were made already: in memory, and in a small file that survives
//! a restart.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::alert::AlertId;

/// First line of the file; another version would not be read.
const HEADER: &str = "telnet-monitor alerted ids, version 1";
/// Largest file read, in bytes: twice the largest one written.
const FILE_BYTES: u64 = 32 << 20;

/// Why an id is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An alert has this id.
    Alerted,
    /// The event joined an alert. Kept apart, because a flood of such events
    /// must not push out the ids of alerts.
    Suppressed,
}

/// Bounds of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Most ids of alerts, and as many of suppressed events.
    pub entries: usize,
    /// How long an id is kept, in milliseconds. At least the longest look-back
    /// of a rule plus clock slack; sessions that stay open over an agent restart
    /// are reported again under the same id, so days are better than minutes.
    pub millis: i64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            entries: 65_536,
            millis: 30 * 24 * 3_600 * 1_000,
        }
    }
}

/// Remembered ids, oldest first.
#[derive(Debug, Default)]
struct Ring {
    ids: HashSet<u128>,
    order: VecDeque<(u128, i64)>,
}

impl Ring {
    /// Whether `id` was new.
    fn insert(&mut self, id: u128, at: i64, entries: usize) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back((id, at));
        while self.order.len() > entries.max(1) {
            self.pop();
        }
        true
    }

    fn expire(&mut self, before: i64) {
        while self.order.front().is_some_and(|(_, at)| *at < before) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((id, _)) = self.order.pop_front() {
            self.ids.remove(&id);
        }
    }
}

/// Ids of alerts made and of events that joined one.
#[derive(Debug)]
pub struct Memory {
    retention: Retention,
    alerted: Ring,
    suppressed: Ring,
    store: Option<Store>,
}

#[derive(Debug)]
struct Store {
    path: PathBuf,
    /// Lines not written yet.
    pending: String,
    /// Lines in the file.
    lines: usize,
    /// Open for appending; absent until the first line and after an error.
    file: Option<File>,
}

impl Memory {
    /// A memory that forgets when the process ends.
    pub fn volatile(retention: Retention) -> Self {
        let (alerted, suppressed) = (Ring::default(), Ring::default());
        Self {
            retention,
            alerted,
            suppressed,
            store: None,
        }
    }

    /// A memory kept in the file at `path`, with what it holds already.
    ///
    /// Damaged lines are passed over with a warning in the log, and an unreadable
    /// file is set aside as `PATH.damaged`: a new alert too many is better than
    /// no agent. An error of the file system is returned.
    pub fn persistent(path: &Path, retention: Retention) -> io::Result<Self> {
        let mut memory = Self::volatile(retention);
        let store = Store {
            path: path.to_owned(),
            pending: String::new(),
            lines: 0,
            file: None,
        };
        memory.store = Some(store);
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(memory),
            Err(error) => return Err(error),
            Ok(metadata) if metadata.len() > FILE_BYTES => {
                memory.set_aside("larger than this agent writes it")?;
                return Ok(memory);
            }
            Ok(_) => {}
        }
        let bytes = fs::read(path)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines();
        match lines.next() {
            Some(HEADER) => memory.restore(lines),
            None => {}
            Some(_) => memory.set_aside("not a file of alerted ids")?,
        }
        Ok(memory)
    }

    fn restore<'l>(&mut self, lines: impl Iterator<Item = &'l str>) {
        let (mut damaged, mut count) = (0_usize, 0_usize);
        for line in lines {
            count += 1;
            match entry(line) {
                Some((kind, id, at)) => {
                    let entries = self.retention.entries;
                    self.ring(kind).insert(id, at, entries);
                }
                None => damaged += 1,
            }
        }
        if let Some(store) = &mut self.store {
            store.lines = count;
            if damaged > 0 {
                // Forces the next write to rewrite the file without them.
                store.lines = usize::MAX;
                tracing::warn!(
                    path = %store.path.display(),
                    lines = count,
                    damaged,
                    "damaged lines in the file of alerted ids, their alerts may be made again"
                );
            }
        }
    }

    fn set_aside(&mut self, why: &str) -> io::Result<()> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let mut aside = store.path.clone().into_os_string();
        aside.push(".damaged");
        tracing::warn!(
            path = %store.path.display(),
            kept = %Path::new(&aside).display(),
            why,
            "the file of alerted ids cannot be used, alerts may be made again"
        );
        fs::rename(&store.path, aside)
    }

    fn ring(&mut self, kind: Kind) -> &mut Ring {
        match kind {
            Kind::Alerted => &mut self.alerted,
            Kind::Suppressed => &mut self.suppressed,
        }
    }

    /// Whether an alert or a suppressed event has this id.
    pub(crate) fn contains(&self, id: AlertId) -> bool {
        let id = id.short();
        self.alerted.ids.contains(&id) || self.suppressed.ids.contains(&id)
    }

    /// Remembers `id`, and in the file at the next [`persist`](Self::persist).
    pub(crate) fn insert(&mut self, kind: Kind, id: AlertId, at: i64) {
        let entries = self.retention.entries;
        let id = id.short();
        if self.ring(kind).insert(id, at, entries)
            && let Some(store) = &mut self.store
        {
            store.pending.push_str(&line(kind, id, at));
        }
    }

    /// Forgets what is older than the retention at `now`.
    pub(crate) fn expire(&mut self, now: i64) {
        let before = now.saturating_sub(self.retention.millis);
        self.alerted.expire(before);
        self.suppressed.expire(before);
    }

    /// Writes what is new to the file. Called after the alerts were handed over,
    /// so that a crash in between repeats an alert instead of losing it.
    pub fn persist(&mut self) -> io::Result<()> {
        let live = self.alerted.order.len() + self.suppressed.order.len();
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        if store.pending.is_empty() {
            return Ok(());
        }
        if store.file.is_none() || store.lines > 2 * live + 1_024 {
            let rings = [
                (Kind::Alerted, &self.alerted),
                (Kind::Suppressed, &self.suppressed),
            ];
            return store.rewrite(&rings);
        }
        store.append()
    }
}

impl Store {
    fn append(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        if let Err(error) = file.write_all(self.pending.as_bytes()) {
            // A torn line may stand at the end: the next write starts afresh.
            self.file = None;
            return Err(error);
        }
        self.lines = self.lines.saturating_add(self.pending.lines().count());
        self.pending.clear();
        Ok(())
    }

    /// Replaces the file by what is remembered now, in one step.
    fn rewrite(&mut self, rings: &[(Kind, &Ring)]) -> io::Result<()> {
        let mut text = format!("{HEADER}\n");
        for (kind, ring) in rings {
            for (id, at) in &ring.order {
                text.push_str(&line(*kind, *id, *at));
            }
        }
        let mut temporary = self.path.clone().into_os_string();
        temporary.push(".new");
        fs::write(&temporary, &text)?;
        fs::rename(&temporary, &self.path)?;
        self.file = Some(OpenOptions::new().append(true).open(&self.path)?);
        self.lines = text.lines().count();
        self.pending.clear();
        Ok(())
    }
}

fn line(kind: Kind, id: u128, at: i64) -> String {
    let kind = match kind {
        Kind::Alerted => 'a',
        Kind::Suppressed => 's',
    };
    format!("{kind} {id:032x} {at}\n")
}

fn entry(line: &str) -> Option<(Kind, u128, i64)> {
    let mut parts = line.split(' ');
    let kind = match parts.next()? {
        "a" => Kind::Alerted,
        "s" => Kind::Suppressed,
        _ => return None,
    };
    let id = parts.next().filter(|id| id.len() == 32)?;
    let id = u128::from_str_radix(id, 16).ok()?;
    let at = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some((kind, id, at))
}
