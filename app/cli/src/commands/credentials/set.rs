//! `proxyfs credentials set`: reads the secret from the terminal without showing it, or from standard input; never from an argument.

use std::io::{self, BufRead, IsTerminal, Write};

use proxyfs_credentials::{Record, check_name};
use proxyfs_store::{Credentials, KeystoneScope};
use secrecy::SecretString;
use serde_json::json;
use zeroize::{Zeroize, Zeroizing};

use super::super::Context;
use crate::cli::{CredentialsPlace, CredentialsSet};
use crate::credentials::failure;
use crate::failure::{Failure, Outcome};
use crate::paths::Paths;

/// Longest line of standard input; session tokens have a few KiB.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// What a person or a program enters.
struct Entered {
    id: String,
    secret: SecretString,
    session_token: Option<SecretString>,
}

/// Stores credentials.
pub(crate) async fn run(cx: &Context, args: CredentialsSet) -> Outcome {
    let subject = format!("credentials {}", args.name);
    check_name(&args.name).map_err(|e| failure("store", &subject, &e))?;
    let entered = if args.from_stdin {
        from_lines(args.access_key_id, &mut io::stdin().lock()).map_err(|why| unread(&subject, &why))?
    } else {
        ask(args.access_key_id, args.session_token, &subject)?
    };
    let scope =
        KeystoneScope { project: args.project, user_domain: args.user_domain, project_domain: args.project_domain };
    let Entered { id, secret, session_token } = entered;
    let record = Record::now(Credentials { id, secret, session_token, scope });
    let place = args.place.unwrap_or(usual_place(&cx.paths));
    let stored = cx.paths.credentials().set(&args.name, &record, place.into()).await;
    let stored = stored.map_err(|e| failure("store", &subject, &e))?;
    let hidden_by = stored.hidden_by.as_ref().map(ToString::to_string);
    let done = json!({ "name": args.name, "place": stored.place.to_string(), "hidden_by": hidden_by });
    cx.style.show(&done, || {
        let name = &args.name;
        format!(
            "Stored credentials {name} in {}.\nTry them: proxyfs credentials test {name} --store URL\n\
             Use them: proxyfs volume create NAME --credentials {name} --store URL --mount DIR",
            stored.place
        )
    });
    if let Some(place) = hidden_by {
        cx.style.progress(&format!("but {place} has this name too and is used first"));
    }
    Ok(())
}

/// Where credentials are kept when nobody says where: the machine's service has no keyring.
fn usual_place(paths: &Paths) -> CredentialsPlace {
    if paths.are_machines() { CredentialsPlace::File } else { CredentialsPlace::Keyring }
}

fn unread(subject: &str, why: &str) -> Failure {
    let advice = "give lines: the key id (unless --access-key-id), the secret, and the session token if there is one";
    Failure::usage("store", subject, why, advice)
}

/// Reads lines: id (unless given), secret, session token (if there is a line).
fn from_lines(id: Option<String>, input: &mut impl BufRead) -> Result<Entered, String> {
    let id = match id {
        Some(id) => id,
        None => line(input)?.ok_or("standard input holds no key id")?.to_string(),
    };
    let secret = line(input)?.ok_or("standard input holds no secret")?;
    let session_token = line(input)?;
    let secret_text = |text: Zeroizing<String>| SecretString::from(text.as_str());
    Ok(Entered { id, secret: secret_text(secret), session_token: session_token.map(secret_text) })
}

/// One line without its end; `None` for an empty one or the end.
fn line(input: &mut impl BufRead) -> Result<Option<Zeroizing<String>>, String> {
    // Large enough for all but the longest tokens, so that reading does not grow it and leave a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(8 << 10));
    let read = io::Read::take(&mut *input, LINE_BYTES_MAX).read_line(&mut text);
    read.map_err(|e| format!("standard input cannot be read: {e}"))?;
    let end = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(end);
    Ok(Some(text).filter(|t| !t.is_empty()))
}

/// Asks at the terminal.
fn ask(id: Option<String>, session_token: bool, subject: &str) -> Outcome<Entered> {
    if !io::stdin().is_terminal() {
        let why = "there is no terminal to ask for the secret at";
        let advice = "add --from-stdin and pass it there; a secret as an argument could be read by others";
        return Err(Failure::usage("store", subject, why, advice));
    }
    let failed = |e: io::Error| Failure::io("ask for", "the secret", &e);
    let id = match id {
        Some(id) => id,
        None => ask_plain("Access key id (Swift: user): ").map_err(failed)?,
    };
    let secret = ask_hidden("Secret access key (Swift: key), not shown: ").map_err(failed)?;
    let session_token =
        if session_token { Some(ask_hidden("Session token, not shown: ").map_err(failed)?) } else { None };
    Ok(Entered { id, secret, session_token })
}

fn ask_plain(prompt: &str) -> io::Result<String> {
    let mut terminal = io::stderr().lock();
    write!(terminal, "{prompt}")?;
    terminal.flush()?;
    let mut text = String::new();
    io::stdin().lock().read_line(&mut text)?;
    Ok(text.trim().to_owned())
}

fn ask_hidden(prompt: &str) -> io::Result<SecretString> {
    let mut text = rpassword::prompt_password(prompt)?;
    let secret = SecretString::from(text.trim());
    text.zeroize();
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn entered(id: Option<&str>, text: &str) -> Result<(String, String, Option<String>), String> {
        let entered = from_lines(id.map(str::to_owned), &mut text.as_bytes())?;
        let token = entered.session_token.map(|t| t.expose_secret().to_owned());
        Ok((entered.id, entered.secret.expose_secret().to_owned(), token))
    }

    #[test]
    fn lines_are_id_secret_and_token() {
        assert_eq!(entered(None, "i\ns\nt\n"), Ok(("i".into(), "s".into(), Some("t".into()))));
        assert_eq!(entered(Some("i"), "s\r\n"), Ok(("i".into(), "s".into(), None)));
        assert_eq!(entered(Some("i"), "s p"), Ok(("i".into(), "s p".into(), None)));
        assert!(entered(Some("i"), "").unwrap_err().contains("no secret"));
        assert!(entered(None, "i\n").unwrap_err().contains("no secret"));
    }
}
