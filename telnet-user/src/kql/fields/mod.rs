//! Which type a field has: ECS, the fields of alerts and this agent's own.
//!
//! The ECS release is [`ECS_VERSION`]. The table follows ECS's own structure: a field set lists its
//! fields by type and the other sets that are reused inside it, so that `process.parent.user.id`
//! is found by walking `process`, `process`, `user`.

mod ecs;
mod own;
#[cfg(test)]
mod tests;

/// The ECS release the table describes.
pub const ECS_VERSION: &str = "9.5.0-dev";

/// How a field is indexed, as far as queries can tell the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// Whole text, case-sensitive: `keyword`, `constant_keyword`, `wildcard`.
    Keyword,
    /// Words in lower case: `text`, `match_only_text`.
    Text,
    /// Integers: `long`, `integer`.
    Long,
    /// Numbers with a fraction: `float`, `double`, `scaled_float`.
    Double,
    /// `boolean`.
    Boolean,
    /// `ip`.
    Ip,
    /// `date`.
    Date,
    /// `geo_point`: has no literal in KQL.
    GeoPoint,
    /// `flattened`: an object whose leaves are keywords.
    Flattened,
}

impl FieldType {
    /// The type's name in a mapping.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keyword => "keyword",
            Self::Text => "text",
            Self::Long => "long",
            Self::Double => "float",
            Self::Boolean => "boolean",
            Self::Ip => "ip",
            Self::Date => "date",
            Self::GeoPoint => "geo_point",
            Self::Flattened => "flattened",
        }
    }
}

/// One field set: its fields by type, and the sets inside it with their names in it. A set inside
/// without a name adds its fields to the outer one.
#[derive(Debug)]
struct Set {
    /// Names with dots, separated by blanks.
    fields: &'static [(FieldType, &'static str)],
    sets: &'static [(&'static str, &'static Set)],
}

/// The type of the field called `name`, in full and with dots.
///
/// A name that no table holds is an address when it ends in `.ip` or `_ip` and text when it ends in
/// `.text`; otherwise there is none, and the JSON type of each value decides.
pub fn lookup(name: &str) -> Option<FieldType> {
    in_set(&ecs::ROOT, name)
        .or_else(|| in_set(&own::ROOT, name))
        .or_else(|| by_suffix(name))
}

/// The field that `name` is the analyzed form of: `process.name` for `process.name.text`.
pub(super) fn analyzed_parent(name: &str) -> Option<&str> {
    let parent = name.strip_suffix(".text")?;
    (in_set(&ecs::ROOT, name).is_none() && in_set(&ecs::ROOT, parent) == Some(FieldType::Keyword))
        .then_some(parent)
}

fn by_suffix(name: &str) -> Option<FieldType> {
    match name.rsplit_once('.') {
        Some((_, "ip")) => Some(FieldType::Ip),
        Some((_, "text")) => Some(FieldType::Text),
        _ => name.ends_with("_ip").then_some(FieldType::Ip),
    }
}

fn in_set(set: &Set, name: &str) -> Option<FieldType> {
    set.fields
        .iter()
        .find_map(|(field_type, names)| in_names(*field_type, names, name))
        .or_else(|| {
            set.sets.iter().find_map(|(prefix, inner)| match *prefix {
                "" => in_set(inner, name),
                _ => in_set(inner, name.strip_prefix(prefix)?.strip_prefix('.')?),
            })
        })
}

fn in_names(field_type: FieldType, names: &str, name: &str) -> Option<FieldType> {
    names
        .split_ascii_whitespace()
        .find_map(|known| match name.strip_prefix(known)? {
            "" => Some(field_type),
            key if field_type == FieldType::Flattened && key.starts_with('.') => {
                Some(FieldType::Keyword)
            }
            _ => None,
        })
}
