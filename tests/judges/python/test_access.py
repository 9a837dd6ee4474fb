"""Tokens and the rate limit."""

import time

import cloudflare as library_module
import pytest

from conftest import ACCOUNT, library, operator, unknown_fields


def test_a_token_is_verified(cloudflare):
    token = cloudflare.user.tokens.verify()
    assert token.status == "active"
    assert len(token.id) == 32
    assert unknown_fields(token) == set()


def test_a_users_token_is_not_one_of_the_account(cloudflare):
    with pytest.raises(library_module.AuthenticationError) as refusal:
        cloudflare.accounts.tokens.verify(account_id=ACCOUNT)
    assert [e.code for e in refusal.value.errors] == [1000]


@pytest.mark.parametrize(
    ("call", "error", "code"),
    [
        (lambda c: c.user.tokens.verify(), library_module.AuthenticationError, 1000),
        (
            lambda c: c.zero_trust.tunnels.cloudflared.list(account_id=ACCOUNT),
            library_module.AuthenticationError,
            10000,
        ),
        (lambda c: c.zones.list(), library_module.PermissionDeniedError, 9109),
    ],
    ids=["verify", "tunnels", "zones"],
)
def test_a_wrong_token_is_refused(call, error, code):
    with library(token="w" * 40) as stranger, pytest.raises(error) as refusal:
        call(stranger)
    assert [e.code for e in refusal.value.errors] == [code]


def test_a_malformed_token_is_a_bad_request():
    with library(token="no token") as stranger:
        with pytest.raises(library_module.BadRequestError) as refusal:
            stranger.zones.list()
    assert [e.code for e in refusal.value.errors] == [6003]


@pytest.fixture
def two_calls_in_two_seconds():
    operator("PUT", "rate-limit", {"calls": 2, "window_milliseconds": 2000})
    yield
    operator("PUT", "rate-limit", {"calls": 1200, "window_milliseconds": 300000})


def test_too_many_calls_are_a_rate_limit_error(cloudflare, two_calls_in_two_seconds):
    for _ in range(2):
        cloudflare.user.tokens.verify()
    with pytest.raises(library_module.RateLimitError) as refusal:
        cloudflare.user.tokens.verify()
    assert int(refusal.value.response.headers["retry-after"]) in (1, 2)
    assert [e.code for e in refusal.value.errors] == [971]


def test_the_library_waits_out_the_rate_limit(two_calls_in_two_seconds):
    with library(max_retries=3) as patient:
        for _ in range(2):
            patient.user.tokens.verify()
        began = time.monotonic()
        assert patient.user.tokens.verify().status == "active"
    assert time.monotonic() - began > 1
