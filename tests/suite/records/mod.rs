//! Records at Cloudflare: through the adapter and the stand-in's API, with the direct edge over them.

mod calls;
mod drift;
mod permissions;
mod rig;
