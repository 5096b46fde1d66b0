//! Format version 1.
