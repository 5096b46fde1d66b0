//! Parses, runs, maps the exit code.

fn main() -> std::process::ExitCode {
    reelward::cli::run(std::env::args_os())
}
