//! Names of users and groups.

use std::{
    collections::HashSet,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use tracing::warn;

use super::{cache::Cache, facts::Named};
use crate::sandbox;

/// Names that are remembered.
const CAPACITY: usize = 4096;

/// How long a name, or its absence, is believed.
const LIFETIME: Duration = Duration::from_mins(1);

/// How long an event waits for a name. Local files answer in microseconds; a directory service
/// that is down may take minutes, and no event may be lost for that.
const PATIENCE: Duration = Duration::from_millis(250);

/// Questions that wait.
const MAX_WAITING: usize = 64;

/// A user or a group by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Id {
    User(u32),
    Group(u32),
}

type Answer = (Id, Option<String>);

/// Names by number, looked up in the system's databases on a thread of its own.
#[derive(Debug)]
pub struct Names {
    questions: Option<SyncSender<Id>>,
    answers: Receiver<Answer>,
    /// Asked and not answered yet.
    open: HashSet<Id>,
    known: Cache<Id, (Instant, Option<String>)>,
}

impl Default for Names {
    fn default() -> Self {
        Self::new(look_up)
    }
}

impl Names {
    fn new(look_up: impl Fn(Id) -> Option<String> + Send + 'static) -> Self {
        let (questions, inbox) = sync_channel(MAX_WAITING);
        let (outbox, answers) = sync_channel(MAX_WAITING);
        let work = move || {
            for id in inbox {
                if outbox.send((id, look_up(id))).is_err() {
                    return;
                }
            }
        };
        let started = thread::Builder::new().name("names".to_owned()).spawn(|| {
            sandbox::only_look();
            work();
        });
        if let Err(error) = &started {
            warn!(%error, "users and groups will have no names");
        }
        Self {
            questions: started.is_ok().then_some(questions),
            answers,
            open: HashSet::new(),
            known: Cache::new(CAPACITY),
        }
    }

    /// The user with this id.
    pub fn user(&mut self, id: u32) -> Named {
        let name = self.name(Id::User(id));
        Named { id, name }
    }

    /// The group with this id.
    pub fn group(&mut self, id: u32) -> Named {
        let name = self.name(Id::Group(id));
        Named { id, name }
    }

    fn name(&mut self, id: Id) -> Option<String> {
        while let Ok(answer) = self.answers.try_recv() {
            self.learn(answer);
        }
        let now = Instant::now();
        let stale = match self.known.get(&id) {
            Some((learnt, name)) if now.duration_since(*learnt) < LIFETIME => return name.clone(),
            Some((_, name)) => name.clone(),
            None => None,
        };
        if self.ask(id) {
            self.wait_for(id, now);
        }
        match self.known.get(&id) {
            Some((learnt, name)) if *learnt >= now => name.clone(),
            _ => stale,
        }
    }

    /// Asks, unless it was asked before; whether the answer can be expected soon.
    fn ask(&mut self, id: Id) -> bool {
        if self.open.contains(&id) {
            return false;
        }
        let Some(questions) = &self.questions else {
            return false;
        };
        match questions.try_send(id) {
            Ok(()) => {
                // With an older question open the service is slow: only the first one waits.
                let prompt = self.open.is_empty();
                self.open.insert(id);
                prompt
            }
            Err(TrySendError::Full(_)) => false,
            Err(TrySendError::Disconnected(_)) => {
                self.questions = None;
                false
            }
        }
    }

    fn wait_for(&mut self, id: Id, since: Instant) {
        while self.open.contains(&id)
            && let Some(left) = PATIENCE.checked_sub(since.elapsed())
            && let Ok(answer) = self.answers.recv_timeout(left)
        {
            self.learn(answer);
        }
    }

    fn learn(&mut self, (id, name): Answer) {
        self.open.remove(&id);
        self.known.insert(id, (Instant::now(), name));
    }
}

/// `getpwuid_r(3)`, `getgrgid_r(3)`.
fn look_up(id: Id) -> Option<String> {
    let name = match id {
        Id::User(id) => uzers::get_user_by_uid(id)?.name().to_owned(),
        Id::Group(id) => uzers::get_group_by_gid(id)?.name().to_owned(),
    };
    Some(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn root_has_a_name_and_a_stranger_has_none() {
        assert_eq!(look_up(Id::User(0)).as_deref(), Some("root"));
        assert_eq!(look_up(Id::Group(0)).as_deref(), Some("root"));
        assert_eq!(look_up(Id::User(3_999_999_999)), None);
    }

    #[test]
    fn a_name_is_asked_for_once_a_lifetime() {
        let (asked, questions) = channel();
        let mut names = Names::new(move |id| {
            asked.send(id).expect("a listener");
            Some("name".into())
        });
        for _ in 0..3 {
            assert_eq!(names.user(7).name.as_deref(), Some("name"));
        }
        assert_eq!(names.group(7).name.as_deref(), Some("name"));
        let asked: Vec<Id> = questions.try_iter().collect();
        assert_eq!(asked, [Id::User(7), Id::Group(7)]);
    }

    #[test]
    fn a_service_that_hangs_holds_up_one_event_and_is_believed_later() {
        let (release, gate) = channel();
        let mut names = Names::new(move |id| {
            gate.recv().expect("a release");
            Some(format!("{id:?}"))
        });
        let since = Instant::now();
        for id in 0..1000 {
            assert_eq!(names.user(id).name, None);
        }
        assert!(since.elapsed() < PATIENCE * 10, "{:?}", since.elapsed());
        assert!(names.open.len() <= MAX_WAITING + 1);
        for _ in 0..names.open.len() {
            release.send(()).expect("a waiting service");
        }
        while names.user(0).name.is_none() {
            thread::yield_now();
        }
        assert_eq!(names.user(0).name.as_deref(), Some("User(0)"));
    }
}
