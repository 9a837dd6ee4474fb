//! `make demo CHECK=1`: what a user would try, tried.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::stage::{HOSTNAME, Stage};

/// A request's result, as far as the checks look at it.
struct Answer {
    status: u16,
    body: String,
}

/// Makes every request, prints each with its result, and returns how many went wrong.
pub(crate) async fn run(stage: &Stage) -> usize {
    println!();
    let mut failed = 0;
    let mut note = |what: &str, result: anyhow::Result<String>| {
        let (word, text) = match result {
            Ok(text) => ("ok", text),
            Err(error) => {
                failed += 1;
                ("FAILED", format!("{error:#}"))
            }
        };
        println!("{word:>20}  {what}: {text}");
    };
    note(
        "GET https://app.example.com/hello",
        first_request(stage).await,
    );
    note(
        "GET with a path and a query as they are",
        raw_target(stage).await,
    );
    note("GET https://other.example.com/", unknown_host(stage).await);
    note(
        "edit the route: my-service-v2",
        edit(stage, "name: my-service\n", "name: my-service-v2\n", "v2").await,
    );
    note(
        "edit it back",
        edit(stage, "name: my-service-v2\n", "name: my-service\n", "v1").await,
    );
    note("one tunnel, one record", what_was_made(stage));
    note("the statuses", statuses(stage));
    failed
}

async fn first_request(stage: &Stage) -> anyhow::Result<String> {
    let answer = get(stage, HOSTNAME, "/hello").await?;
    expect(
        &answer,
        200,
        "Hello from v1: GET /hello for app.example.com",
    )
}

async fn raw_target(stage: &Stage) -> anyhow::Result<String> {
    let answer = get(stage, HOSTNAME, "/a%2Fb?q=1&q=2").await?;
    anyhow::ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
    Ok(answer.body.trim().to_owned())
}

async fn unknown_host(stage: &Stage) -> anyhow::Result<String> {
    match get(stage, "other.example.com", "/").await {
        Err(error) => Ok(format!("refused: {}", error.root_cause())),
        Ok(answer) if answer.status >= 400 => Ok(format!("{}", answer.status)),
        Ok(answer) => anyhow::bail!("{} {}", answer.status, answer.body),
    }
}

async fn edit(stage: &Stage, from: &str, to: &str, version: &str) -> anyhow::Result<String> {
    let file = stage.manifests().join("quickstart.yaml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text.replace(from, to))?;
    let began = Instant::now();
    loop {
        let answer = get(stage, HOSTNAME, "/hello").await?;
        if answer.body.contains(version) {
            return Ok(format!(
                "{} after {} ms",
                answer.body.trim(),
                began.elapsed().as_millis()
            ));
        }
        anyhow::ensure!(
            began.elapsed() < Duration::from_secs(10),
            "still {}",
            answer.body.trim()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn what_was_made(stage: &Stage) -> anyhow::Result<String> {
    let cloud = stage.standin.cloud();
    let records: usize = cloud.zones().iter().map(|zone| zone.records.len()).sum();
    let tunnels = cloud.tunnels().len();
    anyhow::ensure!(
        (tunnels, records) == (1, 1),
        "{tunnels} tunnels, {records} records"
    );
    Ok(format!(
        "{} API calls in all, {} of them writes",
        cloud.calls().len(),
        cloud.writes().len()
    ))
}

fn statuses(stage: &Stage) -> anyhow::Result<String> {
    let statuses = adapter_manifests::read_statuses(&stage.state())?;
    let table = adapter_manifests::render(&statuses);
    let bad: Vec<&str> = table
        .lines()
        .filter(|line| line.contains(" False ") && !line.contains("Conflicted"))
        .collect();
    anyhow::ensure!(bad.is_empty(), "{}", bad.join("; "));
    Ok(format!(
        "{} objects, every condition as it should be",
        statuses.len()
    ))
}

fn expect(answer: &Answer, status: u16, body: &str) -> anyhow::Result<String> {
    let seen = answer.body.trim();
    anyhow::ensure!(
        answer.status == status && seen == body,
        "{} {seen}, wanted {status} {body}",
        answer.status
    );
    Ok(seen.to_owned())
}

/// As the `curl` line does it: the hostname in the URL, the stand-in's listener under it.
async fn get(stage: &Stage, host: &str, target: &str) -> anyhow::Result<Answer> {
    let ca = reqwest::Certificate::from_pem(&std::fs::read(stage.ca_file())?)?;
    let listener: SocketAddr = stage.standin.edge().public_https();
    let client = reqwest::Client::builder()
        .tls_certs_only([ca])
        .resolve(host, listener)
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()?;
    let response = client
        .get(format!("https://{host}{target}"))
        .send()
        .await
        .context("no answer")?;
    Ok(Answer {
        status: response.status().as_u16(),
        body: response.text().await?,
    })
}
