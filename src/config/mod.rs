//! What an administrator configures: files, drop-ins, environment, flags.
