//! The program. Everything is in the library.

fn main() -> std::process::ExitCode {
    provost::commands::main()
}
