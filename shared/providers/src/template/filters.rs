//! The filters: `value|name(arguments)`.
//!
//! Each spends from the budget for what it makes or looks through. What is missing goes through most of them as missing,
//! so that a field that an event does not have renders as nothing.

mod lists;
mod numbers;
mod text;

use std::cmp::Ordering;

use self::{
    lists::{
        dictsort, extreme, first, groupby, items, join, last, length, list, map, reverse, select, select_attribute,
        sort, unique,
    },
    numbers::{abs, float, int, round, sum},
    text::{capitalized, escape, indent, lines, replace, safe, split, text_by, titled, tojson, truncate, url_part},
};
use super::{
    eval::{Budget, Fault, Given, Run},
    operators::as_text,
    value::{Text, Value},
};

/// One filter.
#[derive(Debug)]
pub(super) struct Filter {
    name: &'static str,
    apply: fn(Value, Args, &mut Run<'_>) -> Result<Value, Fault>,
}

impl Filter {
    pub(super) fn apply(&self, value: Value, given: Given, run: &mut Run<'_>) -> Result<Value, Fault> {
        let name = self.name;
        (self.apply)(value, Args { given, name }, run)
    }
}

const fn of(name: &'static str, apply: fn(Value, Args, &mut Run<'_>) -> Result<Value, Fault>) -> Filter {
    Filter { name, apply }
}

/// All filters, by name.
static FILTERS: &[Filter] = &[
    of("abs", abs),
    of("capitalize", |value, args, run| text_by(value, args, run, capitalized)),
    of("count", length),
    of("d", default),
    of("default", default),
    of("dictsort", dictsort),
    of("e", escape),
    of("escape", escape),
    of("first", first),
    of("float", float),
    of("groupby", groupby),
    of("indent", indent),
    of("int", int),
    of("items", items),
    of("join", join),
    of("last", last),
    of("length", length),
    of("lines", lines),
    of("list", list),
    of("lower", |value, args, run| text_by(value, args, run, str::to_lowercase)),
    of("map", map),
    of("max", |value, args, run| extreme(value, args, run, Ordering::Greater)),
    of("min", |value, args, run| extreme(value, args, run, Ordering::Less)),
    of("reject", |value, args, run| select(value, args, run, false)),
    of("rejectattr", |value, args, run| {
        select_attribute(value, args, run, false)
    }),
    of("replace", replace),
    of("reverse", reverse),
    of("round", round),
    of("safe", safe),
    of("select", |value, args, run| select(value, args, run, true)),
    of("selectattr", |value, args, run| {
        select_attribute(value, args, run, true)
    }),
    of("sort", sort),
    of("split", split),
    of("string", |value, args, run| text_by(value, args, run, str::to_owned)),
    of("sum", sum),
    of("title", |value, args, run| text_by(value, args, run, titled)),
    of("tojson", tojson),
    of("trim", |value, args, run| {
        text_by(value, args, run, |text| text.trim().to_owned())
    }),
    of("truncate", truncate),
    of("unique", unique),
    of("upper", |value, args, run| text_by(value, args, run, str::to_uppercase)),
    of("urlencode", |value, args, run| text_by(value, args, run, url_part)),
];

/// The filter of this name.
pub(super) fn find(name: &str) -> Option<&'static Filter> {
    FILTERS.iter().find(|filter| filter.name == name)
}

pub(super) fn names() -> Vec<&'static str> {
    FILTERS.iter().map(|filter| filter.name).collect()
}

/// The arguments of a filter, taken one after another.
struct Args {
    given: Given,
    name: &'static str,
}

impl Args {
    /// The next argument, by place or by name.
    fn take(&mut self, name: &str) -> Option<Value> {
        if !self.given.placed.is_empty() {
            return Some(self.given.placed.remove(0));
        }
        self.named(name)
    }

    fn named(&mut self, name: &str) -> Option<Value> {
        let place = self.given.named.iter().position(|(known, _)| **known == *name)?;
        Some(self.given.named.remove(place).1)
    }

    fn text(&mut self, name: &str, budget: &mut Budget) -> Result<Option<Text>, Fault> {
        self.take(name).map(|value| as_text(&value, budget)).transpose()
    }

    fn count(&mut self, name: &str) -> Result<Option<usize>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Int(number)) if number >= 0 => Ok(Some(usize::try_from(number).unwrap_or(usize::MAX))),
            Some(other) => Err(self.wrong(name, &format!("a whole number, not {}", other.kind()))),
        }
    }

    fn wrong(&self, argument: &str, wanted: &str) -> Fault {
        Fault::new(format!("`{}` takes for {argument} {wanted}", self.name))
    }

    /// Refuses what is left.
    fn end(self) -> Result<(), Fault> {
        let name = self.name;
        match self.given.named.first() {
            Some((argument, _)) => Err(Fault::new(format!("`{name}` takes no argument {argument}"))),
            None if self.given.placed.is_empty() => Ok(()),
            None => Err(Fault::new(format!("`{name}` is given too many arguments"))),
        }
    }
}

fn default(value: Value, mut args: Args, _run: &mut Run<'_>) -> Result<Value, Fault> {
    let other = args.take("default_value").unwrap_or_else(|| Value::text(""));
    let also_false = args.take("boolean").is_some_and(|flag| flag.is_true());
    args.end()?;
    let replaced = matches!(value, Value::Undefined) || (also_false && !value.is_true());
    Ok(if replaced { other } else { value })
}
