//! Trees that are hard to store, and the comparison of two trees by a tool that is not ours.

mod awkward;
mod compare;

pub use awkward::{Awkward, make_awkward};
pub use compare::{assert_same, difference};

#[cfg(test)]
mod tests;
