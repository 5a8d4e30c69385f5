//! Arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    ocsp_server::command::main()
}
