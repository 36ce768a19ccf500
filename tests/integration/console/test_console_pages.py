"""Pages are there for people: complete, in both languages, also while a service is away."""

from typing import Any

import pytest

PAGES = [
    "/p/default",
    "/p/default/data",
    "/p/default/data/shuttle",
    "/p/default/data/shuttle?tab=rows&offset=100",
    "/p/default/data/shuttle?tab=versions",
    "/p/default/runs",
    "/p/default/runs/r_now",
    "/p/default/runs/r_done",
    "/p/default/runs/r_failed",
    "/p/default/models",
    "/p/default/models/shuttle",
    "/p/default/rollouts",
    "/p/default/rollouts/r_live",
    "/p/default/rollouts/r_held",
    "/p/default/rollouts/r_back",
    "/p/default/rollouts/r_first",
    "/p/default/rollouts/r_fresh",
    "/p/default/rollouts/r_shadow",
    "/p/default/gateways",
    "/p/default/gateways?only=stale",
    "/p/default?part=live",
    "/p/default/runs/r_now?part=live",
    "/p/default/rollouts/r_live?part=live",
    "/p/default/gateways?part=live",
]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_page_is_drawn_in_both_languages(stand: Any, path: str, language: str) -> None:
    with stand.browser() as browser:
        answer = browser.get(path, headers={"accept-language": language})
    assert answer.status_code == 200, answer.text[:2000]
    assert answer.headers["content-type"].startswith("text/html")
    assert "style=" not in answer.text
    assert "%(" not in answer.text
    if "part=" not in path:
        assert f'lang="{"zh-Hans" if language == "zh" else "en"}"' in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/p/default/nothing", 404),
        ("/p/other", 404),
        ("/p/default/runs/none", 404),
        ("/p/default/rollouts/none", 404),
        ("/p/default/data/none", 404),
        ("/p/default/data/shuttle?v=sha256:0", 404),
        ("/p/default/data/shuttle?tab=rows&offset=x", 422),
        ("/p/default/data/shuttle?tab=rows&offset=-1", 422),
        ("/p/default/models/none", 404),
        ("/p/default/runs?part=live", 404),
        ("/p/default?part=%00<script>", 404),
    ],
)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_what_is_not_there_is_a_page_with_a_way_back(stand: Any, path: str, status: int, language: str) -> None:
    with stand.browser() as browser:
        answer = browser.get(path, params={"lang": language} if "?" not in path else None)
    assert answer.status_code == status, answer.text
    assert 'href="/p/default"' in answer.text
    assert "<script>" not in answer.text


def test_what_services_say_cannot_become_markup(stand: Any) -> None:
    with stand.browser() as browser:
        text = browser.get("/p/default/data/shuttle").text
    assert "100% of something &lt;b&gt;new&lt;/b&gt;" in text


def test_the_choice_of_language_and_theme_is_kept(stand: Any) -> None:
    with stand.browser() as browser:
        assert "数据集" in browser.get("/p/default?lang=zh&theme=dark").text
        text = browser.get("/p/default").text
        assert 'data-theme="dark"' in text
        assert "数据集" in text
        assert "data-theme" not in browser.get("/p/default?theme=auto").text
        assert 'lang="en"' in browser.get("/p/default?lang=en").text


def test_an_empty_platform_says_what_to_do_first(stand: Any, plant: Any) -> None:
    plant.empty = True
    try:
        with stand.browser() as browser:
            assert "onecode data upload" in browser.get("/p/default").text
            for page in ("data", "runs", "models", "rollouts", "gateways"):
                assert 'class="empty' in browser.get(f"/p/default/{page}").text
    finally:
        plant.empty = False


def test_the_fleet_is_filtered_by_state_and_text(stand: Any) -> None:
    def names(text: str) -> list[str]:
        return [part.split("<")[0] for part in text.split('<td class="keep"><b>')[1:]]

    with stand.browser() as browser:
        assert names(browser.get("/p/default/gateways?only=stale").text) == ["gw-3"]
        assert names(browser.get("/p/default/gateways?only=drift").text) == ["gw-5"]
        assert names(browser.get("/p/default/gateways?q=GW-1").text) == ["gw-1", "gw-10", "gw-11", "gw-12"]
        assert len(names(browser.get("/p/default/gateways?segment=line-2").text)) == 6
        assert "last known" in browser.get("/p/default/gateways?only=stale").text


def test_the_evidence_of_a_release_is_drawn_and_told(stand: Any) -> None:
    with stand.browser() as browser:
        text = browser.get("/p/default/rollouts/r_back").text
    assert text.count('<polyline class="series') == 6
    assert text.count("Roll back at 20 : 1") == 2
    assert text.count("Promote at 200 : 1") == 2
    assert "version v2 fails more often" in text
    assert "replayed, same result" in text
    assert "replay differs" in text


def test_what_a_shadow_found_is_told_and_its_steps_have_not_begun(stand: Any) -> None:
    with stand.browser() as browser:
        text = browser.get("/p/default/rollouts/r_shadow").text
    assert "Running in shadow: v2 is shown requests and answers nobody." in text
    assert "80 more requests are needed before its first step." in text
    assert "<b>8,880</b>" not in text
    assert "8,880 had no spare time" in text
    assert "<b>0.312</b>" in text
    assert "Not begun" in text


def test_bytes_of_a_page_stay_small(stand: Any) -> None:
    import gzip

    with stand.browser() as browser:
        for path in ("/p/default", "/p/default/rollouts/r_live", "/p/default/data/shuttle", "/p/default/runs/r_done"):
            size = len(gzip.compress(browser.get(path).content))
            assert size <= 60_000, (path, size)
        page = browser.get("/p/default").text
        assets = sum(
            len(gzip.compress(browser.get(f"/static/{part.split(chr(34))[0]}").content))
            for part in page.split("/static/")[1:]
        )
    assert assets <= 90_000
