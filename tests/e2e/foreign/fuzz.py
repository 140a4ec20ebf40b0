"""Makes requests from an OpenAPI document and holds the answers against it, with schemathesis.

    fuzz.py DOCUMENT BASE_URL SEED EXAMPLES [SECONDS]

On standard input: the key, then as JSON what the open parts of paths may name, by path and name. EXAMPLES bounds the requests of an operation in each phase; with SECONDS they go on
until that time is over. The last line of standard output is JSON: how often each operation answered with each status.
Ends with 1 where an answer was wrong.
"""

import collections
import json
import sys
import zlib

import msgpack
import schemathesis
from schemathesis.cli import schemathesis as command
from schemathesis.core.parameters import ParameterLocation

# What never ends cannot be waited for; it has tests of its own.
ENDLESS = ["tail"]
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ignored_auth",
]

answered = collections.defaultdict(collections.Counter)


@schemathesis.serializer("application/msgpack")
def as_msgpack(context, value):
    # What is too large for it is none of its numbers.
    return msgpack.packb(value, default=str)


@schemathesis.hook
def before_call(context, case, kwargs):
    # Every other request is about something that is there: what names nothing is refused for that alone.
    for name, value in list((case.path_parameters or {}).items()):
        known = things.get(case.operation.path, {}).get(name)
        chance = zlib.crc32(repr((value, dict(case.query or {}), case.body)).encode())
        if known and case.method != "DELETE" and chance % 2 and not is_about(case, ParameterLocation.PATH):
            case.path_parameters[name] = known
    # A condition that cannot be read hides all else that is wrong.
    if case.headers and "If-Match" in case.headers and not is_about(case, ParameterLocation.HEADER):
        del case.headers["If-Match"]


def is_about(case, location):
    """Whether what is wrong with a request, or tried by it, is there."""
    return case.meta is None or getattr(case.meta.phase.data, "parameter_location", None) == location


@schemathesis.hook
def after_call(context, case, response):
    answered[case.operation.label][response.status_code] += 1


document, base, seed, examples, *seconds = sys.argv[1:]
key = sys.stdin.readline().strip()
things = json.loads(sys.stdin.read() or "{}")
arguments = [
    "run", document, "--url", base, "--header", f"Authorization: Bearer {key}", "--seed", seed,
    "--max-examples", examples, "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing,stateful",
    "--continue-on-failure", "--generation-database", "none", "--request-timeout", "60", "--warnings", "off",
    "--suppress-health-check", "all", "--output-sanitize", "true", "--workers", "1",
]
for operation in ENDLESS:
    arguments += ["--exclude-operation-id", operation]
if seconds:
    arguments += ["--max-time", seconds[0]]
else:
    # The least example of a fault is worth its time only to whoever looks into it.
    arguments += ["--no-shrink"]
try:
    code = command(arguments, standalone_mode=False) or 0
except SystemExit as ended:
    code = ended.code
print(json.dumps({operation: dict(statuses) for operation, statuses in answered.items()}))
sys.exit(code)
