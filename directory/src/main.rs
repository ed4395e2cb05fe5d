//! directory
fn main() {}
