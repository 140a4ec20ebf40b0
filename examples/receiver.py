#!/usr/bin/env python3
"""Prints what arrives at http://127.0.0.1:9000 and answers 200, or the status given: receiver.py 500."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GIVEN = sys.argv[1] if len(sys.argv) > 1 else "200"
if not (GIVEN.isdecimal() and 200 <= int(GIVEN) <= 599):
    sys.exit(f"error: {GIVEN} is not a status to answer with, such as 200 or 500")
STATUS = int(GIVEN)


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        print(f"{self.path}  webhook-id: {self.headers.get('webhook-id')}", flush=True)
        print(f"  {body.decode(errors='replace')}", flush=True)
        self.send_response(STATUS)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


try:
    server = ThreadingHTTPServer(("127.0.0.1", 9000), Receiver)
except OSError as error:
    sys.exit(f"error: cannot listen on 127.0.0.1:9000: {error.strerror}; another receiver may be running")
print(f"answering {STATUS} at http://127.0.0.1:9000", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    pass
