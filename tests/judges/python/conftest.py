"""The stand-in as Cloudflare's own Python library sees it: by base URL and token, nothing else changed."""

import json
import os
import urllib.parse
import urllib.request

import pytest
from cloudflare import Cloudflare
from pydantic import BaseModel


def need(name):
    value = os.environ.get(name)
    if not value:
        pytest.exit(f"{name} is not set; tests/judges/run sets it", returncode=2)
    return value


ACCOUNT = need("STANDIN_ACCOUNT")
API_URL = need("STANDIN_API_URL")


def library(token=None, **options):
    """The library. Answers that its models do not allow are errors, and nothing is tried twice unless asked."""
    options = {"max_retries": 0, "_strict_response_validation": True} | options
    return Cloudflare(
        base_url=API_URL, api_token=token or need("STANDIN_TOKEN"), **options
    )


def operator(method, path, body=None):
    """A switch of the stand-in that Cloudflare does not have."""
    origin = urllib.parse.urlsplit(API_URL)
    request = urllib.request.Request(
        f"{origin.scheme}://{origin.netloc}/standin/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def unknown_fields(model, place=""):
    """Fields of an answer that the library's models do not have, by path."""
    found = set()
    if isinstance(model, list):
        for item in model:
            found |= unknown_fields(item, f"{place}[]")
    elif isinstance(model, BaseModel):
        found |= {f"{place}.{name}" for name in model.model_extra or {}}
        for name in type(model).model_fields:
            found |= unknown_fields(getattr(model, name), f"{place}.{name}")
    return found


@pytest.fixture(scope="session")
def cloudflare():
    with library() as client:
        yield client


@pytest.fixture(scope="session")
def zone(cloudflare):
    """Id of the zone for records."""
    (zone,) = cloudflare.zones.list(name="example.com", account={"id": ACCOUNT})
    return zone.id
