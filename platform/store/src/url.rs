//! Store URLs: what a person types to name a store, parsed strictly and printed canonically.
//!
//! | URL | store |
//! |---|---|
//! | `file:///path` (on Windows `file:///C:/path`, or `file:////server/share/path`) | a local directory |
//! | `s3://bucket/prefix?endpoint=URL&region=R&path_style=true&profile=P` | an S3-compatible store |
//! | `swift://container/prefix?auth=URL&auth_version=1&region=R` | OpenStack Swift |
//! | `mem:` or `mem:NAME` | memory; `NAME` is shared inside the process |
//!
//! `endpoint` is needed for stores other than AWS; `path_style` is true by default when it is given. Swift's `auth` URL says
//! which protocol is meant: a path that begins with `/auth/v1` or `/v1` is TempAuth (v1), one that begins with or ends in `/v3`
//! is Keystone; `auth_version=1` or `3` decides for other paths. A secret is never part of a URL.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use proxyfs_core::store::{StoreError, StoreErrorKind};

/// What may stand unescaped in a path or a parameter value.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':').remove(b',');

/// Parameter names that would carry a secret.
const SECRET_PARAMS: &[&str] = &[
    "access_key",
    "access_key_id",
    "api_key",
    "apikey",
    "aws_access_key_id",
    "aws_secret_access_key",
    "credential",
    "credentials",
    "key",
    "pass",
    "password",
    "secret",
    "secret_access_key",
    "secret_key",
    "session_token",
    "sig",
    "signature",
    "token",
];

/// Longest S3 prefix; leaves room for the engine's own paths inside S3's 1024 bytes.
const PREFIX_BYTES_MAX: usize = 120;

/// A parsed store URL. `Display` gives the canonical form, which parses to the same value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StoreUrl {
    /// `file:///path`.
    File(FileUrl),
    /// `s3://bucket/prefix`.
    S3(S3Url),
    /// `swift://container/prefix`.
    Swift(SwiftUrl),
    /// `mem:` (a store of its own for each open) or `mem:NAME`.
    Mem(Option<String>),
}

/// A local directory as a store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileUrl {
    /// Absolute path of the directory that is the home container.
    pub root: PathBuf,
}

/// A bucket of an S3-compatible store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct S3Url {
    /// Bucket of container 0.
    pub bucket: String,
    /// Prefix of all keys, without slashes at its ends; may be empty.
    pub prefix: String,
    /// `http://` or `https://` URL of the store; `None` is AWS.
    pub endpoint: Option<String>,
    /// Signing region; `None` asks the environment and profile.
    pub region: Option<String>,
    /// Bucket in the path instead of the host name; `None` is true with an endpoint, else false.
    pub path_style: Option<bool>,
    /// Profile in the AWS configuration files.
    pub profile: Option<String>,
}

/// A container of OpenStack Swift.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SwiftUrl {
    /// Container of ordinal 0.
    pub container: String,
    /// Prefix of all object names, without slashes at its ends; may be empty.
    pub prefix: String,
    /// URL of the authentication service.
    pub auth: String,
    /// Its protocol.
    pub auth_version: SwiftAuth,
    /// Region of the object-store endpoint in Keystone's catalogue; `None` takes the first.
    pub region: Option<String>,
}

/// How to log in to Swift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SwiftAuth {
    /// TempAuth: user and key in headers.
    V1,
    /// Keystone v3, password method.
    V3,
}

impl S3Url {
    /// Whether the bucket goes into the path.
    #[must_use]
    pub fn uses_path_style(&self) -> bool {
        self.path_style.unwrap_or(self.endpoint.is_some())
    }
}

impl FromStr for StoreUrl {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once(':') else { return Err(unknown_scheme()) };
        match scheme {
            "mem" => parse_mem(rest).map(Self::Mem),
            "file" => parse_file(&Parts::parse("file", rest)?).map(Self::File),
            "s3" => parse_s3(Parts::parse("s3", rest)?).map(Self::S3),
            "swift" => parse_swift(Parts::parse("swift", rest)?).map(Self::Swift),
            _ => Err(unknown_scheme()),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mem(name) => write!(f, "mem:{}", name.as_deref().unwrap_or("")),
            Self::File(url) => write!(f, "{url}"),
            Self::S3(url) => write!(f, "{url}"),
            Self::Swift(url) => write!(f, "{url}"),
        }
    }
}

impl fmt::Display for FileUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.root.to_string_lossy();
        // Elsewhere it is a character like any other.
        let path = if cfg!(windows) { path.replace('\\', "/") } else { path.into_owned() };
        let slash = if path.starts_with('/') { "" } else { "/" };
        write!(f, "file://{slash}{}", utf8_percent_encode(&path, PLAIN))
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path_style = self.path_style.map(|b| b.to_string());
        write!(f, "s3://{}{}", self.bucket, PathSuffix(&self.prefix))?;
        write_params(
            f,
            &[
                ("endpoint", self.endpoint.as_deref()),
                ("region", self.region.as_deref()),
                ("path_style", path_style.as_deref()),
                ("profile", self.profile.as_deref()),
            ],
        )
    }
}

impl fmt::Display for SwiftUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match self.auth_version {
            SwiftAuth::V1 => "1",
            SwiftAuth::V3 => "3",
        };
        let shown = (guess_swift_auth(&self.auth) != Some(self.auth_version)).then_some(version);
        write!(f, "swift://{}{}", utf8_percent_encode(&self.container, PLAIN), PathSuffix(&self.prefix))?;
        let params = [("auth", Some(self.auth.as_str())), ("auth_version", shown), ("region", self.region.as_deref())];
        write_params(f, &params)
    }
}

/// A prefix with its leading slash, or nothing.
struct PathSuffix<'a>(&'a str);

impl fmt::Display for PathSuffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "/{}", utf8_percent_encode(self.0, PLAIN)) }
    }
}

/// The pieces of `//authority/path?params`, decoded.
struct Parts {
    scheme: &'static str,
    authority: String,
    path: String,
    params: BTreeMap<String, String>,
}

impl Parts {
    fn parse(scheme: &'static str, rest: &str) -> Result<Self, StoreError> {
        let Some(rest) = rest.strip_prefix("//") else {
            return Err(invalid(format!("store URL: write two slashes after `{scheme}:`, e.g. {}", example(scheme))));
        };
        if rest.contains('#') {
            return Err(invalid(format!("{scheme} URL: `#` is not allowed; write %23 if a name holds one")));
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        if authority.contains('@') {
            return Err(secret_in_url(scheme, "a user name or password before `@`"));
        }
        Ok(Self { scheme, authority: decode(authority)?, path: decode(path)?, params: parse_params(scheme, query)? })
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.params.remove(name)
    }

    /// Fails if a parameter has not been taken.
    fn finish(self, known: &str) -> Result<(), StoreError> {
        match self.params.keys().next() {
            None => Ok(()),
            Some(name) => {
                Err(invalid(format!("{} URL: unknown parameter `{name}`; known parameters: {known}", self.scheme)))
            }
        }
    }
}

fn parse_params(scheme: &'static str, query: &str) -> Result<BTreeMap<String, String>, StoreError> {
    let mut params = BTreeMap::new();
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let lower = name.to_ascii_lowercase().replace('-', "_");
        if SECRET_PARAMS.contains(&lower.as_str()) {
            return Err(secret_in_url(scheme, &format!("the parameter `{name}`")));
        }
        if value.is_empty() {
            return Err(invalid(format!(
                "{scheme} URL: parameter `{name}` has no value; write {name}=VALUE or leave it out"
            )));
        }
        if params.insert(name.to_owned(), decode(value)?).is_some() {
            return Err(invalid(format!("{scheme} URL: parameter `{name}` is given twice")));
        }
    }
    Ok(params)
}

fn parse_mem(name: &str) -> Result<Option<String>, StoreError> {
    match name {
        "" => Ok(None),
        _ if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') => Ok(Some(name.to_owned())),
        _ => Err(invalid("mem URL: write `mem:` or `mem:NAME` with a name of letters, digits, `-` and `_`")),
    }
}

fn parse_file(parts: &Parts) -> Result<FileUrl, StoreError> {
    if let Some(name) = parts.params.keys().next() {
        return Err(invalid(format!("file URL: it takes no parameters, found `{name}`")));
    }
    if !parts.authority.is_empty() && parts.authority != "localhost" {
        return Err(invalid(format!(
            "file URL: host `{}` is not possible; write three slashes, e.g. file:///{}/{}",
            parts.authority, parts.authority, parts.path
        )));
    }
    let root = local_path(&parts.path);
    // On Windows a path without a drive means another place in another process.
    let whole = !parts.path.is_empty() && root.is_absolute();
    if !whole || root.components().any(|c| c == std::path::Component::ParentDir) {
        return Err(invalid(format!("file URL: write an absolute path without `..`, e.g. {}", example("file"))));
    }
    Ok(FileUrl { root })
}

/// The directory behind a URL path that has lost its first slash.
fn local_path(path: &str) -> PathBuf {
    let drive = path.as_bytes().get(1) == Some(&b':');
    let text = if cfg!(windows) && drive { path.to_owned() } else { format!("/{path}") };
    // Through components: repeated and trailing slashes go.
    Path::new(&text).components().collect()
}

fn parse_s3(mut parts: Parts) -> Result<S3Url, StoreError> {
    let bucket = std::mem::take(&mut parts.authority);
    if bucket.is_empty() {
        return Err(invalid("s3 URL: the bucket is missing; write s3://BUCKET or s3://BUCKET/PREFIX"));
    }
    check_bucket(&bucket)?;
    let prefix = parse_prefix("s3", &parts.path)?;
    let endpoint = parts.take("endpoint").map(|e| parse_http_url("s3", "endpoint", &e)).transpose()?;
    let path_style = parts.take("path_style").map(|v| parse_bool("s3", "path_style", &v)).transpose()?;
    let (region, profile) = (parts.take("region"), parts.take("profile"));
    parts.finish("endpoint, region, path_style, profile")?;
    Ok(S3Url { bucket, prefix, endpoint, region, path_style, profile })
}

fn parse_swift(mut parts: Parts) -> Result<SwiftUrl, StoreError> {
    let container = std::mem::take(&mut parts.authority);
    if container.is_empty() {
        return Err(invalid("swift URL: the container is missing; write swift://CONTAINER/PREFIX?auth=URL"));
    }
    let prefix = parse_prefix("swift", &parts.path)?;
    let Some(auth) = parts.take("auth") else {
        return Err(invalid(
            "swift URL: the parameter `auth` is missing; write auth=http://HOST/auth/v1.0 or auth=https://HOST:5000/v3",
        ));
    };
    let auth = parse_http_url("swift", "auth", &auth)?;
    let auth_version = match parts.take("auth_version").as_deref() {
        Some("1") => SwiftAuth::V1,
        Some("3") => SwiftAuth::V3,
        Some(other) => return Err(invalid(format!("swift URL: auth_version is `{other}`; write 1 or 3"))),
        None => guess_swift_auth(&auth).ok_or_else(|| {
            invalid("swift URL: the path of `auth` says neither v1 nor v3; add auth_version=1 or auth_version=3")
        })?,
    };
    let region = parts.take("region");
    parts.finish("auth, auth_version, region")?;
    Ok(SwiftUrl { container, prefix, auth, auth_version, region })
}

/// The protocol that the path of an authentication URL names.
fn guess_swift_auth(auth: &str) -> Option<SwiftAuth> {
    let (_, rest) = auth.split_once("://")?;
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    if path.starts_with("auth/v1") || path.starts_with("v1") {
        return Some(SwiftAuth::V1);
    }
    (path.starts_with("v3") || path.ends_with("/v3")).then_some(SwiftAuth::V3)
}

/// AWS's letters, plus upper case and `_`, which older and other stores allow.
fn check_bucket(bucket: &str) -> Result<(), StoreError> {
    let letters = bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if letters && (3..=63).contains(&bucket.len()) && !bucket.starts_with('.') {
        return Ok(());
    }
    Err(invalid(format!("s3 URL: `{bucket}` cannot be a bucket: write 3 to 63 letters, digits, `-` and `.`")))
}

fn parse_prefix(scheme: &str, path: &str) -> Result<String, StoreError> {
    let prefix = path.trim_matches('/');
    let plain = prefix.bytes().all(|b| (0x20..0x7f).contains(&b));
    let segments = prefix.is_empty() || prefix.split('/').all(|s| !s.is_empty() && s != "." && s != "..");
    if plain && segments && prefix.len() <= PREFIX_BYTES_MAX {
        return Ok(prefix.to_owned());
    }
    let rule = format!("at most {PREFIX_BYTES_MAX} printable ASCII characters, no `//`, `.` or `..`");
    Err(invalid(format!("{scheme} URL: prefix `{prefix}` is not possible: {rule}")))
}

fn parse_bool(scheme: &str, name: &str, value: &str) -> Result<bool, StoreError> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(invalid(format!("{scheme} URL: {name} is `{value}`; write {name}=true or {name}=false"))),
    }
}

fn parse_http_url(scheme: &'static str, name: &str, value: &str) -> Result<String, StoreError> {
    let rest = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://"));
    let Some(rest) = rest else {
        return Err(invalid(format!(
            "{scheme} URL: {name} needs a scheme; write {name}=https://HOST or {name}=http://HOST:PORT"
        )));
    };
    if rest.split('/').next().is_some_and(|host| host.contains('@')) {
        return Err(secret_in_url(scheme, &format!("a user name or password in `{name}`")));
    }
    if rest.contains('?') {
        // What follows is often a signature or a token; it is not repeated.
        return Err(invalid(format!(
            "{scheme} URL: {name} holds `?`; write {name}=http://HOST:PORT without parameters"
        )));
    }
    if value.parse::<http::Uri>().is_err() || rest.is_empty() {
        return Err(invalid(format!("{scheme} URL: {name} is `{value}`; write {name}=http://HOST:PORT")));
    }
    Ok(value.trim_end_matches('/').to_owned())
}

fn decode(text: &str) -> Result<String, StoreError> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| invalid("store URL: a %-escape is not UTF-8"))?;
    if text.contains('\0') {
        return Err(invalid("store URL: %00 is not allowed"));
    }
    Ok(text.into_owned())
}

fn write_params(f: &mut fmt::Formatter<'_>, params: &[(&str, Option<&str>)]) -> fmt::Result {
    let mut separator = '?';
    for (name, value) in params {
        if let Some(value) = value {
            write!(f, "{separator}{name}={}", utf8_percent_encode(value, PLAIN))?;
            separator = '&';
        }
    }
    Ok(())
}

fn example(scheme: &str) -> &'static str {
    match scheme {
        "file" if cfg!(windows) => "file:///C:/proxyfs",
        "file" => "file:///srv/proxyfs",
        "s3" => "s3://bucket/prefix",
        _ => "swift://container/prefix?auth=URL",
    }
}

fn unknown_scheme() -> StoreError {
    invalid("store URL: write file:///PATH, s3://BUCKET/PREFIX, swift://CONTAINER/PREFIX?auth=URL or mem:NAME")
}

fn secret_in_url(scheme: &str, what: &str) -> StoreError {
    let place = match scheme {
        "swift" => {
            "store them under a name (proxyfs credentials set NAME), or put them into the environment: ST_USER and ST_KEY, or OS_USERNAME, OS_PASSWORD and OS_PROJECT_NAME"
        }
        "file" => "a local directory needs none",
        _ => {
            "store them under a name (proxyfs credentials set NAME), or put them into the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or into a profile and write profile=NAME"
        }
    };
    invalid(format!("{scheme} URL: {what} is not accepted, as URLs are logged and stored; {place}"))
}

fn invalid(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> StoreUrl {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    /// What an absolute path begins with.
    const ROOT: &str = if cfg!(windows) { "file:///C:" } else { "file://" };

    #[test]
    fn canonical_urls_print_as_written() {
        for text in [
            "mem:",
            "mem:a-1",
            &format!("{ROOT}/srv/proxyfs"),
            &format!("{ROOT}/srv/with%20space%25"),
            "s3://bucket",
            "s3://bucket/a/b",
            "s3://bucket/p?endpoint=http://127.0.0.1:3900&region=garage&path_style=true&profile=lab",
            "swift://c/p?auth=http://127.0.0.1:8090/auth/v1.0",
            "swift://c?auth=https://k:5000/v3&region=R1",
            "swift://c?auth=https://k/identity/v3",
            "swift://c?auth=https://k/login&auth_version=3",
        ] {
            assert_eq!(parse(text).to_string(), text);
        }
    }

    #[test]
    fn other_spellings_become_canonical() {
        let (written, canonical) = (ROOT.replacen("//", "//localhost", 1), format!("{ROOT}/srv/x"));
        for (text, canonical) in [
            (format!(" {written}/srv//x/ ").as_str(), canonical.as_str()),
            ("s3://bucket/", "s3://bucket"),
            ("s3://bucket//a/b/?region=r", "s3://bucket/a/b?region=r"),
            ("s3://bkt?profile=p&endpoint=http%3A%2F%2Fh%3A1%2F", "s3://bkt?endpoint=http://h:1&profile=p"),
            ("swift://c?auth=http://h/auth/v1.0&auth_version=1", "swift://c?auth=http://h/auth/v1.0"),
        ] {
            assert_eq!(parse(text).to_string(), canonical);
        }
    }

    #[test]
    fn path_style_follows_the_endpoint_unless_given() {
        for (text, expected) in [
            ("s3://bkt", false),
            ("s3://bkt?path_style=true", true),
            ("s3://bkt?endpoint=http://h:1", true),
            ("s3://bkt?endpoint=http://h:1&path_style=false", false),
        ] {
            let StoreUrl::S3(url) = parse(text) else { panic!("{text}") };
            assert_eq!(url.uses_path_style(), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_are_answered_with_what_to_write() {
        for (text, part) in [
            ("", "file:///PATH"),
            ("/srv", "file:///PATH"),
            ("ftp://x", "s3://BUCKET"),
            ("s3:bucket", "two slashes"),
            ("s3://", "bucket is missing"),
            ("s3:///prefix", "bucket is missing"),
            ("s3://a", "cannot be a bucket"),
            ("s3://bad bucket", "cannot be a bucket"),
            ("s3://bkt/a//b", "prefix"),
            ("s3://bkt/../b", "prefix"),
            ("s3://bkt?path_style=yes", "path_style=true or path_style=false"),
            ("s3://bkt?endpoint=127.0.0.1:80", "endpoint=https://HOST"),
            ("s3://bkt?endpoint=http://", "endpoint=http://HOST:PORT"),
            ("s3://bkt?regoin=x", "known parameters: endpoint, region"),
            ("s3://bkt?region", "has no value"),
            ("s3://bkt?region=a&region=b", "given twice"),
            ("s3://bkt#x", "%23"),
            ("swift://c", "`auth` is missing"),
            ("swift://?auth=http://h/v3", "container is missing"),
            ("swift://c?auth=http://h/login", "auth_version=1 or auth_version=3"),
            ("swift://c?auth=http://h/v3&auth_version=2", "write 1 or 3"),
            ("file://srv/x", "three slashes"),
            ("file:///", "absolute path"),
            ("file:///a/../b", "absolute path"),
            ("file:///a?x=1", "no parameters"),
            ("mem:a b", "mem:NAME"),
        ] {
            let error = text.parse::<StoreUrl>().expect_err(text);
            assert_eq!(error.kind, StoreErrorKind::Invalid);
            assert!(error.message.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn secrets_are_refused_and_never_repeated() {
        for text in [
            "s3://user:hunter2@bucket/p",
            "s3://bucket?secret=hunter2",
            "s3://bucket?Secret-Key=hunter2",
            "s3://bucket?access_key=hunter2",
            "s3://bucket?password=hunter2",
            "s3://bucket?endpoint=http://u:hunter2@host",
            "swift://c?auth=http://h/v3&key=hunter2",
        ] {
            let error = text.parse::<StoreUrl>().expect_err(text);
            assert!(!error.message.contains("hunter2"), "{error}");
            assert!(error.message.contains("environment") && error.message.contains("credentials set"), "{error}");
        }
    }

    #[test]
    fn parameters_of_an_endpoint_are_refused_and_never_repeated() {
        let error = "s3://bucket?endpoint=http://h/?sig=hunter2".parse::<StoreUrl>().unwrap_err();
        assert!(!error.message.contains("hunter2") && error.message.contains("without parameters"), "{error}");
    }

    #[cfg(windows)]
    #[test]
    fn a_path_on_windows_has_a_drive_or_a_server_and_either_slash() {
        for (text, root, canonical) in [
            ("file:///C:/a/b", r"C:\a\b", "file:///C:/a/b"),
            (r"file:///c:\a b\", r"c:\a b", "file:///c:/a%20b"),
            ("file:////server/share/a", r"\\server\share\a", "file:////server/share/a"),
        ] {
            let StoreUrl::File(url) = parse(text) else { panic!("{text}") };
            assert_eq!((url.root.as_path(), url.to_string().as_str()), (Path::new(root), canonical));
        }
        for text in ["file:///srv/x", "file:///C:", "file:///C:x"] {
            let error = text.parse::<StoreUrl>().expect_err(text);
            assert!(error.message.contains("file:///C:/proxyfs"), "{text}: {error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_backslash_in_a_directorys_name_survives_printing() {
        let url: StoreUrl = "file:///a\\b".parse().unwrap();
        assert_eq!(url.to_string().parse::<StoreUrl>().unwrap(), url);
    }

    proptest! {
        #[test]
        fn any_text_parses_or_fails_without_panic(text in "(s3|file|swift|mem|)(://|:)?[ -~é/?&=%@#.]{0,40}") {
            if let Ok(url) = text.parse::<StoreUrl>() {
                prop_assert_eq!(url.to_string().parse::<StoreUrl>().unwrap(), url);
            }
        }

        #[test]
        fn s3_urls_survive_printing(
            bucket in "[a-z0-9][a-z0-9.-]{2,40}", prefix in "([a-zA-Z0-9 %&?#+=_-]{1,9}/){0,3}", region in proptest::option::of("[a-z0-9&=%# -]{1,9}"),
            path_style in proptest::option::of(any::<bool>()), profile in proptest::option::of("[a-z ]{1,9}"),
        ) {
            let prefix = prefix.trim_matches('/').to_owned();
            let url = StoreUrl::S3(S3Url { bucket, prefix, endpoint: Some("https://h:1/x".into()), region, path_style, profile });
            prop_assert_eq!(url.to_string().parse::<StoreUrl>().unwrap(), url);
        }
    }
}
