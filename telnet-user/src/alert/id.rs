//! Deterministic alert ids: delivering twice is harmless.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::Origin;

/// `kibana.alert.uuid`, the SHA-256 that Kibana computes for the same event and rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AlertId([u8; 32]);

impl AlertId {
    /// The id of an alert of the rule object `rule_uuid` in `space` on the
    /// document `id` (with `version`) of `index`.
    ///
    /// The parts are hashed one after the other without separators, as Kibana's
    /// `generateId` does.
    pub fn new(index: &str, id: &str, version: u64, space: &str, rule_uuid: &str) -> Self {
        let mut version_text = itoa::Buffer::new();
        let version = version_text.format(version);
        let mut hash = Sha256::new();
        for part in [index, id, version, space, ":", rule_uuid] {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The id of an alert of the rule object `rule_uuid` in `space` on the document
    /// at `origin`.
    pub(crate) fn of(origin: &Origin, space: &str, rule_uuid: &str) -> Self {
        let Origin { index, id, version } = origin;
        Self::new(index, id, *version, space, rule_uuid)
    }

    /// The first half: enough to tell ids apart, half the memory.
    pub(crate) fn short(self) -> u128 {
        self.0
            .first_chunk()
            .map_or(0, |half| u128::from_be_bytes(*half))
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[byte >> 4, byte & 0xf].map(digit));
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// The hexadecimal digit of four bits.
const fn digit(bits: u8) -> u8 {
    bits + if bits < 10 { b'0' } else { b'a' - 10 }
}

/// Lower-case hexadecimal SHA-256 of `text`.
pub(crate) fn sha256_hex(text: &str) -> String {
    AlertId(Sha256::digest(text.as_bytes()).into()).to_string()
}

#[cfg(test)]
mod tests {
    use super::AlertId;

    #[test]
    fn ids_of_known_events() {
        let rule = "34fde489-94b0-4500-a76f-b8a157cf9269";
        let cases = [
            (
                ".ds-logs-hostagent.network-default-2026.03.05-000001",
                "01HQ",
                "73e273d9949b93433b703e31110e558b9275e692a4dcbbbeb0c98e8d02f9bf3e",
            ),
            (
                "logs-hostagent.network-default",
                "7f3c-42",
                "7da57d43d953cd4ae6a929fc2d78a6ccf5049615422df33707232d0d45ff2489",
            ),
        ];
        for (index, id, expected) in cases {
            let found = AlertId::new(index, id, 1, "default", rule);
            assert_eq!(found.to_string(), expected);
            assert!(expected.starts_with(&format!("{:032x}", found.short())));
        }
    }
}
