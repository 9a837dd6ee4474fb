//! nginx and haproxy as reverse proxies with one worker, kept connections on both sides, no logs, and the
//! same forwarding headers that our proxy writes.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::features::ORIGIN_NAME;
use crate::process::{Process, find};
use crate::routes::Routes;

/// Starts nginx; `None` where it is not installed. `authority` is that of an origin that speaks TLS.
pub(crate) fn nginx(
    folder: &Path,
    listen: SocketAddr,
    origin: SocketAddr,
    authority: Option<&Path>,
    routes: &Routes,
) -> anyhow::Result<Option<Process>> {
    let Some(program) = find(Path::new("nginx")) else {
        return Ok(None);
    };
    let name = format!("nginx-{}", listen.port());
    let servers = routes.nginx(listen, if authority.is_some() { "https" } else { "http" });
    let tls = authority.map(|file| {
        let file = file.display();
        format!(
            "proxy_ssl_server_name on; proxy_ssl_name {ORIGIN_NAME}; proxy_ssl_protocols TLSv1.3;
  proxy_ssl_verify on; proxy_ssl_trusted_certificate {file};"
        )
    });
    let tls = tls.unwrap_or_default();
    let at = folder.display();
    let text = format!(
        "daemon off; master_process off; pid {at}/{name}.pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; server_tokens off; tcp_nodelay on;
  keepalive_requests 1000000000; keepalive_timeout 600s;
  server_names_hash_max_size 65536; server_names_hash_bucket_size 128;
  client_body_temp_path {at}/{name}-1; proxy_temp_path {at}/{name}-2; fastcgi_temp_path {at}/{name}-3;
  uwsgi_temp_path {at}/{name}-4; scgi_temp_path {at}/{name}-5;
  upstream origin {{ server {origin}; keepalive 128; keepalive_requests 1000000000; keepalive_timeout 600s; }}
  proxy_http_version 1.1; proxy_set_header Connection \"\";
  proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Host $http_host;
  proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-For $remote_addr;
  {tls}
{servers}}}
"
    );
    let file = folder.join(format!("{name}.conf"));
    std::fs::write(&file, text)?;
    let mut command = Command::new(program);
    command
        .arg("-e")
        .arg("stderr")
        .arg("-c")
        .arg(&file)
        .arg("-p")
        .arg(folder);
    Process::start(&mut command, folder.join(format!("{name}.log"))).map(Some)
}

/// Starts haproxy; `None` where it is not installed.
pub(crate) fn haproxy(
    folder: &Path,
    listen: SocketAddr,
    origin: SocketAddr,
    routes: &Routes,
) -> anyhow::Result<Option<Process>> {
    let Some(program) = find(Path::new("haproxy")) else {
        return Ok(None);
    };
    let name = format!("haproxy-{}", listen.port());
    let map = folder.join(format!("{name}.map"));
    std::fs::write(&map, routes.haproxy())?;
    let text = format!(
        "global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
frontend visitors
  bind {listen}
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-For %[src]
  use_backend %[base,map_beg({map})]
backend origin
  server origin {origin}
",
        map = map.display()
    );
    let file = folder.join(format!("{name}.cfg"));
    std::fs::write(&file, text)?;
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(&file);
    Process::start(&mut command, folder.join(format!("{name}.log")))
        .with_context(|| "haproxy")
        .map(Some)
}
