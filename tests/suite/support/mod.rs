//! What the modules of the suite share: the binary itself, trees that are hard to store, seeded random bytes.
#![allow(dead_code, unused_imports)] // each module of the suite takes what it needs

pub mod bench;
pub mod daemon;
pub mod debug_json;
pub mod http;
pub mod random;
pub mod record;
pub mod reelward;
pub mod tgt;
pub mod tree;
