//! From attached routes to a table.
use crate::names::ObjectKey;
use crate::route_table::RouteTable;

/// What a table is made of.
#[derive(Debug)]
pub struct CompileInput {
    /// The Gateway.
    pub gateway: ObjectKey,
}

/// Compiles a table.
pub fn compile(input: CompileInput) -> RouteTable {
    RouteTable {
        gateway: input.gateway,
        listeners: Vec::new(),
        upstreams: Default::default(),
    }
}
