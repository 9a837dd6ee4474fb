"""Makes people at the broker, signs them in, and has schemathesis ask as one after another: each may ask so often only."""

import base64
import hmac
import itertools
import os
import pathlib
import re
import struct
import subprocess
import time

import requests
import schemathesis

BROKER = os.environ["PEOPLE_URL"]
COMMAND = [os.environ["BROKER_BIN"], "broker"]
CONFIG = ["--config", os.environ["BROKER_CONFIG"]]
PASSWORD = "the password of a judge"
ROLES = ("operator", "credential-admin", "auditor")
SESSIONS = "/admin/v1/sessions"


def put_person(name):
    """What the codes of somebody new come from."""
    file = pathlib.Path("password")
    file.write_text(PASSWORD)
    words = [*COMMAND, "put-person", name, "--password-file", str(file), *CONFIG]
    for role in ROLES:
        words += ["--role", role]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    secret = re.search(r"secret=([A-Z2-7]+)", told)[1]
    return base64.b32decode(secret + "=" * (-len(secret) % 8))


def one_time_code(secret):
    """TOTP (RFC 6238)."""
    digest = hmac.digest(secret, struct.pack(">Q", int(time.time()) // 30), "sha1")
    at = digest[-1] & 15
    number = struct.unpack(">I", digest[at : at + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**6:06}"


def signed_in(name):
    shown = {"name": name, "password": PASSWORD}
    shown["code"] = one_time_code(put_person(name))
    answer = requests.post(BROKER + SESSIONS, json=shown, timeout=30)
    answer.raise_for_status()
    return answer.json()["token"]


class People(requests.auth.AuthBase):
    """Several people who may do everything, and one who signs out."""

    def __init__(self):
        self.tokens = itertools.cycle([signed_in(f"judge-{one}") for one in range(4)])
        self.leaving = signed_in("judge-who-leaves")

    def __call__(self, request):
        path = request.path_url.split("?")[0]
        leaves = request.method == "DELETE" and path == f"{SESSIONS}/current"
        token = self.leaving if leaves else next(self.tokens)
        if path != SESSIONS:
            request.headers["Authorization"] = f"Bearer {token}"
        return request


schemathesis.auth.set_from_requests(People())


def is_name(value):
    return isinstance(value, str) and re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", value)


@schemathesis.hook
def before_call(context, case, kwargs):
    """A document that names something names what the path does, so that it is taken."""
    names = list((case.path_parameters or {}).values())
    if isinstance(case.body, dict) and names and is_name(names[-1]):
        for field in ("name", "confirm"):
            if is_name(case.body.get(field)):
                case.body[field] = names[-1]
