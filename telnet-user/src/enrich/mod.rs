//! Who is on a socket, and what is known about them.

pub mod facts;
