//! Every message that a server has, of every stream and bucket.

use async_nats::jetstream;
use futures::TryStreamExt as _;

/// All of them: where each lies, and its headers and bytes.
pub(crate) async fn everything(nats_url: &str) -> Vec<(String, Vec<u8>)> {
    let client = async_nats::connect(nats_url).await.expect("NATS takes a connection");
    let jetstream = jetstream::new(client);
    let names: Vec<String> = jetstream.stream_names().try_collect().await.expect("names");
    let mut all = Vec::new();
    for name in names {
        let stream = jetstream.get_stream(&name).await.expect("a stream");
        let state = &stream.cached_info().state;
        for seq in state.first_sequence..=state.last_sequence {
            // One that was removed is not there.
            if let Ok(message) = stream.get_raw_message(seq).await {
                let headers = format!("{:?}", message.headers);
                let bytes = [headers.as_bytes(), &message.payload].concat();
                all.push((format!("{name} {seq} {}", message.subject), bytes));
            }
        }
    }
    all
}
