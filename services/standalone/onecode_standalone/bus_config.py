"""Write what each process may say and hear on the message bus: its own subjects and nothing else."""

import json
from collections.abc import Mapping
from pathlib import Path

from onecode_common.assignment import shard
from onecode_standalone.addresses import SERVICES

_LARGEST_MESSAGE = 64 << 10
_TENANT = "default"


def service_permissions(service: str) -> dict[str, list[str]]:
    """Return the subjects that a service may publish to and subscribe to."""
    publish = [f"oc.ev.{service}.>", "$JS.API.>", "$JS.ACK.>"]
    subscribe = ["oc.ev.>", f"_INBOX.{service}.>"]
    if service == "rollout":
        publish += ["oc.*.wake.>", "oc.*.dn.>"]
        subscribe += ["oc.*.up.>"]
    if service == "inference":
        publish += [f"oc.{_TENANT}.up.*.cloud.>"]
        subscribe += [f"oc.{_TENANT}.wake.cloud", f"oc.{_TENANT}.dn.cloud.>"]
    return {"publish": publish, "subscribe": subscribe}


def gateway_permissions(gateway: str, segment: str) -> dict[str, list[str]]:
    """Return the subjects of a gateway: it reports, is woken and answered; it has no right on streams."""
    return {
        "publish": [f"oc.{_TENANT}.up.{shard(gateway)}.{gateway}.>"],
        "subscribe": [f"oc.{_TENANT}.wake.{segment}", f"oc.{_TENANT}.dn.{gateway}.>", f"_INBOX.{gateway}.>"],
    }


def authorization(public_keys: Mapping[str, str], segments: Mapping[str, str]) -> str:
    """Return the part of a configuration that says who may connect and what each may say and hear.

    Args:
        public_keys: NKEY of each process, by name; names that are no service are gateways.
        segments: Of each gateway.
    """
    users = []
    for name, key in public_keys.items():
        rights = service_permissions(name) if name in SERVICES else gateway_permissions(name, segments[name])
        users.append({"nkey": key, "permissions": rights})
    return f"authorization {{\n  timeout: 5\n  users: {json.dumps(users, indent=2)}\n}}\n"


def bus_config(port: int, store: Path, public_keys: Mapping[str, str], segment: str) -> str:
    """Return the configuration file.

    Every acknowledged message of a stream is flushed (`sync_interval: always`); there is no monitoring port.

    Args:
        port: On loopback.
        store: Folder of the streams.
        public_keys: NKEY of each process, by name; names that are no service are gateways.
        segment: Of the gateways.
    """
    return f"""# Written at each start; changes are lost.
server_name: onecode
listen: 127.0.0.1:{port}
max_payload: {_LARGEST_MESSAGE}
max_connections: 512
ping_interval: "20s"
jetstream {{
  store_dir: {json.dumps(str(store))}
  sync_interval: always
  max_memory_store: 16777216
  max_file_store: 4294967296
}}
{authorization(public_keys, dict.fromkeys(public_keys, segment))}"""
