"""A double of Google Cloud Storage: the XML API as far as an object is written and asked for, as Google documents it.

google_storage.py PORT BUCKET KEY_FILE

It takes the tokens that the service account of KEY_FILE signs by itself (https://google.aip.dev/auth/4111), checked with the
package cryptography, and knows x-goog-if-generation-match: 0. GET /all gives {key: {type, class, lines}} of all objects, lines
unpacked as the key's extension says.

The one emulator in the registry, gcp-storage-emulator, knows no condition of this API, checks no token and answers a write
without an ETag.
"""

import base64
import gzip
import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

SCOPES = {
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/devstorage.full_control",
    "https://www.googleapis.com/auth/devstorage.read_write",
}
LIFE_SECONDS_MAX = 3600
CLOCKS_DIFFER_SECONDS_MAX = 60

port, bucket, key_file = sys.argv[1:]
with open(key_file, encoding="utf-8") as file:
    account = json.load(file)
public_key = load_pem_private_key(account["private_key"].encode(), None).public_key()
lock = threading.Lock()
objects: dict[str, dict] = {}


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def is_ours(authorization: str) -> bool:
    kind, _, token = authorization.partition(" ")
    parts = token.split(".")
    if kind != "Bearer" or len(parts) != 3:
        return False
    try:
        public_key.verify(decoded(parts[2]), f"{parts[0]}.{parts[1]}".encode(), PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    head, claims, now = json.loads(decoded(parts[0])), json.loads(decoded(parts[1])), time.time()
    return (
        head["alg"] == "RS256"
        and head["kid"] == account["private_key_id"]
        and claims["iss"] == claims["sub"] == account["client_email"]
        and bool(SCOPES & set(claims["scope"].split()))
        and claims["iat"] <= now + CLOCKS_DIFFER_SECONDS_MAX
        and now < claims["exp"] <= claims["iat"] + LIFE_SECONDS_MAX
    )


class Double(BaseHTTPRequestHandler):
    def answer(self, status: int, headers: dict, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status: int, code: str) -> None:
        body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>No.</Message></Error>"
        self.answer(status, {"Content-Type": "application/xml; charset=UTF-8"}, body.encode())

    def is_refused(self, place: str) -> bool:
        if not is_ours(self.headers.get("Authorization", "")):
            self.refuse(401, "AuthenticationRequired")
        elif place != bucket:
            self.refuse(404, "NoSuchBucket")
        else:
            return False
        return True

    def do_GET(self) -> None:
        if self.path == "/all":
            with lock:
                self.answer(200, {"Content-Type": "application/json"}, json.dumps(everything()).encode())
            return
        place, _, key = unquote(self.path.lstrip("/")).partition("/")
        if self.is_refused(place):
            return
        with lock:
            found = objects.get(key)
        if found is None:
            self.refuse(404, "NoSuchKey")
        else:
            self.answer(200, {"ETag": tag(found["body"]), "Content-Type": found["type"]}, found["body"])

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        place, _, key = unquote(self.path.lstrip("/")).partition("/")
        if self.is_refused(place):
            return
        with lock:
            if self.headers.get("x-goog-if-generation-match") == "0" and key in objects:
                self.refuse(412, "PreconditionFailed")
                return
            objects[key] = {
                "type": self.headers["Content-Type"],
                "class": self.headers.get("x-goog-storage-class", "STANDARD"),
                "body": body,
            }
        self.answer(200, {"ETag": tag(body), "x-goog-generation": str(time.time_ns() // 1000)})


def everything() -> dict:
    return {
        key: {
            "type": found["type"],
            "class": found["class"],
            "lines": (gzip.decompress(found["body"]) if key.endswith(".gz") else found["body"]).decode(),
        }
        for key, found in objects.items()
    }


def tag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


ThreadingHTTPServer(("127.0.0.1", int(port)), Double).serve_forever()
