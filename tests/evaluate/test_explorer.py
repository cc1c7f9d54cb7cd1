# SPDX-License-Identifier: Apache-2.0
"""The explorer page, opened in a real browser where there is one: Chromium without a window."""

import base64
import csv
import io
import json
import os
import shutil
import subprocess
import time

import numpy as np
import pytest

from astrojax.evaluate import explorer, report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
WIDTH, HEIGHT = 1100, 700


class Browser:
    """Chromium's debugging protocol over a pipe: JSON messages that end in a zero byte."""

    def __init__(self, profile):
        # The browser reads commands from descriptor 3 and writes answers to descriptor 4.
        theirs, self.commands = os.pipe()
        self.answers, back = os.pipe()
        script = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
            "--disable-dev-shm-usage",
            f"--user-data-dir={profile}",
            f"--window-size={WIDTH},{HEIGHT}",
        ]
        self.process = subprocess.Popen(
            ["bash", "-c", script, "bash", str(theirs), str(back), CHROMIUM, *flags],
            pass_fds=(theirs, back),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(back)
        self.waiting, self.count, self.session, self.events = b"", 0, None, []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        attached = self("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self(f"{domain}.enable")
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self("Emulation.setDeviceMetricsOverride", **size)

    def __call__(self, method, **params):
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self.count:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _read(self):
        while b"\0" not in self.waiting:
            part = os.read(self.answers, 1 << 20)
            assert part, "the browser ended"
            self.waiting += part
        message, self.waiting = self.waiting.split(b"\0", 1)
        return json.loads(message)

    def open(self, path):
        self.events.clear()
        self("Page.navigate", url=path.as_uri())
        self.until("document.readyState === 'complete'")

    def js(self, expression):
        result = self(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, expression, seconds=20):
        end = time.monotonic() + seconds
        while not self.js(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.02)

    def mouse(self, kind, x, y, **more):
        self("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self("Page.captureScreenshot")["data"]))

    def complaints(self):
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded")
        return [e for e in self.events if e.get("method") in kinds]

    def fetched(self):
        urls = [
            e["params"]["request"]["url"]
            for e in self.events
            if e.get("method") == "Network.requestWillBeSent"
        ]
        return [u for u in urls if not u.startswith(("data:", "blob:"))]

    def close(self):
        self.session = None
        self("Browser.close")
        self.process.wait(20)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("there is no chromium")
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def task(world, tmp_path_factory):
    tables, sources = world
    out = tmp_path_factory.mktemp("explorer")
    section = explorer.evaluate(
        tables,
        sources,
        out,
        method="pca",
        perplexity=10.0,
        neighbors=5,
        limit=100,
        thumbnail=16,
        seed=0,
    )
    return section, out / "explorer.html"


def centre_of_point(browser, i):
    box = browser.js("(() => {const b = canvas.getBoundingClientRect(); return [b.x, b.y]})()")
    return [a + b for a, b in zip(box, browser.js(f"[px({i}), py({i})]"), strict=True)]


def test_the_report_links_to_it(task, tmp_path):
    section, path = task
    report.write(tmp_path, [section], {}, {})
    assert f'href="{path.name}"' in (tmp_path / "report.html").read_text()


def test_names_of_objects_cannot_break_the_page():
    name = "</script><script>alert(1)</script>"
    text = explorer.page([name, "b"], np.zeros((2, 2)), {}, title="<b>")
    assert "alert(1)</script>" not in text and "<title>&lt;b&gt;" in text


def test_hover_shows_the_object_and_its_thumbnail(browser, task, tmp_path):
    browser.open(task[1])
    x, y = centre_of_point(browser, 7)
    browser.mouse("mouseMoved", x, y)
    # Another point may lie on top of it; the one that is told has to be where the pointer is.
    i = browser.js("hovered")
    assert i >= 0 and np.hypot(*np.subtract(centre_of_point(browser, i), (x, y))) < 1
    card = browser.js("document.getElementById('card').innerText")
    assert browser.js(f"data.ids[{i}]") in card and "redshift" in card
    pixels = "picture.getContext('2d').getImageData(0, 0, 16, 16).data"
    find = "picture = document.querySelector('#card canvas')"
    browser.until(f"({find}, new Set({pixels}).size > 8)")
    browser.screenshot(tmp_path / "hover.png")
    assert len(browser.fetched()) == 1 and not browser.complaints()


def test_thumbnails_are_those_of_their_objects(world, task):
    tables, sources = world
    rows = np.arange(5)
    small = explorer.thumbnails(tables["test"], sources["test"], rows, side=24)
    brightest = [np.unravel_index(p.sum(-1).argmax(), (24, 24)) for p in small.astype(int)]
    for place, row in zip(brightest, rows, strict=True):
        image = sources["test"][int(row)]["image"].sum(-1)[::-1]
        assert image[place] > 0.5 * image.max()


def test_lasso_gives_ids_and_a_csv(browser, task):
    browser.open(task[1])
    browser.js("document.getElementById('lasso').click()")
    left, top, right, bottom = browser.js(
        "(() => {const b = canvas.getBoundingClientRect();"
        " return [b.left + 2, b.top + 2, b.left + b.width / 2, b.bottom - 2]})()"
    )
    browser.mouse("mousePressed", left, top, button="left", clickCount=1)
    for x, y in ((right, top), (right, bottom), (left, bottom)):
        browser.mouse("mouseMoved", x, y, button="left", buttons=1)
    browser.mouse("mouseReleased", left, bottom, button="left")
    chosen = browser.js("document.getElementById('ids').value").split("\n")
    expected = browser.js("data.ids.filter((_, i) => px(i) < width / 2)")
    assert 0 < len(chosen) < 100 and chosen == expected
    rows = list(csv.DictReader(io.StringIO(browser.js("csv()"))))
    assert [r["id"] for r in rows] == chosen and "predicted_redshift" in rows[0]
    assert browser.js("document.querySelectorAll('#gallery canvas').length") == min(60, len(rows))


def test_colors_zoom_and_search(browser, task):
    browser.open(task[1])
    names = browser.js("[...document.getElementById('color').options].map((o) => o.value)")
    assert names[0] == "class" and "magnitude_F160W" in names and "color_F125W_F160W" in names
    choose = "(s => {s.value = 'redshift'; s.onchange()})(document.getElementById('color'))"
    browser.js(choose)
    shown = browser.js("document.querySelector('aside').innerText")
    assert "unknown (" in shown  # every seventh redshift is
    x, y = centre_of_point(browser, 3)
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-600)
    browser.until("view.scale > 2 * view.home")
    # It zooms at the pointer, whose place the browser knows to the pixel: 2.5 times that is left.
    assert np.hypot(*np.subtract(centre_of_point(browser, 3), (x, y))) < 3
    last = browser.js("data.ids[99]")
    browser.js(f"(f => {{f.value = {last!r}; f.onchange()}})(document.getElementById('find'))")
    assert browser.js("hovered") == 99


def test_ten_thousand_points_are_drawn_smoothly(browser, tmp_path):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(10_000, 2))
    path = tmp_path / "many.html"
    path.write_text(explorer.page(range(10_000), points, {"x": points[:, 0]}))
    browser.open(path)
    # A software renderer on a loaded machine; a stutter to the eye begins at about 50 ms a frame.
    drawn = browser.js(
        "(() => {const times = []; for (let k = 0; k < 9; k++) {const t = performance.now();"
        " draw(); ctx.getImageData(0, 0, 1, 1); times.push(performance.now() - t)}"
        " return times.sort((a, b) => a - b)[0]})()"
    )
    assert drawn < 200
    print(f"10,000 points: {drawn:.1f} ms")


HOSTILE = [
    "<!--<script>",
    "</script><script>window.ran = 1</script>",
    "<img src=x onerror=window.ran=1>",
    "__DATA__{{ data }}",
    "=cmd|' /C calc'!A0",
    "-12.5",
    "\u2028\u2029&amp;",
    '"quoted"',
]


def test_names_run_nothing_and_are_shown_as_they_are(browser, tmp_path):
    points = np.random.default_rng(0).normal(size=(len(HOSTILE), 2))
    columns = {name: points[:, 0] for name in HOSTILE} | {"class": np.array(HOSTILE)}
    path = tmp_path / "hostile.html"
    title = "x__DATA__<img src=x onerror=window.ran=1>"
    path.write_text(explorer.page(HOSTILE, points, columns, title=title, axes_name="<b>"))
    browser.open(path)
    assert browser.js("data.ids") == HOSTILE and browser.js("document.title") == title
    assert browser.js("document.querySelector('h1').textContent") == title
    for i in range(len(HOSTILE)):
        browser.js(f"hover({i})")
        assert browser.js("document.querySelector('#card td + td').textContent") == HOSTILE[i]
    browser.js("select([...X.keys()])")
    rows = list(csv.reader(io.StringIO(browser.js("csv()"))))
    ids = [row[0] for row in rows[1:]]
    assert ids[4] == f"'{HOSTILE[4]}" and ids[5] == "-12.5" and ids[0] == HOSTILE[0]
    assert not browser.js("window.ran") and not browser.complaints()
    assert len(browser.fetched()) == 1


def test_a_script_that_got_into_a_page_is_not_run(browser, task, tmp_path):
    path = tmp_path / "changed.html"
    added = '<img src="x" onerror="window.ran = 1"><script>window.ran = 1</script></body>'
    path.write_text(task[1].read_text().replace("</body>", added))
    browser.open(path)
    assert browser.js("N") == 100 and not browser.js("window.ran")
    assert browser.complaints()  # the browser says that the policy forbids it
