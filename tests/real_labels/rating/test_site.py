"""Requests of the site: permissions and attacks."""

from __future__ import annotations

import concurrent.futures
import contextlib
import io
import json
import re
import socket
import subprocess
import time

import pytest
from PIL import Image
from sqlalchemy import text
from starlette.testclient import TestClient

from real_labels.rating import database, people, project
from real_labels.rating.database import Settings
from real_labels.rating.queue import Queue
from real_labels.rating.simulation import RequestRefused, Server, Visitor
from real_labels.rating.site import app, guards
from real_labels.rating.site.pictures import Pictures
from tests.real_labels.rating.conftest import gold_of, pictures, tasks_of

ORIGIN = "http://testserver"


@pytest.fixture
def site(tmp_path):
    """(database, client factory, tokens of two raters and an administrator)."""
    tasks = tasks_of(6)
    folder = pictures(tmp_path / "images", [t.file_name for t in tasks])
    opened = database.create(f"sqlite:///{tmp_path / 'rating.db'}")
    project.store(
        opened,
        Settings("<b>Fish</b>", raters=2, warm_up=1, gold_share=0.2),
        "# Rules\n<script>x</script>",
    )
    names = {1: ('<img src=x onerror="alert(1)">', "d & e"), 2: ("two", ""), 3: ("three", "")}
    project.add_tasks(opened, tasks, gold_of(tasks[:2]), project.pictures_of(folder, tasks), names)
    tokens = [people.invite(opened), people.invite(opened), people.invite(opened, is_admin=True)]
    application = app.create(opened, app.Options(cache=str(tmp_path)))
    return opened, lambda: TestClient(application, base_url=ORIGIN), tokens


def visit(client, token):
    """Opens an invitation, and returns a function that sends the page's requests."""
    page = client.get(f"/invite/{token}")
    csrf = re.search(r'data-token="([0-9a-f]+)"', page.text)[1]

    def ask(path, body=None, content=None, **headers):
        sent = {"origin": ORIGIN, "x-csrf-token": csrf} | headers
        headers = {k: v for k, v in sent.items() if v is not None}
        if content is not None:
            return client.post(path, content=content, headers=headers)
        return client.post(path, json=body or {}, headers=headers)

    return ask


def answers_to(task, category=1):
    return {str(q["id"]): category for q in task["questions"] if q["is_asked"]}


def test_a_visit_from_the_invitation_to_the_last_task(site):
    opened, client, tokens = site
    browser = client()
    ask = visit(browser, tokens[0])
    assert "invite" not in str(browser.get("/").url) and tokens[0] not in browser.get("/").text
    assert ask("begin").json() == {}
    done = 0
    while tasks := ask("next").json()["tasks"]:
        for task in tasks:
            assert browser.get(f"/image/{task['image']}").headers["content-type"] == "image/jpeg"
            reply = ask(
                "answer",
                {
                    "assignment": task["assignment"],
                    "answers": answers_to(task),
                    "key": f"key-number-{done}",
                },
            ).json()
            assert [q["answer"] for q in reply["saved"]["questions"]] == [1, 1, 1]
            done += 1
    assert done == 1 + 4 + 1  # the warm-up task, the work, and one hidden gold task (share 0.2)
    now = ask("next").json()["progress"]
    assert now["left"] == 0 and now["done"] == done
    assert len(ask("last").json()["tasks"]) == done - 1  # warm-up answers cannot be changed
    with opened.reading() as connection:
        assert people.of_session(connection, browser.cookies[app.COOKIE], time.time()).id == 1


def test_the_database_stores_hashes_and_no_tokens(site, tmp_path):
    opened, client, tokens = site
    browser = client()
    visit(browser, tokens[0])
    session = browser.cookies[app.COOKIE]
    opened.close()
    stored = b"".join(p.read_bytes() for p in tmp_path.glob("rating.db*"))
    assert tokens[0].encode() not in stored and session.encode() not in stored
    assert people.hashed(tokens[0]).encode() in stored


@pytest.mark.parametrize("path", ["next", "answer", "skip", "last", "begin", "status", "change"])
def test_no_change_without_session_origin_and_token(site, path):
    _, client, tokens = site
    stranger = client().post(f"/{path}", json={}, headers={"origin": ORIGIN})
    assert stranger.status_code == 401
    ask = visit(client(), tokens[2] if path in ("status", "change") else tokens[0])
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": None},
        {"origin": "null"},
        {"x-csrf-token": None},
        {"x-csrf-token": "0" * 64},
    ):
        reply = ask(path, None, **headers)
        assert reply.status_code == 403, headers
    assert "http://evil.example" in ask(path, None, origin="http://evil.example").json()["error"]
    assert client().get(f"/{path}").status_code == 405


def test_the_token_of_another_session_is_refused(site):
    _, client, tokens = site
    first, second = client(), client()
    visit(first, tokens[0])
    page = second.get(f"/invite/{tokens[1]}").text
    foreign = re.search(r'data-token="([0-9a-f]+)"', page)[1]
    reply = first.post("/next", json={}, headers={"origin": ORIGIN, "x-csrf-token": foreign})
    assert reply.status_code == 403


def test_raters_and_administrators_cannot_use_each_others_requests(site):
    _, client, tokens = site
    rater, admin = visit(client(), tokens[0]), visit(client(), tokens[2])
    assert rater("status").status_code == rater("change", {"rater": "rater-002"}).status_code == 403
    assert admin("next").status_code == 403
    assert admin("status").json()["tasks"] == 4
    changed = admin("change", {"rater": "rater-001", "is_paused": True}).json()
    assert changed["raters"][0]["is_paused"]
    assert rater("next").status_code == 409
    assert admin("change", {"rater": "nobody", "is_paused": True}).status_code == 400


def test_raters_cannot_see_or_change_answers_of_others(site):
    _, client, tokens = site
    first, second = visit(client(), tokens[0]), visit(client(), tokens[1])
    task = first("next").json()["tasks"][0]
    body = {"assignment": task["assignment"], "answers": answers_to(task), "key": "key-of-first"}
    assert second("answer", body).status_code == 409
    assert second("skip", {"assignment": task["assignment"], "reason": "x"}).status_code == 409
    assert first("answer", body).status_code == 200
    assert second("last").json()["tasks"] == []
    for task in second("next").json()["tasks"]:
        assert all(q["answer"] is None and q["truth"] is None for q in task["questions"])


def test_gold_looks_like_work(site):
    _, client, tokens = site
    ask = visit(client(), tokens[0])
    warm_up = ask("next").json()["tasks"]
    for task in warm_up:
        ask(
            "answer",
            {"assignment": task["assignment"], "answers": answers_to(task), "key": "k" * 9},
        )
    tasks = ask("next").json()["tasks"]
    assert {tuple(sorted(task)) for task in tasks} == {
        ("assignment", "image", "is_warm_up", "kind", "lease_ends", "questions")
    }
    assert {task["kind"] for task in tasks} == {"work"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"assignment": "x", "answers": {}, "key": "12345678"},
        {"assignment": 1, "answers": [1], "key": "12345678"},
        {"assignment": 1, "answers": {"a": "b"}, "key": "12345678"},
        {"assignment": 1, "answers": {}, "key": "short"},
        {"assignment": 10**30, "answers": {"1": 1}, "key": "12345678"},
        {"assignment": None, "answers": None, "key": None},
        {"assignment": 1, "answers": {"1": 1}, "key": "12345678", "seconds": "soon"},
        {"assignment": 1, "answers": {str(10**30): 1}, "key": "12345678"},
        {"assignment": 1, "answers": {"1": 1}, "key": "12345678", "seconds": float("inf")},
        {"assignment": 1, "answers": {"1": 1}, "key": "12345678", "seconds": 10**400},
        {"assignment": 1, "answers": {"1": float("inf")}, "key": "12345678"},
    ],
)
def test_invalid_fields_are_refused(site, body):
    _, client, tokens = site
    ask = visit(client(), tokens[0])
    ask("next")
    content = json.dumps(body)  # JSON has no infinity, but Python's parser reads it
    reply = ask("answer", None, content=content)
    assert reply.status_code in (400, 409) and reply.json()["error"]
    admin = visit(client(), tokens[2])
    assert admin("status").status_code == 200 and ask("next").status_code == 200


def test_invalid_bodies_are_refused(site):
    _, client, tokens = site
    browser = client()
    visit(browser, tokens[0])
    page = browser.get("/").text
    headers = {"origin": ORIGIN, "x-csrf-token": re.search(r'data-token="([0-9a-f]+)"', page)[1]}
    for content in (b"{", b"[1]", b"\xff", b"[" * 60_000, b"1" * 70_000):
        reply = browser.post("/answer", content=content, headers=headers)
        assert reply.status_code == 400, content[:5]


def test_images_need_a_session_and_a_valid_id(site):
    _, client, tokens = site
    assert client().get("/image/1").status_code == 401
    browser = client()
    visit(browser, tokens[0])
    for path in (
        "/image/999", "/image/0", "/image/-1", "/image/../rating.db", "/image/%2e%2e%2frating.db",
        "/image/1.png", "/image//etc/passwd", "/static/../app.py", "/static/%2e%2e/app.py",
        "/static/..%2f..%2fdatabase.py", "/example/1/0", "/example/1/-1",
    ):  # fmt: skip
        assert browser.get(path).status_code in (404, 405), path


def test_a_file_that_is_not_an_image_is_not_sent(site, tmp_path):
    _, client, tokens = site
    (tmp_path / "images" / "000.png").write_text("<script>alert(1)</script>")
    browser = client()
    visit(browser, tokens[0])
    with database.opened(f"sqlite:///{tmp_path / 'rating.db'}").reading() as connection:
        number = connection.scalar(text("SELECT id FROM images WHERE file_name = '000.png'"))
    assert browser.get(f"/image/{number}").status_code == 404


def test_texts_are_escaped(site):
    _, client, tokens = site
    page = client().get(f"/invite/{tokens[0]}").text
    assert "<b>Fish</b>" not in page and "&lt;b&gt;Fish&lt;/b&gt;" in page
    assert "<script>x" not in page and "&lt;script&gt;x" in page
    assert "onerror" not in page  # the page gets class names as JSON and sets them as text


def test_a_key_belongs_to_one_assignment(site):
    """An answer is saved although another rater has used the same key."""
    _, client, tokens = site
    for token in tokens[:2]:
        ask = visit(client(), token)
        for key in ("of the warm-up", "the-same-key"):
            task = ask("next").json()["tasks"][0]
            given = {"assignment": task["assignment"], "answers": answers_to(task), "key": key}
            ask("answer", given)
        (kept,) = ask("last").json()["tasks"]
        assert [q["answer"] for q in kept["questions"]] == [1, 1, 1]


def test_every_reply_forbids_frames_and_foreign_scripts(site):
    _, client, tokens = site
    browser = client()
    for path in ("/", "/nowhere", f"/invite/{tokens[0]}", "/static/rate.js", "/invite/wrong"):
        headers = browser.get(path).headers
        for name, value in guards.HEADERS.items():
            assert headers[name] == value, (path, name)
    assert "unsafe" not in guards.POLICY and "http" not in guards.POLICY
    cookie = (
        client().get(f"/invite/{tokens[0]}", follow_redirects=False).headers["set-cookie"].lower()
    )
    assert "httponly" in cookie and "samesite=lax" in cookie and "secure" not in cookie


def test_behind_a_proxy_the_origin_is_that_of_the_url_option(site, tmp_path):
    opened, _, tokens = site
    behind = app.create(opened, app.Options(url="https://rate.example.org/", cache=str(tmp_path)))
    browser = TestClient(behind, base_url="http://10.0.0.1:8000")
    reply = browser.get(f"/invite/{tokens[0]}", follow_redirects=False)
    assert "secure" in reply.headers["set-cookie"].lower()
    session = re.search(rf"{app.COOKIE}=([^;]+)", reply.headers["set-cookie"])[1]
    page = browser.get("/", headers={"cookie": f"{app.COOKIE}={session}"}).text
    token = re.search(r'data-token="([0-9a-f]+)"', page)[1]
    headers = {"cookie": f"{app.COOKIE}={session}", "x-csrf-token": token}
    for origin, status in (("https://rate.example.org", 200), ("http://10.0.0.1:8000", 403)):
        assert (
            browser.post("/next", json={}, headers=headers | {"origin": origin}).status_code
            == status
        )


def test_guessing_invitations_is_slowed_down(site):
    _, client, _ = site
    browser = client()
    codes = [browser.get(f"/invite/{i:032d}").status_code for i in range(40)]
    assert codes[0] == 404 and codes[-1] == 429


def test_a_flood_of_requests_is_slowed_down(site):
    _, client, tokens = site
    ask = visit(client(), tokens[0])
    codes = [ask("last").status_code for _ in range(200)]
    assert codes[0] == 200 and 429 in codes


def test_an_expired_session_asks_for_the_invitation_link(site):
    opened, client, tokens = site
    browser = client()
    ask = visit(browser, tokens[0])
    with opened.writing() as connection:
        connection.execute(text("UPDATE sessions SET expires = 1"))
    reply = ask("next")
    assert reply.status_code == 401 and "your draft is kept" in reply.json()["error"]


def test_rates_refill():
    now = [0.0]
    rates = guards.Rates(2, 1, clock=lambda: now[0])
    assert [rates.allows("a") for _ in range(3)] == [True, True, False]
    assert rates.allows("b")
    now[0] += 1
    assert [rates.allows("a") for _ in range(2)] == [True, False]


def test_secrets_are_not_in_the_log(site):
    """Checks the output of a real server after refused, invalid and failing requests."""
    opened, _, tokens = site
    with Server(str(opened.engine.url), stdout=subprocess.PIPE) as server:
        visitor = Visitor(f"{server.address}/invite/{tokens[0]}")
        session = visitor._headers["cookie"].partition("=")[2]
        for path in ("/invite/wrong", "/nowhere", "/image/99999", f"/invite/{tokens[1]}"):
            with contextlib.suppress(RequestRefused):
                visitor._send("GET", path)
        with contextlib.suppress(RequestRefused):
            visitor.ask("answer", {"assignment": 1, "answers": {}, "key": "12345678"})
        with opened.writing() as connection:  # makes the next request fail in the server
            connection.execute(text("ALTER TABLE assignments RENAME TO gone"))
        with contextlib.suppress(RequestRefused):
            visitor.ask("next")
        with socket.create_connection(("127.0.0.1", int(server.address.rpartition(":")[2]))) as raw:
            raw.sendall(f"GET /invite/{tokens[1]} HTTP/9\r\nCookie: {session}\r\n\r\n".encode())
            raw.recv(100)
        server.kill()
        output = server.output()
    assert "Serving" in output and "no such table" in output  # the server does log
    assert not any(secret in output for secret in (*tokens, session))


def test_the_pages_send_no_requests_to_other_sites():
    folder = app._HERE
    for path in (*folder.glob("static/*"), *folder.glob("templates/*")):
        content = path.read_text()
        assert not re.search(
            r"https?://|//[a-z]+\.[a-z]", content.replace("http://www.w3.org", "")
        ), path.name
        assert not any(word in content for word in ("innerHTML", "onclick", "eval("))


def test_the_queue_survives_a_restart(site):
    opened, client, tokens = site
    ask = visit(client(), tokens[0])
    first = ask("next").json()["tasks"]
    again = Queue(opened).lend(1, 2)
    assert [task.assignment for task in again] == [task["assignment"] for task in first]


def test_many_concurrent_requests_for_one_picture(tmp_path):
    pictures(tmp_path / "images", ["a.png"])
    cache = Pictures(tmp_path / "cache")
    path = str(tmp_path / "images" / "a.png")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        jobs = [pool.submit(cache.jpeg, path, "page") for _ in range(64)]
        contents = {job.result() for job in jobs}
    assert len(contents) == 1 and next(iter(contents)).startswith(b"\xff\xd8")
    assert len(list((tmp_path / "cache").iterdir())) == 1
    small = Image.open(io.BytesIO(cache.jpeg(path, "thumbnail")))
    assert max(small.size) == 240
