"""Publishes standard input to a subject with nats-py and waits for the acknowledgement of JetStream."""

import asyncio
import sys

import nats


async def main(url: str, subject: str) -> None:
    connection = await nats.connect(url)
    acknowledgement = await connection.jetstream().publish(subject, sys.stdin.buffer.read())
    print(acknowledgement.stream, acknowledgement.seq)
    await connection.close()


asyncio.run(main(*sys.argv[1:]))
