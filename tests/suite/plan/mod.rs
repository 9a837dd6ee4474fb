//! `cfgwctl plan` tells what then happens: for generated clusters and edits, its lines are compared with what a controller
//! changed at the stand-in.

mod cases;
mod effects;
mod generated;
mod orphans;
mod rig;
