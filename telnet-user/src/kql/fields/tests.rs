use super::{FieldType, analyzed_parent, lookup};

#[test]
fn types_by_name() {
    let cases = [
        ("@timestamp", Some(FieldType::Date)),
        ("destination.port", Some(FieldType::Long)),
        ("source.geo.location", Some(FieldType::GeoPoint)),
        ("process.parent.group_leader.start", Some(FieldType::Date)),
        ("process.command_line", Some(FieldType::Keyword)),
        ("process.command_line.text", Some(FieldType::Text)),
        ("error.message", Some(FieldType::Text)),
        (
            "threat.indicator.file.pe.sections.entropy",
            Some(FieldType::Long),
        ),
        ("file.elf.imports", Some(FieldType::Flattened)),
        ("file.elf.imports.any.key", Some(FieldType::Keyword)),
        ("host.risk.static_score", Some(FieldType::Double)),
        ("telnet.session.preexisting", Some(FieldType::Boolean)),
        ("telnet.handler.pid", Some(FieldType::Long)),
        ("kibana.alert.risk_score", Some(FieldType::Double)),
        ("azure.caller.ip", Some(FieldType::Ip)),
        ("okta.client_ip", Some(FieldType::Ip)),
        ("destination", None),
        ("destination.portal", None),
        ("port", None),
        ("", None),
    ];
    for (name, expected) in cases {
        assert_eq!(lookup(name), expected, "{name}");
    }
}

#[test]
fn only_the_text_form_of_a_keyword_has_a_parent() {
    assert_eq!(analyzed_parent("process.name.text"), Some("process.name"));
    assert_eq!(analyzed_parent("process.io.text"), None);
    assert_eq!(analyzed_parent("vendor.note.text"), None);
    assert_eq!(analyzed_parent("destination.port.text"), None);
}
