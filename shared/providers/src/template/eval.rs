//! Walks the tree of a template for one delivery.
//!
//! The engine that the syntax comes from counts instructions, and folds constants before it counts: one instruction can
//! double a text, so that thirty of them ask for a gigabyte. Here every step counts, and so does every byte that is
//! made, compared or searched.

use std::{fmt, sync::Arc};

use super::{
    Markup,
    operators::{arithmetic, as_text, compare, item, join, list_items, slice, too_large},
    tree::{Arguments, Expr, For, Kind, Line, Node, Target},
    value::{ENTRY_BYTES, Map, Text, Value},
};

/// Steps that one text may take.
pub(super) const STEPS_MAX: u32 = 100_000;
/// Bytes that one text may make, compare and search on its way.
pub(super) const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most entries of a `range`.
const RANGE_MAX: i128 = 10_000;

/// Why a template cannot be read or rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    line: Line,
    message: String,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            line: None,
            message: message.into(),
        }
    }

    /// Says where it was, unless it is known already.
    pub(super) fn at(self, line: Line) -> Self {
        Self {
            line: self.line.or(line),
            ..self
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// What is left to spend.
#[derive(Debug)]
pub(super) struct Budget {
    steps: u32,
    bytes: usize,
}

impl Budget {
    pub(super) const fn new() -> Self {
        Self {
            steps: STEPS_MAX,
            bytes: BYTES_MAX,
        }
    }

    pub(super) fn step(&mut self) -> Result<(), Fault> {
        match self.steps.checked_sub(1) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(Fault::new(format!("takes more than {STEPS_MAX} steps"))),
        }
    }

    /// Bytes that are about to be made, compared or searched.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Fault> {
        match self.bytes.checked_sub(bytes) {
            Some(left) => {
                self.bytes = left;
                Ok(())
            }
            None => Err(Fault::new(format!("works through more than {BYTES_MAX} bytes"))),
        }
    }

    #[cfg(test)]
    pub(super) const fn spent(&self) -> (u32, usize) {
        (STEPS_MAX - self.steps, BYTES_MAX - self.bytes)
    }
}

/// One rendering.
pub(super) struct Run<'a> {
    context: &'a Map,
    markup: Markup,
    scopes: Vec<Vec<(Arc<str>, Value)>>,
    /// Index and length of each loop that runs, the innermost last.
    loops: Vec<(usize, usize)>,
    out: String,
    out_bytes_max: usize,
    pub(super) budget: Budget,
}

impl<'a> Run<'a> {
    pub(super) fn new(context: &'a Map, markup: Markup, out_bytes_max: usize) -> Self {
        Self {
            context,
            markup,
            scopes: vec![Vec::new()],
            loops: Vec::new(),
            out: String::new(),
            out_bytes_max,
            budget: Budget::new(),
        }
    }

    /// The text of a template.
    pub(super) fn render(&mut self, nodes: &[Node]) -> Result<String, Fault> {
        self.nodes(nodes)?;
        Ok(std::mem::take(&mut self.out))
    }

    fn nodes(&mut self, nodes: &[Node]) -> Result<(), Fault> {
        for node in nodes {
            self.budget.step()?;
            match node {
                Node::Raw(text) => self.emit(text)?,
                Node::Emit(expr) => {
                    let value = self.eval(expr)?;
                    self.emit_value(&value).map_err(|fault| fault.at(expr.line))?;
                }
                Node::If { branches, otherwise } => {
                    let mut taken = otherwise;
                    for (condition, body) in branches {
                        if self.eval(condition)?.is_true() {
                            taken = body;
                            break;
                        }
                    }
                    self.nodes(taken)?;
                }
                Node::For(each) => self.each(each)?,
                Node::Set(target, expr) => {
                    let value = self.eval(expr)?;
                    self.assign(target, value)?;
                }
                Node::With(given, body) => {
                    let mut values = Vec::with_capacity(given.len());
                    for (_, expr) in given {
                        values.push(self.eval(expr)?);
                    }
                    self.scopes.push(Vec::new());
                    for ((target, _), value) in given.iter().zip(values) {
                        self.assign(target, value)?;
                    }
                    self.nodes(body)?;
                    self.scopes.pop();
                }
            }
        }
        Ok(())
    }

    fn each(&mut self, each: &For) -> Result<(), Fault> {
        let over = self.eval(&each.over)?;
        let mut items = self.items(over).map_err(|fault| fault.at(each.over.line))?;
        if let Some(only) = &each.only_if {
            let mut kept = Vec::new();
            for item in items {
                self.scopes.push(Vec::new());
                self.assign(&each.target, item.clone())?;
                let keep = self.eval(only)?.is_true();
                self.scopes.pop();
                if keep {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            return self.nodes(&each.otherwise);
        }
        let length = items.len();
        for (index, item) in items.into_iter().enumerate() {
            self.budget.step()?;
            self.scopes.push(Vec::new());
            self.loops.push((index, length));
            self.assign(&each.target, item)?;
            self.nodes(&each.body)?;
            self.loops.pop();
            self.scopes.pop();
        }
        Ok(())
    }

    /// What a loop goes over: the items of a list, the names of a group of fields, the characters of a text.
    fn items(&mut self, value: Value) -> Result<Vec<Value>, Fault> {
        list_items(&value, &mut self.budget)
    }

    fn assign(&mut self, target: &Target, value: Value) -> Result<(), Fault> {
        match target {
            Target::Name(name) => self.put(name, value),
            Target::Parts(line, names) => {
                let parts = self.items(value).map_err(|fault| fault.at(*line))?;
                if parts.len() != names.len() {
                    let message = format!("{} names for {} parts", names.len(), parts.len());
                    return Err(Fault::new(message).at(*line));
                }
                for (name, part) in names.iter().zip(parts) {
                    self.put(name, part);
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, name: &Arc<str>, value: Value) {
        let Some(scope) = self.scopes.last_mut() else { return };
        match scope.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => scope.push((name.clone(), value)),
        }
    }

    fn lookup(&mut self, name: &str) -> Result<Value, Fault> {
        // A source has room for a thousand names, and a loop for a look through all of them in every round.
        self.budget.take(self.scopes.iter().map(Vec::len).sum())?;
        let local = self.scopes.iter().rev().flatten().find(|(known, _)| **known == *name);
        Ok(match local {
            Some((_, value)) => value.clone(),
            None => self.context.get(name).cloned().unwrap_or(Value::Undefined),
        })
    }

    fn emit(&mut self, text: &str) -> Result<(), Fault> {
        if self.out.len() + text.len() > self.out_bytes_max {
            return Err(Fault::new(format!(
                "the text is longer than {} bytes",
                self.out_bytes_max
            )));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn emit_value(&mut self, value: &Value) -> Result<(), Fault> {
        let text = as_text(value, &mut self.budget)?;
        let structure = matches!(value, Value::List(_) | Value::Map(_));
        if text.safe || (structure && self.markup.is_json()) {
            self.emit(&text.text)
        } else {
            let escaped = self.markup.escape(&text.text);
            self.budget.take(escaped.len())?;
            self.emit(&escaped)
        }
    }

    fn eval(&mut self, expr: &Expr) -> Result<Value, Fault> {
        self.budget.step()?;
        self.kind(&expr.kind).map_err(|fault| fault.at(expr.line))
    }

    fn kind(&mut self, kind: &Kind) -> Result<Value, Fault> {
        Ok(match kind {
            Kind::Const(value) => value.clone(),
            Kind::Name(name) if **name == *"loop" => match self.loops.last() {
                Some((index, length)) => {
                    self.budget.take(ENTRY_BYTES)?;
                    position(*index, *length)
                }
                None => Value::Undefined,
            },
            Kind::Name(name) => self.lookup(name)?,
            Kind::Member(of, name) => self.eval(of)?.member(name),
            Kind::Item(of, key) => {
                let (of, key) = (self.eval(of)?, self.eval(key)?);
                item(&of, &key, &mut self.budget)?
            }
            Kind::Slice(of, start, stop) => {
                let of = self.eval(of)?;
                let start = self.bound(start.as_deref())?;
                let stop = self.bound(stop.as_deref())?;
                slice(&of, start, stop, &mut self.budget)?
            }
            Kind::Not(of) => Value::Bool(!self.eval(of)?.is_true()),
            Kind::Negative(of) => match self.eval(of)? {
                Value::Int(number) => Value::Int(number.checked_neg().ok_or_else(too_large)?),
                Value::Float(number) => Value::Float(-number),
                Value::Undefined => Value::Undefined,
                other => return Err(Fault::new(format!("`-` takes a number, not {}", other.kind()))),
            },
            Kind::And(left, right) => {
                let left = self.eval(left)?;
                if left.is_true() { self.eval(right)? } else { left }
            }
            Kind::Or(left, right) => {
                let left = self.eval(left)?;
                if left.is_true() { left } else { self.eval(right)? }
            }
            Kind::Arithmetic(operator, left, right) => {
                let (left, right) = (self.eval(left)?, self.eval(right)?);
                arithmetic(*operator, &left, &right, &mut self.budget)?
            }
            Kind::Concat(parts) => self.concat(parts)?,
            Kind::Compare(first, others) => {
                let mut left = self.eval(first)?;
                for (comparison, other) in others {
                    let right = self.eval(other)?;
                    if !compare(*comparison, &left, &right, &mut self.budget)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Value::Bool(true)
            }
            Kind::Either(condition, yes, no) => match (self.eval(condition)?.is_true(), no) {
                (true, _) => self.eval(yes)?,
                (false, Some(no)) => self.eval(no)?,
                (false, None) => Value::Undefined,
            },
            Kind::Filter(filter, of, given) => {
                let value = self.eval(of)?;
                let given = self.arguments(given)?;
                filter.apply(value, given, self)?
            }
            Kind::Test(check, of, given) => {
                let value = self.eval(of)?;
                let given = self.arguments(given)?;
                Value::Bool(check.holds(&value, given, &mut self.budget)?)
            }
            Kind::Range(given) => self.range(given)?,
            Kind::List(items) => {
                let items = items.iter().map(|item| self.eval(item)).collect::<Result<_, _>>()?;
                Value::list(items, &mut self.budget)?
            }
            Kind::Map(members) => {
                let mut made = Vec::with_capacity(members.len());
                for (name, value) in members {
                    let name = self.eval(name)?;
                    made.push((as_text(&name, &mut self.budget)?.text, self.eval(value)?));
                }
                Value::map(made, &mut self.budget)?
            }
        })
    }

    /// Escapes a text by the target's markup, once.
    pub(super) fn escaped(&mut self, value: &Value) -> Result<Value, Fault> {
        let text = as_text(value, &mut self.budget)?;
        if text.safe {
            return Ok(Value::Text(text));
        }
        let escaped = self.markup.escape(&text.text);
        self.budget.take(escaped.len())?;
        Ok(Value::safe(escaped))
    }

    /// Whether a JSON text is markup of the target as it is.
    pub(super) fn takes_json(&self) -> bool {
        self.markup.is_json()
    }

    /// Texts one after another. Where one of them is markup, so is the whole, and the others are escaped.
    fn concat(&mut self, parts: &[Expr]) -> Result<Value, Fault> {
        let mut texts = Vec::with_capacity(parts.len());
        for part in parts {
            let value = self.eval(part)?;
            texts.push(as_text(&value, &mut self.budget)?);
        }
        join(&texts, None, self.markup, &mut self.budget)
    }

    pub(super) fn join(&mut self, texts: &[Text], between: &Text) -> Result<Value, Fault> {
        join(texts, Some(between), self.markup, &mut self.budget)
    }

    fn bound(&mut self, expr: Option<&Expr>) -> Result<Option<i128>, Fault> {
        let Some(expr) = expr else { return Ok(None) };
        match self.eval(expr)? {
            Value::Int(number) => Ok(Some(number)),
            Value::Undefined | Value::Null => Ok(None),
            other => Err(Fault::new(format!("a slice takes whole numbers, not {}", other.kind())).at(expr.line)),
        }
    }

    fn arguments(&mut self, given: &Arguments) -> Result<Given, Fault> {
        let placed = given
            .placed
            .iter()
            .map(|expr| self.eval(expr))
            .collect::<Result<Vec<_>, _>>()?;
        let mut named = Vec::with_capacity(given.named.len());
        for (name, expr) in &given.named {
            named.push((name.clone(), self.eval(expr)?));
        }
        Ok(Given { placed, named })
    }

    fn range(&mut self, given: &Arguments) -> Result<Value, Fault> {
        let given = self.arguments(given)?;
        let numbers: Option<Vec<i128>> = given
            .placed
            .iter()
            .map(|value| match value {
                Value::Int(number) => Some(*number),
                _ => None,
            })
            .collect();
        let (start, stop, step) = match (numbers.as_deref(), given.named.is_empty()) {
            (Some([stop]), true) => (0, *stop, 1),
            (Some([start, stop]), true) => (*start, *stop, 1),
            (Some([start, stop, step]), true) if *step != 0 => (*start, *stop, *step),
            _ => {
                return Err(Fault::new(
                    "`range` takes one to three whole numbers, the last of them not 0",
                ));
            }
        };
        let span = if step > 0 {
            stop.saturating_sub(start)
        } else {
            start.saturating_sub(stop)
        };
        let count = span.max(0).unsigned_abs().div_ceil(step.unsigned_abs());
        if count > RANGE_MAX.unsigned_abs() {
            return Err(Fault::new(format!("`range` has more than {RANGE_MAX} entries")));
        }
        let mut next = start;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(Value::Int(next));
            next = next.saturating_add(step);
        }
        Value::list(items, &mut self.budget)
    }
}

/// The arguments of a filter or a test, worked out.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) placed: Vec<Value>,
    pub(super) named: Vec<(Box<str>, Value)>,
}

fn position(index: usize, length: usize) -> Value {
    let number = |number: usize| Value::Int(i128::try_from(number).unwrap_or(i128::MAX));
    let members: [(&str, Value); 7] = [
        ("index", number(index + 1)),
        ("index0", number(index)),
        ("revindex", number(length - index)),
        ("revindex0", number(length - index - 1)),
        ("first", Value::Bool(index == 0)),
        ("last", Value::Bool(index + 1 == length)),
        ("length", number(length)),
    ];
    let map: Map = members
        .into_iter()
        .map(|(name, value)| (Arc::from(name), value))
        .collect();
    Value::Map(Arc::new(map))
}
