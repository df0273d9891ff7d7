//! JSON documents, read without copying and written without a tree in between.
//!
//! [`Indexed`] is a document that the agent made: its text, and where in it each value stands. So
//! an event is written once, rules read it where it is, and an alert takes over its parts as text.
//! [`Node`] is a value of such a document or of one that was parsed; whoever reads documents reads
//! nodes.

mod compound;
mod indexed;
mod node;
mod serializer;
#[cfg(test)]
mod tests;
mod writer;

pub use self::indexed::Indexed;
pub use self::node::{Elements, Members, Node, View, first_step};
pub use self::writer::{Object, push_text};
