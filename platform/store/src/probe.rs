//! Why a store cannot be used, in plain words: makes a few harmless requests, once each, and says what is wrong with the first that
//! fails, or which of them are denied.
//!
//! Reading lists one object and asks for one that is not there. Writing puts, reads and deletes an object of its own under the
//! prefix. The judgement ([`Facts`] to [`Finding`]) is apart from the requests, so that it is tested by table.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use proxyfs_core::store::{GetRange, ObjectKey, ObjectStore, PutMode, StoreError, StoreErrorKind};
use serde::{Deserialize, Serialize};

use crate::open::{StoreOptions, bare};
use crate::s3::probe::S3Prober;
use crate::url::StoreUrl;

/// Longest that one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Clocks further apart than this are refused by S3 (S3 reference, RequestTimeTooSkewed).
const SKEW_MAX_SECONDS: i64 = 15 * 60;

/// What the probe's own object holds.
const CONTENT: &[u8] = b"proxyfs probe: may be deleted";

/// What may be done to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeDepth {
    /// Only what changes nothing.
    Read,
    /// Also put and delete an object of the probe's own.
    Write,
}

/// One kind of request and whether it worked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// `list`, `get`, `put` or `delete`.
    pub action: String,
    /// Whether the store did it.
    pub ok: bool,
}

/// What is wrong. A kind exists where a person acts differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The host's name is unknown.
    Dns,
    /// No connection, or no answer in time.
    Unreachable,
    /// The connection's encryption failed.
    Tls,
    /// This machine's clock is off.
    ClockSkew,
    /// The bucket lies in another region.
    WrongRegion,
    /// There is no such bucket, container or directory.
    NoBucket,
    /// There are no credentials.
    NoCredentials,
    /// The store does not know the key id or user.
    WrongKeyId,
    /// The secret does not fit the key id.
    WrongSecret,
    /// Temporary credentials have ended.
    Expired,
    /// The credentials are good, but do not allow it.
    Denied,
    /// The bucket belongs into the path.
    PathStyleNeeded,
    /// Something else; the store's own words tell.
    Other,
}

/// What is wrong, with its cause and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The kind.
    pub trouble: Trouble,
    /// The cause, a sentence without a stop.
    pub why: String,
    /// The next step.
    pub to_do: String,
}

impl Finding {
    pub(crate) fn new(trouble: Trouble, why: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { trouble, why: why.into(), to_do: to_do.into() }
    }
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// Canonical URL of the store.
    pub store: String,
    /// What was tried, in order.
    pub checks: Vec<Check>,
    /// What is wrong; `None` when all of it worked.
    pub finding: Option<Finding>,
}

/// What is known of a failed request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// HTTP status, if an answer came.
    pub(crate) status: Option<u16>,
    /// The store's error code.
    pub(crate) code: Option<String>,
    /// The whole error in words.
    pub(crate) text: String,
    /// The store's clock minus ours, in seconds.
    pub(crate) skew: Option<i64>,
    /// Where the store says that the bucket lies.
    pub(crate) region: Option<String>,
}

/// The requests, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    List,
    GetMissing,
    Put,
    Get,
    Delete,
}

impl Step {
    const READ: &[Self] = &[Self::List, Self::GetMissing];
    const WRITE: &[Self] = &[Self::List, Self::Put, Self::Get, Self::Delete];

    pub(crate) fn action(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::GetMissing | Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }
}

enum Prober {
    S3(Box<S3Prober>),
    Objects(std::sync::Arc<dyn ObjectStore>),
}

/// Tries a store once.
pub async fn probe(url: &StoreUrl, options: &StoreOptions, depth: ProbeDepth) -> ProbeReport {
    let key = ObjectKey::home(format!("probe/credentials-{:x}-{:x}", std::process::id(), nanos()));
    let mut report = ProbeReport { store: url.to_string(), checks: Vec::new(), finding: None };
    let prober = match Prober::connect(url, options).await {
        Ok(prober) => prober,
        Err(finding) => {
            report.finding = Some(finding);
            return report;
        }
    };
    let steps = if depth == ProbeDepth::Write { Step::WRITE } else { Step::READ };
    let (mut denied, mut put_failed) = (Vec::new(), false);
    for &step in steps {
        if put_failed && step == Step::Get {
            continue;
        }
        let limit = REQUEST_TIMEOUT.min(Duration::from_secs(options.operation_timeout));
        let outcome = match tokio::time::timeout(limit, prober.run(step, &key)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let text = format!("no answer for {} s", limit.as_secs());
                Err(judge(url, step, &Facts { text, ..Facts::default() }))
            }
        };
        report.checks.push(Check { action: step.action().to_owned(), ok: outcome.is_ok() });
        match outcome {
            Ok(()) => {}
            Err(finding) if finding.trouble == Trouble::Denied => {
                put_failed |= step == Step::Put;
                denied.push((step, finding));
            }
            Err(finding) => {
                report.finding = Some(finding);
                if step == Step::Get {
                    // What was put is taken away again; the finding already says that something is wrong.
                    let _left = prober.run(Step::Delete, &key).await.is_err();
                }
                return report;
            }
        }
    }
    report.finding = summary(url, denied);
    report
}

/// One finding for all that is denied.
fn summary(url: &StoreUrl, denied: Vec<(Step, Finding)>) -> Option<Finding> {
    let mut actions: Vec<&str> = denied.iter().map(|(step, _)| step.action()).collect();
    actions.dedup();
    let first = denied.into_iter().next()?.1;
    let names = actions.join(", ");
    let why = format!("the credentials are good, but do not allow: {names} ({})", first.why);
    Some(Finding::new(Trouble::Denied, why, allow(url, &actions)))
}

fn allow(url: &StoreUrl, actions: &[&str]) -> String {
    match url {
        StoreUrl::S3(s3) => {
            let rights: Vec<&str> = actions
                .iter()
                .map(|action| match *action {
                    "list" => "s3:ListBucket",
                    "get" => "s3:GetObject",
                    "put" => "s3:PutObject",
                    _ => "s3:DeleteObject",
                })
                .collect();
            format!("let this key do {} on bucket `{}`, prefix `{}`", rights.join(", "), s3.bucket, s3.prefix)
        }
        StoreUrl::Swift(swift) => {
            format!("let this user {} in container `{}`", actions.join(", "), swift.container)
        }
        StoreUrl::File(_) | StoreUrl::Mem(_) => "give this user the rights on the directory".to_owned(),
    }
}

impl Prober {
    async fn connect(url: &StoreUrl, options: &StoreOptions) -> Result<Self, Finding> {
        let credentials = options.credentials.clone();
        Ok(match url {
            StoreUrl::S3(s3) => Self::S3(Box::new(S3Prober::connect(s3, credentials).await.map_err(unopened)?)),
            StoreUrl::Swift(_) | StoreUrl::File(_) | StoreUrl::Mem(_) => {
                Self::Objects(bare(url, options).await.map_err(unopened)?)
            }
        })
    }

    async fn run(&self, step: Step, key: &ObjectKey) -> Result<(), Finding> {
        match self {
            Self::S3(prober) => prober.run(step, key).await,
            Self::Objects(store) => objects(store.as_ref(), step, key).await.map_err(|e| judge_kind(step, &e)),
        }
    }
}

/// A client that could not be made.
fn unopened(error: StoreError) -> Finding {
    if error.kind == StoreErrorKind::Denied {
        return Finding::new(Trouble::NoCredentials, error.message, "store some: proxyfs credentials set NAME");
    }
    Finding::new(Trouble::Other, error.message, "correct the store URL")
}

async fn objects(store: &dyn ObjectStore, step: Step, key: &ObjectKey) -> Result<(), StoreError> {
    match step {
        Step::List => store.list(0, "", None).await.map(|_| ()),
        Step::GetMissing => match store.get(key, GetRange::Full).await {
            Err(e) if e.kind == StoreErrorKind::NotFound => Ok(()),
            other => other.map(|_| ()),
        },
        Step::Put => store.put(key, vec![Bytes::from_static(CONTENT)], PutMode::Fresh).await,
        Step::Get => same(&store.get(key, GetRange::Full).await?),
        Step::Delete => match store.delete(std::slice::from_ref(key)).await?.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        },
    }
}

/// Compares what came back with what was put.
pub(crate) fn same(content: &[u8]) -> Result<(), StoreError> {
    if content == CONTENT {
        return Ok(());
    }
    Err(StoreError::new(StoreErrorKind::Invalid, "what was read is not what was put"))
}

/// The probe's object.
pub(crate) fn content() -> &'static [u8] {
    CONTENT
}

/// Judges by the store crate's own kinds, for stores without error codes.
fn judge_kind(step: Step, error: &StoreError) -> Finding {
    let why = error.message.clone();
    match error.kind {
        StoreErrorKind::Denied if why.starts_with("log in") => {
            Finding::new(Trouble::WrongSecret, why, "store the right user and key: proxyfs credentials set NAME")
        }
        StoreErrorKind::Denied => Finding::new(Trouble::Denied, why, step.action()),
        StoreErrorKind::NoContainer => Finding::new(Trouble::NoBucket, why, "create it, or correct the URL"),
        StoreErrorKind::Unavailable => unsent(&why, None),
        _ => Finding::new(Trouble::Other, why, "look at what the store says"),
    }
}

/// Judges a failed request.
pub(crate) fn judge(url: &StoreUrl, step: Step, facts: &Facts) -> Finding {
    let StoreUrl::S3(s3) = url else { return unsent(&facts.text, None) };
    let Some(status) = facts.status else { return unsent(&facts.text, s3.endpoint.as_deref()) };
    let code = facts.code.as_deref().unwrap_or("");
    let text = facts.text.clone();
    let moved = facts.region.as_deref().filter(|there| s3.region.as_deref().is_some_and(|here| here != *there));
    let skewed = facts.skew.is_some_and(|s| s.abs() > SKEW_MAX_SECONDS);
    let set = "proxyfs credentials set NAME";
    match (status, code) {
        (_, "RequestTimeTooSkewed" | "RequestExpired") => clock(facts.skew),
        (400 | 401 | 403, _) if skewed => clock(facts.skew),
        (_, "PermanentRedirect" | "IllegalLocationConstraintException" | "AuthorizationHeaderMalformed")
        | (301 | 307, _) => wrong_region(facts),
        (400 | 403, _) if moved.is_some() => wrong_region(facts),
        (_, "NoSuchBucket") => no_bucket(&s3.bucket, s3.endpoint.as_deref()),
        (404, _) if step != Step::GetMissing && step != Step::Get => no_bucket(&s3.bucket, s3.endpoint.as_deref()),
        (_, "InvalidAccessKeyId" | "NotSignedUp" | "InvalidAccessKey" | "InvalidClientTokenId") => {
            let why = "the store does not know this access key id";
            Finding::new(Trouble::WrongKeyId, why, format!("store the right one: {set}; or correct the endpoint"))
        }
        (_, "SignatureDoesNotMatch") => {
            let why = "the secret does not fit the access key id (the store computes another signature)";
            Finding::new(
                Trouble::WrongSecret,
                why,
                format!("store the right one: {set}; if it is right, check region=REGION"),
            )
        }
        (_, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => {
            let why = "the session token has ended or is wrong";
            Finding::new(Trouble::Expired, why, format!("get new temporary credentials and store them: {set}"))
        }
        (401 | 403, _) => Finding::new(Trouble::Denied, text, step.action()),
        _ => Finding::new(Trouble::Other, text, "look at what the store says; check that the endpoint is an S3 store"),
    }
}

fn clock(skew: Option<i64>) -> Finding {
    let how = match skew {
        Some(s) if s > 0 => format!("this machine's clock is {s} s behind the store's"),
        Some(s) if s < 0 => format!("this machine's clock is {} s ahead of the store's", -s),
        _ => "this machine's clock differs from the store's".to_owned(),
    };
    Finding::new(Trouble::ClockSkew, format!("{how}, so it refuses the signature"), "set the clock, best by NTP")
}

fn wrong_region(facts: &Facts) -> Finding {
    let (why, to_do) = match &facts.region {
        Some(region) => (format!("the bucket lies in region {region}"), format!("write region={region} into the URL")),
        None => (
            format!("the region in the signature is not the store's ({})", facts.text),
            "write the bucket's region into the URL: region=REGION".to_owned(),
        ),
    };
    Finding::new(Trouble::WrongRegion, why, to_do)
}

fn no_bucket(bucket: &str, endpoint: Option<&str>) -> Finding {
    let place = endpoint.unwrap_or("AWS");
    let why = format!("there is no bucket `{bucket}` at {place}");
    Finding::new(Trouble::NoBucket, why, "create it, or correct the URL")
}

/// The bucket belongs into the path: found by trying.
pub(crate) fn path_style(endpoint: &str) -> Finding {
    let why = format!("{endpoint} wants the bucket in the path, not in the host name");
    Finding::new(Trouble::PathStyleNeeded, why, "write path_style=true into the URL")
}

/// Judges a request that got no answer, by the words of its causes.
fn unsent(text: &str, endpoint: Option<&str>) -> Finding {
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let https = endpoint.is_some_and(|e| e.starts_with("https:"));
    if has(&["no credentials", "credentials could not be loaded"]) {
        return Finding::new(Trouble::NoCredentials, text, "store some: proxyfs credentials set NAME");
    }
    if has(&["dns error", "failed to lookup", "name or service not known"]) {
        return Finding::new(Trouble::Dns, text, "check the host in the endpoint, and this machine's name server");
    }
    if has(&["corrupt message", "invalidcontenttype"]) && https {
        return Finding::new(
            Trouble::Tls,
            text,
            "it does not speak TLS there: check the port, or write http:// if that is meant",
        );
    }
    if has(&["certificate", "unknownissuer", "tls", "handshake", "corrupt message"]) {
        let to_do =
            "check the host in the endpoint and the clock; add the store's own authority to the system's certificates";
        return Finding::new(Trouble::Tls, text, to_do);
    }
    Finding::new(Trouble::Unreachable, text, "check the endpoint's host and port, the network and the firewall")
}

fn nanos() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::FileUrl;

    fn url() -> StoreUrl {
        "s3://bucket/p?endpoint=https://h:1&region=here".parse().unwrap()
    }

    #[test]
    fn answers_are_told_apart() {
        use Trouble::*;
        for (status, code, skew, region, expected) in [
            (403, "RequestTimeTooSkewed", None, None, ClockSkew),
            (403, "SignatureDoesNotMatch", Some(-4000), None, ClockSkew),
            (403, "SignatureDoesNotMatch", Some(-4), None, WrongSecret),
            (403, "SignatureDoesNotMatch", None, Some("there"), WrongRegion),
            (301, "PermanentRedirect", None, Some("there"), WrongRegion),
            (400, "AuthorizationHeaderMalformed", None, None, WrongRegion),
            (404, "NoSuchBucket", None, None, NoBucket),
            (404, "", None, None, NoBucket),
            (403, "InvalidAccessKeyId", None, None, WrongKeyId),
            (400, "ExpiredToken", None, None, Expired),
            (403, "AccessDenied", None, None, Denied),
            (403, "AccessDenied", None, Some("here"), Denied),
            (500, "InternalError", None, None, Other),
        ] {
            let facts = Facts {
                status: Some(status),
                code: Some(code.into()),
                skew,
                region: region.map(str::to_owned),
                text: "t".into(),
            };
            assert_eq!(judge(&url(), Step::List, &facts).trouble, expected, "{status} {code} {skew:?} {region:?}");
        }
    }

    #[test]
    fn failures_without_an_answer_are_told_apart() {
        for (text, expected) in [
            ("list: dns error: failed to lookup address information", Trouble::Dns),
            ("list: invalid peer certificate: UnknownIssuer", Trouble::Tls),
            ("list: received corrupt message of type InvalidContentType", Trouble::Tls),
            ("list: tcp connect error: Connection refused", Trouble::Unreachable),
            ("list: timed out", Trouble::Unreachable),
            ("list: no credentials found", Trouble::NoCredentials),
        ] {
            let facts = Facts { text: text.into(), ..Facts::default() };
            assert_eq!(judge(&url(), Step::List, &facts).trouble, expected, "{text}");
        }
    }

    #[test]
    fn clocks_are_compared_in_words() {
        assert!(clock(Some(3600)).why.contains("3600 s behind"));
        assert!(clock(Some(-3600)).why.contains("3600 s ahead"));
    }

    #[tokio::test]
    async fn a_directory_is_probed_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let url = StoreUrl::File(FileUrl { root: dir.path().to_owned() });
        let report = probe(&url, &StoreOptions::default(), ProbeDepth::Write).await;
        assert_eq!(report.finding, None);
        assert_eq!(
            report.checks.iter().map(|c| c.action.as_str()).collect::<Vec<_>>(),
            ["list", "put", "get", "delete"]
        );
        let report = probe(&url, &StoreOptions::default(), ProbeDepth::Read).await;
        assert_eq!((report.finding, report.checks.len()), (None, 2));
        let missing = StoreUrl::File(FileUrl { root: dir.path().join("none") });
        let report = probe(&missing, &StoreOptions::default(), ProbeDepth::Read).await;
        assert_eq!(report.finding.unwrap().trouble, Trouble::NoBucket);
    }
}
