//! `cfgwctl`, which is also `kubectl cfgw` under the name `kubectl-cfgw`.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    cfgwctl::run::main().await
}
