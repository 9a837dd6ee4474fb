//! nginx as a process of its own, with settings that a test writes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::process::free_address;
use crate::world::within;

/// A running nginx; killed when dropped.
pub struct Nginx {
    /// Where it listens.
    pub address: SocketAddr,
    _folder: tempfile::TempDir,
    _child: Child,
}

/// The program that `PEER_NGINX` names, or the one on the PATH or in /usr/sbin.
pub fn program() -> Option<PathBuf> {
    let named = std::env::var_os("PEER_NGINX").map(PathBuf::from);
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&folders).chain(["/usr/sbin".into()]);
    let mut found = folders.map(|folder| folder.join("nginx"));
    named.or_else(|| found.find(|file| file.is_file()))
}

impl Nginx {
    /// Starts it and waits until it listens. `settings` are those inside of `http { … }`, with a server at the given
    /// address.
    pub async fn start(program: &Path, settings: impl FnOnce(SocketAddr) -> String) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (address, path) = (free_address(), folder.path().display());
        let text = format!(
            "daemon off; master_process off; pid {path}/pid; error_log stderr error;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {path}/body;
    proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;
{}}}
",
            settings(address)
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, text).expect("a new file");
        let child = Command::new(program)
            .arg("-c")
            .arg(&file)
            .kill_on_drop(true)
            .spawn()
            .expect("nginx starts");
        within(Duration::from_secs(10), "nginx listens", || async {
            TcpStream::connect(address).await.ok()
        })
        .await;
        Self {
            address,
            _folder: folder,
            _child: child,
        }
    }

    /// A new connection to it.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address)
            .await
            .expect("nginx listens")
    }
}
