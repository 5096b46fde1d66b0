//! `serve`: everything put together, started, watched and ended.
