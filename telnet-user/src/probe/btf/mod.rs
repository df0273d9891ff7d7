//! The running kernel's type information: where a structure keeps a member.
//!
//! Only what the loader needs of <https://docs.kernel.org/bpf/btf.html>: names, members, the
//! number of a function's arguments. The probe's own object needs no BTF parsing here.

use thiserror::Error;

/// Where the kernel exposes its BTF.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
/// Bytes of a type's fixed part.
const TYPE_BYTES: usize = 12;
/// How many typedefs and qualifiers are looked through, and how deep members nest.
const DEPTH: usize = 16;

mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// Why type information could not be used.
#[derive(Debug, Error)]
pub enum BtfError {
    /// Not BTF, or of a version this parser does not know.
    #[error("not BTF of this machine's byte order: magic {0:#06x}")]
    Magic(u16),
    /// The data ends inside something.
    #[error("BTF ends early: {0} bytes at offset {1} are not there")]
    Truncated(usize, usize),
    /// A kind that this parser does not know, so its size is unknown too.
    #[error("BTF type {id} has unknown kind {kind}")]
    Kind {
        /// Type id, from 1.
        id: usize,
        /// Its kind.
        kind: u32,
    },
}

/// Parsed type information.
#[derive(Debug)]
pub struct Btf {
    data: Vec<u8>,
    /// Byte offset of each type; type ids start at 1.
    types: Vec<usize>,
    strings: usize,
}

/// One type's fixed part.
#[derive(Clone, Copy, Debug)]
struct Type {
    offset: usize,
    name: usize,
    info: u32,
    /// Size or type id.
    target: u32,
}

impl Type {
    const fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    fn members(self) -> usize {
        usize::try_from(self.info & 0xffff).unwrap_or(0)
    }

    const fn has_bitfields(self) -> bool {
        self.info >> 31 == 1
    }
}

impl Btf {
    /// Parses the content of [`VMLINUX`].
    ///
    /// # Errors
    ///
    /// When the data is not BTF, is cut short, or has a kind of type that is not known.
    pub fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        let mut btf = Self {
            data,
            types: Vec::new(),
            strings: 0,
        };
        let magic = u16::from_ne_bytes(btf.bytes(0)?);
        if magic != MAGIC {
            return Err(BtfError::Magic(magic));
        }
        let header = btf.size(4)?;
        let start = header.saturating_add(btf.size(8)?);
        let end = start.saturating_add(btf.size(12)?);
        btf.strings = header.saturating_add(btf.size(16)?);
        if end > btf.data.len() {
            return Err(BtfError::Truncated(end, start));
        }
        let mut offset = start;
        while offset < end {
            btf.types.push(offset);
            offset = btf.end_of(offset)?;
        }
        Ok(btf)
    }

    /// Byte offset of a member, given as a path (`ns.inum`); members of anonymous structures and
    /// unions count as the outer one's. `None` when it does not exist or is a bit field.
    pub fn offset_of(&self, structure: &str, path: &str) -> Option<u32> {
        let mut current = self.find(structure)?;
        let mut bits = 0u32;
        for name in path.split('.') {
            let (offset, member) = self.member(current, name, DEPTH)?;
            bits = bits.checked_add(offset)?;
            current = self.resolve(member)?;
        }
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    fn find(&self, structure: &str) -> Option<Type> {
        self.types
            .iter()
            .filter_map(|&offset| self.read(offset).ok())
            .find(|found| found.kind() == kind::STRUCT && self.is_named(*found, structure))
    }

    /// Bit offset and type id of a member.
    fn member(&self, outer: Type, name: &str, depth: usize) -> Option<(u32, u32)> {
        if !matches!(outer.kind(), kind::STRUCT | kind::UNION) {
            return None;
        }
        for index in 0..outer.members() {
            let entry = outer.offset + TYPE_BYTES + index * 12;
            let member_name = self.size(entry).ok()?;
            let target = self.word(entry + 4).ok()?;
            let place = self.word(entry + 8).ok()?;
            let (offset, bits) = if outer.has_bitfields() {
                (place & 0x00ff_ffff, place >> 24)
            } else {
                (place, 0)
            };
            if self.text_is(member_name, name) {
                return (bits == 0).then_some((offset, target));
            }
            if self.text_is(member_name, "") && depth > 0 {
                let inner = self.resolve(target)?;
                if let Some((inner_offset, found)) = self.member(inner, name, depth - 1) {
                    return Some((offset.checked_add(inner_offset)?, found));
                }
            }
        }
        None
    }

    /// The type behind typedefs and qualifiers.
    fn resolve(&self, id: u32) -> Option<Type> {
        let mut id = id;
        for _ in 0..DEPTH {
            let index = usize::try_from(id).ok()?.checked_sub(1)?;
            let found = self.read(*self.types.get(index)?).ok()?;
            match found.kind() {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = found.target;
                }
                _ => return Some(found),
            }
        }
        None
    }

    fn read(&self, offset: usize) -> Result<Type, BtfError> {
        Ok(Type {
            offset,
            name: self.size(offset)?,
            info: self.word(offset + 4)?,
            target: self.word(offset + 8)?,
        })
    }

    /// Where the next type starts.
    fn end_of(&self, offset: usize) -> Result<usize, BtfError> {
        let found = self.read(offset)?;
        let extra = match found.kind() {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => found.members() * 12,
            kind::ENUM | kind::FUNC_PROTO => found.members() * 8,
            // Pointer, forward, typedef, the qualifiers, function, float, type tag.
            2 | 7..=12 | 16 | 18 => 0,
            kind => {
                return Err(BtfError::Kind {
                    id: self.types.len(),
                    kind,
                });
            }
        };
        Ok(offset + TYPE_BYTES + extra)
    }

    fn is_named(&self, found: Type, name: &str) -> bool {
        self.text_is(found.name, name)
    }

    fn text_is(&self, offset: usize, text: &str) -> bool {
        self.data
            .get(self.strings.saturating_add(offset)..)
            .and_then(|rest| rest.strip_prefix(text.as_bytes()))
            .is_some_and(|rest| rest.first() == Some(&0))
    }

    fn size(&self, offset: usize) -> Result<usize, BtfError> {
        self.word(offset)
            .map(|word| usize::try_from(word).unwrap_or(usize::MAX))
    }

    fn word(&self, offset: usize) -> Result<u32, BtfError> {
        self.bytes(offset).map(u32::from_ne_bytes)
    }

    fn bytes<const N: usize>(&self, offset: usize) -> Result<[u8; N], BtfError> {
        self.data
            .get(offset..)
            .and_then(|rest| rest.first_chunk())
            .copied()
            .ok_or(BtfError::Truncated(N, offset))
    }
}

#[cfg(test)]
mod tests;
