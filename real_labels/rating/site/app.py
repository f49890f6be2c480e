"""The site: the rating page, the administrator's page, and the requests of their scripts."""

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
from real_labels.rating.queue import LentTask, Queue, Refused, image_path
from real_labels.rating.schema import WARM_UP, classes
from real_labels.rating.site import examples, guards, markdown
from real_labels.rating.site.pictures import Pictures

_HERE = pathlib.Path(__file__).parent
_LOG = logging.getLogger(__name__)
COOKIE = "rating_session"
_LENT_AT_ONCE = 2  # tasks; the browser loads the image of the next task in advance
_MAX_BYTES = 1 << 16  # size of a request's body
_SLOW_DOWN = "Too many requests. Wait a moment."
_LOG_IN = "Your session has ended. Open your invitation link again; your draft is kept."


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the site.

    Attributes:
      url: address that raters open, if it differs from the server's own, as behind a proxy.
      examples: folder with one folder of example images for each class; None: no examples.
      cache: folder for resized images; None: a temporary folder.
      ask_every: seconds between two checks of which questions to ask again, in adaptive asking.
    """

    url: str | None = None
    examples: str | None = None
    cache: str | None = None
    ask_every: float = 30


@dataclasses.dataclass(frozen=True)
class _Visit:
    """The session and the rater of a request.

    Attributes:
      session: token of the session.
      rater: row of the table `raters`; an administrator is a rater with `is_admin`.
    """

    session: str
    rater: Row


class _Site:
    def __init__(self, database: Database, options: Options):
        self.database, self.options = database, options
        self.queue = Queue(database)
        self.pictures = Pictures(options.cache)
        with database.reading() as connection:
            self.secret = bytes.fromhex(database.fact(connection, "secret"))
            # Part of the drafts' keys, so that projects at the same address do not mix their drafts.
            self.project = hashlib.sha256(self.secret).hexdigest()[:8]
            self.guidelines = markdown.html(database.fact(connection, "guidelines"))
            class_names = dict(connection.execute(select(classes.c.id, classes.c.name)).all())
        self.examples = examples.find(options.examples, class_names)
        self.templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        # Limits the opening of invitations; random tokens cannot be guessed anyway.
        self.by_address = guards.Rates(20, 1)
        self.by_session = guards.Rates(60, 20)

    # Session and page

    def visit(self, request: Request) -> _Visit | None:
        """Returns session and rater of a request; None without a valid session."""
        session = request.cookies.get(COOKIE)
        if not session:
            return None
        with self.database.reading() as connection:
            rater = people.of_session(connection, session, time.time())
        return None if rater is None else _Visit(session, rater)

    def page(self, name: str, visit: _Visit | None, status: int = 200, **more: Any) -> HTMLResponse:
        """Renders a template; `more` are its other variables."""
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
        """Begins a session, and redirects to an address without the invitation's secret."""
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
                text="This invitation link is unknown. Ask for a new link.",
                root="../",
            )
        response = RedirectResponse("../", 303)
        response.set_cookie(
            COOKIE,
            session,
            max_age=int(people.SESSION),
            httponly=True,
            samesite="lax",
            secure=guards.origin_of(self.options.url or str(request.base_url)).startswith("https"),
        )
        return response

    async def home(self, request: Request) -> Response:
        """The administrator's page, or the rating page, which shows the guidelines on the first visit."""
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

    async def _handle(
        self,
        request: Request,
        work: Callable[[_Visit, dict[str, Any]], Any],
        *,
        admin: bool = False,
    ) -> Response:
        """Checks a script's request, and returns the JSON of `work`, or of a refusal.

        Args:
          request: the request.
          work: carries out the request, given the visit and the request's fields; runs in a thread.
          admin: whether the request is for administrators; else it is for raters.
        """
        visit = await run_in_threadpool(self.visit, request)
        if visit is None:
            return _refusal(401, _LOG_IN)
        if not self.by_session.allows(visit.session):
            return _refusal(429, _SLOW_DOWN)
        reason = guards.check_change(request, self.options.url, self.secret, visit.session)
        if reason is not None:
            return _refusal(403, reason)
        if bool(visit.rater.is_admin) != admin:
            return _refusal(403, "Your invitation does not allow this request.")
        try:
            body = await _body(request)
            return JSONResponse(await run_in_threadpool(work, visit, body))
        except Refused as error:
            return _refusal(409, str(error))
        except InputError as error:
            return _refusal(400, str(error))

    async def next(self, request: Request) -> Response:
        """Returns the tasks that the rater holds, filled up with new ones, and the progress."""

        def work(visit: _Visit, _body: dict[str, Any]) -> dict[str, Any]:
            lent = self.queue.lend(visit.rater.id, _LENT_AT_ONCE)
            return {
                "tasks": [self._task_json(task) for task in lent],
                "progress": self._progress(visit),
            }

        return await self._handle(request, work)

    async def answer(self, request: Request) -> Response:
        """Saves answers. The reply is sent after the commit."""

        def work(visit: _Visit, body: dict[str, Any]) -> dict[str, Any]:
            if not isinstance(body["answers"], dict):
                raise _wrong_type()
            given = {_number(q): _number(a) for q, a in body["answers"].items()}
            key = str(body["key"])
            if not 8 <= len(key) <= 64:
                raise Refused("The key of the request must have 8 to 64 characters.")
            answered = self.queue.answer(
                visit.rater.id,
                _number(body["assignment"]),
                given,
                key,
                _seconds(body.get("seconds", 0)),
            )
            return {"saved": self._task_json(answered)}

        return await self._handle(request, work)

    async def skip(self, request: Request) -> Response:
        """Skips a task, so that another rater gets it."""

        def work(visit: _Visit, body: dict[str, Any]) -> dict[str, Any]:
            self.queue.skip(visit.rater.id, _number(body["assignment"]), str(body["reason"]))
            return {}

        return await self._handle(request, work)

    async def last(self, request: Request) -> Response:
        """Returns the tasks that the rater answered last."""

        def work(visit: _Visit, _body: dict[str, Any]) -> dict[str, Any]:
            return {"tasks": [self._task_json(task) for task in self.queue.last(visit.rater.id)]}

        return await self._handle(request, work)

    async def begin(self, request: Request) -> Response:
        """Stores that the rater has read the guidelines."""

        def work(visit: _Visit, _body: dict[str, Any]) -> dict[str, Any]:
            people.store_reading_of_guidelines(self.database, visit.rater.id, time.time())
            return {}

        return await self._handle(request, work)

    async def status(self, request: Request) -> Response:
        """Returns the figures of the administrator's page."""

        def work(_visit: _Visit, _body: dict[str, Any]) -> dict[str, Any]:
            return progress.overview(self.database, time.time())

        return await self._handle(request, work, admin=True)

    async def change(self, request: Request) -> Response:
        """Pauses or excludes a rater, or undoes it, and returns the figures."""

        def work(_visit: _Visit, body: dict[str, Any]) -> dict[str, Any]:
            values = {n: bool(body[n]) for n in ("is_paused", "is_excluded") if n in body}
            if not values:
                raise InputError(
                    "The request changes nothing: it has neither is_paused nor is_excluded."
                )
            people.change(self.database, str(body["rater"]), **values)
            return progress.overview(self.database, time.time())

        return await self._handle(request, work, admin=True)

    async def image(self, request: Request) -> Response:
        """Returns an image by its id; a session is required."""
        return await self._sized_image(request, "page")

    async def thumbnail(self, request: Request) -> Response:
        """Returns a thumbnail by the id of its image; a session is required."""
        return await self._sized_image(request, "thumbnail")

    async def _sized_image(self, request: Request, size: str) -> Response:
        """Returns an image by its id, in one of the sizes of `pictures.SIZES`."""
        visit = await run_in_threadpool(self.visit, request)
        if visit is None:
            return Response(status_code=401)

        def read() -> bytes | None:
            with self.database.reading() as connection:
                path = image_path(connection, request.path_params["number"])
            return None if path is None else self.pictures.jpeg(path, size)

        return await self._jpeg(read)

    async def example(self, request: Request) -> Response:
        """Returns an example image by class index and number; a session is required."""
        visit = await run_in_threadpool(self.visit, request)
        if visit is None:
            return Response(status_code=401)
        paths = self.examples.get(request.path_params["label"], ())
        number = request.path_params["number"]
        if not 0 <= number < len(paths):
            return Response(status_code=404)
        return await self._jpeg(lambda: self.pictures.jpeg(paths[number], "thumbnail"))

    async def _jpeg(self, read: Callable[[], bytes | None]) -> Response:
        """Returns the JPEG that `read` returns, or status 404 if it is None or cannot be read."""
        try:
            content = await run_in_threadpool(read)
        except (InputError, OSError):
            content = None
        if content is None:
            return Response(status_code=404)
        headers = {"cache-control": "private, max-age=86400"}
        return Response(content, media_type="image/jpeg", headers=headers)

    def _task_json(self, task: LentTask) -> dict[str, Any]:
        """Returns a task as the page's script reads it, with the number of example images of each class."""
        record = dataclasses.asdict(task)
        for question in record["questions"]:
            question["examples"] = len(self.examples.get(question["label"], ()))
        record["is_warm_up"] = task.kind == WARM_UP
        return record

    def _progress(self, visit: _Visit) -> dict[str, Any]:
        with self.database.reading() as connection:
            return progress.progress(self.database, connection, visit.rater.id, time.time())

    async def ask_again(self) -> None:
        """Checks repeatedly which questions to ask again. The checks take at most a tenth of the time."""
        took = 0.0
        while True:
            await asyncio.sleep(max(self.options.ask_every, 9 * took))
            start = time.perf_counter()
            try:
                await run_in_threadpool(adaptive.ask_again, self.database)
            except (InputError, SQLAlchemyError) as error:  # the next check may succeed
                _LOG.warning("Cannot compute which questions to ask again: %s", error)
            took = time.perf_counter() - start


async def _body(request: Request) -> dict[str, Any]:
    """Reads the JSON object of a request.

    Raises:
      InputError: if the body is too large, or not a JSON object.
    """
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > _MAX_BYTES:
            raise InputError(
                f"The request is too large: at most {_MAX_BYTES:,} bytes are accepted."
            )
    try:
        body = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        raise InputError("The request is not JSON.") from None
    if not isinstance(body, dict):
        raise InputError("The request is not a JSON object.")
    return _Fields(body)


def _wrong_type() -> InputError:
    return InputError("A field of the request has the wrong type.")


class _Fields(dict):
    """The fields of a request. Reading a missing field raises an InputError, which refuses the request."""

    def __missing__(self, name: str) -> Any:
        raise InputError(f"The request lacks the field {name}.")


def _number(value: Any) -> int:
    """Converts a field of a request to an integer that fits the database, 0 <= n < 2^31.

    Raises:
      InputError: if it is not a number, or out of range.
    """
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        raise _wrong_type() from None
    if not 0 <= number < 1 << 31:
        raise InputError("A number of the request is out of range.")
    return number


def _seconds(value: Any) -> float:
    """Converts the time that a rater spent on a task to seconds, clipped to [0, 3600].

    Raises:
      InputError: if it is not a finite number.
    """
    try:
        seconds = float(value)
    except (ValueError, TypeError, OverflowError):
        raise _wrong_type() from None
    if not math.isfinite(seconds):
        raise _wrong_type()
    return min(max(seconds, 0.0), 3600.0)


def _refusal(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": text}, status)


def create(database: Database, options: Options | None = None) -> Starlette:
    """Creates the site (a Starlette application) of a rating database."""
    site = _Site(database, options or Options())

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        checks = None
        if site.queue.settings.ask_until is not None:
            checks = asyncio.create_task(site.ask_again())
        yield
        if checks is not None:
            checks.cancel()

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
