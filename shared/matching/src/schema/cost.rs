//! What a check may cost at most, found out before a schema is used.
//!
//! Subschemas that share others, and those that lead back to themselves, can multiply with each level of the data:
//! a schema of a few lines can take years for one event. So the steps on the dearest way through the data are
//! counted here, over all levels that data may have, and a schema with too many is refused.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{DATA_DEPTH_MAX, DEPTH_MAX, Fault, PATTERNS_MAX, STEPS_MAX};

/// The drafts that are taken; without `$schema` it is the newest.
const DRAFTS: [&str; 4] = [
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
];

/// Names that `dependentRequired` looks up in the time of one step.
const NAMES_A_STEP: usize = 8;

/// Refuses a schema that leads outside of itself, or whose checks could cost too much; answers the steps of the dearest
/// way through the data.
pub(super) fn check(schema: &Value) -> Result<u32, Fault> {
    let mut patterns = 0;
    walk(schema, "", 0, &mut patterns)?;
    let mut count = Count {
        root: schema,
        known: HashMap::new(),
    };
    count.steps(schema, DATA_DEPTH_MAX, 0)
}

/// The values of some data, itself and all inside of it.
pub(super) fn values(data: &Value) -> u64 {
    1 + match data {
        Value::Array(list) => list.iter().map(values).sum(),
        Value::Object(map) => map.values().map(values).sum(),
        _ => 0,
    }
}

/// What the keywords of one schema cost beside its subschemas: lists that are gone through for each value.
fn lists(map: &Map<String, Value>) -> u32 {
    // Other values of an `enum` are found by their hash.
    let structured = |value: &&Value| value.is_array() || value.is_object();
    let enumerated = map.get("enum").and_then(Value::as_array);
    let enumerated = enumerated.map_or(0, |list| list.iter().filter(structured).count());
    let dependent = map.get("dependentRequired").and_then(Value::as_object);
    let dependent = dependent.map_or(0, |names| names.len() / NAMES_A_STEP);
    u32::try_from(enumerated + dependent).unwrap_or(u32::MAX)
}

/// Looks at every value of the schema, whether a check would come to it or not.
fn walk(value: &Value, pointer: &str, level: usize, patterns: &mut usize) -> Result<(), Fault> {
    if level > DEPTH_MAX {
        return Err(Fault::new(
            pointer,
            format_args!("is nested deeper than {DEPTH_MAX} levels"),
        ));
    }
    let place = |name: &str| format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Array(list) => list
            .iter()
            .enumerate()
            .try_for_each(|(index, value)| walk(value, &place(&index.to_string()), level + 1, patterns)),
        Value::Object(map) => {
            for (name, value) in map {
                match (name.as_str(), value) {
                    ("$ref", Value::String(target)) if !target.starts_with('#') => {
                        return Err(Fault::new(
                            &place(name),
                            "leads outside of the schema, where nothing is read: put what it names under `$defs` and write \
                             \"#/$defs/…\"",
                        ));
                    }
                    ("$ref", Value::String(target)) if target.len() > 1 && !target.starts_with("#/") => {
                        return Err(Fault::new(
                            &place(name),
                            "must be a JSON pointer such as \"#/$defs/address\", not the name of an anchor",
                        ));
                    }
                    ("$dynamicRef" | "$recursiveRef", Value::String(_)) => {
                        return Err(Fault::new(&place(name), "is not taken: use `$ref`"));
                    }
                    ("$id", Value::String(_)) if level > 0 => {
                        return Err(Fault::new(
                            &place(name),
                            "is taken at the top of a schema alone: references would lead elsewhere below it",
                        ));
                    }
                    ("$schema", Value::String(draft)) if !DRAFTS.contains(&draft.trim_end_matches('#')) => {
                        let known = DRAFTS.join(", ");
                        return Err(Fault::new(&place(name), format_args!("is none of {known}")));
                    }
                    ("pattern", Value::String(_)) => *patterns += 1,
                    ("patternProperties", Value::Object(map)) => *patterns += map.len(),
                    _ => {}
                }
                walk(value, &place(name), level + 1, patterns)?;
            }
            if *patterns > PATTERNS_MAX {
                return Err(Fault::new(
                    pointer,
                    format_args!("makes more than {PATTERNS_MAX} patterns"),
                ));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A count of steps, remembered by subschema and by the levels of data that are left.
struct Count<'a> {
    root: &'a Value,
    /// `None` while it is being counted: who meets it then has come back to it at the same place of the data.
    known: HashMap<(usize, usize), Option<u32>>,
}

impl<'a> Count<'a> {
    /// The most steps that a subschema takes on one way through data of so many levels.
    fn steps(&mut self, schema: &'a Value, levels: usize, above: u32) -> Result<u32, Fault> {
        let Value::Object(map) = schema else { return Ok(1) };
        // Those above are on the same way, so the recursion is bounded by what is counted.
        if above > STEPS_MAX {
            return Err(too_costly());
        }
        let key = (std::ptr::from_ref(schema) as usize, levels);
        match self.known.get(&key) {
            Some(Some(steps)) => return Ok(*steps),
            Some(None) => {
                return Err(Fault::new(
                    "",
                    "leads back to itself without looking at any further data",
                ));
            }
            None => {}
        }
        self.known.insert(key, None);
        let here = self.in_place(map, levels, above + 1)?;
        let below = match levels.checked_sub(1) {
            Some(levels) => self.below(map, levels, above + 1)?,
            None => 0,
        };
        // What was evaluated is found out by evaluating it again.
        let looks = if map.contains_key("unevaluatedProperties") || map.contains_key("unevaluatedItems") {
            3
        } else {
            1
        };
        let own = lists(map).saturating_add(1);
        let steps = here.saturating_add(below).saturating_mul(looks).saturating_add(own);
        if steps > STEPS_MAX {
            return Err(too_costly());
        }
        self.known.insert(key, Some(steps));
        Ok(steps)
    }

    /// The steps of those that look at the same value.
    fn in_place(&mut self, map: &'a Map<String, Value>, levels: usize, above: u32) -> Result<u32, Fault> {
        let mut sum = 0_u32;
        for (name, value) in map {
            let list: Vec<&Value> = match (name.as_str(), value) {
                ("$ref", Value::String(target)) => vec![self.target(target)?],
                ("allOf" | "anyOf" | "oneOf", Value::Array(list)) => list.iter().collect(),
                ("not" | "if" | "then" | "else", value) => vec![value],
                ("dependentSchemas" | "dependencies", Value::Object(map)) => map.values().collect(),
                _ => continue,
            };
            for schema in list {
                sum = sum.saturating_add(self.steps(schema, levels, above)?);
            }
        }
        Ok(sum)
    }

    /// The steps of those that look at the members or items of the value: it has one of both.
    fn below(&mut self, map: &'a Map<String, Value>, levels: usize, above: u32) -> Result<u32, Fault> {
        let mut steps = |schema: Option<&'a Value>| match schema {
            Some(schema) => self.steps(schema, levels, above),
            None => Ok(0),
        };
        let mut of_patterns = 0_u32;
        for schema in members(map.get("patternProperties")) {
            of_patterns = of_patterns.saturating_add(steps(Some(schema))?);
        }
        let mut of_named = 0;
        for schema in members(map.get("properties")) {
            of_named = of_named.max(steps(Some(schema))?);
        }
        let member = of_named
            .saturating_add(of_patterns)
            .max(steps(map.get("additionalProperties"))?.saturating_add(of_patterns))
            .saturating_add(steps(map.get("unevaluatedProperties"))?)
            .saturating_add(steps(map.get("propertyNames"))?);
        let mut of_places = 0;
        for name in ["items", "prefixItems"] {
            match map.get(name) {
                Some(Value::Array(list)) => {
                    for schema in list {
                        of_places = of_places.max(steps(Some(schema))?);
                    }
                }
                schema => of_places = of_places.max(steps(schema)?),
            }
        }
        let item = of_places
            .max(steps(map.get("additionalItems"))?)
            .saturating_add(steps(map.get("unevaluatedItems"))?)
            .saturating_add(steps(map.get("contains"))?);
        Ok(member.max(item))
    }

    /// What a reference leads to.
    fn target(&self, reference: &str) -> Result<&'a Value, Fault> {
        let missing = || {
            let shown: String = reference.chars().take(100).collect();
            Fault::new("", format_args!("a `$ref` leads to {shown:?}, which is not there"))
        };
        let pointer = percent_encoding::percent_decode_str(reference.trim_start_matches('#'))
            .decode_utf8()
            .map_err(|_| missing())?;
        self.root.pointer(&pointer).ok_or_else(missing)
    }
}

fn members(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_object).into_iter().flat_map(Map::values)
}

fn too_costly() -> Fault {
    Fault::new(
        "",
        format_args!(
            "could take more than {STEPS_MAX} steps on one way through the data: repeat fewer subschemas in each other"
        ),
    )
}
