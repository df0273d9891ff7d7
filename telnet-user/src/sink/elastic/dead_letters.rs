//! Documents that the cluster refuses for good, with its answer: nothing is thrown away unseen.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::bulk::Item;

/// A file of bounded size; the one before it is kept as `NAME.1`.
#[derive(Debug)]
pub(super) struct DeadLetters {
    path: PathBuf,
    max_bytes: u64,
}

impl DeadLetters {
    pub(super) const fn new(path: PathBuf, max_bytes: u64) -> Self {
        Self { path, max_bytes }
    }

    /// Adds one, on the disk when this returns: it leaves the spool then.
    pub(super) fn add(&self, item: &Item, status: u16, reason: &Value) -> io::Result<()> {
        if let Ok(metadata) = fs::metadata(&self.path)
            && self.max_bytes > 0
            && metadata.len() >= self.max_bytes
        {
            let mut before = self.path.as_os_str().to_owned();
            before.push(".1");
            fs::rename(&self.path, before)?;
        }
        let letter = json!({
            "@timestamp": Timestamp::now().to_string(),
            "index": item.index(),
            "id": item.id(),
            "status": status,
            "error": reason,
            "document": item.document(),
        });
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let mut file = options.open(&self.path)?;
        file.write_all(format!("{letter}\n").as_bytes())?;
        file.sync_data()
    }
}
