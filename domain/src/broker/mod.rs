//! What a broker decides: who may ask, what each cluster may have, whose a hostname is, and what is to be done next.
//!
//! - [`names`]: tenants, clusters, accounts, grants and people, by name.
//! - [`role`]: what people may do.
//! - [`cluster`]: how a cluster is enrolled and known, and how it goes.
//! - [`attestation`]: where a cluster's controller runs, shown by a token that the cluster signed.
//! - [`contact`]: for how long clusters have not been heard of.
//! - [`departure`]: what becomes of a Gateway whose cluster goes.
//! - [`sign_in`]: what guessing a password costs.
//! - [`oidc`]: whom an identity provider vouches for, and what that gives.
//! - [`grant`]: which cluster may have which hostnames, in which account.
//! - [`certificates`]: which certificates may be shown, and whose key is asked for.
//! - [`claim`]: whose a hostname is, over all tenants.
//! - [`credential`]: the two slots of an account's API token.
//! - [`held`]: what is to be true for one Gateway, what is, and in which order statements count.
//! - [`lease`]: what cluster and broker compare again and again.
//! - [`notice`]: what clusters are told.
//! - [`settle`](mod@settle): which of the wanted hostnames a Gateway gets.
//! - [`work`]: what is to be done, when, and what comes first.
//! - [`budget`]: the calls that the clusters of an account share.
//! - [`audit`]: the chain of what was done.
//! - [`refusal`]: why something is refused, with a code that clients may count on.
//! - [`pass`]: one piece of work; `united`: what came of it in several accounts.
//! - [`plan`](mod@plan): what would come of a statement.
//! - [`watch`](mod@watch): one look at all clusters.
//! - [`ports`]: what is kept, and how it is sealed.
//!
//! The plan for one Gateway is that of [`edge`](crate::edge): a broker makes the same intents true as a controller that has
//! the credentials itself.

pub mod attestation;
pub mod audit;
pub mod budget;
pub mod certificates;
pub mod claim;
pub mod cluster;
pub mod contact;
pub mod credential;
pub mod departure;
pub mod grant;
pub mod held;
pub mod lease;
pub mod names;
pub mod notice;
pub mod oidc;
pub mod pass;
pub mod plan;
pub mod ports;
pub mod refusal;
pub mod role;
pub mod settle;
pub mod sign_in;
mod united;
pub mod watch;
pub mod work;

pub use names::{AccountName, ClusterName, GrantName, PersonName, ProviderName, TenantName};
pub use refusal::{Code, Refusal};
