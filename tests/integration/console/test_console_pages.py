"""Pages are there for people: complete, in both languages, also while a service is away."""

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
    "/p/default/gateways",
    "/p/default/gateways?only=stale",
    "/p/default?part=live",
    "/p/default/runs/r_now?part=live",
    "/p/default/rollouts/r_live?part=live",
    "/p/default/gateways?part=live",
]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_page_is_drawn_in_both_languages(stand, path, language):
    with stand.browser() as browser:
        answer = browser.get(path, headers={"accept-language": language})
    assert answer.status_code == 200, answer.text[:2000]
    assert answer.headers["content-type"].startswith("text/html")
    assert "style=" not in answer.text
    assert "%(" not in answer.text
    if "part=" not in path:
        assert f'lang="{"zh-Hans" if language == "zh" else "en"}"' in answer.text
