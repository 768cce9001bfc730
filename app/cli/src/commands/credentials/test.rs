//! `proxyfs credentials test`: tries credentials on a store and says what is wrong.

use proxyfs_store::{ProbeDepth, ProbeReport, StoreOptions, StoreUrl, probe};
use serde_json::json;

use super::super::Context;
use crate::cli::CredentialsTest;
use crate::credentials::named;
use crate::failure::{Failure, Outcome};
use crate::options::{Given, Settings};
use crate::registry::Registry;
use crate::target::{Target, parse_url};

/// One store to try, and with what.
struct Trial {
    subject: String,
    url: StoreUrl,
    credentials: Option<String>,
    options: StoreOptions,
}

/// Tries, and fails with the first thing that is wrong.
pub(crate) async fn run(cx: &Context, args: &CredentialsTest) -> Outcome {
    let depth = if args.write { ProbeDepth::Write } else { ProbeDepth::Read };
    let mut done = Vec::new();
    for trial in trials(cx, args)? {
        let mut options = trial.options;
        let mut place = None;
        if let Some(name) = &trial.credentials {
            let found = named(&cx.paths, name).await?;
            place = Some(found.place.to_string());
            options.credentials = Some(found.record.credentials);
        }
        let report = probe(&trial.url, &options, depth).await;
        if let Some(finding) = &report.finding {
            let advice = match &trial.credentials {
                Some(name) => finding.to_do.replace("credentials set NAME", &format!("credentials set {name}")),
                None => finding.to_do.clone(),
            };
            return Err(Failure::new("use", trial.subject, &finding.why, advice));
        }
        done.push((trial.credentials, place, report));
    }
    let tried: Vec<_> = done
        .iter()
        .map(|(name, place, report)| {
            json!({ "store": report.store, "credentials": name, "place": place, "checks": report.checks })
        })
        .collect();
    cx.style.show(&json!({ "tried": tried }), || {
        let lines = done.iter().map(|(name, place, report)| said(name.as_deref(), place.as_deref(), report));
        lines.collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

fn said(name: Option<&str>, place: Option<&str>, report: &ProbeReport) -> String {
    let with = match (name, place) {
        (Some(name), Some(place)) => format!("credentials {name} ({place})"),
        _ => "the environment's credentials".to_owned(),
    };
    let actions: Vec<&str> = report.checks.iter().map(|c| c.action.as_str()).collect();
    format!("{} works with {with}: {}.", report.store, actions.join(", "))
}

/// What is to be tried: a URL, a volume, named credentials on a URL, or on all volumes that use them.
fn trials(cx: &Context, args: &CredentialsTest) -> Outcome<Vec<Trial>> {
    if let Some(store) = &args.store {
        return Ok(vec![at_url(store, Some(&args.what))?]);
    }
    if args.what.contains(':') {
        return Ok(vec![at_url(&args.what, args.credentials.as_deref())?]);
    }
    let volumes = Registry::new(cx.paths.registry()).load()?;
    if volumes.contains_key(&args.what) {
        return Ok(vec![of_volume(cx, &args.what, args.credentials.as_deref())?]);
    }
    let users = super::volumes_with(cx, &args.what)?;
    if users.is_empty() {
        let why = "it is no volume, and no volume uses credentials of this name";
        let advice = format!("name a store to try them on: proxyfs credentials test {} --store URL", args.what);
        return Err(Failure::usage("test", &args.what, why, advice));
    }
    users.iter().map(|volume| of_volume(cx, volume, None)).collect()
}

fn at_url(text: &str, credentials: Option<&str>) -> Outcome<Trial> {
    let url = parse_url(text)?;
    let options = Settings::default().store;
    Ok(Trial { subject: format!("the store {url}"), url, credentials: credentials.map(str::to_owned), options })
}

fn of_volume(cx: &Context, name: &str, credentials: Option<&str>) -> Outcome<Trial> {
    let target = Target::registered(&cx.paths, name)?;
    let options = target.settings(&Given::new())?.store;
    let credentials = credentials.map(str::to_owned).or_else(|| target.credentials.clone());
    Ok(Trial { subject: format!("the store of {}", target.subject()), url: target.url, credentials, options })
}
