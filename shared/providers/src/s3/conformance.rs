//! Stores that speak the protocol, as Amazon describes it.

use serde_json::{Value, json};
use signalbox_proto::outcome::OutcomeKind;

use super::S3;
use crate::{
    conformance::{Answer, Sample, Sampled, answer, no_claims},
    objects::double::accepts,
};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/secret-4711";
const TOKEN: &str = "IQoJb3JpZ2luX2VjE-token-4711";
/// As Amazon answers where it has stored an object.
const STORED: Answer = Answer {
    status: 200,
    headers: &[("etag", "\"d41d8cd98f00b204e9800998ecf8427e\"")],
    body: "",
    means: OutcomeKind::Delivered,
};

impl Sampled for S3 {
    fn samples() -> Vec<Sample> {
        let of = |name, config: Value, credentials: Value| Sample {
            name,
            config,
            credentials,
            template: None,
            secrets: vec![SECRET, TOKEN],
            accepts,
            claims: no_claims,
            yes: STORED,
            answers: answers(),
        };
        let key = json!({ "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": SECRET });
        let mut temporary = key.clone();
        temporary["session_token"] = TOKEN.into();
        vec![
            of(
                "the default",
                json!({ "bucket": "acme-events", "region": "eu-central-1" }),
                key.clone(),
            ),
            of(
                "another store, partitions, gzip",
                json!({
                    "bucket": "events", "endpoint": "https://minio.example.com:9000/storage", "prefix": "/signalbox/",
                    "key_template": "org={org}/type={type}/{severity}/dt={yyyy}-{mm}-{dd}/{integration}.{hh}.{delivery}.jsonl",
                    "format": "standard", "compression": "gzip", "overwrite": true, "storage_class": "REDUCED_REDUNDANCY",
                }),
                temporary,
            ),
            of(
                "the bucket before the host, zstd, a KMS key",
                json!({
                    "bucket": "acme-events", "region": "eu-central-1", "path_style": false, "compression": "zstd",
                    "kms_key_id": "alias/events",
                }),
                key,
            ),
        ]
    }
}

/// An error in XML, as the vendor writes it.
macro_rules! xml {
    ($code:literal) => {
        concat!(
            r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>"#,
            $code,
            "</Code><Message>A sentence.</Message><RequestId>4442587FB7D0A2F9</RequestId></Error>"
        )
    };
}

fn answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    vec![
        STORED,
        answer(200, "", Retry),
        Answer {
            body: xml!("InternalError"),
            means: Retry,
            ..STORED
        },
        Answer {
            status: 301,
            headers: &[("x-amz-bucket-region", "eu-west-1")],
            body: xml!("PermanentRedirect"),
            means: Suspend,
        },
        answer(307, xml!("TemporaryRedirect"), Retry),
        answer(400, xml!("AuthorizationHeaderMalformed"), Suspend),
        answer(400, xml!("BadDigest"), Retry),
        answer(400, xml!("EntityTooLarge"), Reject),
        answer(400, xml!("ExpiredToken"), Suspend),
        answer(400, xml!("IncompleteBody"), Retry),
        answer(400, xml!("InvalidRequest"), Suspend),
        answer(400, xml!("InvalidStorageClass"), Suspend),
        answer(400, xml!("InvalidToken"), Suspend),
        answer(400, xml!("KMS.NotFoundException"), Suspend),
        answer(400, xml!("KeyTooLongError"), Reject),
        answer(400, xml!("RequestTimeout"), Retry),
        answer(400, xml!("SomethingNew"), Reject),
        answer(400, xml!("XAmzContentSHA256Mismatch"), Retry),
        answer(403, xml!("AccessDenied"), Suspend),
        answer(403, xml!("InvalidAccessKeyId"), Suspend),
        answer(403, xml!("RequestTimeTooSkewed"), Suspend),
        answer(403, xml!("SignatureDoesNotMatch"), Suspend),
        answer(404, xml!("NoSuchBucket"), Suspend),
        answer(409, xml!("ConditionalRequestConflict"), Retry),
        answer(409, xml!("OperationAborted"), Retry),
        answer(412, xml!("PreconditionFailed"), Delivered),
        answer(412, "", Retry),
        answer(500, xml!("InternalError"), Retry),
        answer(501, xml!("NotImplemented"), Suspend),
        answer(503, xml!("SlowDown"), Retry),
        answer(503, "", Retry),
    ]
}
