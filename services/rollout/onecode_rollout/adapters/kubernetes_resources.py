"""See ModelRollout objects through the Kubernetes API, and write their status; only this file knows the client.

A thread lists once and then watches, from the last version that it saw. The client's own informer is not used: it
tries again at once and without end while the API server is down, with a traceback each time, and has no time limit
for a connection that is half open (kubernetes 37.0.2).
"""

import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from onecode_common.errors import DeniedError, InvalidError, OnecodeError, UnavailableError
from onecode_rollout.domain.plan import Step
from onecode_rollout.domain.wish import Wish
from onecode_rollout.ports import Resource

GROUP, VERSION, PLURAL = "onecode.dev", "v1alpha1", "modelrollouts"

_log = logging.getLogger(__name__)
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_MERGE = "application/merge-patch+json"
_WATCH_S = 60
_CONNECT_S = 5
_RELIST_WATCHES = 5
"""A full list after so many watches, which is every five minutes."""
_LONGEST_WAIT_S = 30.0
_STOP_S = 5.0
_GONE, _NOT_FOUND, _CONFLICT, _TOO_MANY, _SERVER = 410, 404, 409, 429, 500
_DENIED = (401, 403)


class KubernetesResources:
    """The objects of one namespace; see :class:`onecode_rollout.ports.Resources`.

    Args:
        namespace: Whose objects; empty: that of the pod.
        kubeconfig: File to connect by; None: the pod's service account.

    Raises:
        InvalidError: There is no way to connect, or no namespace.
    """

    name = "kubernetes"

    def __init__(self, namespace: str, kubeconfig: Path | None) -> None:
        self._api = client.CustomObjectsApi(_client(kubeconfig))
        self._namespace = namespace or _own_namespace()
        self._objects: dict[str, Mapping[str, Any]] | None = None
        self._version = ""
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._watch: Any = None
        self._thread = threading.Thread(target=self._run, name="kubernetes-watch", daemon=True)
        self.changed: Callable[[], None] = lambda: None

    @property
    def namespace(self) -> str:
        """Where the objects are."""
        return self._namespace

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End; a watch that hears nothing ends with the process."""
        self._stopping.set()
        running = self._watch
        if running is not None:
            running.stop()
        self._thread.join(_STOP_S)

    def ready(self) -> str | None:
        """Return None: rollouts go on without the API server."""
        return None

    def seen(self) -> Sequence[Resource] | None:
        """Return all objects as seen last; None before the first complete look."""
        with self._lock:
            if self._objects is None:
                return None
            objects = [self._objects[name] for name in sorted(self._objects)]
        return [Resource(wish_from(one), one.get("status") or {}) for one in objects]

    def write_status(self, name: str, patch: Mapping[str, Any]) -> None:
        """Merge into an object's status, and see it at once."""
        try:
            answer: Any = self._api.patch_namespaced_custom_object_status(
                GROUP,
                VERSION,
                self._namespace,
                PLURAL,
                name,
                {"status": dict(patch)},
                field_manager="onecode-rollout",
                _content_type=_MERGE,
                _request_timeout=(_CONNECT_S, 10),
            )
        except ApiException as error:
            if error.status == _NOT_FOUND:
                return
            raise _translated(error) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _away(error) from error
        self._put(answer)

    def _run(self) -> None:
        failures, watches = 0, _RELIST_WATCHES
        while not self._stopping.is_set():
            try:
                if not self._version or watches >= _RELIST_WATCHES:
                    self._list()
                    watches = 0
                self._follow()
                watches += 1
                failures = 0
            except ApiException as error:
                failures = self._after(error, failures)
            except (urllib3.exceptions.HTTPError, OSError, ValueError, KeyError) as error:
                failures += 1
                _log.info("the Kubernetes API does not answer, trying again: %s", str(error)[:200])
            if failures and not self._stopping.is_set():
                # Replicas that lost the same API server must not come back in step.
                self._stopping.wait(random.uniform(0.5, 1.0) * min(_LONGEST_WAIT_S, 0.5 * 2**failures))  # noqa: S311

    def _after(self, error: ApiException, failures: int) -> int:
        if error.status == _GONE:
            _log.info("the last version seen is too old for the Kubernetes API: listing all again")
            self._version = ""
            return 0
        _log.warning("the Kubernetes API refuses to list %s: %s", PLURAL, _reason(error))
        return failures + 1

    def _list(self) -> None:
        answer: Any = self._api.list_namespaced_custom_object(
            GROUP, VERSION, self._namespace, PLURAL, _request_timeout=(_CONNECT_S, 30)
        )
        found = {str(one["metadata"]["name"]): one for one in answer["items"]}
        with self._lock:
            self._objects = found
        self._version = str(answer["metadata"]["resourceVersion"])
        self.changed()

    def _follow(self) -> None:
        """Apply changes until the server ends the watch."""
        self._watch = watch.Watch()  # type: ignore[no-untyped-call]
        events = self._watch.stream(
            self._api.list_namespaced_custom_object,
            GROUP,
            VERSION,
            self._namespace,
            PLURAL,
            resource_version=self._version,
            timeout_seconds=_WATCH_S,
            # A connection that is half open is noticed a little after the server should have ended it.
            _request_timeout=(_CONNECT_S, _WATCH_S + 15),
        )
        try:
            for event in events:
                if self._stopping.is_set():
                    return
                one = event["object"]
                if event["type"] == "DELETED":
                    with self._lock:
                        (self._objects or {}).pop(str(one["metadata"]["name"]), None)
                else:
                    self._put(one)
                self._version = str(one["metadata"]["resourceVersion"])
                self.changed()
        finally:
            events.close()

    def _put(self, one: Mapping[str, Any]) -> None:
        name, version = str(one["metadata"]["name"]), int(one["metadata"]["resourceVersion"])
        with self._lock:
            if self._objects is None:
                return
            known = self._objects.get(name)
            # The answer to a patch and the watch tell of the same change in either order.
            if known is None or int(known["metadata"]["resourceVersion"]) <= version:
                self._objects[name] = one


def wish_from(document: Mapping[str, Any]) -> Wish:
    """Return what an object asks for; the API server has checked its schema."""
    metadata, spec = document["metadata"], document["spec"]
    steps = tuple(Step(int(one["share"]), manual_gate=bool(one.get("manualGate"))) for one in spec.get("steps") or ())
    return Wish(
        namespace=str(metadata["namespace"]),
        name=str(metadata["name"]),
        generation=int(metadata.get("generation", 1)),
        model=str(spec["model"]),
        version=int(spec["version"]),
        segments=tuple(str(one) for one in spec["segments"]),
        unit=str(spec.get("unit", "request")),
        preset=str(spec.get("preset", "standard")),
        shadow_s=int(spec.get("shadowSeconds", 0)),
        steps=steps,
        paused=bool(spec.get("paused", False)),
        advance_to=int(spec.get("advanceTo", 0)),
        withdrawn=bool(spec.get("withdrawn", False)),
    )


def _client(kubeconfig: Path | None) -> client.ApiClient:
    settings = client.Configuration()
    try:
        if kubeconfig is not None:
            config.load_kube_config(str(kubeconfig), client_configuration=settings, persist_config=False)  # type: ignore[no-untyped-call]
        else:
            config.load_incluster_config(settings)  # type: ignore[no-untyped-call]
    except config.ConfigException as error:
        message = f"there is no way to reach the Kubernetes API: {error}"
        hint = "run in a pod with its service account's token mounted, or set ONECODE_ROLLOUT_KUBECONFIG_FILE"
        raise InvalidError(message, code="settings.kubernetes", hint=hint) from error
    # The loop around it waits and tries again by itself.
    settings.retries = False
    return client.ApiClient(settings)


def _own_namespace() -> str:
    with suppress(OSError):
        return _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    message = "set ONECODE_ROLLOUT_CUSTOM_RESOURCES_NAMESPACE: this process is in no pod"
    raise InvalidError(message, code="settings.kubernetes")


def _translated(error: ApiException) -> OnecodeError:
    if error.status in _DENIED:
        return DeniedError(f"the Kubernetes API denies it: {_reason(error)}", code="kubernetes.denied")
    if error.status in (_CONFLICT, _TOO_MANY) or (error.status or _SERVER) >= _SERVER:
        return _away(error)
    return InvalidError(f"the Kubernetes API refuses the status: {_reason(error)}", code="kubernetes.refused")


def _away(error: Exception) -> UnavailableError:
    return UnavailableError(f"the Kubernetes API does not answer: {str(error)[:200]}", code="kubernetes.unavailable")


def _reason(error: ApiException) -> str:
    return f"{error.status} {error.reason} {str(error.body or '')[:300]}"
