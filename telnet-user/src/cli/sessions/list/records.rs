//! What the agent has written down of the sessions that are open.

use std::{io, path::PathBuf};

use tracing::warn;

use crate::{
    enrich::{self, Roots},
    session::kept::Kept,
    state::{self, Name},
};

/// Where the agent keeps it.
#[derive(Debug)]
pub(super) struct Records {
    folder: PathBuf,
    boot: Option<String>,
    /// The last complaint: one is enough.
    complaint: Option<String>,
}

impl Records {
    /// In this folder.
    pub(super) fn of(folder: PathBuf) -> Self {
        Self {
            folder,
            boot: enrich::host::boot_id(&Roots::default().proc),
            complaint: None,
        }
    }

    /// What it knows now. Of an agent that no longer runs only what is still true.
    pub(super) fn read(&mut self) -> Kept {
        let complaint = match state::look(&self.folder, Name::Open) {
            Ok(None) => None,
            Ok(Some((lines, is_watched))) => {
                let boot = self.boot.as_deref().unwrap_or_default();
                let kept = Kept::restored(&lines, boot);
                return if is_watched { kept } else { kept.unwatched() };
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = &complaint
            && self.complaint != complaint
        {
            warn!(%error, folder = %self.folder.display(), "logins and commands are not shown");
        }
        self.complaint = complaint;
        Kept::default()
    }
}
