//! Clusters behind a broker, with `cfgw broker` as a process of its own.

mod accounts;
mod attestation;
mod budget;
mod canaries;
mod certificates;
mod departures;
mod events;
mod handover;
mod isolation;
mod keys;
mod killed;
mod lease;
mod outages;
mod people;
mod planning;
mod refusals;
mod secrecy;
mod strangers;
mod sweep;
