//! What newcomers type wrongly, and how each is answered.

/// Exit codes.
pub(super) const USAGE: i32 = 2;
pub(super) const NOT_FOUND: i32 = 3;
pub(super) const REFUSED: i32 = 4;

/// What was typed wrongly: the arguments, the exit code, what the answer must name.
pub(super) type Wrong<'a> = (&'a [&'a str], i32, &'a str);

pub(super) const WRONG: &[Wrong<'_>] = &[
    (
        &["pubish", "a.b"],
        USAGE,
        "similar subcommands exist: 'pause', 'publish'",
    ),
    (&["integrations", "lst"], USAGE, "'list'"),
    (&["publish", "a.b", "--dta", "{}"], USAGE, "--data"),
    (&["publish"], USAGE, "<TYPE>"),
    (&["publish", "a..b"], REFUSED, "type: \"a..b\" is not an event type"),
    (
        &["publish", "a.b", "--data", "{bad"],
        USAGE,
        "--data: what was given is not JSON",
    ),
    (
        &["publish", "a.b", "--data", ""],
        USAGE,
        "--data: what was given is empty: write JSON",
    ),
    (
        &["publish", "a.b", "--data", "@no.json"],
        1,
        "--data: cannot read no.json: there is no such file",
    ),
    (&["publish", "a.b", "--data", "@."], 1, "it is a folder"),
    (&["publish", "a.b", "--data", "@"], USAGE, "name is missing behind @"),
    (&["publish", "a.b", "--org", "Acme"], USAGE, "\"Acme\" is not a name"),
    (
        &["publish", "a.b", "--id", "a b"],
        REFUSED,
        "id: \"a b\" is not an event id",
    ),
    (
        &["publish", "a.b", "--time", "yesterday"],
        REFUSED,
        "time: \"yesterday\" is not an RFC 3339 time",
    ),
    (
        &["publish", "a.b", "--metadata", "x"],
        USAGE,
        "--metadata: \"x\" is not NAME=VALUE",
    ),
    (
        &["publish", "a.b", "--wait=5m"],
        USAGE,
        "--wait: 5m is not from 1s to 60s",
    ),
    (
        &["publish", "a.b", "--wait=x"],
        USAGE,
        "--wait: \"x\" is not a duration",
    ),
    (&["publish", "a.b", "--output", "jsn"], USAGE, "'json'"),
    (
        &["publish", "a.b", "--url", "http://127.0.0.1:1"],
        1,
        "nothing listens there: start it with `signalbox up`",
    ),
    (
        &["publish", "a.b", "--url", "example"],
        USAGE,
        "--url: \"example\" is not an address such as http://",
    ),
    (&["trace", "nothing"], NOT_FOUND, "no event \"nothing\""),
    (
        &["trace", "a1", "--org", "acme"],
        NOT_FOUND,
        "org acme accepted no event \"a1\"",
    ),
    (&["trace", "a1", "--since", "yesterday"], REFUSED, "since: "),
    (&["trace", "a1", "--since", "-5h"], USAGE, "--since: -5h is negative"),
    (&["trace", ""], USAGE, "is empty"),
    (&["trace"], USAGE, "<EVENT_ID>"),
    (&["tail", "evnts"], USAGE, "'events'"),
    (
        &["tail", "--type", "a..b"],
        REFUSED,
        "type: \"a..b\" is not a type pattern",
    ),
    (&["tail", "--integration", "nobody"], NOT_FOUND, "\"nobody\""),
    (&["plan"], USAGE, "--file <FILE>"),
    (
        &["integrations", "show", "nobody"],
        NOT_FOUND,
        "no integration \"nobody\" in org default",
    ),
    (
        &["integrations", "show", "oncall", "--org", "acme"],
        NOT_FOUND,
        "in org acme",
    ),
    (&["integrations", "show", ".."], USAGE, "a name or an id is empty"),
    (
        &["integrations", "list", "--status", "on"],
        REFUSED,
        "status: is none of pending_setup",
    ),
    (&["integrations", "list", "--limit", "0"], REFUSED, "limit: "),
    (
        &["integrations", "list", "--limit", "-1"],
        USAGE,
        "--limit: -1 is negative",
    ),
    (
        &["integrations", "list", "--limit", "many"],
        USAGE,
        "is not a whole number",
    ),
    (&["integrations", "test", "nobody"], NOT_FOUND, "nobody"),
    (&["integrations", "preview", "oncall"], USAGE, "--type <TYPE>"),
    (
        &["integrations", "preview", "oncall", "--type", "a.b", "--data", "{"],
        USAGE,
        "--data: ",
    ),
    (
        &["integrations", "preview", "oncall", "--event", "nothing"],
        NOT_FOUND,
        "\"nothing\"",
    ),
    (&["integrations", "pause", "nobody"], NOT_FOUND, "nobody"),
    (
        &["integrations", "resume", "oncall", "--rate", "-5"],
        USAGE,
        "--rate: -5 is negative",
    ),
    (
        &["integrations", "resume", "oncall", "--rate", "0"],
        REFUSED,
        "rate: is outside 1 to",
    ),
    (
        &["integrations", "resume", "oncall", "--drop-older-than", "old"],
        REFUSED,
        "\"old\" is not a duration",
    ),
    (&["pause"], USAGE, "--integration"),
    (&["pause", "--provider", "slak"], NOT_FOUND, "of provider slak"),
    (&["pause", "--org", "acme"], NOT_FOUND, "org acme has no integrations"),
    (
        &["dead", "list", "--reason", "tired"],
        REFUSED,
        "reason: is none of rejected",
    ),
    (&["dead", "list", "--integration", "nobody"], NOT_FOUND, "\"nobody\""),
    (&["dead", "list", "--type", "a.*"], REFUSED, "name one event type"),
    (&["dead", "show", "dl_999"], NOT_FOUND, "no dead letter \"dl_999\""),
    (&["dead", "replay"], USAGE, "say which dead letters: ids, or a filter"),
    (&["dead", "replay", "dl_1", "--all"], USAGE, "in one way"),
    (
        &["dead", "replay", "dl_999"],
        NOT_FOUND,
        "ids[0]: there is no dead letter \"dl_999\"",
    ),
    (
        &["dead", "replay", "dl_1", "--to", "nobody"],
        NOT_FOUND,
        "to: there is no integration \"nobody\"",
    ),
    (
        &["dead", "replay", "dl_1", "--rate", "-1"],
        USAGE,
        "--rate: -1 is negative",
    ),
    (
        &["deliveries", "list", "--status", "lost"],
        REFUSED,
        "status: is none of pending",
    ),
    (&["deliveries", "list", "--since", "soon"], REFUSED, "since: "),
    (&["deliveries", "show", "nothing"], NOT_FOUND, "no delivery \"nothing\""),
    (&["deliveries", "retry"], USAGE, "say which deliveries"),
    (
        &["deliveries", "discard", "--all", "--older-than", "1h"],
        USAGE,
        "in one way",
    ),
    (&["replay", "--since", "2h"], USAGE, "--to <INTEGRATION>"),
    (
        &["replay", "--since", "2h", "--to", "nobody"],
        NOT_FOUND,
        "to: there is no integration \"nobody\"",
    ),
    (
        &["replay", "--since", "1h", "--until", "2h", "--to", "oncall"],
        REFUSED,
        "until: is not after",
    ),
    (
        &["replay", "--since", "1h", "--to", "oncall", "--rate", "0"],
        REFUSED,
        "rate: ",
    ),
    (&["event-types", "show", "no.such"], NOT_FOUND, "\"no.such\""),
    (&["event-types", "put", "a.b", "--tone", "loud"], REFUSED, "tone: "),
    (
        &["event-types", "put", "a.b", "--schema", "{"],
        USAGE,
        "--schema: what was given is not JSON",
    ),
    (&["doctor", "--since", "soon"], REFUSED, "since: "),
    (&["providers", "slak"], NOT_FOUND, "no provider \"slak\": there are "),
    (&["completions", "tcsh"], USAGE, "bash"),
    (&["config", "--settings", "no.toml"], 1, "no.toml"),
    (&["acts", "show", "nothing"], NOT_FOUND, "no act \"nothing\""),
    (&["up", "--listen", "somewhere"], USAGE, "--listen"),
    (
        &["up", "-f", "no.yaml"],
        1,
        "cannot read no.yaml: there is no such file",
    ),
    (
        &["run", "cook"],
        USAGE,
        "ingest, router, delivery, keeper, recorder, api",
    ),
    (
        &["run", "router", "--provider", "webhook"],
        USAGE,
        "--provider is for the role delivery",
    ),
];
