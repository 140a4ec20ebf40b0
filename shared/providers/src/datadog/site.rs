//! The installations of Datadog: an account lives on one of them, and its keys are valid there alone.

use url::Url;

use crate::{FieldError, fields, wording};

/// All sites, with the one that is meant where none is named first.
pub(super) const SITES: [&str; 9] = [
    "datadoghq.com",
    "us3.datadoghq.com",
    "us5.datadoghq.com",
    "datadoghq.eu",
    "ap1.datadoghq.com",
    "ap2.datadoghq.com",
    "uk1.datadoghq.com",
    "ddog-gov.com",
    "us2.ddog-gov.com",
];

/// Where the API of each site is.
pub(super) const HOSTS: [&str; SITES.len()] = [
    "api.datadoghq.com",
    "api.us3.datadoghq.com",
    "api.us5.datadoghq.com",
    "api.datadoghq.eu",
    "api.ap1.datadoghq.com",
    "api.ap2.datadoghq.com",
    "api.uk1.datadoghq.com",
    "api.ddog-gov.com",
    "api.us2.ddog-gov.com",
];

/// Where the API of a site is, however the site is written: its name, or an address of it as a browser shows it.
pub(super) fn base(given: Option<&str>) -> Result<Url, FieldError> {
    let written = given.unwrap_or(SITES[0]).trim().to_ascii_lowercase();
    let name = written.strip_prefix("https://").unwrap_or(&written);
    let name = name.split('/').next().unwrap_or_default();
    let name = ["app.", "api."]
        .iter()
        .find_map(|host| name.strip_prefix(host))
        .unwrap_or(name);
    match SITES.iter().position(|site| *site == name) {
        Some(place) => fields::url("config/site", &format!("https://{}", HOSTS[place])),
        None => Err(FieldError::new("config/site", unknown(name))),
    }
}

fn unknown(name: &str) -> String {
    let all = SITES.join(", ");
    match wording::nearest(name, &SITES) {
        Some(site) => format!("is not a site of Datadog: did you mean {site}? There are {all}"),
        None => format!("is not a site of Datadog: there are {all}"),
    }
}
