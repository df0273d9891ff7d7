//! Configuration and rules, taken up anew while the agent runs.

use std::path::PathBuf;

use tracing::{error, warn};

use super::{Args, health, making, rules};
use crate::{
    agent::{Reload, Reloaded, Reloader},
    config::{Config, ResponseMode},
};

/// Reads configuration and rules again, as this run did at its start.
pub(super) fn reloader(args: Args, at_start: Config) -> Reloader {
    let folders = at_start.writable();
    let is_writable = move |folder: &PathBuf| {
        args.no_sandbox || folders.iter().any(|allowed| folder.starts_with(allowed))
    };
    Reloader::new(move || {
        let config = args.config()?;
        let (rules, scope) = rules(&config)?;
        let fixed = |config: &Config| {
            let spool = &config.spool;
            let spool = (spool.dir.clone(), spool.max_bytes, spool.sync);
            (
                config.log.clone(),
                config.state_dir.clone(),
                config.probe,
                spool,
            )
        };
        let outside: Vec<_> = config
            .writable()
            .into_iter()
            .filter(|f| !is_writable(f))
            .collect();
        if let Some(folder) = outside.first() {
            let folder = folder.display();
            error!(%folder, "the agent gave up writing there at its start: restart it instead");
            return None;
        }
        let enforces = |config: &Config| config.response.mode == ResponseMode::Enforce;
        if enforces(&config) && !enforces(&at_start) && !args.no_sandbox {
            error!("the agent gave up closing sessions at its start: restart it instead");
            return None;
        }
        if fixed(&config) != fixed(&at_start) {
            warn!("log, state_dir, [probe] and [spool] take effect at the next start");
        }
        Some(Reloaded {
            scope,
            health: health(&config),
            reload: Reload {
                making: making(&config),
                sinks: config.sinks,
                response: config.response,
                rules,
            },
        })
    })
}
