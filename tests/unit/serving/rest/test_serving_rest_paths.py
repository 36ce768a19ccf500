"""Each path is what the protocol says, and nothing else is anything."""

import pytest

from onecode_common.errors import NotFoundError
from onecode_serving.rest.paths import BOTH, GET, POST, endpoint_of

KNOWN = {
    "/v2": ("server", "read", GET, "", "", ""),
    "/v2/": ("server", "read", GET, "", "", ""),
    "/v2?a=b": ("server", "read", GET, "", "", ""),
    "/v2/health/live": ("live", "health", GET, "", "", ""),
    "/v2/health/ready": ("ready", "health", GET, "", "", ""),
    "/v2/models/stats": ("stats", "read", GET, "", "", ""),
    "/v2/models/m": ("model", "read", GET, "m", "", ""),
    "/v2/models/m/ready": ("model.ready", "read", GET, "m", "", ""),
    "/v2/models/m/config": ("config", "read", GET, "m", "", ""),
    "/v2/models/m/stats": ("stats", "read", GET, "m", "", ""),
    "/v2/models/m/infer": ("infer", "infer", POST, "m", "", ""),
    "/v2/models/m/versions/3": ("model", "read", GET, "m", "3", ""),
    "/v2/models/m/versions/3/ready": ("model.ready", "read", GET, "m", "3", ""),
    "/v2/models/m/versions/3/config": ("config", "read", GET, "m", "3", ""),
    "/v2/models/m/versions/3/stats": ("stats", "read", GET, "m", "3", ""),
    "/v2/models/m/versions/3/infer": ("infer", "infer", POST, "m", "3", ""),
    "/v2/models/m/versions/sha256%3Aab/infer": ("infer", "infer", POST, "m", "sha256:ab", ""),
    "/v2/models/m/trace/setting": ("trace", "admin", BOTH, "m", "", ""),
    "/v2/models/a%2Fb%20%C3%A4/infer": ("infer", "infer", POST, "a/b ä", "", ""),
    "/v2/models/versions/infer": ("infer", "infer", POST, "versions", "", ""),
    "/v2/repository/index": ("repository.index", "read", POST, "", "", ""),
    "/v2/repository/r/index": ("repository.index", "read", POST, "", "", "r"),
    "/v2/repository/models/m/load": ("repository.load", "admin", POST, "m", "", ""),
    "/v2/repository/models/m/unload": ("repository.unload", "admin", POST, "m", "", ""),
    "/v2/repository/r/models/m/load": ("repository.load", "admin", POST, "m", "", "r"),
    "/v2/repository/r/models/m/unload": ("repository.unload", "admin", POST, "m", "", "r"),
    "/v2/trace/setting": ("trace", "admin", BOTH, "", "", ""),
    "/v2/logging": ("logging", "admin", BOTH, "", "", ""),
    "/v2/systemsharedmemory/status": ("system.status", "read", GET, "", "", ""),
    "/v2/systemsharedmemory/region/n/status": ("system.status", "read", GET, "", "", "n"),
    "/v2/systemsharedmemory/region/n/register": ("system.register", "admin", POST, "", "", "n"),
    "/v2/systemsharedmemory/unregister": ("system.unregister", "admin", POST, "", "", ""),
    "/v2/systemsharedmemory/region/n/unregister": ("system.unregister", "admin", POST, "", "", "n"),
    "/v2/cudasharedmemory/status": ("cuda.status", "read", GET, "", "", ""),
    "/v2/cudasharedmemory/region/n/register": ("cuda.register", "admin", POST, "", "", "n"),
    "/v2/cudasharedmemory/unregister": ("cuda.unregister", "admin", POST, "", "", ""),
}
UNKNOWN = [
    "/", "*", "/v1", "/V2", "/v2/health", "/v2/health/x", "/v2/models", "/v2/models/", "/v2/models//infer",
    "/v2/models/m/x", "/v2/models/stats/infer", "/v2/models/stats/ready", "/v2/models/m/versions",
    "/v2/models/m/versions//infer", "/v2/models/m/versions/1/trace/setting", "/v2/models/m/infer/x", "/v2/repository",
    "/v2/repository/models/m", "/v2/repository/models/m/reload", "/v2/repository/models//load", "/v2//models/m",
    "/v2/systemsharedmemory", "/v2/systemsharedmemory/register", "/v2/systemsharedmemory/region//status",
    "/v2/othersharedmemory/status", "/v2/logging/x", "//v2",
]  # fmt: skip


@pytest.mark.parametrize("path", KNOWN)
def test_a_path_is_what_the_protocol_says(path: str) -> None:
    found = endpoint_of(path.encode())
    assert (found.what, found.verb, found.methods, found.model, found.version, found.name) == KNOWN[path]


@pytest.mark.parametrize("path", UNKNOWN)
def test_nothing_else_is_anything(path: str) -> None:
    with pytest.raises(NotFoundError, match="there is no path"):
        endpoint_of(path.encode())
