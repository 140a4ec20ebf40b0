//! What a build is told: parameters of its job, in a form.

use std::{collections::BTreeMap, fmt};

use signalbox_proto::{Delivery, Outcome, integration::Template, outcome};
use url::form_urlencoded::Serializer;

use super::Jenkins;
use crate::{
    About, FieldError, Provider,
    build::Told,
    fields,
    template::{Markup, Takes, Texts},
};

/// The parameter that tells our build from others.
pub(super) const MARK: &str = "signalbox_delivery";
/// Most parameters of a job.
const PARAMETERS_MAX: usize = 50;
/// Longest name of a parameter, in characters.
const NAME_CHARS_MAX: usize = 100;
/// Longest value that a template makes, in bytes.
const VALUE_BYTES_MAX: usize = 32 * 1024;
/// Longest form, in bytes: a server takes 200,000 unless it is told otherwise.
pub(super) const FORM_BYTES_MAX: usize = 190_000;
/// All values of the usual parameters, in bytes: in a form each may take three.
const VALUES_BYTES_MAX: usize = 60_000;
/// What a parameter's text is.
const TAKES: Takes = Takes {
    title: false,
    body_bytes_max: VALUE_BYTES_MAX,
    markup: Markup::Plain,
};

/// The parameters of a job.
pub(super) enum Parameters {
    /// Type, agent and data.
    Usual,
    /// Those of the config, by name; none for a job without any.
    Own(BTreeMap<String, Texts>),
}

impl Parameters {
    pub(super) fn of(given: Option<BTreeMap<String, String>>) -> Result<Self, Vec<FieldError>> {
        let Some(given) = given else {
            return Ok(Self::Usual);
        };
        if given.len() > PARAMETERS_MAX {
            let message = format!("has more than {PARAMETERS_MAX} entries");
            return Err(vec![FieldError::new("config/parameters", message)]);
        }
        let mut errors = Vec::new();
        let mut own = BTreeMap::new();
        for (name, text) in given {
            let pointer = format!("config/parameters/{name}");
            let line = fields::keep(fields::line("config/parameters", &name, NAME_CHARS_MAX), &mut errors);
            if name == MARK {
                errors.push(FieldError::new(&*pointer, "is added by itself: leave it out"));
            }
            let template = Template {
                title: None,
                body: Some(text),
            };
            let texts = Texts::read(&template, Jenkins::NAME, TAKES).map_err(|wrong| {
                let in_config = wrong.into_iter().map(|error| FieldError::new(&*pointer, error.message));
                in_config.collect()
            });
            if let (Some(line), Some(texts)) = (line, fields::keep_all(texts, &mut errors)) {
                own.insert(line, texts);
            }
        }
        if errors.is_empty() {
            Ok(Self::Own(own))
        } else {
            Err(errors)
        }
    }

    /// Whether the job has none.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Own(own) if own.is_empty())
    }

    /// All of them as a form, with the id of the delivery.
    pub(super) fn form(&self, delivery: &Delivery, about: &About) -> Result<String, Outcome> {
        let mut form = Serializer::new(String::new());
        match self {
            Self::Usual => {
                let told = Told::of(delivery, about, VALUES_BYTES_MAX);
                form.append_pair("event_type", told.event_type)
                    .append_pair("agent_id", &told.agent_id)
                    .append_pair("payload", &told.payload);
            }
            Self::Own(own) => {
                for (name, texts) in own {
                    let rendered = texts.render(delivery, about).map_err(|why| Outcome::Reject {
                        reason: outcome::reason(&format!("config.parameters.{name}: {why}")),
                    })?;
                    form.append_pair(name, &rendered.body.unwrap_or_default());
                }
            }
        }
        let form = form.append_pair(MARK, &delivery.id).finish();
        if form.len() > FORM_BYTES_MAX {
            let reason =
                format!("the parameters come to more than {FORM_BYTES_MAX} bytes, which is more than a server takes");
            return Err(Outcome::Reject { reason });
        }
        Ok(form)
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usual => f.write_str("Usual"),
            Self::Own(own) => f.debug_list().entries(own.keys()).finish(),
        }
    }
}
