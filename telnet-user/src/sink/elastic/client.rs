//! HTTP to the nodes of a cluster, one after the other until one answers.

use std::{io::Write as _, time::Duration};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Map, Value};
use ureq::{
    Agent,
    http::{HeaderMap, HeaderValue, Response, header},
    tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider},
};

use crate::{
    config::{Elasticsearch, Secret},
    sink::{courier::DeliveryError, tls},
};

/// Only what is looked at, which for a batch without errors is little.
const PATH: &str = "/_bulk?filter_path=errors,items.*.status,items.*.error,items.*._index";
/// Far beyond the answer to any request.
const MAX_ANSWER: u64 = 64 << 20;
const MAX_ERROR_CHARS: usize = 300;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The cluster as HTTP sees it.
pub(super) struct Client {
    agent: Agent,
    nodes: Vec<String>,
    /// The node that answered last.
    current: usize,
    authorization: Option<HeaderValue>,
    compress: bool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Client")
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

/// Why a request was not answered with a result.
#[derive(Debug)]
pub(super) enum Failure {
    /// Later, or on another node, it may be.
    Wait(DeliveryError),
    /// The request itself is too large or not understood.
    Request {
        /// HTTP status.
        status: u16,
        /// What the cluster said, shortened.
        body: String,
    },
}

impl Client {
    pub(super) fn new(config: &Elasticsearch) -> Result<Self, String> {
        let is_encrypted = config.nodes.iter().any(|node| node.starts_with("https:"));
        let mut builder = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_global(Some(config.timeout))
            .timeout_connect(Some(config.timeout.min(CONNECT_TIMEOUT)))
            .user_agent(concat!("telnet-monitor/", env!("CARGO_PKG_VERSION")));
        if is_encrypted {
            builder = builder.tls_config(tls_config(config)?);
        }
        Ok(Self {
            agent: builder.build().new_agent(),
            nodes: config.nodes.clone(),
            current: 0,
            authorization: authorization(&config.secret)?,
            compress: config.compress,
        })
    }

    /// Sends a bulk request to the nodes in turn, until one takes it; its answer.
    pub(super) fn bulk(&mut self, body: &str) -> Result<Vec<u8>, Failure> {
        let body = if self.compress {
            gzip(body.as_bytes()).map_err(|error| Failure::Wait(error.into()))?
        } else {
            body.as_bytes().to_vec()
        };
        let mut last = Failure::Wait(DeliveryError::new("no node"));
        for _ in 0..self.nodes.len() {
            match self.post(&body) {
                Err(Failure::Wait(error)) => {
                    last = Failure::Wait(error);
                    self.current = (self.current + 1) % self.nodes.len();
                }
                outcome => return outcome,
            }
        }
        Err(last)
    }

    fn post(&self, body: &[u8]) -> Result<Vec<u8>, Failure> {
        let node = self.nodes.get(self.current).map_or("", String::as_str);
        let wait = |reason: String| Failure::Wait(DeliveryError::new(format!("{node}: {reason}")));
        let mut request = self
            .agent
            .post(format!("{node}{PATH}"))
            .header(header::CONTENT_TYPE, "application/x-ndjson");
        if self.compress {
            request = request.header(header::CONTENT_ENCODING, "gzip");
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        let mut response = request
            .send(body)
            .map_err(|error| wait(error.to_string()))?;
        let status = response.status().as_u16();
        let pause = retry_after(response.headers());
        let answer = read(&mut response).map_err(|error| wait(error.to_string()))?;
        match status {
            200 => Ok(answer),
            400 if !is_object(&answer) => Err(wait(format!(
                "HTTP 400, not from the cluster: {}",
                excerpt(&answer)
            ))),
            400 | 413 => Err(Failure::Request {
                status,
                body: excerpt(&answer),
            }),
            _ => Err(Failure::Wait(
                DeliveryError::new(format!("{node}: HTTP {status} {}", excerpt(&answer)))
                    .with_wait(pause),
            )),
        }
    }
}

fn read(response: &mut Response<ureq::Body>) -> Result<Vec<u8>, ureq::Error> {
    let body = response.body_mut().with_config().limit(MAX_ANSWER);
    body.read_to_vec()
}

/// Whether this is how a cluster answers. A proxy that does not understand a request, as one that
/// expects TLS, has a page to say so, and understands no other either.
fn is_object(answer: &[u8]) -> bool {
    serde_json::from_slice::<Map<String, Value>>(answer).is_ok()
}

/// What the other end said, on one line and short.
fn excerpt(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let safe = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    safe.take(MAX_ERROR_CHARS)
        .collect::<String>()
        .trim()
        .to_owned()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

fn authorization(secret: &Secret) -> Result<Option<HeaderValue>, String> {
    let text = match secret {
        Secret::None => return Ok(None),
        Secret::ApiKey(file) => format!("ApiKey {}", tls::secret(file)?),
        Secret::Basic {
            username,
            password_file,
        } => {
            let password = tls::secret(password_file)?;
            format!(
                "Basic {}",
                BASE64_STANDARD.encode(format!("{username}:{password}"))
            )
        }
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_invalid| "the secret has characters that HTTP does not take".to_owned())?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn tls_config(config: &Elasticsearch) -> Result<TlsConfig, String> {
    // That key and certificate fit is seen now instead of at each connection.
    tls::Identity::read(&config.tls)?.client()?;
    let identity = tls::Identity::read(&config.tls)?;
    let authorities = identity
        .authorities
        .iter()
        .map(|authority| Certificate::from_der(authority).to_owned());
    let authorities: Vec<_> = authorities.collect();
    let own = identity.own.map(|own| {
        let key = PrivateKey::from_pem(own.key.0.as_bytes())
            .map_err(|error| format!("private key: {error}"))?;
        let chain: Vec<_> = own
            .chain
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect();
        Ok::<_, String>(ClientCert::new_with_certs(&chain, key))
    });
    let own = own.transpose()?;
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(tls::provider())
        .root_certs(RootCerts::new_with_certs(&authorities))
        .client_cert(own)
        .build())
}
