//! The edge: where connectors register and public requests arrive.
