//! writer
fn main() {}
