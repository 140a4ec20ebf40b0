use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;
use signalbox_proto::{Name, RawJson, Severity};

use super::*;

fn event(event_type: &str, data: &serde_json::Value) -> Accepted {
    Accepted {
        event: Event {
            id: "e-1".to_owned(),
            org: Name::default_org(),
            event_type: event_type.parse().expect("a type"),
            source: "/default".to_owned(),
            subject: None,
            time: None,
            agent_id: Some("agent-7".to_owned()),
            execution_id: None,
            severity: Severity::High,
            severity_named: false,
            data: RawJson::of(data).expect("JSON"),
            datacontenttype: None,
            data_base64: false,
            look: None,
            metadata: [("team".to_owned(), "core".to_owned())].into(),
        },
        seq: 1,
        at: Timestamp::from_secs(1_800_000_000),
    }
}

fn delivery(data: &serde_json::Value) -> Delivery {
    let provider = "webhook".parse().expect("a name");
    Delivery::first(event("execution.failed", data), "i-1", &provider, 1, 1)
}

fn about() -> About {
    About {
        integration: "i-1".to_owned(),
        name: "oncall".parse().expect("a name"),
        org: Name::default_org(),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    }
}

fn angles(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const MARKED: Takes = Takes::texts(Markup::Escaped(angles));
const PLAIN: Takes = Takes::texts(Markup::Plain);
const JSON: Takes = Takes {
    title: false,
    body_bytes_max: 256 * 1024,
    markup: Markup::Json,
};

fn body(source: &str) -> Template {
    Template {
        title: None,
        body: Some(source.to_owned()),
    }
}

fn try_in(takes: Takes, source: &str, data: &serde_json::Value) -> Result<String, String> {
    let texts = Texts::read(&body(source), "slack", takes).map_err(|errors| errors[0].to_string())?;
    let text = texts.render(&delivery(data), &about())?;
    Ok(text.body.expect("a body"))
}

fn plain(source: &str, data: &serde_json::Value) -> String {
    try_in(PLAIN, source, data).unwrap_or_else(|error| panic!("{source}: {error}"))
}

fn fault(source: &str, data: &serde_json::Value) -> String {
    try_in(PLAIN, source, data).expect_err(source)
}

fn complaint(source: &str) -> String {
    Texts::read(&body(source), "slack", PLAIN).expect_err(source)[0].to_string()
}

#[test]
fn every_field_of_an_event_can_be_said() {
    let source = "{{ event.emoji }} {{ event.title }} {{ event.tone }} {{ event.type }} {{ event.severity }} {{ event.id }} \
                  {{ event.org }} {{ event.source }} {{ event.time }} {{ event.agent_id }} {{ event.metadata.team }} \
                  {{ integration.name }}@{{ integration.org }} {{ brand }} {{ count }} {{ events[0].id }} {{ event.data.n }}";
    assert_eq!(
        plain(source, &json!({ "n": 7 })),
        "❌ Execution Failed bad execution.failed high e-1 default /default 2027-01-15T08:00:00Z agent-7 core \
         oncall@default Signalbox 1 e-1 7"
    );
}

#[test]
fn the_language_does_what_people_know_of_it() {
    let data = json!({
        "name": "Ada Lovelace", "rate": 0.925, "n": 3, "list": [3, 1, 2], "people": [
            { "name": "ada", "age": 36, "tags": ["x", "y"] }, { "name": "bob", "age": 20 },
        ], "null": null, "yes": true, "text": "a,b",
    });
    let table = [
        ("{{ event.data.rate * 100 }} %", "92.5 %"),
        ("{{ (event.data.rate * 100)|round|int }}", "93"),
        ("{{ (event.data.rate * 100)|round(1) }}", "92.5"),
        (
            "{{ event.data.n / 2 }} {{ event.data.n // 2 }} {{ event.data.n % 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }}",
            "1.5 1 1 -4 2 1024",
        ),
        (
            "{{ event.data.name|upper }} {{ 'x y'|title }} {{ 'aB'|capitalize }}",
            "ADA LOVELACE X Y Ab",
        ),
        ("{{ event.data.name[:3] }}{{ event.data.name[-4:] }}", "Adalace"),
        (
            "{{ event.data.list|sort|join(', ') }} {{ event.data.list|max }} {{ event.data.list|sum }}",
            "1, 2, 3 3 6",
        ),
        (
            "{% for p in event.data.people %}{{ loop.index }}/{{ loop.length }} {{ p.name }}{% if not loop.last %}, {% endif %}{% endfor %}",
            "1/2 ada, 2/2 bob",
        ),
        (
            "{% for p in event.data.people if p.age > 30 %}{{ p.name }}{% else %}none{% endfor %}",
            "ada",
        ),
        ("{% for p in event.data.missing %}x{% else %}none{% endfor %}", "none"),
        (
            "{% for age, all in event.data.people|groupby('age') %}{{ age }}:{{ all|length }};{% endfor %}",
            "20:1;36:1;",
        ),
        (
            "{% for name, value in {'b': 1, 'a': 2}|dictsort %}{{ name }}{{ value }}{% endfor %}",
            "a2b1",
        ),
        (
            "{% for name, value in event.data.people[0]|items %}{{ name }}={{ value }};{% endfor %}",
            "age=36;name=ada;tags=[\"x\",\"y\"];",
        ),
        ("{{ event.data.people|map(attribute='name')|join('+') }}", "ada+bob"),
        (
            "{{ event.data.people|selectattr('age', 'lt', 30)|map(attribute='name')|first }}",
            "bob",
        ),
        (
            "{{ event.data.missing }}{{ event.data.a.b.c }}{{ event.data.null }}{{ event.data.missing * 2 }}",
            "",
        ),
        (
            "{{ event.data.missing|default('none') }} {{ event.data.null|default('x', true) }}",
            "none x",
        ),
        (
            "{{ event.data.missing.deep|default('-') }}{{ event.data.missing|upper|default('-') }}",
            "--",
        ),
        (
            "{% if event.data.yes and event.data.n >= 3 %}y{% elif event.data.n %}n{% else %}z{% endif %}",
            "y",
        ),
        (
            "{% if 'Ada' in event.data.name and 2 in event.data.list and 'n' in event.data %}in{% endif %}",
            "in",
        ),
        (
            "{{ 'a' if event.data.n == 3 else 'b' }}{{ 'a' if event.data.n != 3 }}",
            "a",
        ),
        (
            "{% set x = event.data.n + 1 %}{{ x }}{% with y = 2 %}{{ y }}{% endwith %}{{ y }}",
            "42",
        ),
        (
            "{% set x = 1 %}{% for i in range(3) %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}",
            "2221",
        ),
        (
            "{{ event.data.text|split(',')|last }} {{ 'a-b'|replace('-', '+') }} {{ ' a '|trim }}",
            "b a+b a",
        ),
        (
            "{{ 'one two three'|truncate(9) }} {{ 'abcdef'|truncate(4, true, '..') }}",
            "one two… ab..",
        ),
        (
            "{{ event.data.list }} {{ event.data.yes }} {{ event.data.people[1] }}",
            "[3,1,2] true {\"age\":20,\"name\":\"bob\"}",
        ),
        (
            "{{ event.data.n is odd }} {{ event.data.x is defined }} {{ event.data.null is none }}",
            "true false true",
        ),
        (
            "{{ 1 < 2 < 3 }} {{ 'b' > 'a' }} {{ event.data.missing > 1 }}",
            "true true false",
        ),
        (
            "{{ 'a b/c?'|urlencode }} {{ '5'|int + 1 }} {{ 'x'|int(9) }} {{ '1.5'|float }}",
            "a%20b/c%3F 6 9 1.5",
        ),
        (
            "a\n  {%- if true %} b {% endif -%}\n c{# not seen #}{% raw %}{{ x }}{% endraw %}",
            "a b c{{ x }}",
        ),
        (
            "{{ event.data.people|length }}{{ event.data.name|count }}{{ 'é'|length }}",
            "2121",
        ),
        (
            "{{ ['b', 'a', 'b']|unique|join }}{{ 'ab'|reverse }}{{ [1, 2][1] }}{{ {'k': 'v'}.k }}",
            "baba2v",
        ),
    ];
    for (source, wanted) in table {
        assert_eq!(plain(source, &data), wanted, "{source}");
    }
}

#[test]
fn numbers_and_the_order_of_members_stay_as_they_were_published() {
    let delivery = {
        let mut delivery = delivery(&json!({}));
        let data = br#"{"z":18446744073709551615,"a":-9223372036854775808,"f":0.1,"e":1e3,"m":{"y":1,"b":2}}"#;
        delivery.events[0].event.data = RawJson::from_checked(data.as_slice().into());
        delivery
    };
    let texts = Texts::read(&body("{{ event.data|tojson }} {{ event.data.z + 1 }}"), "x", PLAIN).expect("a template");
    let text = texts.render(&delivery, &about()).expect("a text").body.expect("a body");
    assert_eq!(
        text,
        r#"{"z":18446744073709551615,"a":-9223372036854775808,"f":0.1,"e":1000.0,"m":{"y":1,"b":2}} 18446744073709551616"#
    );
}

#[test]
fn what_is_wrong_with_a_template_is_said_when_it_is_read() {
    let table = [
        (
            "a\nb {{ event. }}",
            "template/body: line 2: unexpected end of variable block, expected identifier",
        ),
        ("{% if x %}", "line 1: unexpected end of input"),
        (
            "\n\n{{ x|uper }}",
            "line 3: there is no filter `uper`: did you mean upper?",
        ),
        (
            "{{ x|zzzzzzzzzzzzz }}",
            "there is no filter `zzzzzzzzzzzzz`: there are abs, capitalize",
        ),
        ("{{ now() }}", "there is no function `now`: there are range"),
        ("{{ x is evn }}", "there is no test `evn`: did you mean even?"),
        ("{{ x.upper() }}", "use a filter, value|upper"),
        ("{% include 'x' %}", "unknown statement include"),
        ("{% import 'x' as y %}", "unknown statement import"),
        ("{% extends 'x' %}", "unknown statement extends"),
        ("{% macro a() %}{% endmacro %}", "unknown statement macro"),
        ("{% set x %}a{% endset %}", "`set` takes a value here"),
        ("{% filter upper %}a{% endfilter %}", "`filter` blocks are not taken"),
        ("{% autoescape false %}{% endautoescape %}", "`autoescape` is not taken"),
        ("{% set a.b = 1 %}", "a value is given to a name"),
        ("{{ x[::2] }}", "a slice takes no step here"),
        ("{{ range(*x) }}", "are not taken"),
    ];
    for (source, wanted) in table {
        let said = complaint(source);
        assert!(said.contains(wanted), "{source}: {said}");
    }
    assert_eq!(
        complaint(&"x".repeat(SOURCE_BYTES_MAX + 1)),
        "template/body: is longer than 16384 bytes"
    );
    let empty = Texts::read(&Template::default(), "slack", PLAIN).expect_err("empty");
    assert_eq!(empty[0].pointer, "template");
}

#[test]
fn parts_that_a_provider_does_not_take_are_refused_by_name() {
    let both = Template {
        title: Some("t".to_owned()),
        body: Some("b".to_owned()),
    };
    let pointers = |takes| -> Vec<String> {
        let errors = Texts::read(&both, "webhook", takes).expect_err("refused");
        errors.into_iter().map(|error| error.to_string()).collect()
    };
    assert_eq!(
        pointers(JSON),
        ["template/title: webhook has no title: its body is the whole text, write it there"]
    );
    assert_eq!(pointers(Takes::NOTHING).len(), 2);
}

#[test]
fn values_are_escaped_and_the_owner_s_text_is_not() {
    let data = json!({ "x": "<!channel> & <b>", "list": ["<a>"] });
    let marked = |source: &str| try_in(MARKED, source, &data).expect(source);
    assert_eq!(
        marked("<b>{{ event.data.x }}</b>"),
        "<b>&lt;!channel&gt; &amp; &lt;b&gt;</b>"
    );
    assert_eq!(marked("{{ event.data.x|safe }}"), "<!channel> & <b>");
    assert_eq!(
        marked("{{ event.data.x|escape }}"),
        "&lt;!channel&gt; &amp; &lt;b&gt;",
        "once"
    );
    assert_eq!(marked("{{ event.data.x|upper }}"), "&lt;!CHANNEL&gt; &amp; &lt;B&gt;");
    assert_eq!(marked("{{ event.data.list }}"), "[\"&lt;a&gt;\"]");
    assert_eq!(
        marked("{{ event.data|tojson }}").matches('<').count(),
        0,
        "JSON holds values too"
    );
    assert_eq!(marked("{{ '<u>'|safe ~ event.data.list[0] }}"), "<u>&lt;a&gt;");
    assert_eq!(
        marked("{{ event.data.list|join('<i>'|safe) }}{{ ['<', '<']|join('<i>'|safe) }}"),
        "&lt;a&gt;&lt;<i>&lt;"
    );
    assert_eq!(
        marked("{{ ('<u>'|safe)[:2] }}{{ '<u>'|safe|lower }}"),
        "&lt;u&lt;u&gt;",
        "a part of markup is none"
    );
}

#[test]
fn a_json_body_stays_json_whatever_the_values_are() {
    let data = json!({ "x": "say \"hi\"\n\\ \u{1f600} \u{0}", "n": 1.5, "list": ["a\"b"], "null": null });
    let source = r#"{"text": "{{ event.data.x }}", "n": {{ event.data.n }}, "list": {{ event.data.list }}, "all": {{ event.data|tojson }}, "no": {{ event.data.gone|tojson }}, "both": "{{ event.data.x ~ '"' }}"}"#;
    let made: serde_json::Value = serde_json::from_str(&try_in(JSON, source, &data).expect("a body")).expect("JSON");
    assert_eq!(made["text"], data["x"]);
    assert_eq!(made["n"], data["n"]);
    assert_eq!(made["list"], data["list"]);
    assert_eq!(made["all"], data);
    assert_eq!(made["no"], serde_json::Value::Null);
    assert_eq!(made["both"], format!("{}\"", data["x"].as_str().expect("a text")));
    let wrong = try_in(JSON, r#"{"a": {{ event.data.gone }}}"#, &data).expect_err("no JSON");
    assert!(wrong.starts_with("body: what it made is not JSON: "), "{wrong}");
}

#[test]
fn a_text_is_cut_between_signs_as_people_see_them() {
    let family = "👨\u{200d}👩\u{200d}👧\u{200d}👦";
    let data = json!({ "x": family.repeat(3), "flags": "🇩🇪🇫🇷", "accents": "e\u{301}e\u{301}" });
    for (source, wanted) in [
        ("{{ event.data.x|truncate(10, true) }}", format!("{family}…")),
        ("{{ event.data.x|truncate(7, true) }}", "…".to_owned()),
        ("{{ event.data.flags|truncate(4, true) }}", "🇩🇪🇫🇷".to_owned()),
        ("{{ event.data.flags|truncate(3, true, '') }}", "🇩🇪".to_owned()),
        ("{{ event.data.accents|truncate(2, true) }}", "…".to_owned()),
        ("{{ event.data.accents|truncate(3, true) }}", "e\u{301}…".to_owned()),
    ] {
        assert_eq!(plain(source, &data), wanted, "{source}");
    }
}

#[test]
fn a_title_is_one_line() {
    let template = Template {
        title: Some(" {{ event.data.x }}\n\tb ".to_owned()),
        body: None,
    };
    let texts = Texts::read(&template, "slack", PLAIN).expect("a template");
    let text = texts
        .render(&delivery(&json!({ "x": "a\r\n\u{7}c" })), &about())
        .expect("a text");
    assert_eq!(text.title.as_deref(), Some("a c b"));
    let long = texts
        .render(&delivery(&json!({ "x": "y".repeat(2_000) })), &about())
        .expect_err("too long");
    assert_eq!(long, "title: line 1: the text is longer than 1024 bytes");
}

#[test]
fn a_digest_has_its_events_and_their_count() {
    let mut digest = delivery(&json!({ "n": 1 }));
    digest.events.push(event("alert.created", &json!({ "n": 2 })));
    let source = "{{ event.type }} {{ count }}: {% for e in events %}{{ e.type }} {{ e.data.n }};{% endfor %} \
                  {{ event.data.event_count }} {{ event.data.events[1].type }} {{ event.severity }}";
    let texts = Texts::read(&body(source), "slack", PLAIN).expect("a template");
    let text = texts.render(&digest, &about()).expect("a text").body.expect("a body");
    assert_eq!(
        text,
        "signalbox.digest 2: execution.failed 1;alert.created 2; 2 alert.created high"
    );
    // Of one event too, where it was gathered.
    digest.events.truncate(1);
    digest.digest = true;
    let texts = Texts::read(&body("{{ event.type }} {{ count }}"), "slack", PLAIN).expect("a template");
    let text = texts.render(&digest, &about()).expect("a text").body.expect("a body");
    assert_eq!(text, "signalbox.digest 1");
}

#[test]
fn a_registered_type_looks_as_it_was_registered() {
    let mut own = delivery(&json!({}));
    own.events[0].event.look = Some(types::Look {
        title: Some("Mine".to_owned()),
        emoji: None,
        tone: Some(types::Tone::Good),
    });
    let texts = Texts::read(
        &body("{{ event.title }} {{ event.emoji }} {{ event.tone }}"),
        "x",
        PLAIN,
    )
    .expect("read");
    let text = texts.render(&own, &about()).expect("a text");
    assert_eq!(text.body.as_deref(), Some("Mine ❌ good"));
}

#[test]
fn a_fault_while_rendering_names_its_line() {
    let data = json!({ "x": "text", "n": 1 });
    for (source, wanted) in [
        (
            "a\n{{ event.data.x * event.data.x }}",
            "line 2: `*` does not take a text and a text",
        ),
        ("{{ 1 / 0 }}", "line 1: divides by 0"),
        ("{{ 1 % 0 }}{{ x }}", "line 1: divides by 0"),
        ("{{ event.data.x < 1 }}", "line 1: cannot compare a text with a number"),
        ("{{ 9 ** 99 }}", "line 1: a number is too large"),
        ("{% for x in 5 %}{% endfor %}", "line 1: a number has no items"),
        ("{% for a, b in [[1]] %}{% endfor %}", "line 1: 2 names for 1 parts"),
        (
            "{{ event.data.x|replace('a') }}",
            "`replace` takes for old and new a text each",
        ),
        ("{{ event.data.x|upper(1) }}", "`upper` is given too many arguments"),
        (
            "{{ event.data.n|round(99) }}",
            "`round` takes for precision a number from 0 to 15",
        ),
        ("{{ [1, 'a']|sort }}", "sorted by numbers alone or by texts alone"),
    ] {
        let said = fault(source, &data);
        assert!(said.contains(wanted), "{source}: {said}");
    }
}

/// Renders with the largest data there may be and gives what it cost; the text may fail.
fn cost(source: &str) -> (Result<usize, String>, u32, usize) {
    let data = json!({ "text": "x".repeat(200_000), "list": vec![1; 20_000], "deep": { "list": vec!["y"; 5_000] } });
    let nodes = match tree::read(source) {
        Ok(nodes) => nodes,
        Err(message) => return (Err(message), 0, 0),
    };
    let context = context(&delivery(&data), &about()).expect("a context");
    let mut run = Run::new(&context, Markup::Plain, BODY_BYTES_MAX);
    let made = run.render(&nodes);
    let (steps, bytes) = run.budget.spent();
    (
        made.map(|text| text.len()).map_err(|fault| fault.to_string()),
        steps,
        bytes,
    )
}

#[test]
fn no_template_can_make_more_than_its_budget() {
    let doubled = format!(
        "{{% set a = 'xx' %}}{}{{{{ a|length }}}}",
        "{% set a = a ~ a %}".repeat(60)
    );
    let added = format!(
        "{{% set a = [1] %}}{}{{{{ a|length }}}}",
        "{% set a = a + a %}".repeat(60)
    );
    let squared = format!(
        "{{% set a = 'xx' %}}{}{{{{ a }}}}",
        "{% set a = a|replace('x', a) %}".repeat(8)
    );
    let nested = format!("{{% set a = 1 %}}{}{{{{ a }}}}", "{%set a=[a]%}".repeat(1_200));
    let joined = "{{ range(10000)|join(event.data.text) }}";
    let copies = "{%set a=event.data.text[1:]%}".repeat(500);
    let compared = "{% for a in range(9999) %}{% if event.data.text == event.data.text %}{% endif %}{% endfor %}";
    for source in [
        doubled.as_str(),
        &added,
        &squared,
        &nested,
        joined,
        &copies,
        compared,
        "{{ 'x' * 1000000000 }}",
        "{{ 1000000000 * event.data.text }}",
        "{{ ('x' * 100000000)|length }}{{ ('y' * 100000000)|length }}",
        "{{ [0] * 100000000 }}",
        "{{ range(1000000000)|list }}",
        "{{ range(0, 100000000000000, 1) }}",
        "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}",
        "{% for a in event.data.list %}{% for b in event.data.list %}x{% endfor %}{% endfor %}",
        "{% for a in range(10000) %}{{ event.data.text }}{% endfor %}",
        "{% for a in range(10000) %}{% set b = event.data.text|upper %}{% endfor %}",
        "{% for a in range(10000) %}{% if 'zz' in event.data.text %}{% endif %}{% endfor %}",
        "{% for a in range(10000) %}{% if 0 in event.data.list %}{% endif %}{% endfor %}",
        "{% for a in range(10000) %}{{ event.data|tojson(9) }}{% endfor %}",
        "{{ event.data.list|tojson(1000000000) }}",
        "{{ (event.data.text|list)|sort|join }}",
        "{{ event.data.list|unique }}{{ event.data.text|list|unique|length }}{{ range(9999)|unique|length }}",
        "{{ event.data.text|list|map('upper')|list|map('list')|list }}",
        "{{ event.data.text|list|groupby('x') }}{{ range(9999)|map('string')|list|groupby('x') }}",
        "{{ event.data.text|indent(1000000000) }}",
        "{{ event.data.text|split('x')|join(event.data.text) }}",
        "{{ event.data.text|replace('', event.data.text) }}",
        "{{ event.data.text|truncate(10, true, event.data.text) }}{{ event.data.text|escape }}",
        "{{ [event.data.text, event.data.text]|map('list')|map('length')|list }}",
    ] {
        let (made, steps, bytes) = cost(source);
        assert!(made.is_err() || made == Ok(0), "{source}: {made:?}");
        assert!(
            steps <= eval::STEPS_MAX && bytes <= eval::BYTES_MAX,
            "{source}: {steps} steps, {bytes} bytes"
        );
    }
    assert!(
        cost("{{ event.data.text|length }}").0.is_ok(),
        "the data itself is no reason"
    );
}

#[test]
fn many_names_cost_what_looking_through_them_does() {
    let names: String = (0..1_000).map(|n| format!("{{%set a{n}=1%}}")).collect();
    let source = format!("{names}{{% for x in range(9999) %}}{{% if y and y %}}{{% endif %}}{{% endfor %}}");
    let (made, _, bytes) = cost(&source);
    assert!(made.is_err() && bytes <= eval::BYTES_MAX, "{made:?}");
}

/// Paths that lead nowhere, texts that are no numbers, things that are not found: a text of megabytes makes each of
/// them long work.
#[test]
fn work_that_makes_nothing_is_counted_too() {
    for source in [
        "{% set p = 'a.' * 1000000 %}{% for a in range(10) %}{{ range(9999)|map(attribute=p)|length * 0 }}{% endfor %}",
        "{% set p = 'a.' * 1000000 %}{{ range(9999)|join('', attribute=p) }}",
        "{% set p = 'a.' * 1000000 %}{{ range(9999)|sum(attribute=p) * 0 }}",
        "{% set p = 'a.' * 1000000 %}{{ range(9999)|selectattr(p)|length * 0 }}",
        "{% set p = 'a.' * 1000000 %}{{ range(9999)|sort(attribute=p) }}",
        "{% set p = 'a.' * 1000000 %}{{ range(9999)|groupby(p) }}",
        "{% set n = '0' * 4000000 %}{% for a in range(9999) %}{% set b = n|int %}{% endfor %}",
        "{% set n = '0' * 4000000 %}{% for a in range(9999) %}{% set b = n|float %}{% endfor %}",
        "{% set n = 'x' * 4000000 %}{% for a in range(9999) %}{% set b = 'y'|replace(n, '') %}{% endfor %}",
        "{% set n = 'x' * 4000000 %}{% for a in range(9999) %}{% set b = 'y'|split(n) %}{% endfor %}",
        "{% set n = 'x' * 4000000 %}{% for a in range(9999) %}{% set b = event.data[n] %}{% endfor %}",
        "{% set n = 'x' * 4000000 %}{% for a in range(9999) %}{% if n in event.data %}{% endif %}{% endfor %}",
        "{% set n = 'x' * 4000000 %}{% for a in range(9999) %}{% set b = 'yy'|truncate(1, true, n) %}{% endfor %}",
    ] {
        let begun = Instant::now();
        let (made, _, _) = cost(source);
        assert_eq!(
            made.map_err(|message| message.contains("works through more than")),
            Err(true),
            "{source}"
        );
        // Unoptimised and on a busy machine; uncounted they take minutes.
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{source}: {:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn sources_that_nest_or_chain_for_ever_are_refused_without_a_crash() {
    let fill = |one: &str, end: &str| {
        let count = (SOURCE_BYTES_MAX - end.len() - 16) / one.len();
        one.repeat(count)
    };
    for source in [
        format!("{{{{ {} }}}}", fill("(", "")),
        format!("{{{{ {} }}}}", fill("[", "")),
        format!("{{{{ {}x }}}}", fill("-", "")),
        format!("{{{{ {}x }}}}", fill("not ", "")),
        format!("{{{{ x{} }}}}", fill("+x", "")),
        format!("{{{{ x{} }}}}", fill(".x", "")),
        format!("{{{{ x{} }}}}", fill("[0]", "")),
        format!("{{{{ x{} }}}}", fill("|d", "")),
        format!("{{{{ x{} }}}}", fill(" if x", "")),
        format!("{{{{ x{} }}}}", fill(" and x", "")),
        format!("{{{{ x{} }}}}", fill(" if x else x", "")),
        fill("{% if x %}", ""),
        fill("{% for x in x %}", ""),
        format!("{}{}", fill("{% if 1 %}{% else %}", "{% endif %}"), ""),
    ] {
        let start: String = source.chars().take(24).collect();
        assert!(Texts::read(&body(&source), "slack", PLAIN).is_err(), "{start}");
    }
    // Long chains without nesting are taken.
    let elifs = format!("{{% if 0 %}}{}{{% else %}}e{{% endif %}}", "{% elif 0 %}".repeat(1_300));
    assert_eq!(plain(&elifs, &json!({})), "e");
    let texts = format!("{{{{ 1{} }}}}", "~1".repeat(4_000));
    assert_eq!(plain(&texts, &json!({})).len(), 4_001);
}

#[test]
fn the_readme_names_every_filter_and_every_test_and_its_example_is_taken() {
    let readme = include_str!("README.md");
    for name in filters::names().into_iter().chain(checks::names()) {
        assert!(readme.contains(&format!("`{name}`")), "{name}");
    }
    let example = "{{ event.data.error|truncate(200) }}\n{% for step in event.data.steps if step.failed %}* {{ step.name }}\n{% endfor %}";
    let data = json!({ "error": "e", "steps": [{ "name": "a", "failed": true }, { "name": "b" }] });
    assert_eq!(plain(example, &data), "e\n* a\n");
    assert_eq!(plain("{{ (event.data.rate * 100)|default('?') }}", &data), "?");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Any text is either refused or read, and what is read renders within its bounds.
    #[test]
    fn whatever_is_written_stays_within_its_bounds(
        parts in prop::collection::vec(prop::sample::select(vec![
            "{{ ", " }}", "{% ", " %}", "for a in ", "endfor", "if ", "endif", "else", "set a = ", "event.data.text", "event.data.list",
            "a", " ~ ", " * ", " + ", "|upper", "|list", "|join(a)", "|replace('x', a)", "|tojson", "|sort", "|unique", "|items", "9999",
            "[", "]", "(", ")", "'x'", "range(", "|map('list')", "|batch(2)", "\n", "{#", "#}", "-", "é", "{% for a in range(999) %}",
            "{% endfor %}", "{{ a ~ a }}", "{% set a = [a, a] %}", "{% set a = a ~ event.data.text %}", "|safe", "|escape", "|indent(99)",
        ]), 0..40),
    ) {
        let source: String = parts.concat();
        let (made, steps, bytes) = cost(&source);
        prop_assert!(made.is_err() || made <= Ok(BODY_BYTES_MAX));
        prop_assert!(steps <= eval::STEPS_MAX && bytes <= eval::BYTES_MAX);
    }

    /// Whatever stands between the braces is refused or read; nothing panics.
    #[test]
    fn any_expression_is_refused_or_rendered(
        inside in r#"[a-e0-9.|()\[\]{}'",:~+*/%<>=! _é-]{0,60}"#,
        block in prop::sample::select(vec![("{{ ", " }}"), ("{% if ", " %}x{% endif %}"), ("{% for ", " %}x{% endfor %}"), ("{% set ", " %}")]),
    ) {
        let source = format!("{}{inside}{}", block.0, block.1);
        let (made, steps, bytes) = cost(&source);
        prop_assert!(made.is_err() || made <= Ok(BODY_BYTES_MAX));
        prop_assert!(steps <= eval::STEPS_MAX && bytes <= eval::BYTES_MAX);
    }

    /// A text between quotes is what it was once the body is read, whatever it holds.
    #[test]
    fn any_text_comes_through_a_json_body_unharmed(text in any::<String>()) {
        let data = json!({ "x": text });
        let made = try_in(JSON, r#"{"a": "{{ event.data.x }}", "b": {{ event.data.x|tojson }}}"#, &data).expect("a body");
        let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
        prop_assert_eq!(&made["a"], &data["x"]);
        prop_assert_eq!(&made["b"], &data["x"]);
    }

    #[test]
    fn no_value_brings_markup_of_its_own(text in any::<String>()) {
        let made = try_in(MARKED, "{{ event.data.x }}{{ event.data.x ~ 'a' }}{{ [event.data.x]|join('-') }}{{ event.data|tojson }}", &json!({ "x": text }))
            .expect("a text");
        prop_assert!(!made.contains(['<', '>']));
    }
}
