//! `orphans`: what carries our mark at Cloudflare and belongs to no Gateway.
//!
//! - [`found`]: what there is; [`taking`]: what is done with it.
//!
//! Nothing is removed from here. A Gateway that is made again takes up what it left, and one that is deleted with
//! `deletionPolicy: Delete` has the controller remove what carries its mark: both by objects that the controller acts upon.

pub mod found;
pub mod taking;
