"""Let people in and out: the one-time link, the form for its code, and the way to the page they asked for."""

import re

from fastapi import FastAPI, Request, Response
from starlette.responses import RedirectResponse

from onecode_common.errors import UnauthenticatedError
from onecode_console.domain.origins import Origins
from onecode_console.domain.sessions import ABSOLUTE
from onecode_console.pages.desk import Desk
from onecode_console.pages.phrases import error_text
from onecode_console.usecases import Identity
from onecode_console.visit import current_visitor

_OWN_PAGE = re.compile(r"/[A-Za-z][!-\[\]-~]{0,500}")
_LONGEST_CODE = 200


def own_page(asked: str) -> str:
    """Return where to go after sign-in: a path of this console, never another site's address."""
    return asked if _OWN_PAGE.fullmatch(asked) else "/"


def install(app: FastAPI, desk: Desk, identity: Identity, origins: Origins) -> None:
    """Add sign-in, sign-out, and the way from the bare address to the overview."""

    @app.get("/", name="root")
    def root() -> Response:
        return RedirectResponse(f"/p/{desk.pages.project}", 303)

    def enter(request: Request, code: str, target: str) -> Response:
        try:
            cookie = identity.sign_in(code[:_LONGEST_CODE].strip())
        except UnauthenticatedError as error:
            return ask(request, target, error)
        answer = RedirectResponse(own_page(target), 303)
        answer.set_cookie(
            origins.cookie,
            cookie,
            max_age=int(ABSOLUTE.total_seconds()),
            path="/",
            secure=origins.secure,
            httponly=True,
            samesite="lax",
        )
        return answer

    def ask(request: Request, target: str, error: UnauthenticatedError | None = None) -> Response:
        sentence = error_text(error) if error else None
        data = {"nav": "", "target": own_page(target), "sentence": sentence}
        return desk.pages.draw(request, "login.html", data, 401 if error else 200)

    @app.api_route("/login", methods=["GET", "HEAD"], name="login")
    def login(request: Request) -> Response:
        query, ahead = request.query_params, "prefetch" in request.headers.get("sec-purpose", "")
        code, target = query.get("code", ""), query.get("next", "/")
        # A link that a browser or a mail scanner looks at ahead of the person is not used up by it.
        if not code or request.method == "HEAD" or ahead:
            return ask(request, target)
        return enter(request, code, target)

    @app.post("/login", name="login form")
    def login_form(request: Request) -> Response:
        form = request.state.form
        return enter(request, form.get("code", ""), form.get("next", "/"))

    @app.post("/logout", name="logout")
    def logout() -> Response:
        identity.sign_out(current_visitor())
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(origins.cookie, path="/", secure=origins.secure, httponly=True, samesite="lax")
        return answer
