"""Verifies a webhook: v1 with the package standardwebhooks, v1a with Ed25519 of cryptography.

Reads {headers, body, secret, public_key} from standard input, prints {v1, v1a}.
"""

import base64
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError


def v1(given: dict) -> bool:
    try:
        Webhook(given["secret"]).verify(given["body"], given["headers"])
    except WebhookVerificationError:
        return False
    return True


def v1a(given: dict) -> bool:
    headers = given["headers"]
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{given['body']}".encode()
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(given["public_key"]))
    for signature in headers["webhook-signature"].split():
        version, _, text = signature.partition(",")
        if version == "v1a":
            try:
                key.verify(base64.b64decode(text), content)
                return True
            except InvalidSignature:
                pass
    return False


given = json.load(sys.stdin)
print(json.dumps({"v1": v1(given), "v1a": v1a(given)}))
