//! The tunnel connector: edge discovery, registration, requests over HTTP/2.
