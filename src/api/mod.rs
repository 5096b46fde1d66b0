//! HTTP: one declaration for each endpoint, and what answers it.
