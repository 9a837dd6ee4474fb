//! Route tables from the controller to its proxies.
