"""Enrols a cluster at the broker and signs every request of schemathesis as that cluster (DPoP, RFC 9449)."""

import base64
import hashlib
import json
import os
import re
import subprocess
import time
import urllib.parse
import uuid

import requests
import schemathesis
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

BROKER = os.environ["BROKER_URL"]
COMMAND = [os.environ["BROKER_BIN"], "broker", "--config", os.environ["BROKER_CONFIG"]]
CLUSTER = "judge"
INSTANCE = str(uuid.uuid4())

# What is asked by whoever has no session yet.
STRANGERS = ("/v1/enrolments", "/v1/sessions")


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def packed(value):
    return encoded(json.dumps(value).encode())


class Cluster(requests.auth.AuthBase):
    """A cluster that leads: its key, its session, its term and how much it stated in that."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        numbers = self.key.public_key().public_numbers()
        x, y = (encoded(n.to_bytes(32, "big")) for n in (numbers.x, numbers.y))
        self.public = {"kty": "EC", "crv": "P-256", "x": x, "y": y}
        self.token = None
        self.term = 0
        self.stated = 0

    def proof(self, method, url, token):
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.public}
        claims = {"jti": str(uuid.uuid4()), "htm": method, "htu": url}
        claims["iat"] = int(time.time())
        if token:
            claims["ath"] = encoded(hashlib.sha256(token.encode()).digest())
        signed = f"{packed(header)}.{packed(claims)}"
        der = self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
        r, s = utils.decode_dss_signature(der)
        return f"{signed}.{encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def __call__(self, request):
        path = urllib.parse.urlsplit(request.url).path
        token = None if path in STRANGERS else self.token
        url = request.url.split("?")[0]
        request.headers["DPoP"] = self.proof(request.method, url, token)
        if token:
            request.headers["Authorization"] = f"DPoP {token}"
        # A place that is one is the next of the present term, so that statements are taken.
        place = str(request.headers.get("Statement-Place", ""))
        if re.fullmatch(r"[0-9]{1,19}\.[0-9]{1,19}", place):
            self.stated += 1
            request.headers["Statement-Place"] = f"{self.term}.{self.stated}"
        # No answer is waited for: there are many.
        request.headers["Prefer"] = "wait=0"
        return request

    def post(self, path, body):
        answer = requests.post(BROKER + path, json=body, auth=self, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def enrol(self, code):
        body = {"code": code, "instance": INSTANCE}
        key = self.post("/v1/enrolments", body)["key"]
        command([*COMMAND, "accept", CLUSTER, "--key", key])
        self.token = self.post("/v1/sessions", {"instance": INSTANCE})["token"]
        self.term = self.post("/v1/terms", {})["term"]


def command(words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


cluster = Cluster()
cluster.enrol(command([*COMMAND, "invite", CLUSTER, "--tenant", "judges"]).strip())
schemathesis.auth.set_from_requests(cluster)


@schemathesis.hook
def after_call(context, case, response):
    """A term that begins is the one in which things are stated from then on."""
    if case.path == "/v1/terms" and response.status_code == 200:
        cluster.term = response.json()["term"]
