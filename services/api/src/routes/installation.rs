//! Routes about the installation as a whole.

use super::{Reach, Route, Scope, param::moment};
use crate::doctor;

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
            .answers::<doctor::Answer>(200, "The findings")
            .serves(doctor::doctor),
    ]
}
