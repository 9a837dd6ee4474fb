//! The Cloudflare API, version 4: a typed thin client.
