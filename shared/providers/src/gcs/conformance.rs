//! Google Cloud Storage, as Google describes it.

use serde_json::{Value, json};
use signalbox_proto::outcome::OutcomeKind;

use super::Gcs;
use crate::{
    conformance::{Answer, Sample, Sampled, answer, no_claims},
    objects::double::accepts,
};

/// A key file that was made for tests and opens nothing.
pub(super) const ACCOUNT: &str = include_str!("account.json");
/// As Google answers where it has stored an object.
const STORED: Answer = Answer {
    status: 200,
    headers: &[
        ("etag", "\"1b2cf535f27731c974343645a3985328\""),
        ("x-goog-generation", "1"),
    ],
    body: "",
    means: OutcomeKind::Delivered,
};

impl Sampled for Gcs {
    fn samples() -> Vec<Sample> {
        let of = |name, config: Value| Sample {
            name,
            config,
            credentials: json!({ "service_account": ACCOUNT }),
            template: None,
            secrets: vec![
                ACCOUNT,
                "0123456789abcdef0123456789abcdef01234567",
                "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQ",
            ],
            accepts,
            claims: no_claims,
            yes: STORED,
            answers: answers(),
        };
        vec![
            of("the default", json!({ "bucket": "acme-events" })),
            of(
                "partitions, zstd",
                json!({
                    "bucket": "acme.example.com", "endpoint": "https://storage.europe-west3.rep.googleapis.com",
                    "prefix": "signalbox", "key_template": "{type}/{yyyy}/{mm}/{dd}/{delivery}.jsonl",
                    "format": "standard", "compression": "zstd", "storage_class": "NEARLINE",
                }),
            ),
        ]
    }
}

fn answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    vec![
        STORED,
        answer(200, "", Retry),
        answer(
            400,
            "<?xml version='1.0' encoding='UTF-8'?><Error><Code>UserProjectMissing</Code></Error>",
            Suspend,
        ),
        answer(
            400,
            "<?xml version='1.0' encoding='UTF-8'?><Error><Code>InvalidArgument</Code></Error>",
            Suspend,
        ),
        answer(
            400,
            "<?xml version='1.0' encoding='UTF-8'?><Error><Code>EntityTooLarge</Code></Error>",
            Reject,
        ),
        answer(
            400,
            "<?xml version='1.0' encoding='UTF-8'?><Error><Code>CloudKmsDisabledKey</Code></Error>",
            Suspend,
        ),
        answer(
            400,
            "<?xml version='1.0' encoding='UTF-8'?><Error><Code>CrcMismatch</Code></Error>",
            Retry,
        ),
        answer(
            401,
            "<?xml version='1.0' encoding='UTF-8'?><Error><Code>AuthenticationRequired</Code></Error>",
            Suspend,
        ),
        answer(
            403,
            "<?xml version='1.0' encoding='UTF-8'?><Error><Code>AccessDenied</Code><Details>signalbox@example does not have \
             storage.objects.create access to the Google Cloud Storage object.</Details></Error>",
            Suspend,
        ),
        answer(
            403,
            "<?xml version='1.0' encoding='UTF-8'?><Error><Code>AccessDenied</Code><Details>signalbox@example does not have \
             storage.objects.delete access to the Google Cloud Storage object.</Details></Error>",
            Delivered,
        ),
        answer(
            403,
            "<?xml version='1.0' encoding='UTF-8'?><Error><Code>UserAccountProblem</Code></Error>",
            Suspend,
        ),
        answer(
            404,
            "<?xml version='1.0' encoding='UTF-8'?><Error><Code>NoSuchBucket</Code></Error>",
            Suspend,
        ),
        answer(408, "", Retry),
        answer(409, "", Retry),
        answer(
            412,
            "<?xml version='1.0' encoding='UTF-8'?><Error><Code>PreconditionFailed</Code></Error>",
            Delivered,
        ),
        answer(
            429,
            "<?xml version='1.0' encoding='UTF-8'?><Error><Code>SlowDown</Code></Error>",
            Retry,
        ),
        answer(
            500,
            "<?xml version='1.0' encoding='UTF-8'?><Error><Code>InternalError</Code></Error>",
            Retry,
        ),
        answer(
            503,
            "<?xml version='1.0' encoding='UTF-8'?><Error><Code>ServiceUnavailable</Code></Error>",
            Retry,
        ),
    ]
}
