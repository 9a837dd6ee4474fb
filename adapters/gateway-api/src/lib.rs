//! Gateway API and core objects as users write them, and their conversion to domain values.
