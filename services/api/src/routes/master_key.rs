//! Routes about the key that seals credentials.

use serde_json::json;

use super::{Reach, Route, Scope};
use crate::{integrations::Nothing, master_key};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/master-key", "getMasterKey")
            .needs(Scope::Admin, Reach::Installation)
            .says(
                "installation",
                "Show which key seals credentials",
                "Keys are named by their ids; no answer has a key. While it is rotated: how far that is.",
            )
            .answers::<master_key::Shown>(200, "The key")
            .serves(master_key::show),
        Route::post("/v1/master-key/rotate", "rotateMasterKey")
            .needs(Scope::Admin, Reach::Installation)
            .says(
                "installation",
                "Seal all credentials with another key",
                "Where Signalbox keeps the key file itself, it makes a new key. Where the settings name the keys, the first of \
                 them is taken. Any process of the API carries it to its end while deliveries go on.",
            )
            .takes::<Nothing>(false, json!({}))
            .changes(&["master_key.rotated"])
            .answers::<master_key::Shown>(202, "How far it is")
            .refuses(409, "rotation_at_work", "it is being rotated already")
            .refuses(409, "no_new_key", "the settings name no new key")
            .refuses(409, "conflict", "someone else began it at the same time")
            .serves(master_key::begin),
    ]
}
