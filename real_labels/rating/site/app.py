"""The site: pages for raters, the administrator's page, and the requests of their scripts."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import logging
import math
import pathlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import jinja2
from sqlalchemy import Row, select
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from real_labels.errors import InputError
from real_labels.rating import adaptive, people
from real_labels.rating import status as progress
from real_labels.rating.database import Database
from real_labels.rating.queue import Lent, Queue, Refused, image_path
from real_labels.rating.schema import WARM_UP, classes
from real_labels.rating.site import examples, guards, markdown
from real_labels.rating.site.pictures import Pictures

_HERE = pathlib.Path(__file__).parent
_LOG = logging.getLogger(__name__)
COOKIE = "rating_session"
_AHEAD = 2  # tasks lent at once, so that the next image is there before it is needed
_BIGGEST = 1 << 16  # bytes of a request
_SLOW_DOWN = "Too many requests. Wait a moment."
_LOG_IN = "Your visit has ended. Open your invitation link again; your draft is kept."


@dataclasses.dataclass(frozen=True)
class Options:
    """How a site is served.

    Attributes:
      url: the address that raters open, if it is another than the server's own, as behind a proxy.
      examples: folder of class folders with example pictures, or None.
      cache: folder of resized pictures; None: a temporary one.
      ask_every: seconds between two looks at what is to be asked again, where asking is adaptive.
    """

    url: str | None = None
    examples: str | None = None
    cache: str | None = None
    ask_every: float = 30


@dataclasses.dataclass(frozen=True)
class _Visit:
    """Who sends a request."""

    session: str
    rater: Row


class _Site:
    def __init__(self, database: Database, options: Options):
        self.database, self.options = database, options
        self.queue = Queue(database)
        self.pictures = Pictures(options.cache)
        with database.reading() as connection:
            self.secret = bytes.fromhex(database.fact(connection, "secret"))
            # Tells the drafts of several projects on one address apart.
            self.project = hashlib.sha256(self.secret).hexdigest()[:8]
            self.guidelines = markdown.html(database.fact(connection, "guidelines"))
            class_names = dict(connection.execute(select(classes.c.id, classes.c.name)).all())
        self.examples = examples.found(options.examples, class_names)
        self.templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.by_address = guards.Rates(20, 1)  # invitations opened: guessing is hopeless anyway
        self.by_session = guards.Rates(60, 20)

    # Who is it?

    def visit(self, request: Request) -> _Visit | None:
        session = request.cookies.get(COOKIE)
        if not session:
            return None
        with self.database.reading() as connection:
            rater = people.of_session(connection, session, time.time())
        return None if rater is None else _Visit(session, rater)

    def page(self, name: str, visit: _Visit | None, status: int = 200, **more: Any) -> HTMLResponse:
        token = guards.csrf_token(self.secret, visit.session) if visit else ""
        template = self.templates.get_template(name)
        text = template.render(
            title=self.queue.settings.title,
            visit=visit,
            token=token,
            settings=self.queue.settings,
            **more,
        )
        return HTMLResponse(text, status)

    # Pages

    async def invited(self, request: Request) -> Response:
        """Begins a session and leaves the secret out of the address."""
        address = request.client.host if request.client else ""
        if not self.by_address.allows(address):
            return self.page("message.html", None, 429, text=_SLOW_DOWN, root="../")
        token = request.path_params["token"]
        session = await run_in_threadpool(people.begin_session, self.database, token, time.time())
        if session is None:
            return self.page(
                "message.html",
                None,
                404,
                text="This invitation is not known. Ask for a new link.",
                root="../",
            )
        answer = RedirectResponse("../", 303)
        answer.set_cookie(
            COOKIE,
            session,
            max_age=int(people.SESSION),
            httponly=True,
            samesite="lax",
            secure=guards.origin_of(self.options.url or str(request.base_url)).startswith("https"),
        )
        return answer

    async def home(self, request: Request) -> Response:
        """The administrator's page, the guidelines of a first visit, or the rating page."""
        visit = await run_in_threadpool(self.visit, request)
        if visit is None:
            return self.page("message.html", None, 401, text=_LOG_IN)
        if visit.rater.is_admin:
            return self.page("admin.html", visit)
        is_first = visit.rater.read_guidelines is None
        return self.page(
            "rate.html",
            visit,
            guidelines=self.guidelines,
            is_first=is_first,
            project=self.project,
        )

    # Requests of the scripts

    async def _asked(
        self,
        request: Request,
        work: Callable[[_Visit, dict[str, Any]], Any],
        *,
        admin: bool = False,
    ) -> Response:
        """Carries out a request of a page that changes something."""
        visit = await run_in_threadpool(self.visit, request)
        if visit is None:
            return _refusal(401, _LOG_IN)
        if not self.by_session.allows(visit.session):
            return _refusal(429, _SLOW_DOWN)
        reason = guards.check_change(request, self.options.url, self.secret, visit.session)
        if reason is not None:
            return _refusal(403, reason)
        if bool(visit.rater.is_admin) != admin:
            return _refusal(403, "This is not yours to do.")
        try:
            body = await _body(request)
            return JSONResponse(await run_in_threadpool(work, visit, body))
        except Refused as error:
            return _refusal(409, str(error))
        except InputError as error:
            return _refusal(400, str(error))

    async def next(self, request: Request) -> Response:
        """The tasks in the rater's hands, and the progress."""

        def work(visit: _Visit, _body: dict[str, Any]) -> dict[str, Any]:
            lent = self.queue.lend(visit.rater.id, _AHEAD)
            return {"tasks": [self._shown(one) for one in lent], "progress": self._progress(visit)}

        return await self._asked(request, work)

    async def answer(self, request: Request) -> Response:
        """Saves answers; the reply is sent after the commit."""

        def work(visit: _Visit, body: dict[str, Any]) -> dict[str, Any]:
            if not isinstance(body["answers"], dict):
                raise _odd()
            given = {_number(q): _number(a) for q, a in body["answers"].items()}
            key = str(body["key"])
            if not 8 <= len(key) <= 64:
                raise Refused("The request has no key.")
            done = self.queue.answer(
                visit.rater.id,
                _number(body["assignment"]),
                given,
                key,
                _seconds(body.get("seconds", 0)),
            )
            return {"saved": self._shown(done)}

        return await self._asked(request, work)

    async def skip(self, request: Request) -> Response:
        """Hands a task on."""

        def work(visit: _Visit, body: dict[str, Any]) -> dict[str, Any]:
            self.queue.skip(visit.rater.id, _number(body["assignment"]), str(body["reason"]))
            return {}

        return await self._asked(request, work)

    async def last(self, request: Request) -> Response:
        """The tasks that the rater answered last."""

        def work(visit: _Visit, _body: dict[str, Any]) -> dict[str, Any]:
            return {"tasks": [self._shown(one) for one in self.queue.last(visit.rater.id)]}

        return await self._asked(request, work)

    async def begin(self, request: Request) -> Response:
        """Notes that the rater has read the guidelines."""

        def work(visit: _Visit, _body: dict[str, Any]) -> dict[str, Any]:
            people.has_read_guidelines(self.database, visit.rater.id, time.time())
            return {}

        return await self._asked(request, work)

    async def status(self, request: Request) -> Response:
        """The figures of the administrator's page."""

        def work(_visit: _Visit, _body: dict[str, Any]) -> dict[str, Any]:
            return progress.overview(self.database, time.time())

        return await self._asked(request, work, admin=True)

    async def change(self, request: Request) -> Response:
        """Pauses or excludes a rater, or undoes that."""

        def work(_visit: _Visit, body: dict[str, Any]) -> dict[str, Any]:
            values = {n: bool(body[n]) for n in ("is_paused", "is_excluded") if n in body}
            if not values:
                raise InputError("The request changes nothing.")
            people.change(self.database, str(body["rater"]), **values)
            return progress.overview(self.database, time.time())

        return await self._asked(request, work, admin=True)

    async def image(self, request: Request) -> Response:
        """A picture by its number, for those who have a session."""
        return await self._numbered(request, "page")

    async def thumbnail(self, request: Request) -> Response:
        """A small picture by its number, likewise."""
        return await self._numbered(request, "thumbnail")

    async def _numbered(self, request: Request, size: str) -> Response:
        visit = await run_in_threadpool(self.visit, request)
        if visit is None:
            return Response(status_code=401)

        def read() -> bytes | None:
            with self.database.reading() as connection:
                path = image_path(connection, request.path_params["number"])
            return None if path is None else self.pictures.jpeg(path, size)

        return await self._picture(read)

    async def example(self, request: Request) -> Response:
        """An example picture of a class, by numbers."""
        visit = await run_in_threadpool(self.visit, request)
        if visit is None:
            return Response(status_code=401)
        paths = self.examples.get(request.path_params["label"], ())
        number = request.path_params["number"]
        if not 0 <= number < len(paths):
            return Response(status_code=404)
        return await self._picture(lambda: self.pictures.jpeg(paths[number], "thumbnail"))

    async def _picture(self, read: Callable[[], bytes | None]) -> Response:
        try:
            content = await run_in_threadpool(read)
        except (InputError, OSError):
            content = None
        if content is None:
            return Response(status_code=404)
        kept = {"cache-control": "private, max-age=86400"}
        return Response(content, media_type="image/jpeg", headers=kept)

    def _shown(self, lent: Lent) -> dict[str, Any]:
        shown = dataclasses.asdict(lent)
        for question in shown["questions"]:
            question["examples"] = len(self.examples.get(question["label"], ()))
        shown["is_warm_up"] = lent.kind == WARM_UP
        return shown

    def _progress(self, visit: _Visit) -> dict[str, Any]:
        with self.database.reading() as connection:
            return progress.progress(self.database, connection, visit.rater.id, time.time())

    async def ask_again(self) -> None:
        """Looks from time to time at what is to be asked again; at most a tenth of the time goes to it."""
        took = 0.0
        while True:
            await asyncio.sleep(max(self.options.ask_every, 9 * took))
            start = time.perf_counter()
            try:
                await run_in_threadpool(adaptive.ask_again, self.database)
            except (InputError, SQLAlchemyError) as error:  # the next look may succeed
                _LOG.warning("What is to be asked again cannot be computed: %s", error)
            took = time.perf_counter() - start


async def _body(request: Request) -> dict[str, Any]:
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > _BIGGEST:
            raise InputError("The request is too large.")
    try:
        body = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        raise InputError("The request is no JSON.") from None
    if not isinstance(body, dict):
        raise InputError("The request is no object.")
    return _Fields(body)


def _odd() -> InputError:
    return InputError("The request has a field of a wrong kind.")


class _Fields(dict):
    """The fields of a request; a missing or odd one is the sender's mistake."""

    def __missing__(self, name: str) -> Any:
        raise InputError(f"The request lacks {name}.")


def _number(value: Any) -> int:
    """A number of a request that a database can hold.

    Raises:
      InputError: if it is none.
    """
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        raise _odd() from None
    if not 0 <= number < 1 << 31:
        raise InputError("The request has a number out of range.")
    return number


def _seconds(value: Any) -> float:
    """The time that a rater looked at a task, at most an hour.

    Raises:
      InputError: if it is no number.
    """
    try:
        seconds = float(value)
    except (ValueError, TypeError, OverflowError):
        raise _odd() from None
    if not math.isfinite(seconds):
        raise _odd()
    return min(max(seconds, 0.0), 3600.0)


def _refusal(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": text}, status)


def create(database: Database, options: Options | None = None) -> Starlette:
    """The site of a rating database."""
    site = _Site(database, options or Options())

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        repeated = None
        if site.queue.settings.ask_until is not None:
            repeated = asyncio.create_task(site.ask_again())
        yield
        if repeated is not None:
            repeated.cancel()

    post = ["POST"]
    return Starlette(
        routes=[
            Route("/", site.home),
            Route("/invite/{token}", site.invited),
            Route("/next", site.next, methods=post),
            Route("/answer", site.answer, methods=post),
            Route("/skip", site.skip, methods=post),
            Route("/last", site.last, methods=post),
            Route("/begin", site.begin, methods=post),
            Route("/status", site.status, methods=post),
            Route("/change", site.change, methods=post),
            Route("/image/{number:int}", site.image),
            Route("/thumbnail/{number:int}", site.thumbnail),
            Route("/example/{label:int}/{number:int}", site.example),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
        ],
        middleware=[Middleware(guards.SecureHeaders)],
        lifespan=lifespan,
    )
