//! A search server of the tests' own, as strict as a data stream.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

use flate2::read::GzDecoder;
use rcgen::generate_simple_self_signed;
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};
use serde_json::{Value, json};

use crate::sink::tls::provider;

/// What the server does wrong, or the client is made to see.
#[derive(Clone, Copy, Debug)]
pub(in crate::sink) enum Fault {
    /// Every so many documents of the next request get this status.
    Items { every: usize, status: u16 },
    /// The next request gets this status.
    Request { status: u16 },
    /// The next request gets this status with a page for people, as proxies answer.
    Page { status: u16 },
    /// Requests with more documents are too large, from now on.
    TooLarge { documents: usize },
    /// There is no data stream, from now on.
    NoStream,
    /// The next request is answered with this.
    Answer(&'static str),
}

#[derive(Default)]
struct State {
    /// By data stream and id.
    documents: HashMap<(String, String), Value>,
    fault: Option<Fault>,
    authorization: Option<String>,
    /// Documents of each request.
    requests: Vec<usize>,
    /// What a real server would have refused.
    complaints: Vec<String>,
    stopped: bool,
}

/// The server; it ends with the test.
pub(in crate::sink) struct Server {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(in crate::sink) fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// At an address, which may have had a server before.
    pub(in crate::sink) fn start_at(address: SocketAddr) -> Self {
        Self::listen(address, None)
    }

    pub(in crate::sink) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// With a certificate for the address, and the authority to trust it by.
    pub(in crate::sink) fn start_tls() -> (Self, String) {
        let certified = generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("certified");
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .expect("a configuration");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        (
            Self::listen(any, Some(Arc::new(config))),
            certified.cert.pem(),
        )
    }

    fn listen(address: SocketAddr, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(address).expect("bound");
        let address = listener.local_addr().expect("address");
        let state = Arc::new(Mutex::new(State::default()));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.lock().expect("state").stopped {
                    return;
                }
                let (stream, shared, tls) =
                    (stream.expect("accepted"), Arc::clone(&shared), tls.clone());
                // A client that goes away is not the server's concern.
                thread::spawn(move || drop(connection(stream, tls, &shared)));
            }
        });
        Self {
            address,
            scheme,
            state,
        }
    }

    pub(in crate::sink) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("state")
    }

    pub(in crate::sink) fn fail(&self, fault: Fault) {
        self.lock().fault = Some(fault);
    }

    pub(in crate::sink) fn demand(&self, authorization: &str) {
        self.lock().authorization = Some(authorization.to_owned());
    }

    pub(in crate::sink) fn document(&self, stream: &str, id: &str) -> Option<Value> {
        let key = (stream.to_owned(), id.to_owned());
        self.lock().documents.get(&key).cloned()
    }

    pub(in crate::sink) fn count(&self) -> usize {
        self.lock().documents.len()
    }

    pub(in crate::sink) fn requests(&self) -> Vec<usize> {
        self.lock().requests.clone()
    }

    pub(in crate::sink) fn complaints(&self) -> Vec<String> {
        self.lock().complaints.clone()
    }

    /// Takes no connection any more, and closes those there are at their next request.
    pub(in crate::sink) fn stop(&self) {
        self.lock().stopped = true;
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

fn connection(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    state: &Mutex<State>,
) -> io::Result<()> {
    match tls {
        None => {
            let mut reader = BufReader::new(stream.try_clone()?);
            let mut writer = stream;
            while let Some(answer) = request(&mut reader, state)? {
                writer.write_all(answer.as_bytes())?;
            }
            Ok(())
        }
        Some(config) => {
            let session = ServerConnection::new(config).map_err(io::Error::other)?;
            let mut reader = BufReader::new(StreamOwned::new(session, stream));
            while let Some(answer) = request(&mut reader, state)? {
                reader.get_mut().write_all(answer.as_bytes())?;
                reader.get_mut().flush()?;
            }
            Ok(())
        }
    }
}

/// Reads one request; its answer, or nothing when the connection ends.
fn request(reader: &mut impl BufRead, state: &Mutex<State>) -> io::Result<Option<String>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let length: usize = header("content-length").parse().map_err(io::Error::other)?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if header("content-encoding") == "gzip" {
        let mut text = Vec::new();
        GzDecoder::new(&body[..]).read_to_end(&mut text)?;
        body = text;
    }
    let mut state = state.lock().expect("state");
    if state.stopped {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    if !line.starts_with("POST /_bulk") {
        state.complaints.push(format!("unexpected request {line}"));
    }
    if header("content-type") != "application/x-ndjson" {
        state
            .complaints
            .push(format!("content type {}", header("content-type")));
    }
    let (status, answer) = state.answer(&header("authorization"), &body);
    // What `filter_path` asks for, and no more.
    assert!(path.contains("filter_path=errors,items.*.status,items.*.error,items.*._index"));
    let reason = if status == 200 { "OK" } else { "No" };
    Ok(Some(format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
        answer.len()
    )))
}

impl State {
    fn answer(&mut self, authorization: &str, body: &[u8]) -> (u16, String) {
        if self
            .authorization
            .as_ref()
            .is_some_and(|expected| expected != authorization)
        {
            return (401, json!({"error": "missing authentication"}).to_string());
        }
        let operations = match operations(body) {
            Ok(operations) => operations,
            Err(complaint) => {
                self.complaints.push(complaint.clone());
                return (400, json!({"error": complaint}).to_string());
            }
        };
        self.requests.push(operations.len());
        let mut items = (usize::MAX, 0);
        match self.fault {
            Some(Fault::Request { status }) => {
                self.fault = None;
                return (status, json!({"error": "no"}).to_string());
            }
            Some(Fault::Page { status }) => {
                self.fault = None;
                return (status, "<html>Bad Request</html>".to_owned());
            }
            Some(Fault::Answer(answer)) => {
                self.fault = None;
                return (200, answer.to_owned());
            }
            Some(Fault::TooLarge { documents }) if operations.len() > documents => {
                return (413, String::new());
            }
            Some(Fault::Items { every, status }) => {
                self.fault = None;
                items = (every, status);
            }
            Some(Fault::TooLarge { .. } | Fault::NoStream) | None => {}
        }
        let results: Vec<Value> = operations
            .into_iter()
            .enumerate()
            .map(|(number, operation)| {
                if number % items.0 == items.0 - 1 {
                    return json!({"create": {"status": items.1, "error": {"type": "es_rejected_execution_exception"}}});
                }
                self.apply(operation)
            })
            .collect();
        let errors = results
            .iter()
            .any(|result| result.to_string().contains("error"));
        (200, json!({"errors": errors, "items": results}).to_string())
    }

    fn apply(&mut self, operation: Operation) -> Value {
        let Operation {
            action,
            index,
            id,
            document,
        } = operation;
        if matches!(self.fault, Some(Fault::NoStream)) {
            return json!({action: {"_index": index, "status": 404, "error": {"type": "index_not_found_exception", "index": index}}});
        }
        let backing = |stream: &str| format!(".ds-{stream}-2026.03.05-000001");
        match action.as_str() {
            "create" => {
                if document["extra"]["unmappable"] == json!(true) {
                    return json!({"create": {"_index": backing(&index), "status": 400,
                        "error": {"type": "document_parsing_exception", "reason": "no"}}});
                }
                let key = (index.clone(), id);
                if self.documents.contains_key(&key) {
                    return json!({"create": {"_index": backing(&index), "status": 409,
                        "error": {"type": "version_conflict_engine_exception", "index": backing(&index)}}});
                }
                self.documents.insert(key, document);
                json!({"create": {"_index": backing(&index), "status": 201}})
            }
            "update" => {
                let stream = index
                    .strip_prefix(".ds-")
                    .and_then(|rest| rest.strip_suffix("-2026.03.05-000001"));
                let Some(stream) = stream else {
                    self.complaints
                        .push(format!("update of the data stream {index}"));
                    return json!({"update": {"status": 400, "error": {"type": "illegal_argument_exception"}}});
                };
                match self.documents.get_mut(&(stream.to_owned(), id)) {
                    Some(stored) => {
                        *stored = document["doc"].clone();
                        json!({"update": {"_index": index, "status": 200}})
                    }
                    None => {
                        json!({"update": {"_index": index, "status": 404, "error": {"type": "document_missing_exception"}}})
                    }
                }
            }
            other => {
                self.complaints
                    .push(format!("a data stream takes no {other}"));
                json!({other: {"status": 400, "error": {"type": "illegal_argument_exception"}}})
            }
        }
    }
}

struct Operation {
    action: String,
    index: String,
    id: String,
    document: Value,
}

/// The operations of a body, which is an action and a document a line each, to the last line end.
fn operations(body: &[u8]) -> Result<Vec<Operation>, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    let text = text
        .strip_suffix('\n')
        .ok_or("the bulk request must be terminated by a newline [\\n]")?;
    let lines: Vec<Value> = text
        .split('\n')
        .map(|line| serde_json::from_str(line).map_err(|error| error.to_string()))
        .collect::<Result<_, _>>()?;
    let (pairs, rest) = lines.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("an action without a document".to_owned());
    }
    let operation = |[action, document]: &[Value; 2]| {
        let (name, target) = action
            .as_object()
            .and_then(|a| a.iter().next())
            .ok_or("no action")?;
        let part = |key: &str| target[key].as_str().map(str::to_owned);
        if document.get("@timestamp").is_none() && document.pointer("/doc/@timestamp").is_none() {
            return Err("a data stream wants @timestamp");
        }
        Ok(Operation {
            action: name.clone(),
            index: part("_index").ok_or("no _index")?,
            id: part("_id").ok_or("no _id")?,
            document: document.clone(),
        })
    };
    pairs
        .iter()
        .map(operation)
        .collect::<Result<_, &str>>()
        .map_err(str::to_owned)
}
