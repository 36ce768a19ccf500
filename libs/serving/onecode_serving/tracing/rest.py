"""Follow the inferences of one HTTP/1 connection: whose request is being passed on, and what is refused."""

from typing import Any, cast

from onecode_common.errors import OnecodeError
from onecode_serving.access.grant import Grant
from onecode_serving.domain.messages import InferenceRequest
from onecode_serving.domain.spans import http_face
from onecode_serving.http1.answers import Answer
from onecode_serving.http1.head import Head
from onecode_serving.rest.app import RestApp
from onecode_serving.rest.body import Form
from onecode_serving.rest.encoding import too_large
from onecode_serving.rest.errors import status_of
from onecode_serving.rest.route import RestRoute
from onecode_serving.tracing.origin import Origin
from onecode_serving.tracing.recorder import Recorder

_FACES = {versioned: http_face(versioned=versioned) for versioned in (False, True)}


class _CarriedRoute(RestRoute):
    """What the engine needs of a route, the route that it shares with requests like it, and its own origin."""

    __slots__ = ("origin", "route")

    def __init__(self, route: RestRoute, origin: Origin | None) -> None:
        self.max_body = route.max_body
        self.route = route
        self.origin = origin


class TracedRestApp(RestApp):
    """The requests of one connection, one at a time; on the loop's thread only.

    Args:
        recorder: Follows inferences.
        more: As of :class:`RestApp`.
    """

    def __init__(self, recorder: Recorder, *more: Any) -> None:
        super().__init__(*more)
        self._recorder = recorder
        self._origin: Origin | None = None

    def head(self, head: Head) -> RestRoute:
        """Understand a head, and note where it came from."""
        route = super().head(head)
        origin = None
        if route.infer:
            origin = Origin(self._recorder, _FACES[bool(route.version)], status_of, route.model)
            if "traceparent" in head.fields:
                origin = origin.carrying(head.fields["traceparent"])
        return _CarriedRoute(route, origin)

    def carrying(self, route: RestRoute, traceparent: bytes) -> RestRoute:
        """Return the same route with another origin."""
        route = cast("_CarriedRoute", route)
        origin = None if route.origin is None else route.origin.carrying(traceparent.decode())
        return _CarriedRoute(route.route, origin)

    def begin(self, route: RestRoute) -> Answer | None:
        """Refuse before the body is kept."""
        route = cast("_CarriedRoute", route)
        self._recorder.current = route.origin
        try:
            answer = super().begin(route.route)
            if route.route.refusal is not None:
                self._recorder.refused(route.route.refusal)
        finally:
            self._recorder.current = None
        return answer

    def too_large(self, route: RestRoute) -> Answer:
        """Refuse a body beyond the limit."""
        route = cast("_CarriedRoute", route)
        self._recorder.current = route.origin
        self._recorder.refused(too_large(route.max_body))
        return super().too_large(route.route)

    def whole(self, key: int, route: RestRoute, body: bytes) -> None:
        """Answer a request, now or later."""
        route = cast("_CarriedRoute", route)
        self._recorder.current = self._origin = route.origin
        try:
            super().whole(key, route.route, body)
        finally:
            self._recorder.current = None

    def refused(self, key: int, error: OnecodeError) -> None:
        """Write a refusal; one that was in line told of itself."""
        self._recorder.refused(error)
        super().refused(key, error)

    def _admitted(self, route: RestRoute, now: float) -> Grant | None:
        try:
            return super()._admitted(route, now)
        except OnecodeError as error:
            self._recorder.refused(error)
            raise

    def _submit(self, key: int, read: tuple[InferenceRequest, Form] | OnecodeError) -> None:
        # What was read in a thread comes back here when its request is no longer the current one.
        self._recorder.current = self._origin if key == self._key else None
        try:
            super()._submit(key, read)
        finally:
            self._recorder.current = None
