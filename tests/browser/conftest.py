"""What tests in a browser share: a Chromium, windows in it, and a server with a few made-up spectra."""

import pytest

from tests.browser.planted import CLOUDS, MADE_UP, QUICK, cloud_of
from tests.browser.window import ARGUMENTS, CHROMIUM, LISTEN, Windows, running_app
from tests.made_up.asked import asked
from tests.made_up.spectra import store


@pytest.fixture(scope="package")
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
def window(context, server, tmp_path):
    """A function that opens windows; at the end none of them may have asked another host or met a script error."""
    windows = Windows(context, server, tmp_path / "left-behind")
    yield windows
    try:
        windows.check()
    except BaseException:
        windows.left = windows.leave_behind()
        raise
    finally:
        windows.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that failed says where its windows were, and what the server said."""
    report = yield
    windows = getattr(item, "funcargs", {}).get("window")
    if report.failed and windows is not None:
        left = windows.left if report.when == "teardown" else windows.leave_behind()
        report.sections.append(("Windows left behind", left))
    return report


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An app with what ships, and a cache of one made-up spectrum and two large clouds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STIFFCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        store(asked("resnet18", MADE_UP, QUICK, "branch", "spectrum"))
        for image in CLOUDS:
            cloud_of(image, 3000)
        with running_app(tmp_path_factory.mktemp("server") / "log") as app:
            yield app
