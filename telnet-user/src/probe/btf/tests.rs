use proptest::prelude::*;

use super::*;

/// Builds BTF by hand: types in order, ids from 1.
#[derive(Default)]
struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Builder {
    fn name(&mut self, text: &str) -> u32 {
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        if text.is_empty() {
            return 0;
        }
        let offset = u32::try_from(self.strings.len()).expect("small");
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        offset
    }

    fn words(&mut self, words: &[u32]) {
        for word in words {
            self.types.extend(word.to_ne_bytes());
        }
    }

    fn int(&mut self, name: &str) {
        let name = self.name(name);
        self.words(&[name, kind::INT << 24, 4, 32]);
    }

    fn alias(&mut self, kind: u32, name: &str, target: u32) {
        let name = self.name(name);
        self.words(&[name, kind << 24, target]);
    }

    /// Members are (name, type id, offset word).
    fn composite(&mut self, kind: u32, bitfields: bool, name: &str, members: &[(&str, u32, u32)]) {
        let name = self.name(name);
        let count = u32::try_from(members.len()).expect("small");
        self.words(&[name, u32::from(bitfields) << 31 | kind << 24 | count, 64]);
        for (name, target, place) in members {
            let name = self.name(name);
            self.words(&[name, *target, *place]);
        }
    }

    fn finish(self) -> Vec<u8> {
        let mut data = Vec::new();
        data.extend(MAGIC.to_ne_bytes());
        data.extend([1, 0]);
        let types = u32::try_from(self.types.len()).expect("small");
        let strings = u32::try_from(self.strings.len()).expect("small");
        for word in [24, 0, types, types, strings] {
            data.extend(u32::to_ne_bytes(word));
        }
        data.extend(self.types);
        data.extend(self.strings);
        data
    }
}

fn sample() -> Vec<u8> {
    let mut btf = Builder::default();
    btf.int("unsigned int"); // 1
    btf.composite(
        kind::STRUCT,
        false,
        "",
        &[("skc_daddr", 1, 0), ("skc_rcv_saddr", 1, 32)],
    ); // 2
    btf.composite(
        kind::UNION,
        false,
        "",
        &[("skc_addrpair", 1, 0), ("", 2, 0)],
    ); // 3
    btf.composite(
        kind::STRUCT,
        false,
        "sock_common",
        &[("skc_hash", 1, 0), ("", 3, 64)],
    ); // 4
    btf.composite(
        kind::STRUCT,
        true,
        "sock",
        &[
            ("__sk_common", 4, 0),
            ("sk_kern_sock", 1, 1 << 24 | 128),
            ("sk_protocol", 1, 160),
        ],
    ); // 5
    btf.alias(kind::TYPEDEF, "sock_alias", 4); // 6
    btf.alias(kind::CONST, "", 6); // 7
    btf.composite(
        kind::STRUCT,
        false,
        "holder",
        &[("pad", 1, 0), ("inner", 7, 32)],
    ); // 8
    btf.finish()
}

#[test]
fn offsets_go_through_anonymous_members_typedefs_and_bit_fields() {
    let btf = Btf::parse(sample()).expect("valid");
    let cases = [
        ("sock_common", "skc_hash", Some(0)),
        ("sock_common", "skc_daddr", Some(8)),
        ("sock_common", "skc_rcv_saddr", Some(12)),
        ("sock", "sk_protocol", Some(20)),
        ("sock", "sk_kern_sock", None),
        ("sock", "__sk_common.skc_daddr", Some(8)),
        ("holder", "inner.skc_rcv_saddr", Some(16)),
        ("holder", "pad.anything", None),
        ("sock", "sk_proto", None),
        ("nothing", "skc_hash", None),
    ];
    for (structure, path, expected) in cases {
        assert_eq!(
            btf.offset_of(structure, path),
            expected,
            "{structure}.{path}"
        );
    }
}

#[test]
fn a_structure_that_contains_itself_ends() {
    let mut btf = Builder::default();
    btf.composite(kind::STRUCT, false, "loop", &[("", 1, 8)]);
    btf.alias(kind::TYPEDEF, "circle", 2);
    btf.composite(kind::STRUCT, false, "round", &[("", 2, 0)]);
    let btf = Btf::parse(btf.finish()).expect("valid");
    assert_eq!(btf.offset_of("loop", "x"), None);
    assert_eq!(btf.offset_of("round", "x"), None);
}

#[test]
fn refuses_what_is_not_btf() {
    assert!(matches!(
        Btf::parse(b"not BTF at all, but long enough".to_vec()),
        Err(BtfError::Magic(_))
    ));
    let mut unknown = Builder::default();
    unknown.words(&[0, 31 << 24, 0]);
    assert!(matches!(
        Btf::parse(unknown.finish()),
        Err(BtfError::Kind { id: 1, kind: 31 })
    ));
}

#[test]
fn this_kernel_has_the_constant_members_where_every_kernel_has_them() {
    // Present on every machine that can run the agent; unit tests may run on others.
    let Ok(data) = std::fs::read(VMLINUX) else {
        return;
    };
    let btf = Btf::parse(data).expect("the kernel's own BTF");
    assert_eq!(btf.offset_of("sock_common", "skc_daddr"), Some(0));
    assert_eq!(btf.offset_of("sock_common", "skc_dport"), Some(12));
    assert_eq!(btf.offset_of("sock_common", "skc_family"), Some(16));
    for (_, structure, path) in crate::probe::offsets::OFFSETS {
        assert!(
            btf.offset_of(structure, path).is_some(),
            "{structure}.{path}"
        );
    }
}

proptest! {
    #[test]
    fn cut_short_anywhere_it_is_an_error_or_still_answers(cut in 0usize..500) {
        let mut data = sample();
        data.truncate(cut.min(data.len()));
        if let Ok(btf) = Btf::parse(data) {
            let _offset = btf.offset_of("sock_common", "skc_daddr");
        }
    }

    #[test]
    fn changed_anywhere_it_never_panics(place in 0usize..500, byte: u8) {
        let mut data = sample();
        let place = place % data.len();
        data[place] = byte;
        if let Ok(btf) = Btf::parse(data) {
            let _offset = btf.offset_of("holder", "inner.skc_rcv_saddr");
        }
    }
}
