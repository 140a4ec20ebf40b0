"""Reads {"document", "schema", "values"} and says which values are not of the schema, a line each."""

import json
import sys

from jsonschema import Draft202012Validator

given = json.load(sys.stdin)
# References are to the components of the document.
schema = Draft202012Validator({**given["schema"], "components": given["document"]["components"]})
for value in given["values"]:
    for fault in schema.iter_errors(value):
        print(f"{json.dumps(value)[:300]}: {fault.json_path}: {fault.message[:500]}")
