//! Sinks on this host, and what all have in common.

use std::path::Path;

use super::{
    keys::COMMON,
    remote,
    values::{bytes, duration, names_nothing, only, path, sync, text},
};
use crate::{
    config::{File, Format, Journald, Sink, Stdout, Stream, Streams, Target},
    source::{Table, nearest},
};

const KINDS: [(&str, Kind); 5] = [
    ("stdout", Kind::Stdout),
    ("file", Kind::File),
    ("journald", Kind::Journald),
    ("syslog", Kind::Syslog),
    ("elasticsearch", Kind::Elasticsearch),
];

#[derive(Clone, Copy)]
enum Kind {
    Stdout,
    File,
    Journald,
    Syslog,
    Elasticsearch,
}

pub(super) fn sinks(root: &Table<'_>) -> Vec<Sink> {
    let mut out: Vec<Sink> = Vec::new();
    for table in root.tables("sinks") {
        let Some(sink) = sink(&table) else {
            continue;
        };
        if out.iter().any(|other| other.name == sink.name) {
            let message = format!("another sink is called {:?} already", sink.name);
            table.error(if table.has("name") { "name" } else { "type" }, message);
        }
        let is_stdout = |sink: &Sink| matches!(sink.target, Target::Stdout(_));
        if is_stdout(&sink) && out.iter().any(is_stdout) {
            table.error("type", "there is one standard output".to_owned());
        }
        if let Target::File(file) = &sink.target
            && let Some(other) = out.iter().find(|other| writes_to(other, &file.path))
        {
            // Either would rotate the file away under the other.
            let path = file.path.display();
            let message = format!("sink {:?} writes to {path} already", other.name);
            table.error(if table.has("path") { "path" } else { "type" }, message);
        }
        out.push(sink);
    }
    out
}

fn writes_to(sink: &Sink, path: &Path) -> bool {
    matches!(&sink.target, Target::File(file) if file.path == path)
}

fn sink(table: &Table<'_>) -> Option<Sink> {
    let kind = table.one_of("type", &KINDS)?;
    let target = match kind {
        Kind::Stdout => Target::Stdout(stdout(table)),
        Kind::File => Target::File(file(table)),
        Kind::Journald => Target::Journald(journald(table)),
        Kind::Syslog => Target::Syslog(remote::syslog(table)),
        Kind::Elasticsearch => Target::Elasticsearch(remote::elasticsearch(table)),
    };
    let name = text(table, "name", target.kind().to_owned());
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.len() > 64 || !name.bytes().all(fits) {
        // It is the name of a folder too.
        let message = "name is made of letters, digits, - and _, 64 at most".to_owned();
        table.error("name", message);
    }
    Some(Sink {
        name,
        streams: streams(table),
        target,
    })
}

fn streams(table: &Table<'_>) -> Streams {
    let names: Vec<&str> = Stream::ALL.iter().map(|stream| stream.name()).collect();
    let said = table.strings("streams");
    if names_nothing(table, "streams") {
        table.error(
            "streams",
            format!("streams must name some of {}", names.join(", ")),
        );
    }
    let known = |name: &String| {
        let found = Stream::ALL.iter().find(|stream| stream.name() == name);
        if found.is_none() {
            let near = nearest(name, &names);
            let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            let message = format!("{name:?} is none of {}{near}", names.join(", "));
            table.error("streams", message);
        }
        found.copied()
    };
    said.iter().filter_map(known).collect()
}

fn stdout(table: &Table<'_>) -> Stdout {
    only(table, "stdout", &COMMON);
    let formats = [
        ("auto", Format::Auto),
        ("ndjson", Format::Ndjson),
        ("pretty", Format::Pretty),
    ];
    Stdout {
        format: table
            .optional_one_of("format", &formats)
            .unwrap_or(Stdout::default().format),
    }
}

fn file(table: &Table<'_>) -> File {
    let default = File::default();
    only(table, "file", &COMMON);
    let keep = table.integer("keep").map_or(Some(default.keep), |keep| {
        u32::try_from(keep)
            .ok()
            .filter(|keep| (1..=1_000).contains(keep))
    });
    if keep.is_none() {
        table.error("keep", "keep must be 1 to 1000 files".to_owned());
    }
    File {
        path: path(table, "path", default.path),
        max_bytes: bytes(table, "max_bytes", default.max_bytes),
        max_age: duration(table, "max_age", default.max_age),
        keep: keep.unwrap_or(default.keep),
        compress: table.boolean("compress").unwrap_or(default.compress),
        sync: sync(table, default.sync),
    }
}

fn journald(table: &Table<'_>) -> Journald {
    let default = Journald::default();
    only(table, "journald", &COMMON);
    Journald {
        socket: path(table, "socket", default.socket),
        identifier: identifier(table, default.identifier),
    }
}

/// A name that every syslog carries: visible ASCII, 48 at most (RFC 5424).
pub(super) fn identifier(table: &Table<'_>, default: String) -> String {
    let name = text(table, "identifier", default);
    if name.is_empty() || name.len() > 48 || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = "identifier is made of visible ASCII characters, 1 to 48".to_owned();
        table.error("identifier", message);
    }
    name
}
