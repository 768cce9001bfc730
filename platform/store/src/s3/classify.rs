//! What an S3 failure means: by error code where the store gives one, else by HTTP status.
//!
//! Unknown 5xx are worth a retry, unknown 4xx are not.

use std::error::Error;
use std::fmt::Write;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use proxyfs_core::store::{StoreError, StoreErrorKind};

/// Longest part of a server's own message that is repeated to a person.
const MESSAGE_CHARS_MAX: usize = 300;

/// The meaning of a status and an error code.
pub(super) fn kind_of(status: u16, code: Option<&str>) -> StoreErrorKind {
    code.and_then(kind_of_code).unwrap_or_else(|| kind_of_status(status))
}

fn kind_of_code(code: &str) -> Option<StoreErrorKind> {
    let kind = match code {
        "NoSuchKey" | "NotFound" | "NoSuchVersion" => StoreErrorKind::NotFound,
        "NoSuchBucket" => StoreErrorKind::NoContainer,
        "PreconditionFailed" => StoreErrorKind::AlreadyExists,
        "AccessDenied"
        | "AccountProblem"
        | "AllAccessDisabled"
        | "ExpiredToken"
        | "InvalidAccessKeyId"
        | "InvalidSecurity"
        | "InvalidToken"
        | "NotSignedUp"
        | "RequestTimeTooSkewed"
        | "SignatureDoesNotMatch"
        | "TokenRefreshRequired"
        | "UnauthorizedAccess"
        | "InvalidObjectState" => StoreErrorKind::Denied,
        "ConditionalRequestConflict"
        | "OperationAborted"
        | "InternalError"
        | "ServiceUnavailable"
        | "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequests"
        | "RequestTimeout"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "IncompleteBody"
        | "BadDigest"
        | "XAmzContentSHA256Mismatch"
        | "Busy" => StoreErrorKind::Unavailable,
        "NotImplemented" | "MethodNotAllowed" | "NotSupported" => StoreErrorKind::Unsupported,
        "InvalidRange" => StoreErrorKind::Truncated,
        "QuotaExceeded"
        | "QuotaExceededException"
        | "InsufficientStorage"
        | "XMinioStorageFull"
        | "InsufficientCapacity"
        | "XMinioAdminBucketQuotaExceeded" => StoreErrorKind::NoSpace,
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "InvalidBucketName"
        | "EntityTooLarge"
        | "KeyTooLongError"
        | "InvalidArgument"
        | "InvalidRequest"
        | "InvalidStorageClass" => StoreErrorKind::Invalid,
        _ => return None,
    };
    Some(kind)
}

fn kind_of_status(status: u16) -> StoreErrorKind {
    match status {
        404 => StoreErrorKind::NotFound,
        401 | 403 => StoreErrorKind::Denied,
        408 | 409 | 425 | 429 => StoreErrorKind::Unavailable,
        412 => StoreErrorKind::AlreadyExists,
        405 | 501 => StoreErrorKind::Unsupported,
        413 | 507 => StoreErrorKind::NoSpace,
        416 => StoreErrorKind::Truncated,
        300..=499 => StoreErrorKind::Invalid,
        // 5xx, and answers that are no HTTP status at all.
        _ => StoreErrorKind::Unavailable,
    }
}

/// Turns a failed SDK call into a store error; `what` is the call and its object.
pub(super) fn store_error<E>(what: &str, error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: Error + ProvideErrorMetadata + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let (status, meta) = (service.raw().status().as_u16(), service.err());
            let kind = kind_of(status, meta.code());
            answered(what, kind, status, meta.code(), meta.message())
        }
        SdkError::ResponseError(response) => {
            let status = response.raw().status().as_u16();
            let kind = if status < 300 { StoreErrorKind::Unavailable } else { kind_of_status(status) };
            answered(what, kind, status, None, Some("the answer could not be understood"))
        }
        SdkError::TimeoutError(_) => StoreError::new(StoreErrorKind::Unavailable, format!("{what}: timed out")),
        SdkError::DispatchFailure(failure) => {
            let cause = failure.as_connector_error().map(|e| e as &(dyn Error + 'static));
            let kind = if failure.is_user() { StoreErrorKind::Invalid } else { StoreErrorKind::Unavailable };
            unsent(what, kind, cause)
        }
        other => unsent(what, StoreErrorKind::Invalid, other.source()),
    }
}

/// An error from what the store answered.
fn answered(what: &str, kind: StoreErrorKind, status: u16, code: Option<&str>, message: Option<&str>) -> StoreError {
    let mut text = format!("{what}: HTTP {status}");
    if let Some(code) = code {
        let _ = write!(text, " {code}");
    }
    if let Some(message) = message.filter(|m| !m.is_empty()) {
        let _ = write!(text, ": {}", message.chars().take(MESSAGE_CHARS_MAX).collect::<String>());
    }
    text.push_str(hint(code));
    StoreError::new(kind, text)
}

/// What to do about codes that people run into.
fn hint(code: Option<&str>) -> &'static str {
    match code.unwrap_or("") {
        "PermanentRedirect" | "AuthorizationHeaderMalformed" => {
            "; write the bucket's region into the URL: region=REGION"
        }
        "RequestTimeTooSkewed" => "; set this machine's clock",
        "SignatureDoesNotMatch" => "; check the secret key and the region",
        "InvalidAccessKeyId" => "; check the access key and the endpoint",
        "ExpiredToken" => "; log in again",
        _ => "",
    }
}

/// An error before an answer came: no credentials, no connection.
fn unsent(what: &str, kind: StoreErrorKind, cause: Option<&(dyn Error + 'static)>) -> StoreError {
    let mut text = what.to_owned();
    let mut next = cause;
    while let Some(error) = next {
        if let Some(credentials) = error.downcast_ref::<CredentialsError>() {
            return no_credentials(what, credentials);
        }
        let _ = write!(text, ": {error}");
        next = error.source();
    }
    StoreError::new(kind, text)
}

fn no_credentials(what: &str, error: &CredentialsError) -> StoreError {
    let place = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write profile=NAME into the URL";
    match error {
        CredentialsError::ProviderTimedOut(_) => StoreError::new(
            StoreErrorKind::Unavailable,
            format!("{what}: the source of the credentials did not answer in time"),
        ),
        CredentialsError::CredentialsNotLoaded(_) => {
            StoreError::new(StoreErrorKind::Denied, format!("{what}: no credentials found; {place}"))
        }
        _ => StoreError::new(
            StoreErrorKind::Denied,
            format!("{what}: the credentials could not be loaded: {error}; {place}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use StoreErrorKind::*;

    #[test]
    fn answers_map_to_kinds_by_code_then_status() {
        for (status, code, expected) in [
            (404, Some("NoSuchKey"), NotFound),
            (404, None, NotFound),
            (404, Some("NoSuchBucket"), NoContainer),
            (412, Some("PreconditionFailed"), AlreadyExists),
            (412, None, AlreadyExists),
            (409, Some("ConditionalRequestConflict"), Unavailable),
            (409, None, Unavailable),
            (403, Some("AccessDenied"), Denied),
            (403, Some("SomethingNew"), Denied),
            (401, None, Denied),
            (400, Some("ExpiredToken"), Denied),
            (400, Some("RequestTimeout"), Unavailable),
            (429, None, Unavailable),
            (503, Some("SlowDown"), Unavailable),
            (500, Some("InternalError"), Unavailable),
            (502, None, Unavailable),
            (503, None, Unavailable),
            (504, None, Unavailable),
            (501, Some("NotImplemented"), Unsupported),
            (501, None, Unsupported),
            (416, Some("InvalidRange"), Truncated),
            (507, None, NoSpace),
            (403, Some("QuotaExceeded"), NoSpace),
            (301, Some("PermanentRedirect"), Invalid),
            (400, Some("InvalidArgument"), Invalid),
            (400, None, Invalid),
            (418, None, Invalid),
        ] {
            assert_eq!(kind_of(status, code), expected, "{status} {code:?}");
        }
    }

    #[test]
    fn missing_credentials_say_where_to_put_them() {
        let error = CredentialsError::not_loaded("nothing");
        let error = unsent("head bucket", Invalid, Some(&error));
        assert_eq!(error.kind, Denied);
        assert!(error.message.contains("AWS_ACCESS_KEY_ID"), "{error}");
    }

    #[test]
    fn a_wrong_region_is_explained() {
        let error = answered("get k", Invalid, 301, Some("PermanentRedirect"), Some("use another endpoint"));
        assert_eq!(
            error.message,
            "get k: HTTP 301 PermanentRedirect: use another endpoint; write the bucket's region into the URL: region=REGION"
        );
    }
}
