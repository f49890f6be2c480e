"""Protection of the site: check of origin and token, limits of request rates, response headers."""

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

# Allows scripts, styles and images of this site only; no frames, no plugins, no requests to other sites.
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
    """Middleware that adds HEADERS to every response, and forbids caching unless the response allows it."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
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

        await self._app(scope, receive, send_with_headers)


class Rates:
    """Token buckets that limit request rates, one bucket for each key (an address, or a session)."""

    def __init__(
        self, burst: float, per_second: float, clock: Callable[[], float] = time.monotonic
    ):
        """Creates the limits.

        Args:
          burst: requests that are allowed at once.
          per_second: requests by which a bucket refills each second, up to `burst`.
          clock: returns the time, in seconds.
        """
        self._burst, self._rate, self._clock = burst, per_second, clock
        self._left: dict[str, tuple[float, float]] = collections.OrderedDict()
        self._lock = threading.Lock()

    def allows(self, key: str) -> bool:
        """Whether one more request of this key is within the rate; if so, the request is counted."""
        now = self._clock()
        with self._lock:
            left, since = self._left.pop(key, (self._burst, now))
            left = min(self._burst, left + (now - since) * self._rate)
            is_allowed = left >= 1
            self._left[key] = (left - is_allowed, now)
            while len(self._left) > 10_000:  # forget the key that was unused for longest
                self._left.pop(next(iter(self._left)))
            return is_allowed


def csrf_token(secret: bytes, session: str) -> str:
    """Returns the token that the pages of a session send with every request of their scripts."""
    return hmac.new(secret, session.encode(), hashlib.sha256).hexdigest()


def origin_of(url: str) -> str:
    """Returns scheme, host and port of an address, in lower case."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def check_change(request: Request, url: str | None, secret: bytes, session: str) -> str | None:
    """Checks origin and token of a script's request. Returns the reason to refuse it; None if it may pass.

    The origin must be that of the site: of --url (`url`), or else of the host that the request was sent to.
    The token must be that of the session.
    """
    expected = origin_of(url) if url else origin_of(str(request.base_url))
    origin = request.headers.get("origin", "").lower()
    if origin != expected:
        return (
            f"The request comes from {origin or 'an unknown origin'}, but the address of this site is "
            f"{expected}. Behind a proxy, start the server with --url and the address that raters open."
        )
    token = request.headers.get("x-csrf-token", "")
    if not hmac.compare_digest(token, csrf_token(secret, session)):
        return "The page is out of date. Load the page again; your draft is kept."
    return None
