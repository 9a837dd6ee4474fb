//! Prints Mozilla's certificate authorities as PEM: the file that TLS libraries look for in an image.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Characters of a line (RFC 7468, section 2).
const WIDTH: usize = 64;

fn main() {
    for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        let text = STANDARD.encode(root);
        println!("-----BEGIN CERTIFICATE-----");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, next) = rest.split_at(rest.len().min(WIDTH));
            println!("{line}");
            rest = next;
        }
        println!("-----END CERTIFICATE-----");
    }
}
