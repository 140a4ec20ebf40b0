//! What every service does first and last: settings, logs and traces, metrics, health, secrets, shutdown.
//!
//! A role starts like this: [`settings::Settings::load`] reads the layers, [`telemetry::init`] opens the log,
//! [`shutdown::Shutdown::on_signal`] listens for the end, [`health::serve`] answers on the admin port. Nothing here
//! knows NATS, events or providers, and no other crate of the workspace is imported.

pub mod auth;
pub mod duration;
mod error;
pub mod health;
pub mod metrics;
pub mod problem;
pub mod process;
pub mod request_id;
pub mod seal;
pub mod secret;
pub mod serve;
pub mod settings;
pub mod shutdown;
pub mod size;
pub mod telemetry;

pub use auth::AdminKey;
pub use error::Error;
pub use health::Health;
pub use metrics::Metrics;
pub use problem::Problem;
pub use process::Process;
pub use request_id::RequestId;
pub use seal::Keyring;
pub use settings::Settings;
pub use shutdown::Shutdown;
pub use telemetry::Tracer;
