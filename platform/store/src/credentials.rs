//! A name and a secret handed over by a program, e.g. from the system's credential store. Never printed, never serialised, wiped from
//! memory when dropped.

use std::fmt;

use secrecy::SecretString;

/// Credentials that replace those of the environment. Shown without the secret.
#[derive(Clone)]
pub struct Credentials {
    /// Access key id (S3), or user (Swift: `account:user` for v1, user name for Keystone).
    pub id: String,
    /// Secret access key, key or password.
    pub secret: SecretString,
    /// Session token of temporary S3 credentials.
    pub session_token: Option<SecretString>,
    /// What a Keystone login is scoped to; what is missing comes from the environment.
    pub scope: KeystoneScope,
}

/// Where a Keystone user belongs. Missing domains are `Default`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeystoneScope {
    /// Name of the project.
    pub project: Option<String>,
    /// Name of the user's domain.
    pub user_domain: Option<String>,
    /// Name of the project's domain.
    pub project_domain: Option<String>,
}

impl Credentials {
    /// An id and its secret.
    #[must_use]
    pub fn new(id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        Self { id: id.into(), secret: secret.into(), session_token: None, scope: KeystoneScope::default() }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let credentials = Credentials { session_token: Some("hunter3".into()), ..Credentials::new("me", "hunter2") };
        assert_eq!(format!("{credentials:?}"), "Credentials { id: \"me\", .. }");
    }
}
