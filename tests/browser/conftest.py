"""What tests in a browser share: a Chromium, windows in it, and a server with a few made-up spectra."""

import pytest

from tests.browser.planted import CLOUDS, MADE_UP, QUICK, cloud_of
from tests.browser.window import ARGUMENTS, CHROMIUM, LISTEN, Window, running_app
from tests.made_up.asked import asked
from tests.made_up.spectra import store


@pytest.fixture(scope="module")
def context():
    """One for all windows: they share what the browser caches, and every window is a session of its own all the same."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        context = started.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(60_000)
        context.add_init_script(LISTEN)
        yield context
        started.close()


@pytest.fixture
def window(context, server):
    """A function that opens windows; at the end none of them may have asked another host or met a script error."""
    windows: list[Window] = []

    def open_window(path: str = "/", **look) -> Window:
        windows.append(Window(context, server, **look))
        return windows[-1].open(path)

    yield open_window
    try:
        for opened in windows:
            opened.nothing_blank()
    finally:
        for opened in windows:
            opened.page.close()
    assert [url for opened in windows for url in opened.outside] == []
    assert [error for opened in windows for error in opened.errors] == []


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of an app with what ships, and a cache of one made-up spectrum and two large clouds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STIFFCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        store(asked("resnet18", MADE_UP, QUICK, "branch", "spectrum"))
        for image in CLOUDS:
            cloud_of(image, 3000)
        with running_app(tmp_path_factory.mktemp("server") / "log") as address:
            yield address
