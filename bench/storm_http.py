"""HTTP on loopback, a connection each: whoever answers may be another process by the next."""

import http.client
from typing import Final

PATIENCE_SECONDS: Final = 10.0
"""What takes longer has not answered: whoever asked has gone."""


def ask(method: str, port: int, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Give status and body; status 0 and the reason where nobody answered in time."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error).encode()
    finally:
        connection.close()
