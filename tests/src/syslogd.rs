//! A real rsyslogd with a configuration of the test's own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use serde_json::Value;

use crate::lab::Lab;
use crate::process::Spawned;
use crate::{tools, wait};

/// How messages come in.
#[derive(Debug, Clone)]
pub enum Input {
    /// A datagram socket at this path.
    Unix(PathBuf),
    /// TCP on loopback.
    Tcp(u16),
    /// TLS on loopback.
    Tls {
        /// The port.
        port: u16,
        /// The certificate, PEM.
        certificate: PathBuf,
        /// Its key, PEM.
        key: PathBuf,
    },
}

/// The daemon; ends with this.
#[derive(Debug)]
pub struct Syslogd {
    process: Spawned,
    messages: PathBuf,
}

/// A port of loopback that nobody uses.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(listener.local_addr()?.port())
}

impl Input {
    /// The module that listens.
    fn module(&self) -> String {
        match self {
            Input::Unix(path) => format!(
                "module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
                 input(type=\"imuxsock\" Socket=\"{}\" UseSpecialParser=\"off\" ParseHostname=\"on\")\n",
                path.display()
            ),
            Input::Tcp(port) => format!(
                "module(load=\"imtcp\")\n\
                 input(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\")\n"
            ),
            Input::Tls {
                port, certificate, ..
            } => format!(
                "module(load=\"imtcp\" StreamDriver.Name=\"ossl\" StreamDriver.Mode=\"1\" \
                 StreamDriver.AuthMode=\"anon\")\n\
                 # {}\n\
                 input(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\")\n",
                certificate.display()
            ),
        }
    }

    /// What is set for all modules.
    fn global(&self) -> String {
        match self {
            Input::Unix(_) | Input::Tcp(_) => String::new(),
            Input::Tls {
                certificate, key, ..
            } => format!(
                "DefaultNetstreamDriverCAFile=\"{0}\" DefaultNetstreamDriverCertFile=\"{0}\" \
                 DefaultNetstreamDriverKeyFile=\"{1}\"",
                certificate.display(),
                key.display()
            ),
        }
    }
}

impl Syslogd {
    /// Starts it and waits until it listens. Messages are kept over a restart in the same lab.
    pub fn start(lab: &Lab, input: &Input) -> Result<Self> {
        let folder = lab.dir().join("syslogd");
        fs::create_dir_all(&folder)?;
        let messages = folder.join("messages");
        // Longer than what rsyslog takes unless it is told: an alert with its rule is.
        let text = format!(
            "global(workDirectory=\"{0}\" maxMessageSize=\"256k\" {2})\n{3}\
             template(name=\"parts\" type=\"string\" \
             string=\"%app-name%|%msgid%|%syslogfacility-text%|%syslogseverity%|%msg%\\n\")\n\
             action(type=\"omfile\" file=\"{1}\" template=\"parts\")\n",
            folder.display(),
            messages.display(),
            input.global(),
            input.module()
        );
        Self::start_with(lab, input, &text, messages)
    }

    /// The same with the configuration `text`, which listens on `input` and writes messages to the
    /// file `messages`.
    pub fn start_with(lab: &Lab, input: &Input, text: &str, messages: PathBuf) -> Result<Self> {
        let folder = lab.dir().join("syslogd");
        fs::create_dir_all(&folder)?;
        let config = lab.write("syslogd.conf", text)?;
        let mut command = tools::find("rsyslogd")?.command();
        command
            .args(["-n", "-f"])
            .arg(&config)
            .arg("-i")
            .arg(folder.join("pid"))
            .arg("-M")
            .arg(tools::rsyslog_modules()?);
        let process = Spawned::start("rsyslogd", None, &mut command)?;
        let started = Self { process, messages };
        wait::until("rsyslogd listens", || {
            let listens = match input {
                Input::Unix(path) => path.try_exists()?,
                Input::Tcp(port) | Input::Tls { port, .. } => {
                    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
                    std::net::TcpStream::connect(address).is_ok()
                }
            };
            Ok(listens.then_some(()))
        })
        .with_context(|| started.process.report())?;
        Ok(started)
    }

    /// Number of messages received so far.
    pub fn count(&self) -> Result<usize> {
        Ok(self.text()?.lines().count())
    }

    /// What it wrote so far, up to the last whole line.
    pub fn text(&self) -> Result<String> {
        match fs::read_to_string(&self.messages) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            read => {
                let text = read?;
                let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
                Ok(whole.to_owned())
            }
        }
    }

    /// What it received so far: everything before the text, and the text, which must be JSON.
    pub fn messages(&self) -> Result<Vec<(String, Value)>> {
        self.text()?
            .lines()
            .filter(|line| line.starts_with("telnet-monitor|"))
            .map(|line| {
                let at = line
                    .find('{')
                    .with_context(|| format!("no JSON in {line:?}"))?;
                let (head, json) = line.split_at_checked(at).unwrap_or_default();
                let value = serde_json::from_str(json).with_context(|| line.to_owned())?;
                Ok((head.trim_end().to_owned(), value))
            })
            .collect()
    }

    /// Ends it; what it received is written by then.
    pub fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::TERM)?;
        self.process.wait(wait::PATIENCE).map(drop)
    }
}
