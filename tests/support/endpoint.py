"""What answers calls of AWS over real HTTP, where the SDK finds it through its own environment."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from tests.support.aws_error import AwsError
from tests.support.ecs_model import EcsModel


class Call(NamedTuple):
    """A call in AWS's JSON protocol, the body as it came."""

    action: str
    headers: Mapping[str, str]
    body: bytes


Answer = tuple[int, bytes]
"""Status and body."""


@contextmanager
def answering(answer: Callable[[Call], Answer | None]) -> Iterator[str]:
    """Serve on a free port of the loopback interface, dropping the connection for None; yields the endpoint's URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            action = self.headers["X-Amz-Target"].rpartition(".")[2]
            answered = answer(Call(action, dict(self.headers), body))
            if answered is None:
                self.close_connection = True
                return
            status, payload = answered
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            """Say nothing: the tests' output is for their results."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serve(model: EcsModel) -> Iterator[str]:
    """Serve `model`; yields the endpoint's URL."""

    def answer(call: Call) -> Answer | None:
        try:
            return 200, json.dumps(model.call(call.action, json.loads(call.body))).encode()
        except AwsError as error:
            return error.status, json.dumps({"__type": error.code, "message": error.message, **error.more}).encode()
        except ConnectionAbortedError:
            # The answer is lost on the way: the caller sees a dropped connection.
            return None

    with answering(answer) as url:
        yield url
