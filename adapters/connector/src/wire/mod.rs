//! Bytes of the tunnel protocol. Nothing here opens a socket or waits on a clock.

pub(crate) mod calls;
pub(crate) mod connect;
pub(crate) mod frame;
pub(crate) mod headers;
pub(crate) mod rpc;
