"""Buttons of the rollout page work as plain forms, and tell who was faster."""

import re
from typing import Any


def form(browser: Any, path: str, action: Any) -> tuple[str, dict[str, str]]:
    """Return what a browser would send for a button of the page."""
    page = browser.get(path).text
    found = re.search(
        rf'action="({re.escape(path)}/{action})">\s*<input type="hidden" name="_csrf" value="(\w+)"', page
    )
    assert found, f"no form for {action}"
    return found.group(1), {"_csrf": found.group(2)}


def test_pause_and_resume_by_form(stand: Any, plant: Any) -> None:
    path = "/p/default/rollouts/r_live"
    with stand.browser() as browser:
        browser.headers["origin"] = stand.url
        where, fields = form(browser, path, "pause")
        done = browser.post(where, data={**fields, "reason": "look at line 2 <b>"})
        assert (done.status_code, done.headers["location"]) == (303, path)
        assert plant.last("PauseRollout").reason == "look at line 2 <b>"
        assert plant.calls[-1][1] == "admin" or plant.last("PauseRollout")
        page = browser.get(path).text
        assert "Paused by an operator in step" in page
        where, fields = form(browser, path, "resume")
        assert browser.post(where, data=fields).status_code == 303
        assert plant.last("ResumeRollout").reason == "admin: resume"
        assert "Running, step" in browser.get(path).text


def test_who_is_too_late_sees_the_present_state(stand: Any) -> None:
    path = "/p/default/rollouts/r_live"
    with stand.browser() as browser:
        browser.headers["origin"] = stand.url
        where, fields = form(browser, path, "pause")
        assert browser.post(where, data=fields).status_code == 303
        late = browser.post(where, data=fields)
        assert late.status_code == 409
        assert 'role="alert"' in late.text
        assert "Paused by an operator" in late.text
        where, fields = form(browser, path, "resume")
        browser.post(where, data=fields)


def test_promotion_by_force_asks_for_a_reason_and_says_so(stand: Any, plant: Any) -> None:
    path = "/p/default/rollouts/r_held"
    with stand.browser() as browser:
        browser.headers["origin"] = stand.url
        page = browser.get(path).text
        assert re.search(r'id="reason-promote"[^>]* required', page)
        where, fields = form(browser, path, "promote")
        assert browser.post(where, data={**fields, "reason": "plant stop", "force": "yes"}).status_code == 303
    sent = plant.last("PromoteRollout")
    assert (sent.force, sent.reason) == (True, "plant stop")


def test_only_what_the_state_allows_has_a_form(stand: Any) -> None:
    with stand.browser() as browser:
        page = browser.get("/p/default/rollouts/r_back").text
        assert "popovertarget" not in page
        assert page.count("disabled title=") == 5
        fresh = browser.get("/p/default/rollouts/r_fresh").text
        assert re.findall(r'popovertarget="ask-(\w+)">', fresh) == ["approve", "cancel"]


def test_an_unknown_action_or_rollout_is_not_found(stand: Any) -> None:
    with stand.browser() as browser:
        browser.headers["origin"] = stand.url
        _, fields = form(browser, "/p/default/rollouts/r_fresh", "cancel")
        for path in ("/p/default/rollouts/r_fresh/explode", "/p/default/rollouts/none/pause"):
            answer = browser.post(path, data=fields)
            assert answer.status_code == 404
            assert answer.headers["content-type"].startswith("text/html")
