//! Names and types against ECS, and nothing empty whatever is unknown.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::{
    probe::record::SocketError,
    session::{Ending, Failure, Traffic},
};

/// `name,type,array` of the ECS fields that documents use, from ECS 9.5's generated field list.
const FIELDS: &str = include_str!("../../../fixtures/docs/fields.csv");

fn fields() -> BTreeMap<&'static str, (&'static str, bool)> {
    FIELDS
        .lines()
        .skip(1)
        .map(|line| {
            let mut columns = line.split(',');
            let mut next = || columns.next().unwrap_or_default();
            (next(), (next(), next() == "array"))
        })
        .collect()
}

/// Every leaf with its path; a list is a leaf unless it holds objects.
fn leaves<'a>(path: &str, value: &'a Value, out: &mut Vec<(String, &'a Value)>) {
    let objects: Vec<_> = match value {
        Value::Array(list) if list.iter().any(Value::is_object) => list.iter().collect(),
        Value::Object(map) if !map.is_empty() => vec![value],
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => return out.push((path.to_owned(), value)),
    };
    for (key, value) in objects
        .iter()
        .filter_map(|value| value.as_object())
        .flatten()
    {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        leaves(&path, value, out);
    }
}

fn is_of_type(kind: &str, value: &Value) -> bool {
    let text = value.as_str();
    match kind {
        "long" => value
            .as_u64()
            .is_some_and(|number| i64::try_from(number).is_ok()),
        "ip" => text.is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok()),
        "date" => text.is_some_and(|text| text.ends_with('Z') && text.parse::<Timestamp>().is_ok()),
        _ => text.is_some(),
    }
}

/// What is wrong with a document.
fn faults(document: &Value) -> Vec<String> {
    let fields = fields();
    let mut all = Vec::new();
    leaves("", document, &mut all);
    let mut faults = Vec::new();
    for (path, value) in all {
        if !path.starts_with("telnet.") {
            let Some((kind, is_array)) = fields.get(path.as_str()) else {
                faults.push(format!("{path} is not an ECS field"));
                continue;
            };
            if *is_array != value.is_array() {
                faults.push(format!("{path} is a list or should be"));
            }
            let items = value
                .as_array()
                .map_or(std::slice::from_ref(value), Vec::as_slice);
            if !items.iter().all(|item| is_of_type(kind, item)) {
                faults.push(format!("{path} is not {kind}"));
            }
        }
        empties(&path, value, &mut faults);
    }
    faults
}

fn empties(path: &str, value: &Value, faults: &mut Vec<String>) {
    let is_empty = match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => {
            for item in list {
                empties(path, item, faults);
            }
            list.is_empty()
        }
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    if is_empty {
        faults.push(format!("{path} is empty"));
    }
}

#[test]
fn every_field_is_in_ecs_or_ours() {
    let mut used = BTreeSet::new();
    for (name, document) in golden::samples() {
        assert_eq!(faults(&document), Vec::<String>::new(), "{name}");
        let mut all = Vec::new();
        leaves("", &document, &mut all);
        used.extend(all.into_iter().map(|(path, _)| path));
    }
    let unused: Vec<_> = fields()
        .into_keys()
        .filter(|name| !used.contains(*name))
        .collect();
    assert_eq!(
        unused,
        Vec::<&str>::new(),
        "listed, but in no golden document"
    );
}

/// What the guide says of fields that ECS does not have.
const GUIDE: &str = include_str!("../../../../docs/operations.md");

/// The fields that the guide tells, `.*` at the end of one for all below it.
fn told() -> Vec<String> {
    let (_, section) = GUIDE
        .split_once("\n## Fields under `telnet.`\n")
        .expect("a section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut told: Vec<String> = Vec::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cell = row.split('|').nth(1).unwrap_or_default();
        for name in cell.split('`').skip(1).step_by(2) {
            // `telnet.a.b`, `.c`
            let set = told.last().and_then(|last| last.rsplit_once('.'));
            let full = match (name.strip_prefix('.'), set) {
                (Some(name), Some((set, _))) => format!("{set}.{name}"),
                (Some(_), None) | (None, _) => name.to_owned(),
            };
            told.push(full);
        }
    }
    told
}

#[test]
fn the_guide_tells_every_field_of_ours() {
    let mut used = BTreeSet::new();
    for (_, document) in golden::samples() {
        let mut all = Vec::new();
        leaves("", &document, &mut all);
        used.extend(all.into_iter().map(|(path, _)| path));
    }
    used.retain(|field| field.starts_with("telnet."));
    let told = told();
    let is_it = |told: &str, field: &str| match told.strip_suffix('*') {
        Some(set) => field.starts_with(set),
        None => field == told,
    };
    let untold: Vec<_> = used
        .iter()
        .filter(|field| !told.iter().any(|told| is_it(told, field)))
        .collect();
    assert_eq!(untold, Vec::<&String>::new(), "not in the guide");
    let unused: Vec<_> = told
        .iter()
        .filter(|told| !used.iter().any(|field| is_it(told, field)))
        .collect();
    assert_eq!(unused, Vec::<&String>::new(), "in no golden document");
}

#[test]
fn faults_are_found() {
    let document = serde_json::json!({
        "event": {"id": "", "type": "start", "duration": "1", "made_up": 1},
        "telnet": {"ancestors": [], "session": {"id": null}},
        "process": {},
    });
    assert_eq!(faults(&document).len(), 7, "{:?}", faults(&document));
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        any::<String>(),
        Just("é".repeat(1_500)),
        Just("/usr/sbin/telnetd".to_owned()),
    ]
}

fn name() -> impl Strategy<Value = Named> {
    (any::<u32>(), option::of(text())).prop_map(|(id, name)| Named { id, name })
}

fn direction(is_ingress: bool) -> Direction {
    if is_ingress {
        Direction::Ingress
    } else {
        Direction::Egress
    }
}

prop_compose! {
    fn ancestors()(pid in any::<u32>(), start in option::of(any::<u64>()), texts in vec(option::of(text()), 3))
        -> Ancestor {
        let text = |index: usize| texts[index].clone();
        Ancestor {
            pid,
            start: start.map(BootTime::from_nanos),
            entity_id: text(0),
            name: text(1),
            executable: text(2),
        }
    }
}

prop_compose! {
    fn processes()(
        pid in any::<u32>(),
        start in option::of(any::<u64>()),
        texts in vec(option::of(text()), 8),
        args in vec(text(), 0..4),
        (args_truncated, tty) in (any::<bool>(), option::of(any::<(u32, u32)>())),
        (user, group) in (name(), name()),
        (effective_user, effective_group) in (option::of(name()), option::of(name())),
        capabilities in vec(text(), 0..3),
        ancestors in vec(ancestors(), 0..4),
        container in option::of((text(), option::of(text()))),
    ) -> Process {
        let text = |index: usize| texts[index].clone();
        Process {
            pid,
            start: start.map(BootTime::from_nanos),
            entity_id: text(0),
            name: text(1),
            executable: text(2),
            sha256: text(3),
            args,
            args_truncated,
            working_directory: text(4),
            tty,
            user,
            group,
            effective_user,
            effective_group,
            capabilities,
            ancestors,
            container: container.map(|(id, pod_uid)| Container {
                id,
                runtime: text(5).map(|_| "docker"),
                pod_uid,
            }),
            unit: text(6),
            slice: text(7),
        }
    }
}

prop_compose! {
    fn all_facts()(
        owners in vec(option::of(processes()), 4),
        texts in vec(option::of(text()), 9),
        ip in vec(any::<std::net::IpAddr>(), 0..3),
        mac in vec(text(), 0..3),
    ) -> Facts {
        let text = |index: usize| texts[index].clone();
        let one = |index: usize, source| {
            owners[index].clone().map(|process| owner(process, source))
        };
        Facts {
            host: Arc::new(Host {
                hostname: text(0),
                id: text(1),
                boot_id: text(2),
                architecture: text(3),
                ip,
                mac,
                os: Os {
                    name: text(4),
                    version: text(5),
                    full: text(6),
                    platform: text(7),
                    kernel: text(8),
                },
            }),
            owners: OwnersFacts {
                listener: one(0, Attribution::Listen),
                acceptor: one(1, Attribution::SockDiag),
                handler: one(2, Attribution::Held),
                client: one(3, Attribution::Connect),
            },
            ..Facts::default()
        }
    }
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let traffic = any::<(u64, u64, u32, u32)>().prop_map(
        |(bytes_received, bytes_sent, segments_received, segments_sent)| Traffic {
            bytes_received,
            bytes_sent,
            segments_received,
            segments_sent,
        },
    );
    let ending = prop_oneof![
        option::of(any::<bool>()).prop_map(|local_first| Ending::Fin { local_first }),
        Just(Ending::Reset),
        Just(Ending::Timeout),
        Just(Ending::Unknown),
    ];
    prop_oneof![
        Just(Fact::Attempted),
        Just(Fact::Accepted),
        Just(Fact::Established),
        prop_oneof![
            Just(SocketError::Unknown),
            Just(SocketError::Clear),
            any::<u16>().prop_map(SocketError::Errno),
        ]
        .prop_map(|error| Fact::Failed(Failure { error })),
        (ending, option::of(traffic)).prop_map(|(ending, traffic)| Fact::Closed(ending, traffic)),
    ]
}

prop_compose! {
    fn observations()(
        kind in 0..3_u8,
        fact in any_fact(),
        (address, cookie, netns) in any::<(u64, Option<u64>, Option<u32>)>(),
        (local, remote) in any::<(SocketAddr, SocketAddr)>(),
        is_ingress in any::<bool>(),
        is_chosen in any::<bool>(),
        preexisting in any::<bool>(),
        (attempted, opened) in any::<(Option<u64>, Option<u64>)>(),
        time in any::<u64>(),
    ) -> Observation {
        let key = SocketKey { address, cookie };
        let local = if is_chosen { local } else { end("[::]:0") };
        let (opened, time) = (opened.map(BootTime::from_nanos), BootTime::from_nanos(time));
        let listener = Listener { key, netns, local, opened, preexisting, reported: false, owner: None };
        match kind {
            0 => Observation::ListenerOpened { listener, time },
            1 => Observation::ListenerClosed { listener, time },
            _ => observed(
                Session {
                    netns,
                    attempted: attempted.map(BootTime::from_nanos),
                    opened,
                    preexisting,
                    ..Session::new(key, direction(is_ingress), local, remote)
                },
                fact,
                time,
            ),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_is_empty_and_every_type_fits(observation in observations(), facts in all_facts()) {
        let document = document(&observation, &facts);
        prop_assert_eq!(faults(&document), Vec::<String>::new());
    }
}
