//! One named credential, and its text form: a few lines of TOML, the same in a file, a systemd credential and the credential store.
//!
//! ```toml
//! access_key_id = "..."          # or user = "..." (Swift)
//! secret_access_key = "..."      # or key = "..."
//! session_token = "..."          # optional
//! project = "..."                # Keystone only, likewise user_domain and project_domain
//! since = 1790000000             # seconds since 1970, when it was stored; optional
//! ```
//!
//! A text that makes no sense is described by the number of its line, never by its content.

use std::time::{SystemTime, UNIX_EPOCH};

use proxyfs_store::{Credentials, KeystoneScope};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// How much of a key id is shown.
const SHOWN_CHARS: usize = 4;

/// A credential and when it was stored.
#[derive(Clone, Debug)]
pub struct Record {
    /// What a store takes.
    pub credentials: Credentials,
    /// Seconds since 1970, if known.
    pub since: Option<u64>,
}

/// What may be shown of a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Where it lies: a source and its place.
    pub place: String,
    /// The end of the access key id or user.
    pub id_ends_in: String,
    /// Seconds since 1970, when it was stored, if known.
    pub since: Option<u64>,
    /// Whether it is temporary.
    pub session_token: bool,
    /// Keystone project.
    pub project: Option<String>,
}

/// The text form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fields {
    #[serde(alias = "user")]
    access_key_id: String,
    #[serde(alias = "key")]
    secret_access_key: SecretString,
    session_token: Option<SecretString>,
    project: Option<String>,
    user_domain: Option<String>,
    project_domain: Option<String>,
    since: Option<u64>,
}

impl From<Fields> for Record {
    fn from(fields: Fields) -> Self {
        let Fields { access_key_id, secret_access_key, session_token, project, user_domain, project_domain, since } =
            fields;
        let scope = KeystoneScope { project, user_domain, project_domain };
        let credentials = Credentials { id: access_key_id, secret: secret_access_key, session_token, scope };
        Self { credentials, since }
    }
}

impl Record {
    /// A credential stored now.
    #[must_use]
    pub fn now(credentials: Credentials) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|d| d.as_secs());
        Self { credentials, since }
    }

    /// Reads the text form; the error names a line.
    pub(crate) fn decode(text: &str) -> Result<Self, String> {
        let fields: Fields = toml::from_str(text).map_err(|e| broken(text, &e))?;
        let record = Self::from(fields);
        record.check()?;
        Ok(record)
    }

    /// Refuses what no store would take.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.credentials.id.is_empty() {
            return Err("the access key id is empty".to_owned());
        }
        if self.credentials.secret.expose_secret().is_empty() {
            return Err("the secret is empty".to_owned());
        }
        Ok(())
    }

    /// Writes the text form.
    pub(crate) fn encode(&self) -> Zeroizing<String> {
        let Credentials { id, secret, session_token, scope } = &self.credentials;
        let since = self.since.map(|s| s.to_string());
        let fields = [
            ("access_key_id", Some(id.as_str())),
            ("secret_access_key", Some(secret.expose_secret())),
            ("session_token", session_token.as_ref().map(ExposeSecret::expose_secret)),
            ("project", scope.project.as_deref()),
            ("user_domain", scope.user_domain.as_deref()),
            ("project_domain", scope.project_domain.as_deref()),
        ];
        // Large enough from the start, as growing would leave copies behind: an escape takes up to 6 bytes a character.
        let len: usize = fields.iter().map(|(name, value)| name.len() + 6 + value.map_or(0, |v| 6 * v.len())).sum();
        let mut out = Zeroizing::new(String::with_capacity(len + 40));
        for (name, value) in fields {
            let Some(value) = value else { continue };
            out.push_str(name);
            out.push_str(" = \"");
            value.chars().for_each(|c| push_escaped(&mut out, c));
            out.push_str("\"\n");
        }
        if let Some(since) = since {
            out.push_str("since = ");
            out.push_str(&since);
            out.push('\n');
        }
        out
    }

    /// What may be shown of it.
    #[must_use]
    pub fn describe(&self, name: &str, place: &str) -> Described {
        let id: Vec<char> = self.credentials.id.chars().collect();
        let id_ends_in = id[id.len() - SHOWN_CHARS.min(id.len() / 2)..].iter().collect();
        Described {
            name: name.to_owned(),
            place: place.to_owned(),
            id_ends_in,
            since: self.since,
            session_token: self.credentials.session_token.is_some(),
            project: self.credentials.scope.project.clone(),
        }
    }
}

/// A basic TOML string's escapes.
fn push_escaped(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        c if c.is_control() => {
            let code = u32::from(c);
            out.push_str("\\u");
            for shift in [12, 8, 4, 0] {
                out.push(char::from_digit((code >> shift) & 0xf, 16).unwrap_or('0'));
            }
        }
        c => out.push(c),
    }
}

/// Where a text is wrong. The parser's own message could repeat a value.
pub(crate) fn broken(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(1, |span| 1 + text.bytes().take(span.start).filter(|b| *b == b'\n').count());
    format!("it does not hold what it should, near line {line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let scope = KeystoneScope { project: Some("p".into()), ..KeystoneScope::default() };
        let token = Some("t\n\u{1}".into());
        Record {
            credentials: Credentials {
                session_token: token,
                scope,
                ..Credentials::new("AKIAEXAMPLE1", "s\"e\\c/ret é")
            },
            since: Some(5),
        }
    }

    #[test]
    fn a_record_survives_its_text() {
        let text = record().encode();
        let again = Record::decode(&text).unwrap();
        assert_eq!(*again.encode(), *text);
        assert_eq!(again.credentials.secret.expose_secret(), "s\"e\\c/ret é");
        assert_eq!(again.credentials.session_token.unwrap().expose_secret(), "t\n\u{1}");
    }

    #[test]
    fn swift_users_may_call_them_by_their_names() {
        let record = Record::decode("user = \"a:u\"\nkey = \"k\"").unwrap();
        assert_eq!((record.credentials.id.as_str(), record.credentials.secret.expose_secret()), ("a:u", "k"));
    }

    #[test]
    fn a_broken_text_is_named_by_its_line_only() {
        for text in [
            "access_key_id = \"a\"\nsecret_access_key = hunter2",
            "access_key_id = \"a\"\nhunter2 = 1",
            "access_key_id = \"a\"\nsecret_access_key = [\"hunter2\"]",
            "access_key_id = \"a\"\nsecret_access_key = \"\"",
            "hunter2",
        ] {
            let error = Record::decode(text).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn only_the_end_of_an_id_is_shown_and_no_secret() {
        let shown = record().describe("n", "here");
        assert_eq!(shown.id_ends_in, "PLE1");
        assert!(!format!("{shown:?}{:?}", record()).contains("ret"));
        let short = Record::now(Credentials::new("ab", "s")).describe("n", "here");
        assert_eq!(short.id_ends_in, "b");
    }
}
