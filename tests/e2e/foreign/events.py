"""Publishes events in every form, with the CloudEvents SDK, a MessagePack library, nats-py and the HTTP client of Python.

Standard input is JSON: {"form", "nats", "api", "key", "events"}, each event with the members id, source, subject, type, time,
extensions and data. The answer of the API, or the place in the stream, is printed.
"""

import asyncio
import json
import sys
import urllib.request

import msgpack
import nats
from cloudevents.core.bindings import http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from dateutil.parser import isoparse

FORMAT = JSONFormat()


def cloudevent(event: dict) -> CloudEvent:
    attributes = {name: event[name] for name in ("id", "source", "subject", "type")}
    attributes |= event["extensions"]
    attributes |= {"time": isoparse(event["time"]), "datacontenttype": "application/json"}
    return CloudEvent(attributes, event["data"])


def plain(event: dict) -> dict:
    own = {"agentid": "agent_id", "executionid": "execution_id", "severity": "severity"}
    named = {own[name]: value for name, value in event["extensions"].items() if name in own}
    further = {name: value for name, value in event["extensions"].items() if name not in own}
    return {name: event[name] for name in ("id", "source", "subject", "type", "time", "data")} | named | {"metadata": further}


def binary(event: dict) -> tuple[dict, bytes]:
    message = http.to_binary(cloudevent(event), FORMAT)
    return dict(message.headers), message.body


def structured(event: dict) -> tuple[dict, bytes]:
    message = http.to_structured(cloudevent(event), FORMAT)
    return dict(message.headers), message.body


def batch(events: list[dict]) -> tuple[dict, bytes]:
    # The SDK has no batches; one is a JSON array of what it writes.
    bodies = b",".join(FORMAT.write(cloudevent(event)) for event in events)
    return {"content-type": "application/cloudevents-batch+json"}, b"[" + bodies + b"]"


def post(given: dict, headers: dict, body: bytes) -> None:
    headers |= {"authorization": "Bearer " + given["key"]}
    request = urllib.request.Request(given["api"] + "/v1/events", data=body, headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        print(answer.read().decode())


async def publish(given: dict, headers: dict, body: bytes) -> None:
    connection = await nats.connect(given["nats"])
    subject = "signalbox.in.default." + given["events"][0]["type"]
    place = await connection.jetstream().publish(subject, body, headers=headers)
    print(json.dumps({"stream": place.stream, "seq": place.seq}))
    await connection.close()


def main() -> None:
    given = json.load(sys.stdin)
    events = given["events"]
    packed = {"content-type": "application/msgpack"}
    match given["form"]:
        case "http binary":
            post(given, *binary(events[0]))
        case "http structured":
            post(given, *structured(events[0]))
        case "http batch":
            post(given, *batch(events))
        case "http msgpack":
            post(given, packed, msgpack.packb(plain(events[0])))
        case "http msgpack array":
            post(given, packed, msgpack.packb([plain(event) for event in events]))
        case "http binary msgpack":
            headers, _ = binary(events[0])
            post(given, headers | packed, msgpack.packb(events[0]["data"]))
        case "nats binary":
            asyncio.run(publish(given, *binary(events[0])))
        case "nats headers":
            headers, body = binary(events[0])
            del headers["ce-specversion"], headers["content-type"], headers["ce-type"]
            headers["Nats-Msg-Id"] = headers.pop("ce-id")
            asyncio.run(publish(given, headers, body))
        case "nats structured":
            asyncio.run(publish(given, *structured(events[0])))
        case "nats batch":
            asyncio.run(publish(given, *batch(events)))
        case "nats msgpack":
            headers, _ = binary(events[0])
            asyncio.run(publish(given, headers | packed, msgpack.packb(events[0]["data"])))
        case form:
            sys.exit(f"there is no form {form!r}")


main()
