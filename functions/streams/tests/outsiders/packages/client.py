"""Reads a stream up to the message -1 by the client of the protocol's authors, and prints each message.

The client leaves it to its caller to come back after a cut, and does not say that a stream is closed.
"""

import os

import httpx
from durable_streams import stream


def read(offset):
    with stream(os.environ["URL"], offset=offset, live=os.environ["LIVE"]) as events:
        for event in events.iter_events("json_batches"):
            for message in event.data:
                print(message, flush=True)
            offset = event.next_offset
            yield offset, -1 in event.data


offset, is_over = "-1", False
while not is_over:
    try:
        for offset, is_over in read(offset):
            if is_over:
                break
    except httpx.TransportError:
        pass
