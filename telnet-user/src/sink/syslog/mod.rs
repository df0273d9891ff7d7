//! A syslog server: RFC 5424 over a unix socket, TCP (RFC 6587, octet counting) or TLS (RFC 5425).
//!
//! Syslog has no answers, and what was written to a TCP connection is lost when the server goes
//! before it read it. So the agent asks in the one way there is: it closes its half of the
//! connection and waits for the server to close the other, which it does once it has read
//! everything. Until then documents stay in the spool.

mod connection;
mod message;
#[cfg(test)]
mod tests;

use std::{io, sync::Arc, time::Duration};

use rustix::system::uname;
use rustls::ClientConfig;
use tracing::warn;

use self::connection::{Closed, Connection};
use super::{
    courier::{DeliveryError, Receipt, Transport},
    spool::{Batch, Limits},
    tls::Identity,
};
use crate::config::{self, SyslogAddress};

const LIMITS: Limits = Limits {
    documents: 500,
    bytes: 1 << 20,
};
/// Datagrams arrive or fail one by one: nothing that arrived is sent again.
const LIMITS_UNIX: Limits = Limits {
    documents: 1,
    bytes: 1,
};

/// A server, and the connection to it.
#[derive(Debug)]
pub(super) struct SyslogServer {
    config: config::Syslog,
    tls: Option<Arc<ClientConfig>>,
    header: message::Header,
    connection: Option<Connection>,
    /// Said once: this server does not close, so nothing tells what it has.
    is_mute: bool,
}

impl SyslogServer {
    /// Reads the certificates of a `tls://` address.
    pub(super) fn new(config: &config::Syslog) -> Result<Self, String> {
        let tls = match &config.address {
            SyslogAddress::Tls { .. } => Some(Identity::read(&config.tls)?.client()?),
            SyslogAddress::Unix(_) | SyslogAddress::Tcp { .. } => None,
        };
        let host = uname().nodename().to_string_lossy().into_owned();
        Ok(Self {
            header: message::Header::new(config, &host),
            config: config.clone(),
            tls,
            connection: None,
            is_mute: false,
        })
    }

    fn send(&mut self, batch: &Batch) -> io::Result<Receipt> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.config, self.tls.as_ref())?,
        };
        let mut rejected = 0;
        for entry in &batch.entries {
            match connection.send(&self.header.message(entry)?) {
                Err(error) if is_too_large(&error) => {
                    warn!(server = %self.config.address, "a document is too large for a datagram");
                    rejected += 1;
                }
                sent => sent?,
            }
        }
        let receipt = connection.receipt(rejected);
        self.connection = Some(connection);
        Ok(receipt)
    }
}

fn is_too_large(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error())
}

impl Transport for SyslogServer {
    fn limits(&self) -> Limits {
        match self.config.address {
            SyslogAddress::Unix(_) => LIMITS_UNIX,
            SyslogAddress::Tcp { .. } | SyslogAddress::Tls { .. } => LIMITS,
        }
    }

    fn longest_wait(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn deliver(&mut self, batch: &Batch) -> Result<Receipt, DeliveryError> {
        self.send(batch)
            .map_err(|error| DeliveryError::new(format!("{}: {error}", self.config.address)))
    }

    fn settle(&mut self) -> Result<(), DeliveryError> {
        let Some(connection) = self.connection.take() else {
            return Ok(());
        };
        match connection.close() {
            Ok(Closed::ByServer) => Ok(()),
            Ok(Closed::Unanswered) => {
                if !self.is_mute {
                    self.is_mute = true;
                    warn!(server = %self.config.address, "the server does not close a connection \
                          that the agent closed: what it has not read when it ends is lost");
                }
                Ok(())
            }
            Err(error) => Err(DeliveryError::new(format!(
                "{}: {error}",
                self.config.address
            ))),
        }
    }
}
