"""Makes and reads buckets with the vendor's own client, boto3.

bucket.py make URL BUCKET    makes the bucket and a user that may do what the policy on standard input says and no more, has the
                             store refuse who is not signed in from then on, and prints the keys {writer, reader}, each {id, secret}
bucket.py read URL BUCKET    reads a key {id, secret} from standard input, and prints {key: {type, class, lines}} of all objects,
                             lines unpacked as the key's extension says
"""

import gzip
import json
import sys
import urllib.request

import boto3
from botocore.config import Config

REGION = "us-east-1"


def client(service: str, url: str, key: dict):
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=key["id"],
        aws_secret_access_key=key["secret"],
        config=Config(retries={"total_max_attempts": 1}),
    )


def user(iam, name: str, policy: dict) -> dict:
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


def make(url: str, bucket: str) -> dict:
    anybody = {"id": "anybody", "secret": "anything"}
    client("s3", url, anybody).create_bucket(Bucket=bucket)
    iam = client("iam", url, anybody)
    reads = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}],
    }
    keys = {"writer": user(iam, "writer", json.load(sys.stdin)), "reader": user(iam, "reader", reads)}
    # Of moto: how many requests are taken from anybody.
    reset = urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})
    with urllib.request.urlopen(reset) as answer:
        answer.read()
    return keys


def read(url: str, bucket: str) -> dict:
    s3 = client("s3", url, json.load(sys.stdin))
    objects = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for listed in page.get("Contents", []):
            key = listed["Key"]
            found = s3.get_object(Bucket=bucket, Key=key)
            body = found["Body"].read()
            objects[key] = {
                "type": found["ContentType"],
                "class": listed["StorageClass"],
                "lines": (gzip.decompress(body) if key.endswith(".gz") else body).decode(),
            }
    return objects


what, *where = sys.argv[1:]
print(json.dumps({"make": make, "read": read}[what](*where)))
