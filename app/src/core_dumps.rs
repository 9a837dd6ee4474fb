//! A process that holds secrets leaves no core dump.

use anyhow::Context;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids core dumps of this process, and that others of the same user look into its memory. The limit alone does not count
/// where the kernel hands dumps to a program.
pub(crate) fn forbid() -> anyhow::Result<()> {
    let nothing = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, nothing).context("the limit for core dumps cannot be set")?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("core dumps cannot be forbidden")
}
