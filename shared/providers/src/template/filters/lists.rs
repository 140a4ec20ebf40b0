//! Filters that look through lists.

use std::cmp::Ordering;

use super::{Args, find};
use crate::template::{
    checks::{self, Check},
    eval::{Budget, Fault, Given, Run},
    operators::{as_text, list_items, order},
    value::{ENTRY_BYTES, Text, Value},
};

pub(super) fn length(value: Value, args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    args.end()?;
    let count = match &value {
        Value::List(list) => list.items.len(),
        Value::Map(map) => map.members.len(),
        Value::Text(text) => {
            run.budget.take(text.text.len())?;
            text.text.chars().count()
        }
        Value::Undefined | Value::Null => 0,
        other => return Err(Fault::new(format!("{} has no length", other.kind()))),
    };
    Ok(Value::Int(i128::try_from(count).unwrap_or(i128::MAX)))
}

pub(super) fn list(value: Value, args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    args.end()?;
    let items = list_items(&value, &mut run.budget)?;
    Value::list(items, &mut run.budget)
}

pub(super) fn first(value: Value, args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    args.end()?;
    end_of(value, run, |items| items.into_iter().next())
}

pub(super) fn last(value: Value, args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    args.end()?;
    end_of(value, run, |mut items| items.pop())
}

fn end_of(value: Value, run: &mut Run<'_>, which: fn(Vec<Value>) -> Option<Value>) -> Result<Value, Fault> {
    let items = list_items(&value, &mut run.budget)?;
    Ok(which(items).unwrap_or(Value::Undefined))
}

pub(super) fn items(value: Value, args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    args.end()?;
    let Value::Map(map) = &value else {
        return match value {
            Value::Undefined | Value::Null => Value::list(Vec::new(), &mut run.budget),
            other => Err(Fault::new(format!(
                "`items` takes a group of fields, not {}",
                other.kind()
            ))),
        };
    };
    let mut pairs = Vec::new();
    for (name, value) in &map.members {
        pairs.push(Value::list(
            vec![Value::text(name.clone()), value.clone()],
            &mut run.budget,
        )?);
    }
    Value::list(pairs, &mut run.budget)
}

pub(super) fn join(value: Value, mut args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    let between = args.text("d", &mut run.budget)?;
    let attribute = args.text("attribute", &mut run.budget)?;
    args.end()?;
    let mut parts = Vec::new();
    for item in list_items(&value, &mut run.budget)? {
        let item = match &attribute {
            Some(path) => attribute_of(&item, &path.text, &mut run.budget)?,
            None => item,
        };
        parts.push(as_text(&item, &mut run.budget)?);
    }
    let empty = Text {
        text: "".into(),
        safe: false,
    };
    run.join(&parts, &between.unwrap_or(empty))
}

/// The member behind a path with points.
pub(super) fn attribute_of(value: &Value, path: &str, budget: &mut Budget) -> Result<Value, Fault> {
    budget.take(path.len())?;
    Ok(path.split('.').fold(value.clone(), |value, name| value.member(name)))
}

pub(super) fn map(value: Value, mut args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    let attribute = match args.named("attribute") {
        Some(path) => Some(as_text(&path, &mut run.budget)?),
        None => None,
    };
    let filter = match (&attribute, args.text("filter", &mut run.budget)?) {
        (None, Some(name)) => {
            let found = find(&name.text).ok_or_else(|| Fault::new(format!("there is no filter `{}`", name.text)))?;
            // One that itself goes over a list with filters could do so again and again without a step of its own.
            if matches!(found.name, "map") {
                return Err(Fault::new("`map` does not take itself"));
            }
            Some(found)
        }
        (Some(_), None) => None,
        _ => return Err(Fault::new("`map` takes attribute=\"name\" or the name of a filter")),
    };
    args.end()?;
    let mut made = Vec::new();
    for item in list_items(&value, &mut run.budget)? {
        run.budget.step()?;
        made.push(match (&attribute, filter) {
            (Some(path), _) => attribute_of(&item, &path.text, &mut run.budget)?,
            (None, Some(filter)) => filter.apply(item, Given::default(), run)?,
            (None, None) => item,
        });
    }
    Value::list(made, &mut run.budget)
}

pub(super) fn select(value: Value, mut args: Args, run: &mut Run<'_>, keep: bool) -> Result<Value, Fault> {
    let check = check_of(&mut args, run)?;
    let rest = std::mem::take(&mut args.given.placed);
    args.end()?;
    chosen(value, run, |item, run| {
        holds(check, item, &rest, run).map(|holds| holds == keep)
    })
}

pub(super) fn select_attribute(value: Value, mut args: Args, run: &mut Run<'_>, keep: bool) -> Result<Value, Fault> {
    let Some(path) = args.text("attribute", &mut run.budget)? else {
        return Err(args.wrong("attribute", "a text"));
    };
    let check = check_of(&mut args, run)?;
    let rest = std::mem::take(&mut args.given.placed);
    args.end()?;
    chosen(value, run, |item, run| {
        let part = attribute_of(item, &path.text, &mut run.budget)?;
        holds(check, &part, &rest, run).map(|holds| holds == keep)
    })
}

fn check_of(args: &mut Args, run: &mut Run<'_>) -> Result<Option<&'static Check>, Fault> {
    match args.text("test", &mut run.budget)? {
        None => Ok(None),
        Some(name) => match checks::find(&name.text) {
            Some(check) => Ok(Some(check)),
            None => Err(Fault::new(format!("there is no test `{}`", name.text))),
        },
    }
}

fn holds(check: Option<&'static Check>, item: &Value, rest: &[Value], run: &mut Run<'_>) -> Result<bool, Fault> {
    run.budget.step()?;
    match check {
        None => Ok(item.is_true()),
        Some(check) => {
            let given = Given {
                placed: rest.to_vec(),
                named: Vec::new(),
            };
            check.holds(item, given, &mut run.budget)
        }
    }
}

fn chosen(
    value: Value,
    run: &mut Run<'_>,
    mut keep: impl FnMut(&Value, &mut Run<'_>) -> Result<bool, Fault>,
) -> Result<Value, Fault> {
    let mut kept = Vec::new();
    for item in list_items(&value, &mut run.budget)? {
        if keep(&item, run)? {
            kept.push(item);
        }
    }
    Value::list(kept, &mut run.budget)
}

pub(super) fn reverse(value: Value, args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    args.end()?;
    if let Value::Text(text) = &value {
        run.budget.take(text.text.len())?;
        return Ok(Value::text(text.text.chars().rev().collect::<String>()));
    }
    let mut items = list_items(&value, &mut run.budget)?;
    items.reverse();
    Value::list(items, &mut run.budget)
}

pub(super) fn sort(value: Value, mut args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    let reverse = args.take("reverse").is_some_and(|flag| flag.is_true());
    let attribute = args.text("attribute", &mut run.budget)?;
    args.end()?;
    let items = list_items(&value, &mut run.budget)?;
    let mut keyed = sorted(
        items,
        |item, budget| match &attribute {
            Some(path) => attribute_of(item, &path.text, budget),
            None => Ok(item.clone()),
        },
        run,
    )?;
    if reverse {
        keyed.reverse();
    }
    Value::list(keyed.into_iter().map(|(_, item)| item).collect(), &mut run.budget)
}

/// Items with what they are sorted by, in its order.
fn sorted(
    items: Vec<Value>,
    key: impl Fn(&Value, &mut Budget) -> Result<Value, Fault>,
    run: &mut Run<'_>,
) -> Result<Vec<(Value, Value)>, Fault> {
    let mut keyed: Vec<(Value, Value)> = Vec::with_capacity(items.len());
    for item in items {
        keyed.push((key(&item, &mut run.budget)?, item));
    }
    let numbers = keyed.iter().all(|(key, _)| key.as_number().is_some());
    if !numbers && !keyed.iter().all(|(key, _)| matches!(key, Value::Text(_))) {
        return Err(Fault::new(
            "entries are sorted by numbers alone or by texts alone: name an attribute that all of them have",
        ));
    }
    // Each entry is looked at about as often as its number has binary digits.
    let looks = usize::try_from(keyed.len().checked_ilog2().unwrap_or_default()).unwrap_or_default() + 1;
    for (key, _) in &keyed {
        let bytes = if let Value::Text(text) = key {
            text.text.len()
        } else {
            0
        };
        run.budget.take((bytes + ENTRY_BYTES).saturating_mul(looks))?;
    }
    keyed.sort_by(|(left, _), (right, _)| total_order(left, right));
    Ok(keyed)
}

/// Pairs of a value of the attribute and the entries that have it.
pub(super) fn groupby(value: Value, mut args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    let Some(attribute) = args.text("attribute", &mut run.budget)? else {
        return Err(args.wrong("attribute", "a text"));
    };
    args.end()?;
    let items = list_items(&value, &mut run.budget)?;
    let keyed = sorted(items, |item, budget| attribute_of(item, &attribute.text, budget), run)?;
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for (key, item) in keyed {
        match groups.last_mut() {
            Some((known, members)) if total_order(known, &key).is_eq() => members.push(item),
            _ => groups.push((key, vec![item])),
        }
    }
    let mut pairs = Vec::with_capacity(groups.len());
    for (key, members) in groups {
        let members = Value::list(members, &mut run.budget)?;
        pairs.push(Value::list(vec![key, members], &mut run.budget)?);
    }
    Value::list(pairs, &mut run.budget)
}

/// Pairs of name and value, by name.
pub(super) fn dictsort(value: Value, args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    let pairs = items(value, args, run)?;
    let pairs = list_items(&pairs, &mut run.budget)?;
    let first_of = |pair: &Value, _: &mut Budget| match pair {
        Value::List(pair) => Ok(pair.items.first().cloned().unwrap_or(Value::Undefined)),
        _ => Ok(Value::Undefined),
    };
    let keyed = sorted(pairs, first_of, run)?;
    Value::list(keyed.into_iter().map(|(_, pair)| pair).collect(), &mut run.budget)
}

/// An order of numbers, or of texts, without contradictions: where a whole number and a float are the same to 64 bits
/// the float comes first.
fn total_order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => left.text.cmp(&right.text),
        _ => {
            let nearest = |value: &Value| value.as_number().unwrap_or_default();
            nearest(left)
                .total_cmp(&nearest(right))
                .then_with(|| match (left, right) {
                    (Value::Int(left), Value::Int(right)) => left.cmp(right),
                    (Value::Float(_), Value::Int(_)) => Ordering::Less,
                    (Value::Int(_), Value::Float(_)) => Ordering::Greater,
                    _ => Ordering::Equal,
                })
        }
    }
}

pub(super) fn unique(value: Value, args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    args.end()?;
    let mut kept: Vec<Value> = Vec::new();
    'items: for item in list_items(&value, &mut run.budget)? {
        for known in &kept {
            if known.same(&item, &mut run.budget)? {
                continue 'items;
            }
        }
        kept.push(item);
    }
    Value::list(kept, &mut run.budget)
}

pub(super) fn extreme(value: Value, args: Args, run: &mut Run<'_>, wanted: Ordering) -> Result<Value, Fault> {
    args.end()?;
    let mut found: Option<Value> = None;
    for item in list_items(&value, &mut run.budget)? {
        let better = match &found {
            None => true,
            Some(known) => order(&item, known, &mut run.budget)? == wanted,
        };
        if better {
            found = Some(item);
        }
    }
    Ok(found.unwrap_or(Value::Undefined))
}
