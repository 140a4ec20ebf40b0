//! Routes about the installation as a whole.

use serde_json::json;

use super::{Reach, Route, Scope, param::moment};
use crate::{doctor, drift};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/doctor", "getDoctor")
            .needs(Scope::Admin, Reach::Installation)
            .says(
                "installation",
                "What is wrong, and the remedy",
                "Findings with remedies, the worst first; what waits; and whether every delivery that is owed has one end.",
            )
            .query("since", moment("1h"), "Check the ledger from then on; an hour back where it is not given")
            .unhurried()
            .without_store()
            .answers::<doctor::Answer>(200, "The findings")
            .serves(doctor::doctor),
        Route::post("/v1/doctor/repair", "repair")
            .needs(Scope::Admin, Reach::Installation)
            .says(
                "installation",
                "Make the database count again",
                "Where workers know other orgs, keys, event types or integrations than the database has: its own are put again, and \
                 what it does not know is taken over.",
            )
            .unhurried()
            .takes::<drift::Wanted>(false, json!({}))
            .changes(&[
                "installation.repaired",
                "integration.repaired",
                "event_type.repaired",
                "api_key.repaired",
                "org.repaired",
            ])
            .answers::<drift::Answer>(200, "What was mended, and what could not be")
            .serves(drift::repair),
    ]
}
