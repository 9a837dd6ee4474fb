//! What the folder does, seen from outside: files in, ports and state folder out.

mod credentials;
mod objects;
mod problems;
mod statuses;
mod support;
mod watching;
