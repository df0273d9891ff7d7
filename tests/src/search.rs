//! A search server that takes `_bulk` as a data stream does: `create` only, each id once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

/// Longest body, above what the agent sends at once.
const MAX_BODY: usize = 64 << 20;

#[derive(Debug, Default)]
struct State {
    /// By id, as sent first.
    documents: BTreeMap<String, Value>,
    /// Requests that such a server would refuse.
    complaints: Vec<String>,
    /// Hangs up on whoever asks.
    is_down: bool,
}

/// The server; it listens until the test process ends.
#[derive(Debug)]
pub struct SearchServer {
    state: Arc<Mutex<State>>,
}

impl SearchServer {
    /// Listens on this port of loopback.
    pub fn start(port: u16) -> Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || {
                    if let Err(error) = serve(&stream, &state) {
                        lock(&state).complaints.push(format!("{error:#}"));
                    }
                });
            }
        });
        Ok(Self { state })
    }

    /// How many documents it has, each id once.
    pub fn count(&self) -> usize {
        lock(&self.state).documents.len()
    }

    /// What `find` makes of each of them.
    pub fn each<T>(&self, find: impl FnMut(&Value) -> Option<T>) -> Vec<T> {
        lock(&self.state)
            .documents
            .values()
            .filter_map(find)
            .collect()
    }

    /// Makes it hang up before it answers, or answer again.
    pub fn set_down(&self, is_down: bool) {
        lock(&self.state).is_down = is_down;
    }

    /// What was wrong with requests.
    pub fn complaints(&self) -> Vec<String> {
        lock(&self.state).complaints.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Requests on one connection, until the agent ends it or is killed in the middle of one.
fn serve(stream: &TcpStream, state: &Mutex<State>) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut length = None;
        let mut request = String::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = Some(value.trim().parse::<usize>()?);
            }
            if request.is_empty() {
                line.clone_into(&mut request);
            }
        }
        let length = length.with_context(|| format!("no length: {request}"))?;
        ensure!(length <= MAX_BODY, "{length} bytes");
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() || lock(state).is_down {
            return Ok(());
        }
        ensure!(
            request.starts_with("POST /") && request.contains("_bulk"),
            "{request}"
        );
        let answer = bulk(&body, state)?.to_string();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
        if write!(writer, "{head} {}\r\n\r\n{answer}", answer.len()).is_err() {
            return Ok(());
        }
    }
}

/// Takes all items of a request; the answer.
fn bulk(body: &[u8], state: &Mutex<State>) -> Result<Value> {
    let text = std::str::from_utf8(body)?;
    ensure!(text.ends_with('\n'), "no newline at the end");
    let mut lines = text.lines();
    let mut items = Vec::new();
    let mut errors = false;
    while let Some(action) = lines.next() {
        let action: Value = serde_json::from_str(action)?;
        let Some(create) = action.get("create") else {
            bail!("not create: {action}");
        };
        let id = create
            .get("_id")
            .and_then(Value::as_str)
            .context("no _id")?;
        let document: Value = serde_json::from_str(lines.next().context("no document")?)?;
        ensure!(document.get("@timestamp").is_some(), "no @timestamp");
        let is_new = match lock(state).documents.entry(id.to_owned()) {
            Entry::Vacant(place) => {
                place.insert(document);
                true
            }
            Entry::Occupied(_) => false,
        };
        errors |= !is_new;
        let status = if is_new { 201 } else { 409 };
        let mut item = json!({"_index": ".ds-test-000001", "_id": id, "status": status});
        if !is_new && let Value::Object(fields) = &mut item {
            let error =
                json!({"type": "version_conflict_engine_exception", "reason": "it is there"});
            fields.insert("error".to_owned(), error);
        }
        items.push(json!({"create": item}));
    }
    Ok(json!({"took": 1, "errors": errors, "items": items}))
}
