//! Checks a parsed expression and makes it pay.
//!
//! Everything that costs more with a larger event gets the call of a metered function: around an
//! operand that will be walked or copied, or in place of an operation. An operation between a field
//! and a literal costs no more than the literal, and stays as it is.

use std::mem;

use cel::{
    common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators as op},
    common::types::{CelInt, CelString},
    parser::Expression,
};
use regex::RegexBuilder;

use super::{
    ConditionError, DEPTH_MAX, LOOPS_NESTED_MAX, PATTERN_CHARS_MAX, cut,
    meter::{self, Pattern},
};

/// Sizes of compiled patterns, in bytes, each with what a search costs: units for 8 bytes of text.
///
/// A search is linear in the text, but a hostile pattern takes time in proportion to its own size too:
/// so measured, no search takes longer than half a second before its units are spent. The largest size
/// leaves room for a few of the Unicode classes, such as `\w`.
const PATTERN_SIZES: [(usize, u64); 3] = [(16 * 1024, 2), (64 * 1024, 8), (256 * 1024, 64)];
/// Largest cache of one pattern's automaton, in bytes.
const PATTERN_CACHE_BYTES_MAX: usize = 256 * 1024;

/// Functions of the evaluator that are called without a target.
const FUNCTIONS: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "duration",
    "dyn",
    "int",
    "matches",
    "size",
    "string",
    "timestamp",
    "type",
    "uint",
];
/// Functions of the evaluator that are called on a target.
const METHODS: &[&str] = &[
    "contains",
    "endsWith",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "hasValue",
    "matches",
    "or",
    "orValue",
    "size",
    "startsWith",
    "value",
];
/// Functions of the evaluator in the namespace `optional`.
const OPTIONAL: &[&str] = &["none", "of", "ofNonZeroValue"];
/// Names of types, which `type(x)` is compared with; `google` begins those of timestamps and durations.
const TYPES: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "google",
    "int",
    "list",
    "map",
    "null_type",
    "optional_type",
    "string",
    "type",
    "uint",
];

/// Checks an expression and rewrites it; answers the patterns of its `matches`.
pub(super) fn prepare(expression: &mut Expression) -> Result<Vec<Pattern>, ConditionError> {
    let mut walk = Walk {
        names: vec!["event".into()],
        loops: 0,
        patterns: Vec::new(),
    };
    walk.visit(expression, 1)?;
    Ok(walk.patterns)
}

struct Walk {
    names: Vec<String>,
    loops: usize,
    patterns: Vec<Pattern>,
}

impl Walk {
    fn visit(&mut self, expression: &mut Expression, depth: usize) -> Result<(), ConditionError> {
        if depth > DEPTH_MAX {
            return Err(ConditionError::Deep);
        }
        match &mut expression.expr {
            Expr::Unspecified => Err(ConditionError::Syntax("it is not an expression".into())),
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.known(name),
            Expr::Select(select) => {
                self.visit(&mut select.operand, depth + 1)?;
                if select.test {
                    let field = Expr::Literal(LiteralValue::String(CelString::from(mem::take(&mut select.field))));
                    let operand = mem::take(&mut *select.operand);
                    expression.expr = metered(meter::HAS, vec![operand, node(field)]);
                }
                Ok(())
            }
            Expr::List(list) => list.elements.iter_mut().try_for_each(|element| {
                self.visit(element, depth + 1)?;
                pay(meter::DEEP, element);
                Ok(())
            }),
            Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => [&mut entry.key, &mut entry.value].into_iter().try_for_each(|part| {
                    self.visit(part, depth + 1)?;
                    pay(meter::DEEP, part);
                    Ok(())
                }),
                EntryExpr::StructField(_) => Err(ConditionError::Unsupported("a message, which it cannot make".into())),
            }),
            Expr::Struct(message) => Err(ConditionError::Unsupported(cut(&format!(
                "the message {}, which it cannot make",
                message.type_name
            )))),
            Expr::Comprehension(comprehension) => self.visit_loop(comprehension, depth),
            Expr::Call(call) => {
                if let Some(instead) = self.visit_call(call, depth)? {
                    expression.expr = instead;
                }
                Ok(())
            }
        }
    }

    fn known(&self, name: &str) -> Result<(), ConditionError> {
        if self.names.iter().any(|known| known == name) || TYPES.contains(&name) {
            return Ok(());
        }
        Err(ConditionError::Unsupported(cut(&format!(
            "the name {name}, but only knows event, as in event.data.{name}"
        ))))
    }

    fn visit_loop(&mut self, comprehension: &mut ComprehensionExpr, depth: usize) -> Result<(), ConditionError> {
        self.visit(&mut comprehension.iter_range, depth + 1)?;
        self.visit(&mut comprehension.accu_init, depth + 1)?;
        self.loops += 1;
        if self.loops > LOOPS_NESTED_MAX {
            return Err(ConditionError::Loops);
        }
        let outside = self.names.len();
        self.names.push(comprehension.iter_var.clone());
        self.names.extend(comprehension.iter_var2.clone());
        self.names.push(comprehension.accu_var.clone());
        self.visit(&mut comprehension.loop_cond, depth + 1)?;
        self.visit(&mut comprehension.loop_step, depth + 1)?;
        self.visit(&mut comprehension.result, depth + 1)?;
        self.names.truncate(outside);
        self.loops -= 1;

        let cost = 1 + size(&comprehension.loop_cond) + size(&comprehension.loop_step);
        let range = mem::take(&mut comprehension.iter_range);
        comprehension.iter_range = node(metered(meter::EACH, vec![number(cost), range]));
        Ok(())
    }

    /// Answers what to put in place of the call, where it is not to stay.
    fn visit_call(&mut self, call: &mut CallExpr, depth: usize) -> Result<Option<Expr>, ConditionError> {
        let in_optional = call.target.as_deref().is_some_and(|target| is_name(target, "optional"))
            && OPTIONAL.contains(&call.func_name.as_str())
            && !self.names.iter().any(|name| name == "optional");
        if let Some(target) = call.target.as_deref_mut().filter(|_| !in_optional) {
            self.visit(target, depth + 1)?;
        }
        for argument in &mut call.args {
            self.visit(argument, depth + 1)?;
        }
        match (call.func_name.as_str(), call.args.as_mut_slice()) {
            (op::LOGICAL_AND | op::LOGICAL_OR | op::LOGICAL_NOT | op::CONDITIONAL | op::NOT_STRICTLY_FALSE, _) => {}
            (op::EQUALS | op::NOT_EQUALS, [left, right]) => {
                if !is_literal(left) && !is_literal(right) {
                    let function = if call.func_name == op::EQUALS {
                        meter::EQ
                    } else {
                        meter::NE
                    };
                    return Ok(Some(metered(function, mem::take(&mut call.args))));
                }
            }
            (op::IN, [_, container]) => {
                if !is_list_of_literals(container) {
                    return Ok(Some(metered(meter::WITHIN, mem::take(&mut call.args))));
                }
            }
            (op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, [left, right]) => {
                if !is_literal(left) && !is_literal(right) {
                    pay(meter::DEEP, left);
                    pay(meter::DEEP, right);
                }
            }
            (op::ADD | op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO, [left, right]) => {
                pay(meter::DEEP, left);
                pay(meter::DEEP, right);
            }
            (op::NEGATE, [operand]) => pay(meter::FLAT, operand),
            (op::INDEX, [_, index]) => key(index)?,
            (op::OPT_INDEX, [_, index]) => {
                key(index)?;
                return Ok(Some(copied(call)));
            }
            (op::OPT_SELECT, [_, _]) => return Ok(Some(copied(call))),
            _ if in_optional => call.args.iter_mut().for_each(|argument| pay(meter::DEEP, argument)),
            _ => return self.visit_function(call),
        }
        Ok(None)
    }

    fn visit_function(&mut self, call: &mut CallExpr) -> Result<Option<Expr>, ConditionError> {
        let name = call.func_name.as_str();
        let known = if call.target.is_some() { METHODS } else { FUNCTIONS };
        if !known.contains(&name) {
            return Err(ConditionError::Unsupported(cut(&format!(
                "the function {name}(), which there is not"
            ))));
        }
        let operands = call.target.as_deref_mut().into_iter().chain(&mut call.args);
        if name == "matches" {
            let operands: Vec<_> = operands.map(mem::take).collect();
            let [text, pattern] = <[Expression; 2]>::try_from(operands)
                .map_err(|_| ConditionError::Pattern("it takes a text and a pattern".into()))?;
            let index = self.pattern(&pattern)?;
            return Ok(Some(metered(meter::MATCHES, vec![number(index), text])));
        }
        let function = if matches!(name, "size" | "type" | "dyn") {
            meter::FLAT
        } else {
            meter::DEEP
        };
        operands.for_each(|operand| pay(function, operand));
        Ok(None)
    }

    /// Compiles a pattern and answers its place.
    fn pattern(&mut self, pattern: &Expression) -> Result<usize, ConditionError> {
        let Expr::Literal(LiteralValue::String(pattern)) = &pattern.expr else {
            return Err(ConditionError::Pattern("it must be a text literal".into()));
        };
        let pattern = pattern.inner();
        if pattern.chars().count() > PATTERN_CHARS_MAX {
            return Err(ConditionError::Pattern(format!(
                "it is longer than {PATTERN_CHARS_MAX} characters"
            )));
        }
        let mut reason = String::new();
        for (bytes_max, units) in PATTERN_SIZES {
            let compiled = RegexBuilder::new(pattern)
                .size_limit(bytes_max)
                .dfa_size_limit(PATTERN_CACHE_BYTES_MAX)
                .build();
            match compiled {
                Ok(regex) => {
                    self.patterns.push(Pattern { regex, units });
                    return Ok(self.patterns.len() - 1);
                }
                Err(regex::Error::CompiledTooBig(_)) => reason = "it repeats too much".to_owned(),
                Err(error) => {
                    // The last line of the message says what is wrong, those above draw where.
                    reason = cut(error.to_string().lines().last().unwrap_or("it is not valid"));
                    break;
                }
            }
        }
        Err(ConditionError::Pattern(reason))
    }
}

/// Lets an index be a whole number or a key. An index by a fraction fails, and would copy the list to say so.
fn key(index: &mut Expression) -> Result<(), ConditionError> {
    match &index.expr {
        Expr::Literal(LiteralValue::Double(_)) => Err(ConditionError::Unsupported("a fraction as an index".into())),
        _ => {
            pay(meter::KEY, index);
            Ok(())
        }
    }
}

/// A call whose result is a copy of what it selects.
fn copied(call: &mut CallExpr) -> Expr {
    metered(meter::DEEP, vec![node(Expr::Call(mem::take(call)))])
}

/// Wraps an operand in a function that pays for it, unless its cost is that of the expression itself.
fn pay(function: &str, operand: &mut Expression) {
    let free = match &operand.expr {
        Expr::Literal(_) | Expr::List(_) | Expr::Map(_) => true,
        // A loop's own accumulator: its element was paid for, and the evaluator knows its loops by their shape.
        Expr::Ident(name) => name.starts_with('@'),
        _ => false,
    };
    if !free {
        let inner = mem::take(operand);
        *operand = node(metered(function, vec![inner]));
    }
}

fn metered(function: &str, operands: Vec<Expression>) -> Expr {
    let mut args = vec![node(Expr::Ident(meter::VARIABLE.to_owned()))];
    args.extend(operands);
    Expr::Call(CallExpr {
        func_name: function.to_owned(),
        target: None,
        args,
    })
}

/// The evaluator does not look at ids.
fn node(expr: Expr) -> Expression {
    Expression { id: 0, expr }
}

fn number(value: usize) -> Expression {
    node(Expr::Literal(LiteralValue::Int(CelInt::from(
        i64::try_from(value).unwrap_or(i64::MAX),
    ))))
}

fn is_name(expression: &Expression, wanted: &str) -> bool {
    matches!(&expression.expr, Expr::Ident(name) if name == wanted)
}

fn is_literal(expression: &Expression) -> bool {
    matches!(expression.expr, Expr::Literal(_))
}

fn is_list_of_literals(expression: &Expression) -> bool {
    matches!(&expression.expr, Expr::List(list) if list.elements.iter().all(is_literal))
}

/// Nodes of an expression.
fn size(expression: &Expression) -> usize {
    let size_of = |parts: &[Expression]| parts.iter().map(size).sum::<usize>();
    1 + match &expression.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) => 0,
        Expr::Select(select) => size(&select.operand),
        Expr::Call(call) => call.target.as_deref().map_or(0, size) + size_of(&call.args),
        Expr::List(list) => size_of(&list.elements),
        Expr::Map(map) => map
            .entries
            .iter()
            .map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => size(&entry.key) + size(&entry.value),
                EntryExpr::StructField(field) => size(&field.value),
            })
            .sum(),
        // An inner loop pays for its turns itself; this is the cost of beginning it.
        Expr::Comprehension(inner) => size(&inner.iter_range) + size(&inner.accu_init) + size(&inner.result),
    }
}
