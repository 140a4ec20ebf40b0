"""Reads {"document": …, "answers": [{"method", "path", "status", "type", "body"}]} and says what is wrong, a line each.

The document has to be one of OpenAPI 3.1, and every answer one that it tells of.
"""

import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator


def faults_of(answer, document):
    name = f"{answer['method']} {answer['path']} {answer['status']}"
    operation = document["paths"][answer["path"]][answer["method"].lower()]
    response = operation["responses"].get(str(answer["status"]))
    if response is None:
        yield f"{name}: the status is not told: {answer['body']}"
        return
    content = response["content"].get(answer["type"])
    if content is None:
        yield f"{name}: the type {answer['type']} is not told"
        return
    if not answer["type"].endswith("json"):
        return
    # References are to the components of the document.
    schema = {**content["schema"], "components": document["components"]}
    for fault in Draft202012Validator(schema).iter_errors(answer["body"]):
        yield f"{name}: {fault.json_path}: {fault.message[:500]}"


given = json.load(sys.stdin)
faults = [f"document: {fault.json_path}: {fault.message}" for fault in OpenAPIV31SpecValidator(given["document"]).iter_errors()]
for schema in given["document"]["components"]["schemas"].values():
    Draft202012Validator.check_schema(schema)
for answer in given["answers"]:
    faults.extend(faults_of(answer, given["document"]))
print("\n".join(faults))
