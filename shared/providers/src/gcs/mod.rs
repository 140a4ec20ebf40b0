#![doc = include_str!("README.md")]

use object_store::gcp::GoogleCloudStorageBuilder;
use schemars::JsonSchema;
use serde::Deserialize;
use signalbox_proto::{Delivery, Outcome, Timestamp, outcome};
use url::Url;

use crate::{
    FieldError, Kind, Limits, Provider, Request, Secret, Target, Text, classify,
    fields::{self, keep, keep_all},
    http,
    objects::{self, Checked, Compression, Format, Given, Layout, Store},
};

/// Where Google keeps objects.
const ENDPOINT: &str = "https://storage.googleapis.com";
/// The type that Google writes into the key file of a service account.
const SERVICE_ACCOUNT: &str = "service_account";

/// A bucket of Google Cloud Storage.
pub struct Gcs;

/// Where events are kept and in which form.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bucket's name.
    #[schemars(example = &"acme-events")]
    bucket: String,
    /// The address of a regional endpoint, or of an emulator that the operator allows.
    #[serde(default)]
    #[schemars(example = &"https://storage.europe-west3.rep.googleapis.com")]
    endpoint: Option<String>,
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
    #[schemars(example = &"NEARLINE")]
    storage_class: Option<String>,
    /// Whether a repeat replaces the object that the first attempt wrote, for an emulator that knows no conditions.
    #[serde(default)]
    #[schemars(example = false)]
    overwrite: bool,
}

/// What lets us write there. Signalbox never uses credentials of its machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The whole key file of a service account, in JSON.
    #[schemars(example = &"{\"type\": \"service_account\", \"private_key\": \"-----BEGIN PRIVATE KEY-----\\n…\", …}")]
    service_account: Secret,
}

/// What every request of an integration shares.
#[derive(Debug)]
pub struct Prepared {
    store: Store,
    layout: Layout,
}

/// What is read of a key file. Whatever else stands in it has no effect.
#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: Option<String>,
    private_key: Option<Secret>,
    private_key_id: Option<String>,
    client_email: Option<String>,
}

impl Provider for Gcs {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "gcs";
    const DESCRIPTION: &'static str = "Keeps events as JSON lines in a bucket of Google Cloud Storage";
    const DOCS: &'static str = "https://cloud.google.com/storage/docs/xml-api/put-object-upload";
    const KIND: Kind = Kind::Storage;
    const LIMITS: Limits = Limits { per_minute: None };

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        let bucket = keep(objects::bucket("config/bucket", &config.bucket), &mut errors);
        let endpoint = keep(endpoint(config.endpoint.as_deref()), &mut errors);
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
        let account = keep(account(&credentials.service_account), &mut errors);
        let (Some(bucket), Some(endpoint), Some(layout), Some(account)) = (bucket, endpoint, layout, account) else {
            return Err(errors);
        };
        let signer = GoogleCloudStorageBuilder::new()
            .with_bucket_name(&bucket)
            .with_base_url(endpoint.as_str().trim_end_matches('/'))
            .with_service_account_key(account.expose())
            .with_retry(objects::no_retries())
            .with_http_connector(Checked)
            .build();
        // All else was checked; its message may repeat a value.
        let signer = signer.map_err(|_| vec![account_error("its private_key is not an RSA key in PEM (PKCS#8)")])?;
        Ok(Prepared {
            store: Store::new(signer, fields::below(&endpoint, &[&bucket])),
            layout,
        })
    }

    fn urls(prepared: &Prepared) -> Vec<(&'static str, &Url)> {
        vec![("config/endpoint", prepared.store.url())]
    }

    /// A token of ours opens more of Google than this bucket: it goes nowhere else.
    fn hosts(_pointer: &str) -> &'static [&'static str] {
        &["storage.googleapis.com", "*.googleapis.com"]
    }

    fn request(target: &Target<Self>, delivery: &Delivery, _text: &Text, _now: Timestamp) -> Request {
        let Prepared { store, layout } = &target.prepared;
        Request::Object(layout.write(store, delivery))
    }

    fn classify(response: &http::Response, now: Timestamp) -> Outcome {
        objects::by_answer(response, now).map_reason(|reason| outcome::reason(&reason))
    }

    /// Asks for an object that is not there, which shows that the bucket and the token are right.
    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        let Prepared { store, layout } = &target.prepared;
        Some(Request::Object(layout.look(store)))
    }
}

/// Where the store is, without the bucket.
fn endpoint(given: Option<&str>) -> Result<Url, FieldError> {
    let pointer = "config/endpoint";
    let url = fields::url(pointer, given.unwrap_or(ENDPOINT))?;
    if url.query().is_some() {
        return Err(FieldError::new(pointer, "must not hold a query"));
    }
    Ok(url)
}

fn account_error(message: &str) -> FieldError {
    FieldError::new("credentials/service_account", message)
}

/// What the signer takes of a key file, and no more: a file may also name an address to send to, and that no token is to
/// be made.
fn account(given: &Secret) -> Result<Secret, FieldError> {
    let file: KeyFile = classify::object(given.expose().trim().as_bytes()).ok_or_else(|| {
        account_error("is not the key file of a service account: paste the whole JSON that Google made")
    })?;
    if file.kind.is_some_and(|kind| kind != SERVICE_ACCOUNT) {
        return Err(account_error("is of another type: its `type` must be service_account"));
    }
    let has = |text: Option<String>, message: &str| {
        let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        text.ok_or_else(|| account_error(message))
    };
    let client_email = has(file.client_email, "has no client_email")?;
    let private_key_id = has(file.private_key_id, "has no private_key_id")?;
    let private_key = file.private_key.ok_or_else(|| account_error("has no private_key"))?;
    let written = serde_json::json!({
        "private_key": private_key.expose(),
        "private_key_id": private_key_id,
        "client_email": client_email,
    });
    Ok(Secret::from(written.to_string().as_str()))
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
