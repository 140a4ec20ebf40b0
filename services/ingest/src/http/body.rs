//! The bytes of a request, with a bound on how many large ones are held at a time.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    http::{HeaderMap, StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use signalbox_runtime::Problem;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    problem,
    read::{self, Form, Inputs},
};
use crate::Config;

/// Bytes that a body may have beyond those of one event itself: attributes, white space, escapes.
pub(super) const SLACK_BYTES: usize = 64 * 1024;
/// Bodies larger than one event can be that are held at a time; the others are not read on.
const LARGE_MAX: usize = 8;
/// Bodies larger than this are read on a thread of their own, so that nothing else waits for them.
const READ_HERE_BYTES_MAX: usize = 512 * 1024;

/// Bytes of a body that is too large which are still read and dropped: a sender that does not look for the answer
/// before it has sent all would see a broken connection instead.
const DROPPED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long that may take.
const DROPPED_TIMEOUT: Duration = Duration::from_secs(5);

/// The places of large bodies.
pub(super) struct Bodies {
    places: Arc<Semaphore>,
}

/// A body that was received whole.
pub(super) struct Received {
    form: Form,
    /// Its bytes.
    pub(super) bytes: Bytes,
    /// Given back when this is dropped.
    _place: Option<OwnedSemaphorePermit>,
}

/// The largest body of one event.
pub(super) fn one_bytes_max(config: &Config) -> usize {
    config.event_bytes_max + SLACK_BYTES
}

impl Bodies {
    pub(super) fn new() -> Self {
        Self {
            places: Arc::new(Semaphore::new(LARGE_MAX)),
        }
    }

    /// Receives a body. How long it may take is the server's bound.
    pub(super) async fn receive(&self, headers: &HeaderMap, body: Body, config: &Config) -> Result<Received, Problem> {
        let form = Form::of(headers).map_err(problem::of)?;
        let small = one_bytes_max(config);
        let bytes_max = if form.may_be_list() {
            small.max(config.http_body_bytes_max)
        } else {
            small
        };
        let mut bytes = BytesMut::new();
        let mut place = None;
        let mut chunks = body.into_data_stream();
        if announced(headers).is_some_and(|length| length > bytes_max) {
            // Who asks first sends nothing then.
            if !headers.contains_key(header::EXPECT) {
                pass_by(chunks).await;
            }
            return Err(problem::body_too_large(bytes_max));
        }
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| {
                let detail = "the body could not be received to its end";
                Problem::new(StatusCode::BAD_REQUEST, "malformed", detail)
            })?;
            let length = bytes.len() + chunk.len();
            if length > bytes_max {
                drop((bytes, place));
                pass_by(chunks).await;
                return Err(problem::body_too_large(bytes_max));
            }
            if length > small && place.is_none() {
                let free = self.places.clone().acquire_owned().await;
                place = Some(free.expect("the places are never closed"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Received {
            form,
            bytes: bytes.freeze(),
            _place: place,
        })
    }
}

/// How long a request says its body is.
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads what is left of a body, within bounds, and keeps none of it.
async fn pass_by(mut chunks: BodyDataStream) {
    let reading = async {
        let mut length = 0;
        while length <= DROPPED_BYTES_MAX
            && let Some(Ok(chunk)) = chunks.next().await
        {
            length += chunk.len();
        }
    };
    if tokio::time::timeout(DROPPED_TIMEOUT, reading).await.is_err() {
        tracing::debug!("a body that is too large is not read on");
    }
}

impl Received {
    /// Reads the events. A problem is one of the whole body; what is wrong with one event is found in its place.
    pub(super) async fn inputs(&self, headers: &HeaderMap, config: &Config) -> Result<Inputs, Problem> {
        let (form, bytes, bytes_max) = (self.form, self.bytes.clone(), one_bytes_max(config));
        let inputs = if bytes.len() > READ_HERE_BYTES_MAX {
            let headers = headers.clone();
            let reading = tokio::task::spawn_blocking(move || read::inputs(form, &headers, bytes, bytes_max));
            reading.await.map_err(|error| {
                tracing::error!(%error, "a large body could not be read");
                Problem::internal()
            })?
        } else {
            read::inputs(form, headers, bytes, bytes_max)
        };
        inputs.map_err(problem::of)
    }
}

#[cfg(test)]
mod tests;
