//! The program `pakit`.
fn main() {}
