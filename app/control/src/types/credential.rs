//! Credentials: what is set, where it lies, and never the secret itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::names::StoreUrl;
use crate::secret::Secret;

/// Credentials for a store. Which fields a store needs is its own affair; one that lacks them says so.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub enum StoreCredentials {
    /// For S3.
    S3 {
        /// Public half.
        #[schema(min_length = 1, max_length = 256)]
        access_key_id: String,
        /// Secret half.
        secret_access_key: Secret,
        /// For temporary credentials.
        #[serde(default)]
        session_token: Option<Secret>,
    },
    /// For Swift.
    Swift {
        /// User.
        #[schema(min_length = 1, max_length = 256)]
        user: String,
        /// Password or key.
        key: Secret,
        /// Project.
        #[serde(default)]
        project: Option<String>,
        /// Domain of user and project.
        #[serde(default)]
        domain: Option<String>,
    },
}

impl StoreCredentials {
    /// Whether the public parts are usable.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (what, public) = match self {
            Self::S3 { access_key_id, .. } => ("access_key_id", access_key_id),
            Self::Swift { user, .. } => ("user", user),
        };
        if public.is_empty() || public.chars().count() > 256 {
            return Err(format!("{what} has 1 to 256 characters"));
        }
        Ok(())
    }

    /// What may be shown of the public part: its last four characters, and only if that leaves most of it hidden.
    #[must_use]
    pub fn hint(&self) -> String {
        let public = match self {
            Self::S3 { access_key_id, .. } => access_key_id,
            Self::Swift { user, .. } => user,
        };
        let letters: Vec<char> = public.chars().collect();
        if letters.len() < 8 { String::new() } else { letters[letters.len() - 4..].iter().collect() }
    }
}

/// What may be known of credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CredentialInfo {
    /// Name.
    pub name: String,
    /// "s3" or "swift".
    pub kind: String,
    /// Where they lie, in words: "OS credential store", a file's path.
    pub source: String,
    /// Unix seconds since when, if known.
    pub since: Option<i64>,
    /// Last four characters of the access key id or user.
    pub key_id_end: String,
}

/// Tries credentials on a store.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestCredentials {
    /// The store.
    pub store: StoreUrl,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_never_shows_a_short_key_and_debug_never_a_secret() {
        let s3 = |id: &str| StoreCredentials::S3 {
            access_key_id: id.into(),
            secret_access_key: Secret::new("topsecret".into()),
            session_token: Some(Secret::new("alsosecret".into())),
        };
        assert_eq!((s3("AKIAEXAMPLE").hint().as_str(), s3("short").hint().as_str()), ("MPLE", ""));
        let shown = format!("{:?}{}", s3("id"), serde_json::to_string(&s3("id")).unwrap());
        assert!(!shown.contains("topsecret") && !shown.contains("alsosecret"), "{shown}");
    }
}
