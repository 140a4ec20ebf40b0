//! The two signatures: Standard Webhooks, and the older `X-Signature-256`.

use std::fmt;

use ::http::{HeaderMap, HeaderName, HeaderValue};
use base64::{
    Engine,
    alphabet::STANDARD as ALPHABET,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use ed25519_dalek::{SigningKey, ed25519::signature::MultipartSigner};
use hmac::{Hmac, KeyInit, Mac};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::Sha256;

use super::SECRETS_MAX;
use crate::{FieldError, Secret};

const SYMMETRIC: &str = "whsec_";
const ASYMMETRIC: &str = "whsk_";
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const X_SIGNATURE_256: HeaderName = HeaderName::from_static("x-signature-256");
/// Keys are pasted with and without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How requests are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Signature {
    /// `webhook-signature`, as Standard Webhooks says.
    Standard,
    /// `X-Signature-256: sha256=<hex>` over the body.
    #[serde(rename = "x_signature_256")]
    XSignature256,
    /// Not at all.
    None,
}

/// Keys ready to sign with.
pub(super) enum Signer {
    None,
    Standard(Vec<Key>),
    XSignature256(Hmac<Sha256>),
}

/// A key of Standard Webhooks. An HMAC is kept with its key worked in, and copied for each use.
pub(super) enum Key {
    V1(Hmac<Sha256>),
    V1a(Box<SigningKey>),
}

/// The signer that the config and the secrets' prefixes ask for. Secrets come with their pointers.
pub(super) fn signer(wanted: Option<Signature>, secrets: &[(String, &Secret)], errors: &mut Vec<FieldError>) -> Signer {
    if secrets.len() > SECRETS_MAX {
        errors.push(FieldError::new(
            "credentials/secrets",
            format!("are more than {SECRETS_MAX} with secret"),
        ));
    }
    for (pointer, _) in secrets.iter().filter(|(_, secret)| secret.expose().is_empty()) {
        errors.push(FieldError::new(pointer, "is empty"));
    }
    let standard = secrets.iter().filter(|(_, secret)| has_prefix(secret.expose())).count();
    let wanted = match wanted {
        Some(wanted) => wanted,
        None if secrets.is_empty() => Signature::None,
        None if standard == secrets.len() => Signature::Standard,
        None if standard == 0 => Signature::XSignature256,
        None => {
            let message = "must be given: some secrets begin with whsec_ or whsk_ and some do not";
            errors.push(FieldError::new("config/signature", message));
            return Signer::None;
        }
    };
    match (wanted, secrets) {
        (Signature::None, _) => Signer::None,
        (_, []) => {
            errors.push(FieldError::new(
                "credentials/secret",
                "is missing: config.signature asks for one",
            ));
            Signer::None
        }
        (Signature::Standard, secrets) => {
            let keys = secrets.iter().filter_map(|(pointer, secret)| {
                key(secret.expose())
                    .map_err(|message| errors.push(FieldError::new(pointer, message)))
                    .ok()
            });
            Signer::Standard(keys.collect())
        }
        (Signature::XSignature256, [(_, secret)]) => Signer::XSignature256(hmac(secret.expose().as_bytes())),
        (Signature::XSignature256, [_, (pointer, _), ..]) => {
            errors.push(FieldError::new(
                pointer,
                "is one too many: X-Signature-256 carries one signature",
            ));
            Signer::None
        }
    }
}

impl Signer {
    /// Adds the signature of exactly these bytes.
    pub(super) fn sign(&self, id: &[u8], timestamp: i64, body: &[u8], headers: &mut HeaderMap) {
        match self {
            Self::None => {}
            Self::Standard(keys) => {
                let mut text = String::with_capacity(keys.len() * 48);
                let timestamp = timestamp.to_string();
                for key in keys {
                    if !text.is_empty() {
                        text.push(' ');
                    }
                    key.sign(&[id, b".", timestamp.as_bytes(), b".", body], &mut text);
                }
                headers.insert(WEBHOOK_SIGNATURE, ascii(text));
            }
            Self::XSignature256(hmac) => {
                let mac = hmac.clone().chain_update(body).finalize().into_bytes();
                let mut text = String::with_capacity(7 + 64);
                text.push_str("sha256=");
                for byte in mac {
                    for digit in [byte >> 4, byte & 15] {
                        text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
                    }
                }
                headers.insert(X_SIGNATURE_256, ascii(text));
            }
        }
    }
}

impl Key {
    fn sign(&self, content: &[&[u8]], text: &mut String) {
        match self {
            Self::V1(hmac) => {
                let mac = content
                    .iter()
                    .fold(hmac.clone(), |mac, part| mac.chain_update(part))
                    .finalize()
                    .into_bytes();
                text.push_str("v1,");
                STANDARD.encode_string(mac, text);
            }
            Self::V1a(key) => {
                text.push_str("v1a,");
                STANDARD.encode_string(key.multipart_sign(content).to_bytes(), text);
            }
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Standard(_) => "Standard",
            Self::XSignature256(_) => "XSignature256",
        })
    }
}

fn has_prefix(secret: &str) -> bool {
    secret.starts_with(SYMMETRIC) || secret.starts_with(ASYMMETRIC)
}

fn key(secret: &str) -> Result<Key, &'static str> {
    if let Some(text) = secret.strip_prefix(ASYMMETRIC) {
        let bytes = LENIENT.decode(text).map_err(|_| "is not base64 behind whsk_")?;
        return match (
            <&[u8; 32]>::try_from(bytes.as_slice()),
            <&[u8; 64]>::try_from(bytes.as_slice()),
        ) {
            (Ok(seed), _) => Ok(Key::V1a(Box::new(SigningKey::from_bytes(seed)))),
            (_, Ok(pair)) => SigningKey::from_keypair_bytes(pair)
                .map(|key| Key::V1a(Box::new(key)))
                .map_err(|_| "holds a public key that does not belong to its private key"),
            _ => Err("is not an Ed25519 key: 32 bytes of seed, or 64 of seed and public key"),
        };
    }
    let text = secret.strip_prefix(SYMMETRIC).unwrap_or(secret);
    let bytes = LENIENT
        .decode(text)
        .map_err(|_| "is not base64: begin it with whsec_, or sign by x_signature_256")?;
    if bytes.is_empty() {
        Err("holds no key")
    } else {
        Ok(Key::V1(hmac(&bytes)))
    }
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("base64, hex and their prefixes are visible ASCII")
}
