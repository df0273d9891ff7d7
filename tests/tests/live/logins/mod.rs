//! Who logs in, how, and what they run.

mod bypass;
mod flooded;
mod many;
mod secrets;
mod shown;
mod told;

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use telnet_tests::agent::Agent;
use telnet_tests::lab::{Lab, V4};
use telnet_user::rules::SHIPPED;

pub(super) use self::many::{Visitor, house};
pub(super) use self::secrets::in_memory;

/// A port of these tests' own: logins take seconds, and others flood port 23 meanwhile.
const PORT: u16 = 2_399;
const SERVER: SocketAddr = SocketAddr::new(V4, PORT);

/// The shipped rules, for [`PORT`] instead of 23.
fn shipped_rules(lab: &Lab) -> Result<PathBuf> {
    let folder = lab.dir().join("rules");
    fs::create_dir_all(&folder)?;
    for (name, text) in SHIPPED {
        let file = Path::new(name).file_name().context("a rule file's name")?;
        let text = text.replace("port:23", &format!("port:{PORT}"));
        fs::write(folder.join(file), text)?;
    }
    Ok(folder)
}

/// An agent with these rules.
fn agent(lab: &Lab) -> Result<Agent> {
    agent_with(lab, &[])
}

/// The same, with more arguments.
fn agent_with(lab: &Lab, more: &[&str]) -> Result<Agent> {
    let rules = shipped_rules(lab)?;
    let args = ["--emit", "all", "--rules"].map(OsString::from);
    let args = args.into_iter().chain([rules.into_os_string()]);
    let args = args.chain(more.iter().map(OsString::from));
    Ok(Agent::start(lab, args)?.with_fence_port(PORT))
}
