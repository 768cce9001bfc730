//! Named credentials in environment variables: `PROXYFS_CREDENTIALS_<NAME>_ACCESS_KEY_ID` and so on, the name in capitals with `_`
//! for `-` and `.`.

use proxyfs_store::{Credentials, KeystoneScope};

use crate::error::{Error, ErrorKind, Result};
use crate::record::Record;

/// Beginning of every variable.
const PREFIX: &str = "PROXYFS_CREDENTIALS_";

/// The credential in the environment, if its id or its secret is there.
pub(crate) fn read(name: &str, var: impl Fn(&str) -> Option<String>) -> Result<Option<Record>> {
    let base = base(name);
    let one_of = |ends: [&str; 2]| {
        ends.into_iter().find_map(|end| var(&format!("{base}_{end}")).filter(|value| !value.is_empty()))
    };
    let plain = |end: &str| var(&format!("{base}_{end}")).filter(|value| !value.is_empty());
    let (id, secret) = match (one_of(["ACCESS_KEY_ID", "USER"]), one_of(["SECRET_ACCESS_KEY", "KEY"])) {
        (None, None) => return Ok(None),
        (Some(id), Some(secret)) => (id, secret),
        (id, _) => {
            let (there, missing) = if id.is_some() {
                ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
            } else {
                ("SECRET_ACCESS_KEY", "ACCESS_KEY_ID")
            };
            let why = format!("{base}_{there} is set, {base}_{missing} is not");
            let to_do = "set both, or neither";
            return Err(Error::new(ErrorKind::Invalid, format!("credentials {name} in the environment"), why, to_do));
        }
    };
    let scope = KeystoneScope {
        project: plain("PROJECT"),
        user_domain: plain("USER_DOMAIN"),
        project_domain: plain("PROJECT_DOMAIN"),
    };
    let session_token = plain("SESSION_TOKEN").map(Into::into);
    Ok(Some(Record { credentials: Credentials { session_token, scope, ..Credentials::new(id, secret) }, since: None }))
}

/// What the variables of `name` begin with.
pub(crate) fn base(name: &str) -> String {
    let upper = name.to_ascii_uppercase().replace(['-', '.'], "_");
    format!("{PREFIX}{upper}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(vars: &[(&str, &str)]) -> Result<Option<Record>> {
        read("my-lab", |name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn variables_carry_the_name_in_capitals() {
        let id = ("PROXYFS_CREDENTIALS_MY_LAB_ACCESS_KEY_ID", "i");
        let secret = ("PROXYFS_CREDENTIALS_MY_LAB_SECRET_ACCESS_KEY", "s");
        let token = ("PROXYFS_CREDENTIALS_MY_LAB_SESSION_TOKEN", "t");
        let record = read_from(&[id, secret, token]).unwrap().unwrap();
        assert_eq!(record.credentials.id, "i");
        assert!(record.credentials.session_token.is_some());
        assert!(read_from(&[]).unwrap().is_none());
        assert!(read_from(&[id]).unwrap_err().why.contains("SECRET_ACCESS_KEY is not"));
        assert!(read_from(&[secret, ("PROXYFS_CREDENTIALS_MY_LAB_ACCESS_KEY_ID", "")]).is_err());
    }
}
