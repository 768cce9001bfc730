//! A name and a secret handed over by a program, e.g. from the system's credential store. Never printed, never serialised.

use std::fmt;

/// Credentials that replace those of the environment. Shown without the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Access key id (S3), or user (Swift: `account:user` for v1, user name for Keystone).
    pub id: String,
    /// Secret access key, key or password.
    pub secret: String,
    /// Session token of temporary S3 credentials.
    pub session_token: Option<String>,
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
        let token = Some("hunter3".into());
        let shown = format!("{:?}", Credentials { id: "me".into(), secret: "hunter2".into(), session_token: token });
        assert_eq!(shown, "Credentials { id: \"me\", .. }");
    }
}
