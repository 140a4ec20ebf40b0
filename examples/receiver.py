#!/usr/bin/env python3
"""Prints what arrives at http://127.0.0.1:9000 and answers 200, or the status given: receiver.py 500."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STATUS = int(sys.argv[1]) if len(sys.argv) > 1 else 200


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


print(f"answering {STATUS} at http://127.0.0.1:9000", flush=True)
ThreadingHTTPServer(("127.0.0.1", 9000), Receiver).serve_forever()
