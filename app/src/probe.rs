//! `cfgw probe`: asks a server of cfgw whether it is ready. For `helm test`, whose pod has our image and no shell.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// Time for one question and its answer.
const PATIENCE: Duration = Duration::from_secs(5);

const PAUSE: Duration = Duration::from_secs(1);

/// How much of an answer is read.
const LONGEST: u64 = 8 * 1024;

/// Asks until the answer is 200, for up to `within`. An error is the last answer.
pub(crate) async fn ready(address: &str, within: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + within;
    loop {
        let asked = timeout(PATIENCE, ask(address)).await;
        let problem = match asked.unwrap_or_else(|_| bail!("no answer within {PATIENCE:?}")) {
            Ok(()) => return Ok(()),
            Err(problem) => problem,
        };
        if Instant::now() + PAUSE > deadline {
            return Err(problem).with_context(|| format!("{address} is not ready"));
        }
        sleep(PAUSE).await;
    }
}

async fn ask(address: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    if answer.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    // Whoever answers may be anybody: nothing of it reaches a terminal as it is.
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let told: String = body.chars().filter(|c| !c.is_control()).take(256).collect();
    bail!("it answers {:?}", told.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn an_answer_of_200_is_ready_and_any_other_is_told_without_control_characters() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\nready\n", None),
            (
                "HTTP/1.1 503 Service Unavailable\r\n\r\nnot \u{1b}[31mread\u{7}\n",
                Some("it answers \"not [31mread\""),
            ),
            ("HTTP/1.1 2000 OK\r\n\r\nno", Some("it answers \"no\"")),
            ("", Some("it answers \"\"")),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address").to_string();
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut request = [0; 512];
                let _ = stream.read(&mut request).await;
                stream.write_all(answer.as_bytes()).await.expect("written");
            });
            let told = ready(&address, Duration::ZERO).await;
            let told = told.err().map(|error| format!("{error:#}"));
            let is_told = |words: &str| told.as_ref().is_some_and(|told| told.contains(words));
            assert!(expected.map_or(told.is_none(), is_told), "{told:?}");
        }
    }
}
