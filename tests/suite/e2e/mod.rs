//! Manifests in, real requests through the stand-in's edge out, with `cfgw` as a process of its own.

mod backends;
mod bad_input;
mod certificates;
mod changes;
mod connections;
mod external_auth;
mod grpc;
mod in_place;
mod listener_sets;
mod moving;
mod namesakes;
mod outgoing;
mod quickstart;
mod resilience;
mod rotation;
mod services;
mod sessions;
mod streams;
mod suspended;
