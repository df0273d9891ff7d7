//! What the processes of sessions tell, as observations.

use std::sync::Arc;

use super::{Tracker, is_same_socket, observed};
use crate::{
    clock::BootTime,
    probe::record::{Exit, SocketKey, Task},
    session::{
        Ending, Fact, Observation, Session,
        activity::Progress,
        tree::{End, Step, What},
    },
};

impl Tracker {
    /// A tracked process ended.
    pub(super) fn exit(&mut self, exit: &Exit, time: BootTime, out: &mut Vec<Observation>) {
        self.handlers.exit(exit.task.pid);
        let (steps, end) = self.trees.exit(exit, time);
        self.tell(steps, out);
        out.extend(end.map(ended));
    }

    /// It is known who serves a session.
    pub(super) fn confirm(
        &mut self,
        key: SocketKey,
        handler: &Arc<Task>,
        out: &mut Vec<Observation>,
    ) {
        let steps = self.trees.confirm(key, handler);
        self.tell(steps, out);
    }

    /// Reports what processes did, with the session they belong to.
    pub(super) fn tell(&mut self, steps: Vec<Step>, out: &mut Vec<Observation>) {
        for Step {
            key,
            time,
            activity,
            what,
        } in steps
        {
            let open = self
                .sessions
                .get(&key.address)
                .map(|entry| &entry.session)
                .filter(|session| is_same_socket(session.key, key));
            let Some(session) = open.or_else(|| self.trees.closed_session(key)) else {
                // Gave way to a newer one, which is counted.
                continue;
            };
            let session = Box::new(Session {
                activity,
                ..session.clone()
            });
            out.push(match what {
                What::Program(program) => Observation::Program {
                    session,
                    program,
                    time,
                },
                What::Fact(fact) => Observation::Session {
                    session,
                    fact,
                    time,
                },
            });
        }
    }

    /// Reports the end of a session, at once or when its processes have ended.
    pub(super) fn end(
        &mut self,
        mut session: Session,
        fact: Fact,
        time: BootTime,
        out: &mut Vec<Observation>,
    ) {
        session.closed.get_or_insert(time);
        self.looks.forget(session.key);
        let end = End {
            session,
            fact,
            time,
        };
        out.extend(self.trees.close(end).map(ended));
    }
}

/// The end of a session as it is reported.
pub(super) fn ended(mut end: End) -> Observation {
    let login = &mut end.session.activity.login;
    if is_hung_up(&end.fact) && login.progress == Progress::Failed {
        // A terminal that is hung up ends login(1) by a signal, or by an error of its next read: a
        // failure that nobody tried for. One that was is closed from this side.
        login.progress = Progress::Asking;
    }
    observed(&end.session, end.fact, end.time)
}

/// Whether the peer ended it.
const fn is_hung_up(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Closed(
            Ending::Fin {
                local_first: Some(false)
            },
            _
        )
    )
}
