#![doc = include_str!("README.md")]

use object_store::aws::{AmazonS3Builder, Checksum, S3ConditionalPut};
use schemars::JsonSchema;
use serde::Deserialize;
use signalbox_proto::{Delivery, Outcome, Timestamp, outcome};
use url::Url;

use crate::{
    FieldError, Kind, Limits, Provider, Request, Secret, Target, Text,
    fields::{self, keep, keep_all},
    http,
    objects::{self, Checked, Compression, Format, Given, Layout, Store},
};

/// Longest name of a region, in characters.
const REGION_CHARS_MAX: usize = 64;
/// Longest access key id, in characters.
const ACCESS_KEY_CHARS_MAX: usize = 256;
/// Longest id, alias or ARN of a KMS key, in characters.
const KMS_KEY_CHARS_MAX: usize = 2_048;

/// A bucket of Amazon S3, or of a store that speaks its protocol.
pub struct S3;

/// Where events are kept and in which form.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bucket's name.
    #[schemars(example = &"acme-events")]
    bucket: String,
    /// The region that the bucket is in; what the store calls it, where it is not one of Amazon's.
    #[serde(default = "default_region")]
    #[schemars(example = &"eu-central-1")]
    region: String,
    /// The address of a store that is not Amazon's: https, unless the operator allows the address.
    #[serde(default)]
    #[schemars(example = &"https://minio.example.com")]
    endpoint: Option<String>,
    /// Whether the bucket stands in the path of an address, and not before its host.
    #[serde(default = "yes")]
    #[schemars(example = true)]
    path_style: bool,
    /// What stands before every key: a folder for events in a bucket that holds other things.
    #[serde(default)]
    #[schemars(example = &"signalbox")]
    prefix: Option<String>,
    /// The key of an object, behind the prefix. `{delivery}` must be in it; `{org}`, `{type}`, `{severity}`, `{integration}`,
    /// `{yyyy}`, `{mm}`, `{dd}` and `{hh}` may.
    #[serde(default = "objects::default_key_template")]
    #[schemars(example = &"events/dt={yyyy}-{mm}-{dd}/{delivery}.jsonl")]
    key_template: String,
    /// The form of each line: one event.
    #[serde(default)]
    #[schemars(example = &"standard")]
    format: Format,
    /// How objects are compressed.
    #[serde(default)]
    #[schemars(example = &"zstd")]
    compression: Compression,
    /// The storage class of the objects; without it the bucket's.
    #[serde(default)]
    #[schemars(example = &"STANDARD_IA")]
    storage_class: Option<String>,
    /// The KMS key that the objects are encrypted with (SSE-KMS); without it as the bucket says.
    #[serde(default)]
    #[schemars(example = &"alias/events")]
    kms_key_id: Option<String>,
    /// Whether a repeat replaces the object that the first attempt wrote, for a store that knows no `If-None-Match`.
    #[serde(default)]
    #[schemars(example = false)]
    overwrite: bool,
}

/// What lets us write there. Signalbox never uses credentials of its machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The id of the access key.
    #[schemars(example = &"AKIAIOSFODNN7EXAMPLE")]
    access_key_id: String,
    /// The secret of the access key.
    #[schemars(example = &"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")]
    secret_access_key: Secret,
    /// The token of temporary credentials. They end by themselves, so that a key of a user of its own is better.
    #[serde(default)]
    #[schemars(example = &"IQoJb3JpZ2luX2VjE…")]
    session_token: Option<Secret>,
}

/// What every request of an integration shares.
#[derive(Debug)]
pub struct Prepared {
    store: Store,
    layout: Layout,
    temporary: bool,
}

const fn yes() -> bool {
    true
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

/// What a request is signed with, checked: the signer takes anything, and stops the program where it cannot be sent.
struct Signed {
    id: String,
    secret: Secret,
    session: Option<Secret>,
}

impl Provider for S3 {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "s3";
    const DESCRIPTION: &'static str =
        "Keeps events as JSON lines in a bucket of Amazon S3, or of a store that speaks its protocol";
    const DOCS: &'static str = "https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html";
    const KIND: Kind = Kind::Storage;
    const LIMITS: Limits = Limits { per_minute: None };

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        let temporary = credentials.session_token.is_some();
        let bucket = keep(objects::bucket("config/bucket", &config.bucket), &mut errors);
        let region = keep(region(&config.region), &mut errors);
        let kms_key = config.kms_key_id.as_deref().map(kms_key).transpose();
        let kms_key = keep(kms_key, &mut errors);
        let layout = keep_all(
            Layout::read(Given {
                prefix: config.prefix.as_deref(),
                template: &config.key_template,
                format: config.format,
                compression: config.compression,
                storage_class: config.storage_class.as_deref(),
                overwrite: config.overwrite,
            }),
            &mut errors,
        );
        let signed = keep_all(Signed::read(&credentials), &mut errors);
        let (Some(bucket), Some(region), Some(kms_key), Some(layout), Some(signed)) =
            (bucket, region, kms_key, layout, signed)
        else {
            return Err(errors);
        };
        let endpoint = endpoint(config.endpoint.as_deref(), &region).map_err(|error| vec![error])?;
        let urls = addresses(&endpoint, &bucket, config.path_style).map_err(|error| vec![error])?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&bucket)
            .with_region(&region)
            .with_endpoint(urls.given.as_str().trim_end_matches('/'))
            .with_virtual_hosted_style_request(!config.path_style)
            .with_access_key_id(&signed.id)
            .with_secret_access_key(signed.secret.expose())
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(objects::no_retries())
            .with_http_connector(Checked);
        if let Some(token) = &signed.session {
            builder = builder.with_token(token.expose());
        }
        if config.endpoint.is_none() {
            // A bucket whose objects are locked asks for it. Not every other store knows the header.
            builder = builder.with_checksum_algorithm(Checksum::SHA256);
        }
        if let Some(kms_key) = kms_key {
            builder = builder.with_sse_kms_encryption(kms_key);
        }
        // All that it checks was checked; its message may repeat a value.
        let signer = builder.build().map_err(|_| {
            vec![FieldError::new(
                "config",
                "does not make an address that can be signed for",
            )]
        })?;
        Ok(Prepared {
            store: Store::new(signer, urls.bucket),
            layout,
            temporary,
        })
    }

    fn urls(prepared: &Prepared) -> Vec<(&'static str, &Url)> {
        vec![("config/endpoint", prepared.store.url())]
    }

    fn warnings(prepared: &Prepared) -> Vec<FieldError> {
        if !prepared.temporary {
            return Vec::new();
        }
        let message =
            "belongs to credentials that end by themselves, after 36 hours at most: deliveries fail from then on";
        vec![FieldError::new("credentials/session_token", message)]
    }

    fn request(target: &Target<Self>, delivery: &Delivery, _text: &Text, _now: Timestamp) -> Request {
        let Prepared { store, layout, .. } = &target.prepared;
        Request::Object(layout.write(store, delivery))
    }

    fn classify(response: &http::Response, now: Timestamp) -> Outcome {
        objects::by_answer(response, now).map_reason(|reason| outcome::reason(&reason))
    }

    /// Asks for an object that is not there, which shows that the bucket and the signature are right.
    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        let Prepared { store, layout, .. } = &target.prepared;
        Some(Request::Object(layout.look(store)))
    }
}

impl Signed {
    fn read(credentials: &Credentials) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let id = keep(access_key(&credentials.access_key_id), &mut errors);
        let secret = credentials.secret_access_key.expose().trim();
        if secret.is_empty() {
            errors.push(FieldError::new("credentials/secret_access_key", "is empty"));
        }
        let session = credentials.session_token.as_ref().map(session_token).transpose();
        let session = keep(session, &mut errors);
        match (id, session) {
            (Some(id), Some(session)) if errors.is_empty() => Ok(Self {
                id,
                secret: Secret::from(secret),
                session,
            }),
            _ => Err(errors),
        }
    }
}

fn is_word(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn region(text: &str) -> Result<String, FieldError> {
    let pointer = "config/region";
    let region = fields::line(pointer, text, REGION_CHARS_MAX)?;
    // It becomes a part of a host.
    if is_word(&region) && !region.contains('.') {
        Ok(region)
    } else {
        Err(FieldError::new(
            pointer,
            "is not the name of a region, such as eu-central-1",
        ))
    }
}

/// What stands in a header beside other things: visible, without what parts them.
fn access_key(text: &str) -> Result<String, FieldError> {
    let pointer = "credentials/access_key_id";
    let id = fields::line(pointer, text, ACCESS_KEY_CHARS_MAX)?;
    if id
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b',' | b'='))
    {
        Ok(id)
    } else {
        Err(FieldError::new(pointer, "holds characters that no access key has"))
    }
}

fn session_token(token: &Secret) -> Result<Secret, FieldError> {
    fields::key("credentials/session_token", token).map(|_| Secret::from(token.expose().trim()))
}

fn kms_key(text: &str) -> Result<String, FieldError> {
    let pointer = "config/kms_key_id";
    let id = fields::line(pointer, text, KMS_KEY_CHARS_MAX)?;
    if id.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(id)
    } else {
        Err(FieldError::new(pointer, "is not the id, alias or ARN of a KMS key"))
    }
}

/// Where the store is, without the bucket.
fn endpoint(given: Option<&str>, region: &str) -> Result<Url, FieldError> {
    let pointer = "config/endpoint";
    match given {
        Some(text) => {
            let url = fields::url(pointer, text)?;
            if url.query().is_some() {
                return Err(FieldError::new(pointer, "must not hold a query"));
            }
            Ok(url)
        }
        None => {
            let partition = if region.starts_with("cn-") { ".cn" } else { "" };
            fields::url(
                "config/region",
                &format!("https://s3.{region}.amazonaws.com{partition}"),
            )
        }
    }
}

/// What the signer is given, and where the bucket is.
struct Addresses {
    given: Url,
    bucket: Url,
}

fn addresses(endpoint: &Url, bucket: &str, path_style: bool) -> Result<Addresses, FieldError> {
    if path_style {
        return Ok(Addresses {
            given: endpoint.clone(),
            bucket: fields::below(endpoint, &[bucket]),
        });
    }
    let mut url = endpoint.clone();
    let host = format!("{bucket}.{}", endpoint.host_str().unwrap_or_default());
    let named = endpoint.domain().is_some() && url.set_host(Some(&host)).is_ok();
    if !named {
        let message = "must be true, as the bucket cannot stand before this host";
        return Err(FieldError::new("config/path_style", message));
    }
    Ok(Addresses {
        given: url.clone(),
        bucket: url,
    })
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
