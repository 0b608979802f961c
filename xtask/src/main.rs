//! `cargo xtask`: everything people run besides the product.

fn main() {}
