//! Harness of the integration tests: endpoints, a client that trusts the stand-in, constant load, and a
//! whole world of stand-in, folder and `cfgw standalone`.

pub mod broker;
pub mod client;
pub mod cluster;
pub mod forward_proxy;
pub mod front;
pub mod grpc;
pub mod installation;
pub mod load;
pub mod manifests;
pub mod memory_group;
pub mod nginx;
pub mod origin;
pub mod pods;
pub mod process;
pub mod raw_answers;
pub mod recorder;
pub mod routing;
pub mod tls_front;
pub mod websocket;
pub mod world;
