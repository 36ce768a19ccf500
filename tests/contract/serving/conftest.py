"""Let the tests share the small models of the unit tests, the world of the cloud's server, and one server for all."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_TESTS = _HERE.parents[1]
sys.path[:0] = [str(_HERE), str(_TESTS / "unit" / "serving"), str(_TESTS / "integration" / "inference")]

import grpc  # noqa: E402 - the folders above must be found first
from oip_stock import Ask, Server, Stock, headers, running  # noqa: E402


@pytest.fixture(scope="session")
def oip_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server with everything of the protocol switched on."""
    with running(tmp_path_factory.mktemp("oip")) as started:
        yield started


@pytest.fixture(scope="session")
def stock(oip_server: Server) -> Iterator[Stock]:
    """Return its stock gRPC clients."""
    made = Stock(oip_server.grpc)
    yield made
    made.close()


@pytest.fixture(params=["plain", "aio"])
def ask(request: pytest.FixtureRequest, stock: Stock) -> Ask:
    """Return a call of a method of the stock client by name, threads or asyncio; as an administrator."""
    admin = headers("admin")
    if request.param == "plain":
        return lambda name, *arguments, **more: getattr(stock.client, name)(*arguments, **{"headers": admin, **more})
    return lambda name, *arguments, **more: stock.run(
        getattr(stock.aio, name)(*arguments, **{"headers": admin, **more})
    )


@pytest.fixture(scope="session")
def channel(oip_server: Server) -> Iterator[grpc.Channel]:
    """Return a bare channel to it."""
    with grpc.insecure_channel(oip_server.grpc) as made:
        yield made
