"""A light client for load: one thread, keep-alive connections, nothing parsed but status and length."""

import asyncio
import collections
import json
import random
import time

INSTRUCTIONS = [f"Represent the text number {number}: " for number in range(8)]


def body(draw):
    texts = [f"{draw.random()} some words of a text " * draw.randint(1, 6) for _ in range(draw.randint(1, 8))]
    return json.dumps({"inputs": texts, "instruction": draw.choice(INSTRUCTIONS)}).encode()


async def request(reader, writer, content):
    """Send one request and return (status, headers as bytes)."""
    head = b"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    writer.write(head % len(content) + content)
    headers = await reader.readuntil(b"\r\n\r\n")
    lower = headers.lower()
    length = int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return int(headers.split(b" ", 2)[1]), lower


class Load:
    """What clients saw: statuses, seconds of the requests that were answered, errors."""

    def __init__(self):
        self.statuses, self.durations, self.errors = collections.Counter(), [], []

    @property
    def p99(self):
        return sorted(self.durations)[int(0.99 * (len(self.durations) - 1))]

    async def client(self, port, number, end, pause):
        draw = random.Random(number)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while time.perf_counter() < end:
                content = body(draw)
                start = time.perf_counter()
                status, headers = await asyncio.wait_for(request(reader, writer, content), 60)
                self.statuses[status] += 1
                if status == 200:
                    self.durations.append(time.perf_counter() - start)
                elif status == 429:
                    assert int(headers.partition(b"retry-after:")[2].partition(b"\r\n")[0]) >= 1
                await asyncio.sleep(pause)
        except Exception as error:
            self.errors.append(repr(error))
        finally:
            writer.close()


def run(port, clients, seconds, pause=0.0):
    """Send requests from many clients for some seconds."""

    async def main():
        load, end = Load(), time.perf_counter() + seconds
        await asyncio.gather(*(load.client(port, number, end, pause) for number in range(clients)))
        return load

    return asyncio.run(main())
