//! What a loader finds in a probe object.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, bail};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind};

/// Programs, maps, globals and metadata by section and name; independent of the code inside, which
/// differs from compiler to compiler.
pub(crate) type Shape = BTreeSet<String>;

/// Reads the object at `path`.
pub(crate) fn read(path: &Path) -> anyhow::Result<Shape> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&bytes).with_context(|| format!("{} is not a probe", path.display()))
}

fn parse(bytes: &[u8]) -> anyhow::Result<Shape> {
    let file = object::File::parse(bytes)?;
    let mut shape = Shape::new();
    for section in file.sections() {
        // The compiler's own constants and debug sections come and go.
        if section.kind() == SectionKind::Text && section.size() > 0 {
            shape.insert(format!("program section {}", section.name()?));
        }
        if matches!(section.name()?, ".BTF" | ".BTF.ext" | "license") {
            shape.insert(format!("section {}", section.name()?));
        }
    }
    for symbol in file.symbols() {
        if let Some(index) = symbol.section_index().filter(|_| symbol.is_global()) {
            let section = file.section_by_index(index)?;
            shape.insert(format!("{} in {}", symbol.name()?, section.name()?));
        }
    }
    Ok(shape)
}

/// Refuses two objects that a loader could tell apart, and ones without a BTF tracepoint.
pub(crate) fn compare(one: &Shape, other: &Shape) -> anyhow::Result<()> {
    let differences: Vec<_> = one.symmetric_difference(other).cloned().collect();
    if !differences.is_empty() {
        bail!("only one of the probes has: {}", differences.join("; "));
    }
    if !one.iter().any(|part| part.contains("section tp_btf/")) {
        bail!("the probe has no tp_btf program: {one:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(parts: &[&str]) -> Shape {
        parts.iter().map(|&part| part.to_owned()).collect()
    }

    #[test]
    fn equal_probes_with_a_tracepoint_pass() {
        let one = shape(&["program section tp_btf/x", "EVENTS in maps"]);
        compare(&one, &one.clone()).unwrap();
    }

    #[test]
    fn a_difference_is_named() {
        let one = shape(&["program section tp_btf/x", "EVENTS in maps"]);
        let other = shape(&["program section tp_btf/x"]);
        let error = compare(&one, &other).unwrap_err();
        assert_eq!(
            error.to_string(),
            "only one of the probes has: EVENTS in maps"
        );
    }

    #[test]
    fn two_empty_probes_are_no_proof() {
        compare(&Shape::new(), &Shape::new()).unwrap_err();
    }

    #[test]
    fn text_is_no_object() {
        parse(b"not an object").unwrap_err();
    }
}
