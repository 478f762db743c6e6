//! The command that starts everything; to be written.

fn main() {}
