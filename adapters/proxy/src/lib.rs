//! The L7 data plane: routes a request, balances it over endpoints, streams both ways.
