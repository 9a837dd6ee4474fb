//! Settings of every program: defaults, file, environment, flags, validated at start.
