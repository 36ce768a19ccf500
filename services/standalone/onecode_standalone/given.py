"""Take a person's own settings of a process along, without letting them break what the platform has wired."""

from collections.abc import Mapping

from onecode_common.errors import InvalidError

_YIELDS = frozenset({"ANONYMOUS", "API_TOKEN_SHA256_FILE", "MLFLOW_URL", "RAY_ADDRESS", "RAY_CPUS"})
"""Settings of the platform that are a default only; the others are what its processes find each other by."""

_INSTEAD = {"TENANTS_FILE": "API_TOKEN_SHA256_FILE"}
"""Settings that take the place of another one."""


def with_given(prefix: str, values: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of one process, by their whole names.

    What the process does not know it refuses itself, as everywhere.

    Args:
        prefix: ``ONECODE_<SERVICE>_``.
        values: What the platform sets, by name without prefix.
        given: The environment that the platform was started in.

    Raises:
        InvalidError: It names a setting that the platform has to make itself.
    """
    own = {name.upper().removeprefix(prefix): value for name, value in given.items() if name.upper().startswith(prefix)}
    wired = sorted(own.keys() & values.keys() - _YIELDS)
    if wired:
        name = f"{prefix}{wired[0]}"
        message = f"{name} is set by the platform itself: unset it, or see the options of onecode up"
        raise InvalidError(message, code="up.setting", params={"option": name, "value": own[wired[0]]})
    dropped = {_INSTEAD[name] for name in own if name in _INSTEAD} - own.keys()
    return {f"{prefix}{name}": value for name, value in {**values, **own}.items() if name not in dropped}
