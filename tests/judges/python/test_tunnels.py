"""Tunnels, their configuration, their tokens and their connections."""

import base64
import json
import secrets
import uuid

import cloudflare as library_module
import pytest

from conftest import ACCOUNT, library, operator, unknown_fields

PREFIX = "python-judge-"


@pytest.fixture
def tunnels(cloudflare):
    return cloudflare.zero_trust.tunnels.cloudflared


@pytest.fixture
def tunnel(tunnels):
    made = tunnels.create(
        account_id=ACCOUNT,
        name=f"{PREFIX}{uuid.uuid4()}",
        config_src="cloudflare",
    )
    yield made
    try:
        tunnels.delete(made.id, account_id=ACCOUNT)
    except library_module.NotFoundError:
        pass


def secret_in(token):
    return base64.b64decode(json.loads(base64.b64decode(token))["s"])


def test_a_tunnel_is_made_read_renamed_and_deleted(tunnels, tunnel):
    assert tunnel.account_tag == ACCOUNT
    assert tunnel.config_src == "cloudflare"
    assert tunnel.remote_config is True
    assert tunnel.status == "inactive"
    assert tunnel.tun_type == "cfd_tunnel"
    assert tunnel.deleted_at is None
    # The documentation has them, the library's model has not.
    assert unknown_fields(tunnel) <= {".token", ".credentials_file"}

    read = tunnels.get(tunnel.id, account_id=ACCOUNT)
    assert (read.id, read.name) == (tunnel.id, tunnel.name)
    assert unknown_fields(read) == set()

    name = f"{tunnel.name}-renamed"
    assert tunnels.edit(tunnel.id, account_id=ACCOUNT, name=name).name == name

    assert tunnels.delete(tunnel.id, account_id=ACCOUNT).deleted_at is not None
    assert tunnels.get(tunnel.id, account_id=ACCOUNT).deleted_at is not None
    with pytest.raises(library_module.NotFoundError):
        tunnels.delete(tunnel.id, account_id=ACCOUNT)


def test_tunnels_are_listed_over_several_pages_and_by_filter(tunnels):
    prefix = f"{PREFIX}pages-"
    names = [f"{prefix}{n:02}" for n in range(23)]
    made = [tunnels.create(account_id=ACCOUNT, name=name) for name in names]

    def listed(**filters):
        return sorted(t.name for t in tunnels.list(account_id=ACCOUNT, **filters))

    page = tunnels.list(
        account_id=ACCOUNT, include_prefix=prefix, is_deleted=False, per_page=5
    )
    assert len(page.result) == 5
    assert (page.result_info.page, page.result_info.per_page) == (1, 5)
    assert sorted(t.name for t in page) == names
    assert listed(include_prefix=prefix, per_page=23) == names
    assert listed(name=names[7]) == [names[7]]
    assert listed(uuid=made[3].id) == [names[3]]
    assert listed(include_prefix=prefix, exclude_prefix=f"{prefix}1") == [
        n for n in names if not n.startswith(f"{prefix}1")
    ]
    assert listed(include_prefix=prefix, status="healthy") == []
    assert listed(include_prefix=prefix, status="inactive") == names

    for tunnel in made[:4]:
        tunnels.delete(tunnel.id, account_id=ACCOUNT)
    assert listed(include_prefix=prefix, is_deleted=False) == names[4:]
    assert listed(include_prefix=prefix, is_deleted=True) == names[:4]
    assert listed(include_prefix=prefix) == names
    for tunnel in made[4:]:
        tunnels.delete(tunnel.id, account_id=ACCOUNT)


def test_tunnels_are_listed_by_when_they_existed(tunnels, tunnel):
    def listed(moment):
        found = tunnels.list(account_id=ACCOUNT, uuid=tunnel.id, existed_at=moment)
        return [t.id for t in found]

    assert listed("2001-01-01T00:00:00Z") == []
    assert listed("2999-01-01T00:00:00Z") == [tunnel.id]
    tunnels.delete(tunnel.id, account_id=ACCOUNT)
    assert listed("2999-01-01T00:00:00Z") == []


def test_an_ingress_document_is_read_back_as_it_was_put(tunnels, tunnel):
    configurations = tunnels.configurations
    empty = configurations.get(tunnel.id, account_id=ACCOUNT)
    assert (empty.config, empty.version, empty.source) == (None, 0, "cloudflare")

    rules = [
        {"hostname": "a.example.com", "service": "http://a:80", "path": "^/api"},
        {
            "hostname": "b.example.com",
            "service": "https://b",
            "originRequest": {"noTLSVerify": True, "connectTimeout": 7},
        },
        {"hostname": "", "service": "http_status:404"},
    ]
    for version in (1, 2):
        put = configurations.update(
            tunnel.id, account_id=ACCOUNT, config={"ingress": rules}
        )
        assert put.version == version
    read = configurations.get(tunnel.id, account_id=ACCOUNT)
    assert (read.account_id, read.tunnel_id) == (ACCOUNT, tunnel.id)
    assert read.version == 2
    assert unknown_fields(read) == set()
    first, second, last = read.config.ingress
    assert (first.hostname, first.path) == ("a.example.com", "^/api")
    assert second.origin_request.no_tls_verify is True
    assert second.origin_request.connect_timeout == 7
    assert last.service == "http_status:404"


def test_a_catch_all_without_a_hostname_is_taken(tunnels, tunnel):
    # The model wants a hostname in every rule. The documentation's catch-all has none, so the answer is
    # read as the library reads it unless told otherwise.
    with library(_strict_response_validation=False) as lenient:
        configurations = lenient.zero_trust.tunnels.cloudflared.configurations
        configurations.update(
            tunnel.id,
            account_id=ACCOUNT,
            config={"ingress": [{"service": "http_status:503"}]},
        )
        (rule,) = configurations.get(tunnel.id, account_id=ACCOUNT).config.ingress
    assert rule.service == "http_status:503"
    assert getattr(rule, "hostname", None) is None


def test_a_bad_ingress_document_is_a_bad_request(tunnels, tunnel):
    with pytest.raises(library_module.BadRequestError) as refusal:
        tunnels.configurations.update(
            tunnel.id,
            account_id=ACCOUNT,
            config={"ingress": [{"hostname": "a.example.com", "service": "http://a"}]},
        )
    assert [e.code for e in refusal.value.errors] == [1056]


def test_a_new_secret_changes_the_connector_token(tunnels, tunnel):
    before = tunnels.token.get(tunnel.id, account_id=ACCOUNT)
    parts = json.loads(base64.b64decode(before))
    assert (parts["a"], parts["t"]) == (ACCOUNT, tunnel.id)
    secret = secrets.token_bytes(32)
    text = base64.b64encode(secret).decode()
    edited = tunnels.edit(tunnel.id, account_id=ACCOUNT, tunnel_secret=text)
    assert edited.name == tunnel.name
    after = tunnels.token.get(tunnel.id, account_id=ACCOUNT)
    assert secret_in(before) != secret
    assert secret_in(after) == secret


def test_connections_are_listed_by_connector_and_closed(tunnels, tunnel):
    assert list(tunnels.connections.get(tunnel.id, account_id=ACCOUNT)) == []
    connectors = {str(uuid.uuid4()): 4, str(uuid.uuid4()): 2}
    for connector, count in connectors.items():
        body = {"tunnel": tunnel.id, "connector": connector, "count": count}
        operator("POST", "connections", body)
    listed = list(tunnels.connections.get(tunnel.id, account_id=ACCOUNT))
    assert {c.id: len(c.conns) for c in listed} == connectors
    assert unknown_fields(listed) == set()
    for client in listed:
        assert client.run_at is not None
        for connection in client.conns:
            assert connection.client_id == client.id
            assert connection.is_pending_reconnect is False
            assert connection.opened_at >= client.run_at
            assert connection.colo_name
    assert tunnels.get(tunnel.id, account_id=ACCOUNT).status == "healthy"
    with pytest.raises(library_module.BadRequestError) as refusal:
        tunnels.delete(tunnel.id, account_id=ACCOUNT)
    assert [e.code for e in refusal.value.errors] == [1022]

    one = next(iter(connectors))
    tunnels.connections.delete(tunnel.id, account_id=ACCOUNT, client_id=one)
    left = [c.id for c in tunnels.connections.get(tunnel.id, account_id=ACCOUNT)]
    assert left == [c for c in connectors if c != one]
    tunnels.connections.delete(tunnel.id, account_id=ACCOUNT)
    assert list(tunnels.connections.get(tunnel.id, account_id=ACCOUNT)) == []
    assert tunnels.get(tunnel.id, account_id=ACCOUNT).status == "down"


def test_a_taken_name_is_a_conflict(tunnels, tunnel):
    with pytest.raises(library_module.ConflictError) as refusal:
        tunnels.create(account_id=ACCOUNT, name=tunnel.name)
    assert [e.code for e in refusal.value.errors] == [1013]


def test_an_unknown_tunnel_is_not_found(tunnels):
    nobody = str(uuid.uuid4())
    for call in (
        tunnels.get,
        tunnels.delete,
        tunnels.token.get,
        tunnels.configurations.get,
        tunnels.connections.get,
    ):
        with pytest.raises(library_module.NotFoundError) as refusal:
            call(nobody, account_id=ACCOUNT)
        assert [e.code for e in refusal.value.errors] == [1003]
