//! Takes secrets out of lines of the log.
//!
//! A net below the rule that nothing logs a secret: it knows the shapes in which secrets appear in URLs, headers and settings.

use crate::secret::HIDDEN;

/// What a secret stands behind. Compared without regard to case; more letters, `=`, `:`, quotes and spaces may follow.
const MARKS: &[&str] = &[
    "password",
    "passwd",
    "secret_access_key",
    "secretaccesskey",
    "secret",
    "session_token",
    "x-amz-security-token",
    "x-amz-signature",
    "x-auth-token",
    "x-storage-token",
    "temp_url_sig",
    "signature",
    "authorization",
    "bearer",
    "token",
];

/// `text` without what looks like a secret.
#[must_use]
pub fn redact(text: &str) -> String {
    let text = without_userinfo(text);
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some((start, mark)) = next_mark(&lower, at) {
        let after = start + mark.len();
        let value = value_start(&text, after);
        let Some(value) = value else {
            out.push_str(&text[at..after]);
            at = after;
            continue;
        };
        // `Authorization: Bearer X` and `Authorization: AWS4-HMAC-SHA256 ...` hide the rest of the line.
        let whole_line = mark == "authorization";
        let end = if whole_line { text.len() } else { value + value_len(&text[value..]) };
        out.push_str(&text[at..value]);
        out.push_str(HIDDEN);
        at = end;
    }
    out.push_str(&text[at..]);
    out
}

fn next_mark(lower: &str, from: usize) -> Option<(usize, &'static str)> {
    let found = MARKS.iter().filter_map(|mark| lower[from..].find(mark).map(|i| (from + i, *mark)));
    found.min_by_key(|(start, mark)| (*start, usize::MAX - mark.len()))
}

/// Where the value behind a mark begins, if the mark is followed by one.
fn value_start(text: &str, after: usize) -> Option<usize> {
    let rest = &text[after..];
    let skipped = rest.len() - rest.trim_start_matches(['"', '\'', ' ', '=', ':', '(']).len();
    let between = &rest[..skipped];
    let assigned =
        between.contains(['=', ':']) || (text[..after].to_ascii_lowercase().ends_with("bearer") && skipped > 0);
    (assigned && skipped < rest.len()).then_some(after + skipped)
}

fn value_len(rest: &str) -> usize {
    rest.find(|c: char| c.is_whitespace() || "&\"',;)}".contains(c)).unwrap_or(rest.len())
}

/// `scheme://user:password@host` loses `user:password`.
fn without_userinfo(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(i) = rest.find("://") {
        let (head, tail) = rest.split_at(i + 3);
        out.push_str(head);
        let authority = tail.find(|c: char| c.is_whitespace() || "/?#\"'".contains(c)).unwrap_or(tail.len());
        rest = match tail[..authority].rfind('@') {
            Some(at) if tail[..at].contains(':') => {
                out.push_str(HIDDEN);
                &tail[at..]
            }
            _ => tail,
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_every_known_shape_are_hidden() {
        for text in [
            "PUT https://u:hunter2@host/x",
            "GET /a?X-Amz-Signature=hunter2&b=1",
            "authorization: Bearer hunter2",
            "Authorization: AWS4-HMAC-SHA256 Credential=a, Signature=hunter2",
            "using bearer hunter2 here",
            r#"{"secret_access_key":"hunter2"}"#,
            "secret_access_key = hunter2",
            "PASSWORD='hunter2'",
            "x-auth-token: hunter2",
        ] {
            let shown = redact(text);
            assert!(!shown.contains("hunter2"), "{text} -> {shown}");
        }
    }

    #[test]
    fn ordinary_lines_stay_as_they_are() {
        for text in ["mounted photos at /m", "no secret is set", "s3://bucket/prefix", "http://h:80/p@q", "ünï", ""] {
            assert_eq!(redact(text), text);
        }
        assert_eq!(redact("a=1&token=x&b=2"), "a=1&token=***&b=2");
    }
}
