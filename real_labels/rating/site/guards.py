"""What stands between a request and the database: origin, token, rate, headers."""

from __future__ import annotations

import collections
import hashlib
import hmac
import threading
import time
import urllib.parse
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Scripts, styles and images of this site alone; no frames, no plugins, no requests to anywhere else.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class SecureHeaders:
    """Adds the headers to every response, and forbids caches to keep pages."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                present = {name.lower() for name, _ in headers}
                added = HEADERS | {"cache-control": "no-store"}
                headers += [
                    (name.encode(), value.encode())
                    for name, value in added.items()
                    if name.encode() not in present
                ]
            await send(message)

        await self._app(scope, receive, sending)


class Rates:
    """Token buckets: so many requests at once, refilled at a rate."""

    def __init__(
        self, burst: float, per_second: float, clock: Callable[[], float] = time.monotonic
    ):
        self._burst, self._rate, self._clock = burst, per_second, clock
        self._left: dict[str, tuple[float, float]] = collections.OrderedDict()
        self._lock = threading.Lock()

    def allows(self, who: str) -> bool:
        """Whether one more request of somebody is within the rate; counts it if so."""
        now = self._clock()
        with self._lock:
            left, since = self._left.pop(who, (self._burst, now))
            left = min(self._burst, left + (now - since) * self._rate)
            is_allowed = left >= 1
            self._left[who] = (left - is_allowed, now)
            while len(self._left) > 10_000:  # the one longest unseen is forgotten
                self._left.pop(next(iter(self._left)))
            return is_allowed


def csrf_token(secret: bytes, session: str) -> str:
    """The token that a page of this session sends along with every change."""
    return hmac.new(secret, session.encode(), hashlib.sha256).hexdigest()


def origin_of(url: str) -> str:
    """Scheme, host and port of an address."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def check_change(request: Request, url: str | None, secret: bytes, session: str) -> str | None:
    """Why a request that changes something is refused; None if it may pass.

    Its origin must be the site's own: that of --url, or of the host that it was sent to. Its token must be
    that of the session.
    """
    expected = origin_of(url) if url else origin_of(str(request.base_url))
    found = request.headers.get("origin", "").lower()
    if found != expected:
        return (
            f"The request comes from {found or 'an unknown origin'}, and this site is {expected}. Behind a "
            f"proxy, start the server with --url."
        )
    token = request.headers.get("x-csrf-token", "")
    if not hmac.compare_digest(token, csrf_token(secret, session)):
        return "The page is out of date. Load it again; your draft is kept."
    return None
