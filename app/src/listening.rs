//! Where the program's own servers listen.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

/// Listens. `[::]`, which stands for every address of the machine, is taken for every IPv4 address where the machine has no
/// IPv6 at all.
pub(crate) async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let error = match TcpListener::bind(address).await {
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    if address.is_ipv4() || !address.ip().is_unspecified() || is_final(&error) {
        return Err(error);
    }
    let every_ipv4 = (Ipv4Addr::UNSPECIFIED, address.port());
    TcpListener::bind(every_ipv4).await.map_err(|_| error)
}

/// Whether an error has nothing to do with the family of the address.
fn is_final(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn one_address_takes_connections_of_both_families() {
        let listener = listen("[::]:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut families = vec!["127.0.0.1"];
        families.extend(address.is_ipv6().then_some("::1"));
        for family in families {
            TcpStream::connect((family, address.port())).await.unwrap();
            listener.accept().await.unwrap();
        }
        let taken = listen(address).await.unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }
}
