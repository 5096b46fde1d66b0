//! The integration suite: one binary, one module per subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod api;
mod api_access;
mod api_life;
mod api_tasks;
mod architecture;
mod cli;
mod cli_daemon;
mod contract;
mod contract_walk;
mod backup_restore;
mod crash;
mod database_copies;
mod discovery;
mod entered_tapes;
mod device_suite;
mod faults;
mod hardware_encryption;
mod iscsi;
mod library;
mod increments;
mod rebuild;
mod refusals;
mod reservations;
mod restore_rules;
mod resume;
mod special_media;
mod support;
mod tape_surface;
mod tapes;
mod tasks;
mod users;
mod transcripts;
mod usr;
mod verify;
mod without_us;
