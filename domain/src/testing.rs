//! In-memory fakes of every port, for tests of any crate. They keep the port's contract and add what a test
//! needs: state that can be read, calls that can be counted, failures that can be ordered.

mod cloudflare;
mod cluster;
mod edge;
mod fixed;
mod rotations;
mod running;

pub use cloudflare::{ApiCall, Call, FakeCloudflare, Moment, Observer};
pub use cluster::{FakeCluster, FakeFinalizer, FakeOrphans, RecordingEvents, RecordingStatusSink};
pub use edge::{FakeEdge, intent};
pub use fixed::{
    FixedClock, FixedEntropy, FixedLeadership, StaticCredentials, installation, instance_of,
};
pub use rotations::FakeRotations;
pub use running::{FakeDataPlane, FakeWorkloads};
