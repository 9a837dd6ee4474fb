//! The L7 data plane: routes a request, balances it over endpoints, streams both ways.
//!
//! One [`Engine`] serves the requests of one Gateway from one route table, which can be replaced at any
//! moment without dropping a request. The tunnel's connector calls [`Engine::serve`] in process; the
//! [`LoopbackListener`] does the same for a genuine cloudflared in front. [`Engines`] keeps one engine
//! per Gateway and is the in-process [`DataPlane`](domain::ports::DataPlane).
//!
//! The way of a request, in the order of the modules it passes:
//! 1. [`limits`], [`memory`]: too long, too many, too big: refused before anything else looks at it;
//! 2. [`engine`]: the table's matcher names a rule, the rule's filters run, the dice name a backend;
//! 3. `upstream`: an endpoint is chosen, a connection taken from its pool or opened, the request sent,
//!    on another endpoint if that is safe;
//! 4. [`body`]: the answer flows back frame by frame, and returns the connection when it ends.
//!
//! Nothing is collected on the way: at most one frame per direction is held by this crate, the rest waits
//! in bounded windows of the connections, so a slow side slows the other one down.

mod admission;
pub mod body;
pub mod engine;
pub mod engines;
pub mod limits;
mod local_reply;
pub mod loopback;
pub mod memory;
pub mod metrics;
mod silence;
mod trailers;
mod unsent;
mod upstream;

pub use body::{BodyError, ResponseBody};
pub use engine::Engine;
pub use engines::Engines;
pub use limits::Limits;
pub use loopback::{LoopbackError, LoopbackListener};
pub use memory::Memory;
pub use metrics::{GatewayMetrics, Metrics};
pub use upstream::BoxError;
