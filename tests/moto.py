"""``moto_server`` for tests: a simulator, and no S3. It answers as S3 documents that it does."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx2

from tests.neighbours import neighbour
from tests.running import PLAIN, free_port

SIGNED: Final = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request"
}
"""What the simulator looks for in a request that no S3 library makes."""


@contextmanager
def s3_with(bucket: str) -> Iterator[str]:
    """Give the endpoint of a server that has this bucket."""
    program, port = neighbour("moto_server", "moto"), free_port()
    server = subprocess.Popen(
        [program, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                httpx2.put(f"{url}/{bucket}", headers=SIGNED, **PLAIN).raise_for_status()
                break
            except httpx2.TransportError:
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(10)
