//! Settings of every program: defaults < YAML file < environment < flags, validated at start.
//!
//! - [`standalone`]: the settings of `cfgw standalone`.
//! - [`controller`]: the settings of `cfgw controller`.
//! - [`proxy`]: the settings of `cfgw proxy`.
//! - [`broker`]: the settings of `cfgw broker`.
//! - [`oidc`]: identity providers of the broker.
//! - [`sections`]: the parts that programs have in common.
//! - [`values`]: what a single setting may be; a value of such a type is valid.
//! - [`error`]: what is wrong, at which key, from which source.
//! - [`reference`](mod@reference): every key with its default and meaning, as Markdown.

pub mod broker;
pub mod controller;
mod declaration;
pub mod error;
mod layers;
pub mod oidc;
pub mod proxy;
pub mod reference;
pub mod sections;
pub mod standalone;
pub mod values;

pub use broker::BrokerSettings;
pub use controller::ControllerSettings;
pub use error::SettingsError;
pub use layers::{ENV_PREFIX, ProgramSettings};
pub use proxy::ProxySettings;
pub use standalone::StandaloneSettings;
