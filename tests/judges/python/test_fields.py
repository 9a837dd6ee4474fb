"""Every field that the project's client reads or writes is in the library's models, with its type."""

import collections.abc
import inspect
import json
import pathlib
import types
import typing

import pydantic
import pytest
import typing_extensions
from cloudflare import Cloudflare
from cloudflare._base_client import BasePage
from cloudflare._types import SequenceNotStr
from cloudflare.types import custom_certificates, dns, zero_trust, zones
from cloudflare.types.shared import ErrorData, ResponseInfo
from cloudflare.types.zero_trust.tunnels import cloudflared

FIELDS = json.loads(
    (pathlib.Path(__file__).parents[1] / "fields.json").read_text(encoding="utf-8")
)
CLIENT = Cloudflare(api_token="unused")
TUNNELS = CLIENT.zero_trust.tunnels.cloudflared

# The method that makes a call, and the class of what it sends.
CALLS = {
    "list tunnels": (TUNNELS.list, zero_trust.tunnels.CloudflaredListParams),
    "create tunnel": (TUNNELS.create, zero_trust.tunnels.CloudflaredCreateParams),
    "replace tunnel secret": (TUNNELS.edit, zero_trust.tunnels.CloudflaredEditParams),
    "adopt tunnel": (TUNNELS.edit, zero_trust.tunnels.CloudflaredEditParams),
    "get connector token": (TUNNELS.token.get, None),
    "list connections": (TUNNELS.connections.get, None),
    "get ingress rules": (TUNNELS.configurations.get, None),
    "put ingress rules": (
        TUNNELS.configurations.update,
        cloudflared.ConfigurationUpdateParams,
    ),
    "list zones": (CLIENT.zones.list, zones.ZoneListParams),
    "look up zone": (CLIENT.zones.list, zones.ZoneListParams),
    "list DNS records": (CLIENT.dns.records.list, dns.RecordListParams),
    "change DNS records": (CLIENT.dns.records.batch, dns.RecordBatchParams),
    "list custom certificates": (
        CLIENT.custom_certificates.list,
        custom_certificates.CustomCertificateListParams,
    ),
    "upload custom certificate": (
        CLIENT.custom_certificates.create,
        custom_certificates.CustomCertificateCreateParams,
    ),
    "replace custom certificate": (
        CLIENT.custom_certificates.edit,
        custom_certificates.CustomCertificateEditParams,
    ),
    "verify API token of a user": (CLIENT.user.tokens.verify, None),
    "verify API token of an account": (CLIENT.accounts.tokens.verify, None),
}

PLAIN = {
    "string": {str},
    "boolean": {bool},
    # JSON has one sort of number; the library says float where the API takes whole numbers only.
    "integer": {int, float},
}


class Envelope(pydantic.BaseModel):
    """What the library knows of every answer. It reads a refusal's errors and unwraps `result`."""

    errors: list[ErrorData] | list[ResponseInfo]


def variants(hint):
    """The alternatives of a type, without `None` and annotations."""
    origin = typing.get_origin(hint)
    if origin in (typing.Annotated, typing_extensions.Required):
        return variants(typing.get_args(hint)[0])
    if origin in (typing.Union, types.UnionType):
        return [v for arg in typing.get_args(hint) for v in variants(arg)]
    return [] if hint is type(None) else [hint]


def is_array(hint):
    return typing.get_origin(hint) in (list, collections.abc.Iterable, SequenceNotStr)


def is_object(hint):
    return typing_extensions.is_typeddict(hint) or (
        inspect.isclass(hint) and issubclass(hint, pydantic.BaseModel)
    )


def json_type_fits(hint, expected):
    if expected == "array":
        return is_array(hint)
    if expected == "object":
        return is_object(hint)
    if typing.get_origin(hint) is typing_extensions.Literal:
        return all(type(arg) in PLAIN[expected] for arg in typing.get_args(hint))
    return hint in PLAIN[expected]


def fields_of(model):
    """Type of each field, by its name in JSON."""
    if typing_extensions.is_typeddict(model):
        found = {}
        hints = typing_extensions.get_type_hints(model, include_extras=True)
        for name, hint in hints.items():
            notes = getattr(hint, "__metadata__", ())
            aliases = [note.alias for note in notes if getattr(note, "alias", None)]
            found[aliases[0] if aliases else name] = hint
        return found
    return {f.alias or name: f.annotation for name, f in model.model_fields.items()}


def is_record_of(model, kind):
    """Whether a model is for records of that type. One that is for no type in particular is too."""
    if kind is None or not is_object(model) or "type" not in fields_of(model):
        return True
    return kind in typing.get_args(variants(fields_of(model)["type"])[0])


def types_at(hint, path, kind):
    """The types at a path, one per alternative on the way; each alternative must have it."""
    if not path:
        return variants(hint)
    step, *rest = path
    found = []
    for model in variants(hint):
        if not is_record_of(model, kind):
            continue
        if step == "[]":
            if not is_array(model):
                raise LookupError(f"{model} is no array")
            found += types_at(typing.get_args(model)[0], rest, kind)
        elif not is_object(model):
            raise LookupError(f"{model} has no fields")
        elif step not in fields_of(model):
            raise LookupError(f"{model.__name__} has no {step}")
        else:
            found += types_at(fields_of(model)[step], rest, kind)
    return found


def root_of(row, path):
    """Where a path begins, and what is left of it: the libraries unwrap `result`."""
    if row["call"] == "any call":
        return Envelope, path
    method, sent = CALLS[row["call"]]
    if row["direction"] in ("write", "query"):
        return sent, path
    answer = typing.get_type_hints(inspect.unwrap(method))["return"]
    if inspect.isclass(answer) and issubclass(answer, BasePage):
        return answer, path
    assert path[0] == "result"
    return answer, path[1:]


def steps(path):
    return [s for part in path.replace("[]", ".[]").split(".") if (s := part)]


@pytest.mark.parametrize(
    "row", FIELDS, ids=lambda row: f"{row['call']}: {row['direction']} {row['path']}"
)
def test_the_library_has_the_field(row):
    root, path = root_of(row, steps(row["path"]))
    if "python" in row.get("unmodelled", {}):
        # Once the library has it, it is a field like the others.
        with pytest.raises(LookupError):
            types_at(root, path, row.get("of"))
        return
    found = types_at(root, path, row.get("of"))
    assert found
    for hint in found:
        assert json_type_fits(hint, row["type"]), f"{hint} is no {row['type']}"
