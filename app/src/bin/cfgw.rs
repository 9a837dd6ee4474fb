//! cfgw.
fn main() {}
