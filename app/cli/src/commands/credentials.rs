//! `proxyfs credentials ...`: keys of stores under names. No answer holds a secret.

mod set;
mod test;

use std::time::{SystemTime, UNIX_EPOCH};

use proxyfs_credentials::{Described, Place, Target};
use serde_json::json;

use super::Context;
use crate::cli::{CredentialsCommand, CredentialsPlace};
use crate::credentials::failure;
use crate::failure::{Failure, Outcome};
use crate::output::table;

impl From<CredentialsPlace> for Target {
    fn from(place: CredentialsPlace) -> Self {
        match place {
            CredentialsPlace::Keyring => Self::Keyring,
            CredentialsPlace::File => Self::File,
        }
    }
}

/// Runs one of them.
pub(crate) async fn run(cx: &Context, command: CredentialsCommand) -> Outcome {
    match command {
        CredentialsCommand::Set(args) => set::run(cx, args).await,
        CredentialsCommand::Show { name } => show(cx, &name).await,
        CredentialsCommand::List => list(cx).await,
        CredentialsCommand::Delete { name, place } => delete(cx, &name, place).await,
        CredentialsCommand::Test(args) => test::run(cx, &args).await,
    }
}

async fn show(cx: &Context, name: &str) -> Outcome {
    let found = cx.paths.credentials().load(name).await;
    let found = found.map_err(|e| failure("show", &format!("credentials {name}"), &e))?;
    let shown = found.record.describe(name, &found.place.to_string());
    cx.style.show(&shown, || {
        let project = shown.project.iter().map(|p| vec!["project:".to_owned(), p.clone()]);
        let rows = [
            vec!["name:".to_owned(), shown.name.clone()],
            vec!["in:".to_owned(), shown.place.clone()],
            vec!["key id ends in:".to_owned(), shown.id_ends_in.clone()],
            vec!["stored:".to_owned(), age(shown.since)],
            vec!["temporary:".to_owned(), if shown.session_token { "yes" } else { "no" }.to_owned()],
        ];
        table(&rows.into_iter().chain(project).collect::<Vec<_>>())
    });
    Ok(())
}

async fn list(cx: &Context) -> Outcome {
    let listing = cx.paths.credentials().list().await;
    let problems: Vec<String> = listing.problems.iter().map(ToString::to_string).collect();
    cx.style.show(&json!({ "credentials": listing.found, "problems": problems }), || {
        if listing.found.is_empty() {
            return "No credentials are stored. Store some: proxyfs credentials set NAME".to_owned();
        }
        let head = ["CREDENTIALS", "KEY ID", "STORED", "IN"].map(str::to_owned).to_vec();
        table(&std::iter::once(head).chain(listing.found.iter().map(row)).collect::<Vec<_>>())
    });
    for problem in problems {
        cx.style.progress(&format!("not looked at: {problem}"));
    }
    Ok(())
}

fn row(shown: &Described) -> Vec<String> {
    vec![shown.name.clone(), format!("...{}", shown.id_ends_in), age(shown.since), shown.place.clone()]
}

/// How long ago, roughly.
fn age(since: Option<u64>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    match since.map(|s| now.saturating_sub(s)) {
        None => "unknown".to_owned(),
        Some(s) if s < 120 => "just now".to_owned(),
        Some(s) if s < 7200 => format!("{} minutes ago", s / 60),
        Some(s) if s < 172_800 => format!("{} hours ago", s / 3600),
        Some(s) => format!("{} days ago", s / 86_400),
    }
}

async fn delete(cx: &Context, name: &str, place: Option<CredentialsPlace>) -> Outcome {
    let users = volumes_with(cx, name)?;
    let deleted = cx.paths.credentials().delete(name, place.map(Into::into)).await;
    let places = deleted.map_err(|e| match e.kind {
        proxyfs_credentials::ErrorKind::NotFound => {
            let advice = "look at what there is: proxyfs credentials list";
            Failure::new("delete", format!("credentials {name}"), e.why, advice)
        }
        _ => failure("delete", &format!("credentials {name}"), &e),
    })?;
    let places: Vec<String> = places.iter().map(Place::to_string).collect();
    cx.style.show(&json!({ "deleted": name, "from": places, "used_by": users }), || {
        format!("Deleted credentials {name} from {}. The key itself stays valid at the store.", places.join(", "))
    });
    if !users.is_empty() {
        cx.style.progress(&format!("still named by: {}", users.join(", ")));
    }
    Ok(())
}

/// Volumes that name these credentials.
fn volumes_with(cx: &Context, name: &str) -> Outcome<Vec<String>> {
    let volumes = crate::registry::Registry::new(cx.paths.registry()).load()?;
    Ok(volumes.into_iter().filter(|(_, e)| e.credentials.as_deref() == Some(name)).map(|(name, _)| name).collect())
}
