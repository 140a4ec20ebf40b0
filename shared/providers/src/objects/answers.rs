//! What a store's answers mean: the codes of their XML, which the stores have in common.

use ::http::header::ETAG;
use signalbox_proto::{Outcome, Timestamp};

use super::{Error, LOOKED};
use crate::{classify, http::Response};

/// Longest code that is looked for, in bytes.
const CODE_BYTES_MAX: usize = 64;
/// What Google says where an account lacks the right to replace an object. We never ask it to delete one. With its spaces: keys
/// have none, so that no event's type, which a refusal may repeat in a key, says the same.
const REPLACING: &[u8] = b"does not have storage.objects.delete access";
/// The region that a bucket is in, where a store says that it is in another one.
const REGION: &str = "x-amz-bucket-region";
/// Longest name of a region, in bytes.
const REGION_BYTES_MAX: usize = 32;

/// What a code means for a delivery.
#[derive(Clone, Copy)]
enum Means {
    /// The object is there.
    Stored,
    Retry,
    Reject,
    Suspend,
}

/// The codes that a write or a look meets, in our words. Of <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
/// and <https://cloud.google.com/storage/docs/xml-api/reference-status>.
const CODES: &[(&str, Means, &str)] = &[
    ("AccessDenied", Means::Suspend, "these credentials may not write there"),
    ("AccountProblem", Means::Suspend, "there is a problem with the account"),
    (
        "AllAccessDisabled",
        Means::Suspend,
        "all access to the bucket is disabled",
    ),
    (
        "AuthenticationRequired",
        Means::Suspend,
        "the credentials are not valid",
    ),
    (
        "AuthorizationHeaderMalformed",
        Means::Suspend,
        "the bucket is in another region",
    ),
    ("BadDigest", Means::Retry, "the object was damaged on its way"),
    (
        "BadRequest",
        Means::Suspend,
        "the store does not understand the request",
    ),
    (
        "CloudKmsBadKey",
        Means::Suspend,
        "the KMS key of the bucket is not right",
    ),
    (
        "CloudKmsDisabledKey",
        Means::Suspend,
        "the KMS key of the bucket is disabled",
    ),
    (
        "CloudKmsEncryptionKeyNotFound",
        Means::Suspend,
        "the KMS key of the bucket is not there",
    ),
    (
        "CloudKmsKeyLocationNotAllowed",
        Means::Suspend,
        "the KMS key of the bucket is in another place",
    ),
    (
        "ConditionalRequestConflict",
        Means::Retry,
        "the same object is being written",
    ),
    ("CrcMismatch", Means::Retry, "the object was damaged on its way"),
    (
        "EntityTooLarge",
        Means::Reject,
        "the object is larger than the store takes",
    ),
    ("ExpiredToken", Means::Suspend, "the session token has expired"),
    (
        "IllegalLocationConstraintException",
        Means::Suspend,
        "the bucket is in another region",
    ),
    ("IncompleteBody", Means::Retry, "the object did not arrive whole"),
    ("InternalError", Means::Retry, "the store had an error of its own"),
    ("InvalidAccessKeyId", Means::Suspend, "the access key is not known"),
    (
        "InvalidArgument",
        Means::Suspend,
        "the store refuses a setting of the request",
    ),
    ("InvalidBucketName", Means::Suspend, "the name of the bucket is none"),
    ("InvalidDigest", Means::Retry, "the object was damaged on its way"),
    (
        "InvalidEncryptionAlgorithmError",
        Means::Suspend,
        "the store does not encrypt in that way",
    ),
    (
        "InvalidRequest",
        Means::Suspend,
        "the store refuses a setting of the request",
    ),
    ("InvalidSecurity", Means::Suspend, "the credentials are not valid"),
    (
        "InvalidStorageClass",
        Means::Suspend,
        "the store has no such storage class",
    ),
    ("InvalidToken", Means::Suspend, "the session token is not valid"),
    ("KMS.DisabledException", Means::Suspend, "the KMS key is disabled"),
    (
        "KMS.InvalidKeyUsageException",
        Means::Suspend,
        "the KMS key is not one to encrypt with",
    ),
    (
        "KMS.KMSInvalidStateException",
        Means::Suspend,
        "the KMS key cannot be used in its state",
    ),
    ("KMS.NotFoundException", Means::Suspend, "there is no such KMS key"),
    ("KeyTooLong", Means::Reject, "the key is longer than the store takes"),
    (
        "KeyTooLongError",
        Means::Reject,
        "the key is longer than the store takes",
    ),
    ("MethodNotAllowed", Means::Suspend, "the address takes no objects"),
    ("NoSuchBucket", Means::Suspend, "there is no such bucket"),
    (
        "NotImplemented",
        Means::Suspend,
        "the store does not know a header of the request: overwrite: true leaves the condition out",
    ),
    (
        "NotSignedUp",
        Means::Suspend,
        "the account has not signed up for storage",
    ),
    (
        "OperationAborted",
        Means::Retry,
        "another operation on the bucket is under way",
    ),
    (
        "PermanentRedirect",
        Means::Suspend,
        "the bucket is at another address or in another region",
    ),
    (
        "PreconditionFailed",
        Means::Stored,
        "there is an object under this key already",
    ),
    ("QuotaExceeded", Means::Retry, "the quota of the bucket is used up"),
    (
        "Redirect",
        Means::Retry,
        "the bucket is answered for at another address for the moment",
    ),
    (
        "RequestTimeTooSkewed",
        Means::Suspend,
        "our clock and the store's differ too much",
    ),
    (
        "RequestTimeout",
        Means::Retry,
        "the store waited too long for the object",
    ),
    (
        "ServiceUnavailable",
        Means::Retry,
        "the store is not available at the moment",
    ),
    (
        "SignatureDoesNotMatch",
        Means::Suspend,
        "the signature is wrong: check the secret and the region",
    ),
    ("SlowDown", Means::Retry, "the store asks for fewer requests"),
    (
        "TemporaryRedirect",
        Means::Retry,
        "the bucket is answered for at another address for the moment",
    ),
    (
        "TokenRefreshRequired",
        Means::Suspend,
        "the session token has to be renewed",
    ),
    ("TooManyRequests", Means::Retry, "the store asks for fewer requests"),
    (
        "UserAccountProblem",
        Means::Suspend,
        "there is a problem with the account",
    ),
    (
        "UserProjectAccessDenied",
        Means::Suspend,
        "these credentials may not bill the project",
    ),
    (
        "UserProjectMissing",
        Means::Suspend,
        "the bucket wants a project to bill",
    ),
    (
        "XAmzContentChecksumMismatch",
        Means::Retry,
        "the object was damaged on its way",
    ),
    (
        "XAmzContentSHA256Mismatch",
        Means::Retry,
        "the object was damaged on its way",
    ),
    ("XMinioServerNotInitialized", Means::Retry, "the store is starting"),
    ("XMinioStorageFull", Means::Retry, "the store is full"),
];

/// The meaning of an answer. Reasons hold no part of it but a code of the table, and the name of a region.
pub fn by_answer(response: &Response, now: Timestamp) -> Outcome {
    let said = code(&response.body);
    if response.headers.contains_key(LOOKED) && knows_us(response, said) {
        return Outcome::Delivered;
    }
    // Who may create objects and not replace them is told of the right that is missing, and not always of the condition.
    let is_there = response.body.windows(REPLACING.len()).any(|window| window == REPLACING);
    if (response.status, said, is_there) == (403, Some("AccessDenied"), true) {
        return Outcome::Delivered;
    }
    let known = said.and_then(|said| CODES.iter().find(|(code, ..)| *code == said));
    if let Some((code, means, words)) = known {
        let reason = format!("{words} ({} {code}{})", response.status, region(response));
        // The general rules know how long it asks to be left alone.
        let after = classify::after(response, now);
        return match means {
            Means::Stored if response.status == 412 => Outcome::Delivered,
            // Too much at once, or broken, whatever the code says besides.
            _ if response.status == 429 => Outcome::Retry { reason, after },
            Means::Stored | Means::Retry => Outcome::Retry { reason, after },
            Means::Reject => Outcome::Reject { reason },
            Means::Suspend => Outcome::Suspend { reason, at_once: false },
        };
    }
    match response.status {
        200..=299 if response.headers.contains_key(ETAG) && said.is_none() => Outcome::Delivered,
        // Something between us and the store, or another server.
        200..=299 => Outcome::Retry {
            reason: format!(
                "the target answered {} without an ETag, which no store does",
                response.status
            ),
            after: None,
        },
        307 | 409 | 412 => Outcome::Retry {
            reason: format!("the target answered {} without a reason that is known", response.status),
            after: classify::after(response, now),
        },
        405 => Outcome::Suspend {
            reason: "the target answered 405: the address takes no objects".to_owned(),
            at_once: false,
        },
        _ => classify::by_status(response, now),
    }
}

/// Whether the answer to a look shows that the store knows the bucket and our signature. Who may write but not read is told
/// so (`AccessDenied`) only after the signature was found right.
fn knows_us(response: &Response, said: Option<&str>) -> bool {
    match (response.status, said) {
        (200..=299, None) => response.headers.contains_key(ETAG),
        (404, Some(code)) => code == "NoSuchKey",
        (403, Some(code)) => code == "AccessDenied",
        _ => false,
    }
}

/// The code of an error in XML.
fn code(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body)
        .ok()?
        .trim_start_matches('\u{feff}')
        .trim_start();
    if !(text.starts_with("<?xml") || text.starts_with("<Error")) {
        return None;
    }
    let (_, inside) = text.split_once("<Error")?;
    let (_, behind) = inside.split_once("<Code>")?;
    let (code, _) = behind.split_once("</Code>")?;
    let code = code.trim();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.';
    (code.len() <= CODE_BYTES_MAX && code.bytes().all(is_plain)).then_some(code)
}

/// The region that a bucket is in, if the answer names one.
fn region(response: &Response) -> String {
    let named = response.headers.get(REGION).and_then(|value| value.to_str().ok());
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    match named {
        Some(name)
            if !(200..=299).contains(&response.status)
                && (1..=REGION_BYTES_MAX).contains(&name.len())
                && name.bytes().all(is_plain) =>
        {
            format!(", the bucket is in {name}")
        }
        _ => String::new(),
    }
}

/// The meaning of a request without an answer.
pub fn by_error(error: &Error) -> Outcome {
    match error {
        Error::Http(error) => classify::by_error(error),
        Error::Unsigned => Outcome::Suspend {
            reason: error.to_string(),
            at_once: false,
        },
    }
}

#[cfg(test)]
mod tests;
