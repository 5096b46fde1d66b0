//! What can be backed up and put back.
//!
//! A source hands the pipeline an ordered stream of [`Part`]s: whole small members already encoded and hashed, and
//! large ones piece by piece. It knows the archive's headers but neither drives nor the catalog.

pub mod extract;
pub mod file_tree;
mod part;

pub use file_tree::SelectionError;
pub use file_tree::{FileTree, Selection};
pub use part::{Batch, Chunk, Part, Problem, ProblemKind, Row, Segment};
