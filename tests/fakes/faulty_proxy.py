"""An HTTP proxy in front of a real MLflow server that fails in the ways that networks do."""

import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "host"}


class FaultyProxy:
    """Forwards requests to a server on this machine; ``fault`` says what it does wrong.

    Faults: None, ``error`` (answers 500, forwards nothing), ``lost`` (forwards the first attempt at
    each request and answers 500; passes the second one), ``small`` (answers 413 to bodies of more
    than 10 kB), ``without registered-models`` (answers 403 where the path says so, as a server does
    that keeps a part to others), or a number of seconds that each answer takes.
    """

    def __init__(self, port):  # noqa: C901  (a handler is a class inside)
        self.fault = None
        self.num_requests = 0
        self.num_failed = 0
        self._seen = set()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                proxy.num_requests += 1
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fault = proxy.fault
                if isinstance(fault, int | float):
                    time.sleep(fault)
                if fault == "error":
                    return self.fail()
                kind, _, part = str(fault).partition(" ")
                if kind == "without" and f"/{part}/" in self.path:
                    return self.fail(403)
                if fault == "small" and len(body) > 10_000:
                    return self.fail(413)
                status, headers, answer = self.forward(body)
                identity = (self.command, self.path, body)
                if fault == "lost" and identity not in proxy._seen:
                    proxy._seen.add(identity)
                    return self.fail()
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in _HOP_BY_HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                return None

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

            def forward(self, body):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                headers = {
                    name: value
                    for name, value in self.headers.items()
                    if name.lower() not in _HOP_BY_HOP
                }
                try:
                    # Whoever takes this for their http_proxy names the host in the path, too.
                    path = urlsplit(self.path)._replace(scheme="", netloc="").geturl()
                    connection.request(self.command, path, body, headers)
                    response = connection.getresponse()
                    return response.status, response.getheaders(), response.read()
                finally:
                    connection.close()

            def fail(self, status=500):
                proxy.num_failed += 1
                answer = b"the proxy was told to fail"
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def uri(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
