"""Open a page in headless Chromium, act on it, and read what it shows."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

# A window of Chromium is never narrower than 500 pixels, but a frame in it is as narrow as it is made.
FRAME = """<!DOCTYPE html><html><body style="margin:0">
<iframe src="%s" style="border:0;width:%dpx;height:900px"></iframe>
<script>addEventListener("message", ({ data }) => {
  const out = document.createElement("pre"); out.id = "said"; out.textContent = data; document.body.append(out);
});</script></body></html>"""
PROBE = """
const act = async () => { %s };
act().then((found) => ({ found }), (error) => ({ error: String(error) }))
  .then((said) => parent.postMessage(JSON.stringify(said), "*"));
"""


@dataclass(frozen=True)
class Opened:
    """What a page did.

    Attributes:
        found: what the script gave.
        console: the console's messages.
        addresses: every address outside this machine that the page asked for.
    """

    found: Any
    console: list[str]
    addresses: list[str]


def open_page(page: Path, tmp_path: Path, width: int, act: str) -> Opened:
    """Open a copy of a page in which a script acts after the page's own.

    Args:
        page: the page.
        tmp_path: directory for the copy.
        width: width of the window in pixels.
        act: body of a JavaScript function, which returns what JSON can hold.
    """
    assert CHROMIUM is not None
    script = PROBE % act
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = page.read_text(encoding="utf-8")
    # Without its digest in the page's policy, the script would not run, as none that a text smuggled in would.
    assert text.count("script-src ") == text.count("</body>") == 1
    text = text.replace("script-src ", f"script-src 'sha256-{digest}' ")
    copy, frame, log = (tmp_path / name for name in ("copy.html", "frame.html", "requests.json"))
    copy.write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    frame.write_text(FRAME % (copy.name, width), encoding="utf-8")
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
            f"--log-net-log={log}",
            "--window-size=1400,1000",
            "--virtual-time-budget=3000",
            "--dump-dom",
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    said = re.search(r'<pre id="said">(.*?)</pre>', done.stdout, re.DOTALL)
    assert said is not None, done.stderr[-2000:]
    answer = json.loads(html.unescape(said[1]))
    assert "error" not in answer, answer
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Opened(answer.get("found"), console, _addresses(log))


def _addresses(log: Path) -> list[str]:
    """The addresses in Chromium's log of requests, without the ones that the browser asks for itself."""
    content = json.loads(log.read_text(encoding="utf-8"))
    begin = content["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    asked = [event.get("params", {}) for event in content["events"] if event["type"] == begin]
    return [of["url"] for of in asked if of.get("initiator", "not an origin") != "not an origin"]
