//! Who may do what: users, roles, sessions, API keys, limits, the audit log.
