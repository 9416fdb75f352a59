"""What tests in a browser share: a Chromium, windows in it, and a server with made-up results."""

import pytest

from tests.browser import planted
from tests.browser.window import ARGUMENTS, CHROMIUM, LISTEN, Windows, running_app


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


@pytest.fixture(scope="package")
def server(tmp_path_factory):
    """An app with what ships, and a cache of made-up results; of all tests that change nothing that another one looks at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STIFFCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        planted.plant()
        with running_app(tmp_path_factory.mktemp("server") / "log") as app:
            yield app
