//! Composition roots and processes of cfgw.
