"""Reads the text format of Prometheus from standard input with the vendor's own parser, prints the samples as JSON.

Each sample is {"name", "type", "help", "labels", "value"}, where name is that of the sample.
"""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

samples = [
    {
        "name": sample.name,
        "type": family.type,
        "help": family.documentation,
        "labels": sample.labels,
        "value": sample.value,
    }
    for family in text_string_to_metric_families(sys.stdin.read())
    for sample in family.samples
    # What is not a number (NaN) is none in JSON either; the gateway says so of empty summaries.
    if sample.value == sample.value
]
print(json.dumps(samples))
