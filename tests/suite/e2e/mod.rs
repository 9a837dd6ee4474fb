//! Manifests in, real requests through the stand-in's edge out, with `cfgw` as a process of its own.

mod bad_input;
mod certificates;
mod changes;
mod connections;
mod grpc;
mod moving;
mod namesakes;
mod outgoing;
mod quickstart;
mod rotation;
mod services;
mod streams;
mod suspended;
