use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Indexed, Node, Object, View};

/// The tree again, by way of nodes.
fn tree(node: Node<'_>) -> Value {
    match node.view() {
        View::Null => Value::Null,
        View::Bool(value) => Value::Bool(value),
        View::Number(number) => Value::Number(number),
        View::Text(text) => Value::from(text),
        View::Array(elements) => elements.map(tree).collect(),
        View::Object(members) => members
            .map(|(key, value)| (key.to_owned(), tree(value)))
            .collect(),
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-999_i32..999).prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        "[a-c\"\\\\\n\u{1}é]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object(inner).prop_map(Value::Object),
        ]
    })
}

fn object(
    inner: impl Strategy<Value = Value>,
) -> impl Strategy<Value = serde_json::Map<String, Value>> {
    prop::collection::vec(("[a-c.\"\n]{1,3}", inner), 0..5)
        .prop_map(|members| members.into_iter().collect())
}

proptest! {
    #[test]
    fn text_and_nodes_are_those_of_the_tree(value in value()) {
        let document = Indexed::of(&value).expect("JSON");
        prop_assert_eq!(document.text(), value.to_string());
        prop_assert_eq!(tree(document.root()), value.clone());
        prop_assert_eq!(document.root().to_value(), value.clone());
        prop_assert_eq!(tree(Node::from(&value)), value);
    }

    #[test]
    fn extending_is_having_the_members_of_both(first in object(value()), second in object(value())) {
        let second: serde_json::Map<_, _> = second
            .into_iter()
            .filter(|(key, _)| !first.contains_key(key))
            .collect();
        let mut document = Indexed::of(&first).expect("JSON");
        document.extend(&Indexed::of(&second).expect("JSON"));
        let mut both = first;
        both.extend(second);
        let both = Value::Object(both);
        prop_assert_eq!(document.text(), both.to_string());
        prop_assert_eq!(tree(document.root()), both);
    }
}

#[test]
fn structs_are_written_as_serde_json_writes_them() {
    #[derive(Serialize)]
    struct Fields<'a> {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        absent: Option<u8>,
        number: Option<i32>,
        pair: (u8, char),
        ip: std::net::IpAddr,
        unit: (),
        float: f32,
        shown: Shown<'a>,
        escaped: Shown<'a>,
    }

    struct Shown<'a>(&'a str);

    impl Serialize for Shown<'_> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(&format_args!("<{}>", self.0))
        }
    }

    let fields = Fields {
        text: "a\"b",
        absent: None,
        number: Some(-7),
        pair: (1, '\n'),
        ip: [192, 0, 2, 1].into(),
        unit: (),
        float: f32::NAN,
        shown: Shown("é"),
        escaped: Shown("\\"),
    };
    let document = Indexed::of(&fields).expect("JSON");
    assert_eq!(
        document.text(),
        serde_json::to_string(&fields).expect("JSON")
    );
    // Each value can be taken out as text too, which is what alerts do.
    let mut again = String::new();
    let mut object = Object::begin(&mut again);
    for (key, value) in document.root().members() {
        object.node(key, value);
    }
    object.end();
    assert_eq!(again, document.text());
    assert_eq!(tree(document.root()), document.to_value());
}

proptest! {
    /// Eight bytes are looked at together, so every place of a byte to escape counts.
    #[test]
    fn strings_are_escaped_as_serde_json_does(text in "[ -~é\u{1f}\"]{0,20}") {
        let mut out = String::new();
        let is_plain = super::push_text(&mut out, &text);
        prop_assert_eq!(&out, &serde_json::to_string(&text).expect("JSON"));
        prop_assert_eq!(is_plain, out.len() == text.len() + 2);
    }
}

#[test]
fn an_object_is_written_member_by_member() {
    let mut out = String::new();
    let mut object = Object::begin(&mut out);
    object.members("");
    object.text("a", "\"");
    object.raw("b", "[1]");
    object.members("\"c\":2,\"d\":null");
    object.value("e", &1.5);
    object.node("f", Node::from(&json!({"g": "h"})));
    object.end();
    let expected = json!({"a": "\"", "b": [1], "c": 2, "d": null, "e": 1.5, "f": {"g": "h"}});
    assert_eq!(out, expected.to_string());
}

#[test]
fn a_byte_that_needs_an_escape_is_seen_wherever_it_stands() {
    // Those whose neighbours could hide them or look like them.
    for around in [' ', '!', '"', '#', '[', ']', '\u{7f}'] {
        for byte in 0..0x80_u8 {
            for (before, after) in (0..18).flat_map(|all| (0..=all).map(move |at| (at, all - at))) {
                let around = |count| around.to_string().repeat(count);
                let text = around(before) + &char::from(byte).to_string() + &around(after);
                let mut out = String::new();
                super::push_text(&mut out, &text);
                assert_eq!(out, Value::from(text).to_string());
            }
        }
    }
}
