//! One file per subcommand.

pub(crate) mod bench;
pub(crate) mod build;
pub(crate) mod ci;
pub(crate) mod instructions;
pub(crate) mod package;
pub(crate) mod run;
pub(crate) mod setup;
pub(crate) mod test;
pub(crate) mod vm;
