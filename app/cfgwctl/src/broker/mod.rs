//! `cfgwctl broker`: what people do at a broker, over its API for them.

pub mod cli;
mod session;
mod sign_in;

use std::path::Path;

use adapter_broker::people::client::{PeopleClient, PeopleError};
use adapter_broker::wire::people::{
    AcceptanceDocument, AccountDocument, ApiTokenDocument, ClusterDocument, EntryDocument,
    GrantDocument, HoldingDocument, InvitationDocument, InvitationRequest, ListDocument,
    RemovalDocument, TenantDocument, VerificationDocument, attested,
};
use domain::broker::TenantName;
use domain::broker::cluster::WhenExpired;
use serde::Serialize;

use crate::failure::Failure;
use crate::screen::{Plain, Screen, table};
use cli::{Broker, BrokerVerb, Shown};
use session::Session;

impl From<PeopleError> for Failure {
    fn from(error: PeopleError) -> Self {
        let remedy = match error.is_over() {
            true => "sign in again with cfgwctl broker sign-in",
            false => "",
        };
        Self::new(error, remedy)
    }
}

/// Does what is asked for.
///
/// # Errors
/// It was not done.
pub async fn run(asked: Broker, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let file = Session::file(asked.session)?;
    if let BrokerVerb::SignIn(asked) = asked.verb {
        let session = sign_in::sign_in(asked, screen).await?;
        session.write(&file)?;
        screen.line(format_args!("Signed in at {}", session.url));
        return Ok(());
    }
    let client = Session::read(&file)?.client()?;
    match asked.verb {
        BrokerVerb::SignIn(_) => Ok(()),
        BrokerVerb::SignOut => {
            client.sign_out().await?;
            drop(std::fs::remove_file(&file));
            screen.line("Signed out");
            Ok(())
        }
        verb @ (BrokerVerb::Tenants(_)
        | BrokerVerb::Clusters(_)
        | BrokerVerb::Gateways { .. }
        | BrokerVerb::GiveUp { confirm: None, .. }
        | BrokerVerb::Grants { .. }
        | BrokerVerb::Accounts(_)
        | BrokerVerb::Audit { .. }
        | BrokerVerb::VerifyAudit) => show(verb, &client, screen).await,
        verb => change(verb, &client, screen).await,
    }
}

fn read_line_of(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| Failure::new(format!("{}: {error}", file.display()), ""))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

async fn show(
    verb: BrokerVerb,
    client: &PeopleClient,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    match verb {
        BrokerVerb::Tenants(Shown { output }) => {
            let tenants: Vec<TenantDocument> = client.list("tenants").await?;
            let row = |it: &TenantDocument| vec![it.name.to_string()];
            print(screen, output, &tenants, &["TENANT"], row);
        }
        BrokerVerb::Clusters(Shown { output }) => {
            let clusters: Vec<ClusterDocument> = client.list("clusters").await?;
            let columns = [
                "CLUSTER",
                "TENANT",
                "STANDING",
                "CONTACT",
                "LAST CONTACT",
                "KEY",
                "ATTESTED",
            ];
            print(screen, output, &clusters, &columns, row_of_cluster);
        }
        BrokerVerb::Gateways { cluster, shown } => {
            print_gateways(client, &cluster, &shown, screen).await?;
        }
        BrokerVerb::GiveUp { cluster, shown, .. } => {
            print_gateways(client, &cluster, &shown, screen).await?;
            screen.line(format_args!(
                "Nothing was changed; add --confirm {cluster} to remove what these have"
            ));
        }
        BrokerVerb::Grants { tenant, shown } => {
            let path = format!("tenants/{tenant}/grants");
            let grants: Vec<GrantDocument> = client.list(&path).await?;
            let columns = ["GRANT", "CLUSTERS", "HOSTNAMES", "ACCOUNT", "EXPIRES"];
            print(screen, shown.output, &grants, &columns, row_of_grant);
        }
        BrokerVerb::Accounts(Shown { output }) => {
            let accounts: Vec<AccountDocument> = client.list("accounts").await?;
            let columns = ["ACCOUNT", "TENANT", "CLOUDFLARE", "TOKEN", "ZONES"];
            print(screen, output, &accounts, &columns, row_of_account);
        }
        BrokerVerb::Audit { after, shown } => {
            let part: ListDocument<EntryDocument> =
                client.get(&format!("audit?cursor={after}")).await?;
            let columns = [
                "ENTRY", "AT", "ACTOR", "SOURCE", "ACTION", "OBJECT", "RESULT", "DETAIL",
            ];
            print(screen, shown.output, &part.items, &columns, row_of_entry);
        }
        _ => return verify_audit(client, screen).await,
    }
    Ok(())
}

async fn print_gateways(
    client: &PeopleClient,
    cluster: &str,
    shown: &Shown,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let path = format!("clusters/{cluster}/gateways");
    let gateways: Vec<HoldingDocument> = client.list(&path).await?;
    let columns = ["GATEWAY", "ACCOUNTS", "HOSTNAMES", "COMPARED", "ERROR"];
    print(screen, shown.output, &gateways, &columns, row_of_gateway);
    Ok(())
}

async fn verify_audit(client: &PeopleClient, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let found: VerificationDocument = client.get("audit/verification").await?;
    let (entries, hash) = (found.entries, &found.hash);
    screen.line(format_args!(
        "{entries} entries follow from each other; the last has hash {hash}"
    ));
    if let Some(signed) = found.signed {
        screen.line(format_args!("up to entry {signed} they are signed"));
    }
    match found.fault {
        None => Ok(()),
        Some(fault) => Err(Failure::new(
            format!("the audit does not hold: {fault}"),
            "compare with a back-up",
        )),
    }
}

async fn change(
    verb: BrokerVerb,
    client: &PeopleClient,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let done = match verb {
        BrokerVerb::PutTenant { tenant } => {
            let name = TenantName::parse(&tenant).map_err(|error| Failure::usage(error, ""))?;
            let document = TenantDocument::of(&name);
            client.put(&format!("tenants/{name}"), &document).await?;
            format!("tenant {name} is there")
        }
        BrokerVerb::RemoveTenant { tenant } => {
            client.remove(&format!("tenants/{tenant}")).await?;
            format!("tenant {tenant} is removed")
        }
        BrokerVerb::Invite { cluster, tenant } => invite(client, &cluster, &tenant).await?,
        BrokerVerb::Accept {
            cluster,
            key,
            attest_anew,
        } => accept(client, &cluster, AcceptanceDocument { key, attest_anew }).await?,
        BrokerVerb::Revoke { cluster } => {
            let path = format!("clusters/{cluster}/revocation");
            let _: ClusterDocument = client.post(&path, None::<&()>).await?;
            format!("cluster {cluster} is revoked")
        }
        BrokerVerb::Quarantine { cluster } => {
            let path = format!("clusters/{cluster}/quarantine");
            let _: ClusterDocument = client.post(&path, None::<&()>).await?;
            format!(
                "cluster {cluster} is quarantined; the broker replaces the tokens of its tunnels"
            )
        }
        BrokerVerb::Release { cluster } => {
            let path = format!("clusters/{cluster}/release");
            let _: ClusterDocument = client.post(&path, None::<&()>).await?;
            format!("cluster {cluster} is released; what it has at Cloudflare stays as it is")
        }
        BrokerVerb::GiveUp {
            cluster,
            confirm: Some(confirm),
            ..
        } => {
            let path = format!("clusters/{cluster}/removal");
            let _: ClusterDocument = client
                .post(&path, Some(&RemovalDocument { confirm }))
                .await?;
            format!("cluster {cluster} is given up; the broker removes what it has")
        }
        BrokerVerb::WhenExpired { cluster, then } => {
            let path = format!("clusters/{cluster}/when-expired");
            client
                .put(&path, &serde_json::json!({ "when_expired": then }))
                .await?;
            format!("once cluster {cluster} has expired: {then}")
        }
        BrokerVerb::PutGrant { tenant, filename } => put_grant(client, &tenant, &filename).await?,
        BrokerVerb::RemoveGrant { tenant, grant } => {
            let path = format!("tenants/{tenant}/grants/{grant}");
            client.remove(&path).await?;
            format!("grant {tenant}/{grant} is removed")
        }
        BrokerVerb::PutToken { account, file } => {
            let token = read_line_of(&file)?;
            let path = format!("accounts/{account}/token");
            client
                .put_secret(&path, &ApiTokenDocument { token })
                .await?;
            format!("the token of account {account} is in use")
        }
        _ => String::new(),
    };
    screen.line(done);
    Ok(())
}

async fn accept(
    client: &PeopleClient,
    cluster: &str,
    document: AcceptanceDocument,
) -> Result<String, Failure> {
    let path = format!("clusters/{cluster}/acceptance");
    let accepted: ClusterDocument = client.post(&path, Some(&document)).await?;
    Ok(match document.attest_anew {
        None => format!(
            "cluster {cluster} is accepted; attested: {}",
            attested_by(&accepted)
        ),
        Some(_) => format!("cluster {cluster} is attested anew by its next session"),
    })
}

fn attested_by(cluster: &ClusterDocument) -> String {
    let by = cluster.attestation.as_ref();
    attested(by.map(|by| (by.subject.as_str(), by.issuer.as_str())))
}

/// The code alone, so that a script can take it.
async fn invite(client: &PeopleClient, cluster: &str, tenant: &str) -> Result<String, Failure> {
    let tenant = TenantName::parse(tenant).map_err(|error| Failure::usage(error, ""))?;
    let request = InvitationRequest {
        tenant,
        when_expired: WhenExpired::Keep,
    };
    let path = format!("clusters/{cluster}/invitation");
    let invited: InvitationDocument = client.post(&path, Some(&request)).await?;
    Ok(invited.code)
}

async fn put_grant(client: &PeopleClient, tenant: &str, file: &Path) -> Result<String, Failure> {
    let shown = file.display();
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| Failure::new(format!("{shown}: {error}"), ""))?;
    let grant: GrantDocument = serde_saphyr::from_str(&text)
        .map_err(|error| Failure::new(format!("{shown}: {error}"), ""))?;
    let path = format!("tenants/{tenant}/grants/{}", grant.name);
    client.put(&path, &grant).await?;
    Ok(format!("grant {tenant}/{} is in its place", grant.name))
}

fn print<D: Serialize>(
    screen: &mut Screen<'_>,
    output: Plain,
    items: &[D],
    columns: &[&str],
    row: impl Fn(&D) -> Vec<String>,
) {
    let head = columns.iter().map(|column| (*column).to_owned()).collect();
    let rows = || {
        let rows: Vec<_> = [head].into_iter().chain(items.iter().map(row)).collect();
        table(&rows)
    };
    let text = output.text(&items, rows);
    screen.text(text);
}

fn row_of_cluster(cluster: &ClusterDocument) -> Vec<String> {
    vec![
        cluster.name.to_string(),
        cluster.tenant.to_string(),
        cluster.standing.clone(),
        cluster.contact.clone(),
        cluster.last_contact.clone().unwrap_or_default(),
        cluster.key.clone().unwrap_or_default(),
        attested_by(cluster),
    ]
}

fn row_of_gateway(holding: &HoldingDocument) -> Vec<String> {
    let accounts: Vec<_> = holding.accounts.iter().map(ToString::to_string).collect();
    let hostnames: Vec<_> = holding.hostnames.iter().map(ToString::to_string).collect();
    vec![
        holding.gateway.clone(),
        accounts.join(","),
        hostnames.join(","),
        holding.done_at.clone().unwrap_or_default(),
        holding.error.clone().unwrap_or_default(),
    ]
}

fn row_of_grant(grant: &GrantDocument) -> Vec<String> {
    let clusters = grant.clusters.as_ref().map(|names| {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        names.join(",")
    });
    let account = grant.account.as_ref().map(ToString::to_string);
    vec![
        grant.name.to_string(),
        clusters.unwrap_or_else(|| "all".to_owned()),
        grant.hostnames.join(","),
        account.unwrap_or_default(),
        grant.expires.clone().unwrap_or_default(),
    ]
}

fn row_of_account(account: &AccountDocument) -> Vec<String> {
    let state = account.state.as_ref();
    let token = state.and_then(|state| state.token);
    let zones = state.and_then(|state| state.zones.as_ref());
    let zones = zones.map(|zones| zones.iter().cloned().collect::<Vec<_>>().join(","));
    vec![
        account.name.to_string(),
        account.tenant.to_string(),
        account.cloudflare.clone(),
        token.map_or_else(|| "none".to_owned(), |version| format!("version {version}")),
        zones.unwrap_or_default(),
    ]
}

fn row_of_entry(entry: &EntryDocument) -> Vec<String> {
    vec![
        entry.sequence.to_string(),
        entry.at.clone(),
        entry.actor.clone(),
        entry.source.clone(),
        entry.action.clone(),
        entry.object.clone(),
        entry.result.clone(),
        entry.detail.clone(),
    ]
}
