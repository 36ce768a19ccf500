"""Put REST and pages behind the gate: one application, errors as problems for programs and as pages for people."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from onecode_common.errors import InvalidError, NotFoundError, OnecodeError
from onecode_common.web import install_errors
from onecode_console.api.composed import install_audit, install_composed
from onecode_console.api.events import install_events
from onecode_console.api.openapi import install_openapi
from onecode_console.api.passthrough import install_objects, install_predict, install_uploads
from onecode_console.api.relay import install_calls
from onecode_console.domain.origins import Origins
from onecode_console.gate import API, Gate
from onecode_console.health import Health
from onecode_console.pages import datasets, entry, gateways, models, overview, rollouts, runs
from onecode_console.pages.assets import Assets
from onecode_console.pages.desk import Desk
from onecode_console.pages.questions import Questions
from onecode_console.pages.render import Pages
from onecode_console.ports import AuditCopies, Peers, Upstream
from onecode_console.streams import Streams
from onecode_console.usecases import Identity

_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Faces:
    """HTTP faces of other services, and what the console shows there.

    Attributes:
        ingestion: Takes uploads.
        registry: Takes and gives objects.
        inference: Predicts.
        inside: Returns the headers that prove the console to a service, for the present visitor.
        token: Returns the bearer token that inference knows.
    """

    ingestion: Upstream
    registry: Upstream
    inference: Upstream
    inside: Callable[[str], dict[str, str]]
    token: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Inside:
    """What stands behind the face."""

    identity: Identity
    origins: Origins
    peers: Peers
    faces: Faces
    health: Health
    streams: Streams
    copies: AuditCopies
    pages: Pages
    project: str
    version: str


def make_app(inside: Inside) -> FastAPI:
    """Return REST and pages; nobody is let in without the gate of :func:`make_face`."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    install_calls(app, inside.peers, inside.project)
    install_composed(app, inside.peers, inside.project, inside.version, inside.health)
    install_audit(app, inside.copies)
    install_uploads(app, inside.faces.ingestion, lambda: inside.faces.inside("ingestion"))
    install_objects(app, inside.faces.registry, lambda: inside.faces.inside("registry"))
    install_predict(app, inside.faces.inference, inside.faces.token)
    install_events(app, inside.streams, inside.identity, inside.peers, inside.project)
    install_openapi(app, inside.peers, inside.version)
    desk = Desk(inside.pages, Questions(inside.peers, inside.project), inside.health)
    project = APIRouter(prefix="/p/{project}", dependencies=[Depends(desk.check_project)])
    for page in (overview, datasets, runs, models, rollouts, gateways):
        page.install(project, desk)
    app.include_router(project)
    entry.install(app, desk, inside.identity, inside.origins)
    _install_static(app, inside.pages.assets)
    _install_refusals(app, inside.pages)
    return app


def make_face(inside: Inside, app: FastAPI) -> Gate:
    """Return the application behind its gate."""

    def error_page(request: Request, error: OnecodeError) -> Response:
        return inside.pages.draw_error(request, error)

    return Gate(app, inside.identity, inside.origins, error_page)


def _install_static(app: FastAPI, assets: Assets) -> None:
    @app.api_route("/static/{version}/{name}", methods=["GET", "HEAD"], name="static")
    def static(version: str, name: str) -> Response:
        return assets.answer(version, name)


def _install_refusals(app: FastAPI, pages: Pages) -> None:
    """Answer errors under ``/api/`` with problem documents, all others with a page."""
    install_errors(app)
    for kind in (OnecodeError, RequestValidationError, HTTPException, Exception):
        problem: Callable[[Request, Exception], Any] = app.exception_handlers[kind]
        app.add_exception_handler(kind, _for_people_or_programs(problem, pages))


def _for_people_or_programs(
    problem: Callable[[Request, Exception], Any], pages: Pages
) -> Callable[[Request, Exception], Any]:
    async def handle(request: Request, error: Exception) -> Response:
        if request.url.path.startswith(API):
            answer: Response = await problem(request, error)
            return answer
        if isinstance(error, HTTPException):
            return _framework_page(request, error, pages)
        if isinstance(error, RequestValidationError):
            message = "this address does not fit the page"
            return pages.draw_error(request, InvalidError(message, code="page.invalid"))
        ours = error if isinstance(error, OnecodeError) else OnecodeError("see the log")
        return pages.draw_error(request, ours)

    return handle


def _framework_page(request: Request, error: HTTPException, pages: Pages) -> Response:
    if error.status_code == _NOT_FOUND:
        message = f"no page {request.url.path[:80]!r}"
        return pages.draw_error(request, NotFoundError(message, code="page.unknown"))
    return pages.draw_error(request, InvalidError(str(error.detail), code="page.method"), error.status_code)
