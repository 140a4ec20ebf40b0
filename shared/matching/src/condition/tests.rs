use std::{collections::BTreeMap, time::Instant};

use bytes::Bytes;
use proptest::prelude::*;
use signalbox_proto::{
    RawJson, Severity, Timestamp,
    event::{Accepted, DEPTH_MAX as DATA_DEPTH_MAX, Event},
};

use super::*;

pub(super) fn event(data: &str) -> Accepted {
    Accepted {
        event: Event {
            id: "e-1".into(),
            org: "acme".parse().unwrap(),
            event_type: "execution.failed".parse().unwrap(),
            source: "/acme".into(),
            subject: None,
            time: Some("2026-03-01T09:30:00.25Z".parse().unwrap()),
            agent_id: Some("agent-7".into()),
            execution_id: None,
            severity: Severity::High,
            severity_named: true,
            data: RawJson::from_checked(Bytes::copy_from_slice(data.as_bytes())),
            datacontenttype: None,
            data_base64: false,
            look: None,
            metadata: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
        },
        seq: 1,
        at: Timestamp::from_secs(1_800_000_000),
    }
}

fn holds(source: &str, data: &str) -> Result<bool, ConditionError> {
    Condition::compile(source)?.holds(&EventView::new(&event(data)))
}

const DATA: &str = r#"{"success_rate": 0.85, "count": 3, "big": 18446744073709551615, "name": "caf\u00e9 bar", "ok": true,
    "none": null, "tags": ["a", "b"], "items": [{"sku": "x", "n": 1}, {"sku": "y", "n": 5}, {"n": 7}],
    "spec": {"id": "S-1", "inner": {"deep": [1, 2.5, "3"]}}, "copy": {"inner": {"deep": [1, 2.5, "3"]}, "id": "S-1"}}"#;

fn check(answer: bool, sources: &[&str]) {
    for source in sources {
        assert_eq!(holds(source, DATA), Ok(answer), "{source}");
    }
}

#[test]
fn conditions_read_every_part_of_an_event() {
    check(
        true,
        &[
            "event.data.success_rate < 0.9",
            "event.data.success_rate<1 && event.data.count > 2.5",
            "event.id == 'e-1' && event.org == 'acme' && event.type == 'execution.failed' && event.source == '/acme'",
            "event.severity == 'high' && event.severity in ['high', 'critical']",
            "event.agent_id == 'agent-7'",
            "event.metadata.region == 'eu' && event.metadata['region'] == \"eu\"",
            "event['data']['spec'].id == 'S-1'",
            "event.data.name == 'café bar'",
            "event.data.big == 18446744073709551615u",
            "event.data.none == null && event.data.ok",
            "event.time == timestamp('2026-03-01T09:30:00.25Z')",
            "event.time > timestamp('2026-01-01T00:00:00Z') && event.time - duration('48h') < event.time",
            "event.time.getHours() == 9 && event.time.getHours('Europe/Berlin') == 10 && event.time.getDayOfWeek() == 0",
            "type(event.data.count) == int && type(event.data.success_rate) == double",
            "type(event.time) == google.protobuf.Timestamp",
        ],
    );
}

#[test]
fn the_operators_and_functions_that_are_documented_work() {
    check(
        true,
        &[
            "event.data.name.startsWith('caf') && event.data.name.endsWith('bar') && event.data.name.contains('é b')",
            "event.data.name.matches(r'^\\w+ b') && event.data.name.matches('^c.f. b') && matches(event.data.name, 'bar$') && !event.data.name.matches('^bar')",
            "size(event.data.tags) == 2 && event.data.tags.size() == 2 && size(event.data.name) == 8",
            "'b' in event.data.tags && !('z' in event.data.tags) && 'count' in event.data && event.data.count in [1, 3]",
            "event.data.count in event.data.items.map(i, i.n) || event.data.items[1].n in [5.0]",
            "event.data.items.exists(i, i.sku == 'y' && i.n > 3)",
            "event.data.items.all(i, i.n > 0)",
            "event.data.items.exists_one(i, i.n == 7)",
            "event.data.items.filter(i, i.n > 3).map(i, i.n * 2) == [10, 14]",
            "event.data.items.map(i, has(i.sku), i.sku + '!') == ['x!', 'y!']",
            "event.data.tags.all(a, event.data.tags.exists(b, a == b))",
            "event.data.spec == event.data.copy && !(event.data.spec != event.data.copy)",
            "event.data.spec.inner.deep == [1, 2.5, '3'] && event.data.spec in [event.data.copy]",
            "{'a': event.data.count}.a == 3 && {'a': 1, 'b': [2]} != {'a': 1}",
            "(event.data.count > 2 ? 'many' : 'few') == 'many'",
            "event.data.count + 1 == 4 && event.data.count - 1 == 2 && event.data.count * 2 == 6 && -event.data.count == -3",
            "event.data.count / 2 == 1 && event.data.count % 2 == 1 && double(event.data.count) / 2.0 == 1.5",
            "int('42') == 42 && string(event.data.count) == '3' && bool('true') && uint(3) == 3u && bytes('a') == b'a'",
            "event.data.?success_rate.orValue(1.0) < 0.9 && event.data.?missing.orValue(1.0) == 1.0",
            "!event.data.?missing.hasValue() && event.data[?'count'].hasValue() && optional.of(1).value() == 1",
            "event.data.items.map(optional, optional.n).size() == 3",
            "dyn(event.data.count) == 3.0",
        ],
    );
    check(
        false,
        &[
            "event.data.spec == event.data.items",
            "event.data.items.all(i, i.n < 6)",
            "false",
            "event.data == event",
        ],
    );
}

#[test]
fn what_is_not_there_does_not_match() {
    check(
        false,
        &[
            "event.data.missing == 1",
            "event.data.missing != 1",
            "!(event.data.missing == 1)",
            "event.missing == 1",
            "event.subject == 'x'",
            "event.execution_id != 'x'",
            "event.metadata.zone == 'a'",
            "event.data.spec.nope.deeper",
            "event.data.none.field == 1",
            "event.data.none['field'] == 1",
            "event.data.count.field == 1",
            "event.data.items[9].n == 1",
            "event.data.items.all(i, i.sku != 'q')",
            "event.data.missing == 1 || event.data.count == 4",
            "has(event.data.missing) || has(event.data.spec.nope) || has(event.subject)",
            "has(event.data.none.field) || has(event.data.count.field) || has(event.data.tags.field)",
            "has(event.data.missing.field)",
        ],
    );
    check(
        true,
        &[
            "event.data.missing == 1 || event.data.count == 3",
            "event.data.count == 3 || event.data.missing == 1",
            "!has(event.data.missing) && has(event.data.count) && has(event.data.none) && has(event.agent_id)",
            "!has(event.data.none.field) && has(event.data.spec.inner.deep)",
            "has(event.data.missing) ? event.data.missing > 1 : true",
            "event.data.items.exists(i, i.sku == 'y')",
        ],
    );
    assert_eq!(holds("event.data.rate < 0.5", ""), Ok(false), "an event without data");
    assert_eq!(holds("!has(event.data.rate)", ""), Ok(true));
    assert_eq!(holds("event.data.rate < 0.5", "\"text\""), Ok(false));
}

#[test]
fn everything_else_that_fails_is_an_error_that_names_types_and_no_values() {
    for (source, message) in [
        (
            "event.data.name < 1",
            "the condition fails: < does not take string and int",
        ),
        (
            "event.data.none < 1",
            "the condition fails: < does not take null_type and int",
        ),
        (
            "event.data.name + 1 == 2",
            "the condition fails: add does not take string and int",
        ),
        (
            "event.data.count / 2.0 > 1.0",
            "the condition fails: div does not take int and float",
        ),
        ("event.data.count / 0 == 1", "the condition fails: division by zero"),
        (
            "event.data.count * 9223372036854775807 > 1",
            "the condition fails: mul leaves the range of its type",
        ),
        (
            "event.data.name",
            "the condition results in string, not in true or false",
        ),
        (
            "event.data.items.map(i, i.n)",
            "the condition results in list, not in true or false",
        ),
        (
            "event.data.name && true",
            "the condition fails: && does not take string and bool",
        ),
        ("!event.data.name", "the condition fails: ! does not take string"),
        (
            "event.data.count.startsWith('a')",
            "the condition fails: startsWith does not take int and string",
        ),
        (
            "event.data.count.matches('a')",
            "the condition fails: matches does not take int and string",
        ),
        (
            "1 in event.data.count",
            "the condition fails: in does not take int and int",
        ),
        (
            "event.data.count.all(i, i)",
            "the condition fails: int where iterable is wanted",
        ),
        (
            "int(event.data.name) == 1",
            "the condition fails: int() does not take this value",
        ),
        (
            "timestamp(event.data.name) > event.time",
            "the condition fails: timestamp() does not take this value",
        ),
        (
            "event.data.tags[event.data.success_rate] == 'a'",
            "the condition fails: a fraction where a key or an index is wanted",
        ),
    ] {
        let error = holds(source, DATA).unwrap_err().to_string();
        assert!(!error.contains("caf"), "{error}");
        assert_eq!(error, message, "{source}");
    }
}

#[test]
fn what_can_be_refused_without_an_event_is_refused_when_compiled() {
    let nested = "event.data.a.all(a, event.data.b.all(b, event.data.c.all(c, a == b && b == c)))";
    let (long, deep) = (
        "1 == 1 || ".repeat(205) + "true",
        "(".repeat(30) + "true" + &")".repeat(30),
    );
    let (chain, many) = (
        "'a'+".repeat(400) + "'a' == 'b'",
        format!("event.id.matches('{}')", "a".repeat(257)),
    );
    for (source, part) in [
        ("", "cannot be read: line 1, column 1"),
        ("event.data.", "cannot be read: line 1, column 12"),
        ("event.data == 'a", "cannot be read: line 1, column 15"),
        ("1 +\n\n* 2", "cannot be read: line 3, column 1"),
        (
            "has(event)",
            "cannot be read: line 1, column 5: invalid argument to has() macro",
        ),
        (
            "data.x < 1",
            "uses the name data, but only knows event, as in event.data.data",
        ),
        ("event.data.a.all(x, y > 1)", "uses the name y"),
        ("x > 1 && event.data.a.all(x, x > 1)", "uses the name x"),
        ("@meter == 1", "cannot be read"),
        (
            "event.data.a.lower() == 'a'",
            "uses the function lower(), which there is not",
        ),
        ("now() > event.time", "uses the function now(), which there is not"),
        ("optional.some(1).hasValue()", "uses the name optional"),
        ("Thing{a: 1} == 1", "uses the message Thing"),
        ("event.data.a[1.5] == 1", "uses a fraction as an index"),
        (nested, "more than 2 loops inside each other"),
        (long.as_str(), "has 2054 characters, more than 2048"),
        (deep.as_str(), "nested deeper than 24 levels"),
        (chain.as_str(), "nested deeper than 24 levels"),
        (
            "event.id.matches('(')",
            "pattern of matches() cannot be used: error: unclosed group",
        ),
        (
            "event.id.matches(event.id)",
            "pattern of matches() cannot be used: it must be a text literal",
        ),
        (
            "event.id.matches('\\\\pL{1000}{1000}')",
            "pattern of matches() cannot be used: it repeats too much",
        ),
        (
            many.as_str(),
            "pattern of matches() cannot be used: it is longer than 256 characters",
        ),
    ] {
        let error = Condition::compile(source).unwrap_err().to_string();
        assert!(error.contains(part), "{source}: {error}");
        assert!(error.chars().count() < 400, "{error}");
    }
}

#[test]
fn data_that_is_not_json_is_an_error_of_its_own() {
    for data in ["{", "[1,]", "1 2", "\"\\ud800\"", "1e999"] {
        assert!(
            matches!(holds("event.data.a == 1", data), Err(ConditionError::Data(_))),
            "{data}"
        );
    }
}

fn numbers(count: usize) -> String {
    format!(
        "{{\"l\": [{}], \"s\": \"{}\"}}",
        vec!["1"; count].join(","),
        "a".repeat(100_000)
    )
}

#[test]
fn a_simple_condition_over_the_largest_event_is_not_refused() {
    let data = format!("{{\"l\": [{}], \"rate\": 0.5}}", vec!["1"; 130_000].join(","));
    for (source, answer) in [
        ("event.data.rate < 0.9 && event.severity == 'high'", true),
        ("size(event.data.l) > 1000", true),
        ("'rate' in event.data && event.data.l[70] == 1", true),
        ("event.data.?rate.orValue(1.0) < 0.9", true),
        ("event.data == null || event.data.l == 'a'", false),
    ] {
        assert_eq!(holds(source, &data), Ok(answer), "{source}");
    }
    assert_eq!(holds("event.data.l.exists(x, x == 2)", &numbers(5_000)), Ok(false));
    assert_eq!(holds("event.data.s.matches('a+b')", &numbers(1)), Ok(false));
}

#[test]
fn a_costly_condition_is_stopped_soon_whatever_it_repeats() {
    let data = numbers(40_000);
    let accepted = event(&data);
    let view = EventView::new(&accepted);
    view.value().unwrap();
    for source in [
        "event.data.l.all(x, x == 1)",
        "event.data.l.all(x, event.data.l.all(y, x == y))",
        "event.data.l.map(x, event.data.l).size() > 1",
        "event.data.l == event.data.l && event.data.l == event.data.l && event.data.l == event.data.l",
        "size(event.data.l + event.data.l + event.data.l) == 1 || true",
        "size([event.data, event.data, event.data]) == 3",
        "[[1,2,3],[4,5,6],[7,8,9],[1,2,3],[4,5,6]].all(l, l.all(x, event.data.s.contains('b') || size(event.data.s + event.data.s) > 0)) || true",
        "[1,2,3,4,5,6,7,8,9].exists(x, event.data.s.matches('(a|aa)+b'))",
        "[1,2,3,4,5,6,7,8,9].all(x, event.data < event.data) || true",
        "[1,2,3,4,5,6,7,8,9].all(x, event.data in [event.data])",
        "[1,2,3,4,5,6,7,8,9].exists(x, 2 in event.data.l)",
        "[1,2,3,4,5,6,7,8,9].all(x, event.data.?l.hasValue())",
        "[1,2,3,4,5,6,7,8,9].map(x, string(event.data.s)).map(x, x + x).map(x, x + x).map(x, x + x).size() > 0",
        "[1,2,3,4,5,6,7,8,9].map(x, {'k': event.data.l}).size() > 0",
    ] {
        let condition = Condition::compile(source).unwrap();
        let begin = Instant::now();
        let answer = condition.holds(&view);
        let took = begin.elapsed();
        assert_eq!(answer, Err(ConditionError::Cost), "{source}");
        assert!(took.as_millis() < 500, "{source} took {took:?}");
    }
}

#[test]
fn a_hostile_pattern_costs_little() {
    // Without an end that a search could look for first, and different everywhere.
    let text: String = (0_u64..240_000)
        .map(|n| {
            if n.wrapping_mul(n).wrapping_mul(0x9E37_79B9) >> 20 & 1 == 0 {
                'a'
            } else {
                'b'
            }
        })
        .collect();
    let data = format!(
        "{{\"all\": \"{text}\", \"some\": \"{}\"}}",
        text.chars().take(12_000).collect::<String>()
    );
    let accepted = event(&data);
    let view = EventView::new(&accepted);
    view.value().unwrap();
    for (pattern, all) in [
        ("a[ab]{200}[^ab]", Ok(false)),
        ("(a[ab]{40}){4}[^ab]", Ok(false)),
        ("[ab]{1,250}a[ab]{1,250}x?\\d", Err(ConditionError::Cost)),
        ("(a.{30}){3}\\d", Err(ConditionError::Cost)),
        ("\\w+@\\w+\\.com", Err(ConditionError::Cost)),
    ] {
        for (field, expected) in [("all", all), ("some", Ok(false))] {
            let condition = Condition::compile(&format!("event.data.{field}.matches(r'{pattern}')")).unwrap();
            let begin = Instant::now();
            assert_eq!(condition.holds(&view), expected, "{pattern} in {field}");
            let took = begin.elapsed();
            assert!(took.as_secs() < 5, "{pattern} in {field} took {took:?}");
        }
    }
}

/// The threads of a test have 2 MiB, as those of a runtime.
#[test]
fn the_deepest_expression_and_data_fit_on_an_ordinary_stack() {
    for deepest in [
        "event.data".to_owned() + &"[0]".repeat(DEPTH_MAX - 3) + " == 1",
        "[".repeat(DEPTH_MAX - 2) + "1" + &"]".repeat(DEPTH_MAX - 2) + " == 1",
        "event.id + ".repeat(DEPTH_MAX - 5) + "event.id == 'x'",
        "-(".repeat(DEPTH_MAX - 4) + "event.data" + &")".repeat(DEPTH_MAX - 4) + " == 1",
        "event.data.l.all(x, x.all(y, ".to_owned() + &"[".repeat(12) + "y" + &"]".repeat(12) + " == x))",
        "false ? true : ".repeat(DEPTH_MAX - 2) + "true",
    ] {
        let nested = "[".repeat(DATA_DEPTH_MAX - 1) + "1" + &"]".repeat(DATA_DEPTH_MAX - 1);
        for data in [
            nested.clone(),
            format!("{{\"l\":{}}}", nested.replacen("[[", "[", 1).replacen("]]", "]", 1)),
        ] {
            match holds(&deepest, &data) {
                Ok(_) | Err(ConditionError::Evaluation(_)) => {}
                other => panic!("{deepest}: {other:?}"),
            }
        }
    }
    let nested = "[".repeat(DATA_DEPTH_MAX) + &"]".repeat(DATA_DEPTH_MAX);
    assert_eq!(
        holds("event.data == [event.data] || event.data in event.data", &nested),
        Ok(false)
    );
}

#[test]
fn conditions_and_views_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Condition>();
    shared::<EventView<'_>>();
}

fn data() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), Just(-1)].prop_map(Into::into),
        "[a-c\\PC]{0,6}".prop_map(Into::into),
        Just("2026-01-01T00:00:00Z".into()),
        Just("9999-12-31T23:59:59Z".into()),
        Just("-9223372036854775808".into()),
        Just("2562047h".into()),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map("[a-d]", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Expressions of the grammar, mostly with wrong types.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-d]".prop_map(|field| format!("event.data.{field}")),
        "[a-d]".prop_map(|field| format!("event.data.?{field}")),
        Just("event.data".to_owned()),
        prop::sample::select(vec![
            "event",
            "event.time",
            "event.id",
            "x",
            "y",
            "1",
            "0",
            "-1",
            "9223372036854775807",
            "-9223372036854775808",
            "1u",
            "18446744073709551615u",
            "0.5",
            "1e308",
            "-0.0",
            "1.0/0.0",
            "'a'",
            "''",
            "b'\\xff'",
            "true",
            "false",
            "null",
            "[]",
            "{}",
            "[1, 'a', null]",
            "{'a': 1, 2: 'b', true: 3u}",
            "optional.none()",
            "int",
            "'UTC'",
            "'+23:59'",
            "duration('1s')",
            "duration('2562047h')",
            "timestamp('9999-12-31T23:59:59.999999999Z')",
            "timestamp('0001-01-01T00:00:00Z')",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            (
                pair.clone(),
                prop::sample::select(vec![
                    "+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "&&", "||"
                ])
            )
                .prop_map(|((left, right), operator)| format!("({left} {operator} {right})")),
            (inner.clone(), prop::sample::select(vec!["-", "!"]))
                .prop_map(|(inner, operator)| format!("{operator}({inner})")),
            (
                inner.clone(),
                prop::sample::select(vec![
                    "size",
                    "int",
                    "uint",
                    "double",
                    "string",
                    "bytes",
                    "bool",
                    "type",
                    "dyn",
                    "timestamp",
                    "duration",
                    "optional.of",
                    "optional.ofNonZeroValue",
                ])
            )
                .prop_map(|(inner, function)| format!("{function}({inner})")),
            (inner.clone(), prop::sample::select(METHODS_OF_NOTHING.to_vec()))
                .prop_map(|(inner, function)| format!("({inner}).{function}()")),
            (
                pair.clone(),
                prop::sample::select(vec![
                    "contains",
                    "startsWith",
                    "endsWith",
                    "or",
                    "orValue",
                    "getHours",
                    "getFullYear",
                    "getMilliseconds",
                ])
            )
                .prop_map(|((left, right), function)| format!("({left}).{function}({right})")),
            inner
                .clone()
                .prop_map(|inner| format!("({inner}).matches('^a.*[b-d]?$')")),
            pair.clone().prop_map(|(left, right)| format!("({left})[{right}]")),
            pair.clone().prop_map(|(left, right)| format!("({left})[?{right}]")),
            pair.clone().prop_map(|(left, right)| format!("[{left}, ?{right}]")),
            pair.clone()
                .prop_map(|(left, right)| format!("{{{left}: {right}, ?'k': {right}}}")),
            (inner.clone(), "[a-d]").prop_map(|(inner, field)| format!("has(({inner}).{field})")),
            (inner.clone(), "[a-d]").prop_map(|(inner, field)| format!("({inner}).{field}")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (
                pair.clone(),
                prop::sample::select(vec!["all", "exists", "exists_one", "map", "filter"]),
                "[xy]"
            )
                .prop_map(|((range, body), function, name)| format!("({range}).{function}({name}, {body})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a}).map(x, {b}, {c})")),
        ]
    })
}

const METHODS_OF_NOTHING: &[&str] = &[
    "size",
    "value",
    "hasValue",
    "getHours",
    "getDate",
    "getDayOfYear",
    "getSeconds",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn no_expression_over_no_data_panics_or_takes_long(source in expression(), data in data()) {
        let begin = Instant::now();
        let answer = holds(&source, &data.to_string());
        prop_assert_ne!(&answer, &Err(ConditionError::Internal), "{} over {}", source, data);
        prop_assert!(begin.elapsed().as_secs() < 2);
    }

    #[test]
    fn no_text_panics_or_takes_long(source in "[ \\[\\](){}.,:?!&|+*/%<>=a-z0-9'\"\\\\-]{0,60}|\\PC{0,60}") {
        let begin = Instant::now();
        prop_assert!(!matches!(Condition::compile(&source), Err(ConditionError::Internal)), "{}", source);
        prop_assert!(begin.elapsed().as_secs() < 2);
    }

    /// Metering changes no answer: the evaluator alone says the same.
    #[test]
    fn a_metered_expression_means_the_same(source in expression(), data in data()) {
        let metered = holds(&source, &data.to_string());
        // `has` is wider than CEL's own, and patterns are compiled beforehand.
        if !source.contains("has(") && !source.contains("matches") && let Ok(condition) = Condition::compile(&source) {
            drop(condition);
            let plain = Parser::default().enable_optional_syntax(true).parse(&source).unwrap();
            let accepted = event(&data.to_string());
            let view = EventView::new(&accepted);
            let meter = Meter::new(COST_MAX, Arc::from([]));
            let variables = Variables { event: &view, meter: &meter };
            let mut context = Context::with_env(meter::env());
            context.set_variable_resolver(&variables);
            let expected = Value::resolve_val(&plain, &context);
            match (metered, expected) {
                (Ok(answer), Ok(value)) => prop_assert_eq!(Some(answer), value.downcast_ref::<CelBool>().map(|b| *b.inner()), "{} over {}", source, data),
                (Ok(answer), Err(error)) => prop_assert!(!answer && reads_nothing(&error), "{} over {}: {}", source, data, error),
                (Err(ConditionError::NotBool(kind)), Ok(value)) => prop_assert_eq!(kind, value.get_type().name()),
                // Refused before it is looked for.
                (Err(ConditionError::Evaluation(reason)), _) if reason.contains("a fraction") => {}
                (Err(ConditionError::Evaluation(_)), Err(error)) => prop_assert!(!reads_nothing(&error), "{} over {}: {}", source, data, error),
                (Err(ConditionError::Cost), _) => {}
                (metered, expected) => prop_assert!(false, "{source} over {data}: {metered:?} instead of {expected:?}"),
            }
        }
    }
}
