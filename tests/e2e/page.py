#!/usr/bin/env python3
"""The whole way, as a person goes it: `wingman demo`, a browser, a question typed, an answer read.

  WINGMAN=build/release/wingman WM_BUILD=build/release python3 tests/e2e/page.py

Headless Chromium is driven over its DevTools pipe (file descriptors 3 and 4, JSON ended by NUL), so that nothing but
Python's own library is needed. Screenshots are left in WM_BUILD: page.png, page-dark.png, page-narrow.png,
page-shapes.png.
"""
import base64
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

WINGMAN = os.environ.get("WINGMAN", "build/release/wingman")
BUILD = os.environ.get("WM_BUILD", "build/release")
MODEL = os.environ.get("WM_MODEL", "build/models/SmolLM2-135M-Instruct.Q4_1.gguf")
QUESTION = "What is the capital of France?"
START_S, ANSWER_S = 60, 120


class Browser:
    """One Chromium with one page; `errors` gathers what its console and its policies complain of."""

    def __init__(self, program, profile):
        from_us, self.to = os.pipe()
        self.fro, to_us = os.pipe()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
                 "--disable-background-networking", "--disable-dev-shm-usage", "--remote-debugging-pipe",
                 f"--user-data-dir={profile}", "about:blank"]
        script = f'exec "$@" 3<&{from_us} 4>&{to_us}'
        self.process = subprocess.Popen(["sh", "-c", script, "sh", program, *flags], pass_fds=(from_us, to_us),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(from_us)
        os.close(to_us)
        self.waiting, self.number, self.session, self.errors = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            self.call(f"{domain}.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source="window.violations = []; document.addEventListener("
                  "'securitypolicyviolation', e => window.violations.push(`${e.violatedDirective} ${e.blockedURI}`));")

    def read(self, until):
        while b"\0" not in self.waiting:
            ready, _, _ = select.select([self.fro], [], [], max(0, until - time.monotonic()))
            piece = os.read(self.fro, 1 << 16) if ready else b""
            if not piece:
                raise AssertionError("the browser does not answer")
            self.waiting += piece
        message, self.waiting = self.waiting.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + 60
        while True:
            answer = self.read(until)
            self.note(answer)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def note(self, event):
        params = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.errors.append("exception: " + json.dumps(params["exceptionDetails"])[:500])
        if event.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.errors.append("console: " + json.dumps(params["args"])[:500])
        if event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append("log: " + params["entry"]["text"])

    def js(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise AssertionError(f"{expression}: {result['exceptionDetails']['text']}")
        return result["result"].get("value")

    def wait(self, expression, seconds, what):
        until = time.monotonic() + seconds
        while not self.js(expression):
            if time.monotonic() > until:
                raise AssertionError(f"not within {seconds} s: {what}")
            time.sleep(0.1)

    def write(self, text):
        self.js("document.getElementById('text').focus()")
        self.call("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def picture(self, name):
        time.sleep(0.4)  # a bubble's rise
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(os.path.join(BUILD, name), "wb") as f:
            f.write(base64.b64decode(data))

    def close(self):
        self.process.terminate()
        self.process.wait(20)


class Demo:
    def __init__(self, folder):
        self.output = open(os.path.join(folder, "demo.log"), "w+b")
        self.process = subprocess.Popen([WINGMAN, "demo", "--port", "0", "--data", os.path.join(folder, "data"),
                                         "--model", MODEL], stdout=self.output, stderr=subprocess.STDOUT,
                                        stdin=subprocess.DEVNULL)

    def text(self):
        with open(self.output.name, "rb") as f:
            return f.read().decode("utf-8", "replace")

    def address(self):
        until = time.monotonic() + START_S
        while time.monotonic() < until and self.process.poll() is None:
            found = re.search(r"Open (http://127\.0\.0\.1:\d+/)", self.text())
            if found:
                return found[1]
            time.sleep(0.1)
        raise AssertionError(f"the demo printed no address within {START_S} s (exit code {self.process.poll()})")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "no end within 40 s of SIGTERM"


class Page:
    """The claims, in order: each stands on those before it."""

    def __init__(self, demo, browser):
        self.demo, self.browser = demo, browser

    def the_demo_prints_its_address_and_the_page_connects(self):
        self.browser.size(1280, 820)
        self.browser.call("Page.navigate", url=self.demo.address())
        self.browser.wait("document.querySelector('#link.on') !== null", 30, "the gateway shows as connected")
        assert self.browser.js("document.activeElement.id") == "text", "the message field has the focus"

    def a_question_typed_on_the_page_is_read_by_the_gateway(self):
        self.browser.write(QUESTION)
        self.browser.wait("document.querySelector('.bubble.mine')?.dataset.status === 'read'", ANSWER_S, "ticks read")
        assert self.browser.js("document.getElementById('text').value") == "", "the field is empty again"
        colours = [self.browser.js(f"getComputedStyle(document.querySelector('{s}')).color")
                   for s in (".bubble.mine .tick", ".bubble.mine .meta")]
        assert colours[0] != colours[1], "read ticks have their own colour"

    def the_answer_names_paris(self):
        self.browser.wait("document.querySelector('.bubble:not(.mine)') !== null", ANSWER_S, "an answer")
        answer = self.browser.js("document.querySelector('.bubble:not(.mine) .body').textContent")
        assert "Paris" in answer, f"the answer is: {answer}"

    def the_panel_shows_the_webhook_and_the_calls(self):
        titled = "[...document.querySelectorAll('.call')].find(c => c.querySelector('.title b')?.textContent === '%s')"
        for what in ("verification", "message", "read and typing", "reply", "status sent", "status read"):
            self.browser.wait(titled % what + " !== undefined", 10, f"'{what}' in the panel")
        self.browser.js(titled % "message" + ".querySelector('summary').click()")
        self.browser.wait("document.querySelector('.call pre')?.textContent.includes('whatsapp_business_account')", 5,
                          "the webhook's body")
        self.browser.picture("page.png")
        self.browser.js("document.querySelector('.call details[open] summary').click()")

    def markup_in_a_message_stays_text(self):
        text = "<img src=x onerror=alert(1)> *bold* <b>x</b>"
        self.browser.js(f"fetch('/sim/message', {{method: 'POST', headers: {{'Content-Type': 'application/json'}},"
                        f" body: JSON.stringify({{contact: '15550100002', text: {json.dumps(text)}}})}}).then(r => r.ok)")
        self.browser.js("document.querySelector('[data-contact=\"15550100002\"]').click()")
        self.browser.wait("document.querySelector('.bubble.mine') !== null", 10, "the message")
        shown = self.browser.js("document.querySelector('.bubble.mine .body').textContent")
        assert "<img src=x onerror=alert(1)>" in shown and "<b>x</b>" in shown, shown
        assert self.browser.js("document.querySelectorAll('.bubble img, .bubble b').length") == 0
        assert self.browser.js("document.querySelector('.bubble.mine strong').textContent") == "bold"

    def each_phone_has_its_own_chat(self):
        self.browser.js("document.querySelector('[data-contact=\"15550100001\"]').click()")
        assert self.browser.js("document.querySelector('.bubble.mine .body').textContent").startswith(QUESTION)
        self.browser.js("document.querySelector('[data-contact=\"15550100003\"]').click()")
        assert self.browser.js("document.querySelectorAll('.bubble').length") == 0
        self.browser.js("document.querySelector('[data-contact=\"15550100001\"]').click()")

    def the_page_fits_a_phone_and_the_dark(self):
        self.browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        self.browser.picture("page-dark.png")
        self.browser.size(390, 760)
        assert self.browser.js("document.documentElement.scrollWidth") <= 390, "nothing is wider than the screen"
        assert self.browser.js("getComputedStyle(document.querySelector('.panel')).display") == "none"
        self.browser.picture("page-narrow.png")

    def the_console_is_silent_and_the_policy_was_not_broken(self):
        violations = self.browser.js("window.violations")
        assert not violations, violations
        assert not self.browser.errors, self.browser.errors

    def the_page_shows_the_same_after_a_reload(self):
        self.browser.size(1280, 820)
        self.browser.call("Page.reload")
        self.browser.wait("document.querySelector('#link.on') !== null", 30, "connected again")
        self.browser.wait("document.querySelectorAll('.bubble').length >= 2", 10, "the chat is there again")

    def the_second_contact_looks_at_a_picture_and_answers(self):
        self.browser.call("Emulation.setEmulatedMedia", features=[])
        self.browser.js("[...document.querySelectorAll('#businesses a')].find(a => a.textContent === 'Shapes').click()")
        self.browser.wait("location.pathname === '/shapes/' && document.querySelector('#link.on') !== null", 30, "connected")
        self.browser.wait("document.querySelectorAll('#pictures img').length === 3", 10, "three samples")
        self.browser.js("document.querySelector('#pictures button').click()")
        self.browser.wait("document.querySelector('.bubble.mine img')?.naturalWidth > 0", 10, "the picture in its bubble")
        self.browser.wait("document.querySelector('.bubble:not(.mine)') !== null", ANSWER_S, "a word on the picture")
        self.browser.write("What colour is the shape?")
        self.browser.wait("document.querySelectorAll('.bubble:not(.mine)').length === 2", ANSWER_S, "an answer")
        answer = self.browser.js("[...document.querySelectorAll('.bubble:not(.mine) .body')].pop().textContent")
        assert answer.startswith("It is gray."), f"the answer is: {answer}"
        self.browser.picture("page-shapes.png")
        self.browser.js("document.querySelector('#businesses a').click()")
        self.browser.wait("location.pathname === '/' && document.querySelectorAll('.bubble').length >= 2", 20, "the first chat")

    def the_demo_ends_well_when_told(self):
        code = self.demo.stop()
        assert code == 0, f"exit code {code}"

    def the_page_finds_a_simulator_that_starts_again(self):
        self.browser.wait("document.querySelector('#link.off') !== null", 10, "the page says that the simulator is gone")
        self.browser.js("document.getElementById('text').value = 'half a thought'")
        port = self.browser.js("location.port")
        data = os.path.join(os.path.dirname(self.demo.output.name), "data")
        files = {"--app-secret-file": "app.secret", "--access-token-file": "access.token",
                 "--verify-token-file": "verify.token"}
        options = [word for option, name in files.items() for word in (option, os.path.join(data, name))]
        sim = subprocess.Popen([WINGMAN, "sim", "--listen", f"127.0.0.1:{port}", "--webhook", "http://127.0.0.1:1/",
                                *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            self.browser.wait("document.querySelector('#link.off') === null", 20, "connected to the new one")
            self.browser.wait("document.querySelectorAll('.bubble').length === 0", 5, "its chats, which are empty")
            assert self.browser.js("document.getElementById('text').value") == "half a thought", "what was typed stays"
        finally:
            sim.terminate()
            sim.wait(20)


CLAIMS = [name for name in vars(Page) if not name.startswith("_")]


def skip(why):
    print(f"SKIP: {why}")
    for name in CLAIMS:
        print(f"[  SKIPPED ] {name}")
    return 0


def main():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        return skip("no Chromium on this machine")
    if not os.path.exists(MODEL):
        return skip(f"the model {MODEL} is not there: sh gateway/demo.sh --build fetches it")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="wingman-page-", ignore_cleanup_errors=True) as folder:
        demo = Demo(folder)
        browser = None
        try:
            browser = Browser(chromium, os.path.join(folder, "profile"))
            page = Page(demo, browser)
            for name in CLAIMS:
                print(f"[ RUN      ] {name}", flush=True)
                try:
                    getattr(page, name)()
                    print(f"[       OK ] {name}", flush=True)
                except AssertionError:
                    failed += 1
                    traceback.print_exc(file=sys.stdout)
                    print(f"[  FAILED  ] {name}", flush=True)
        finally:
            if browser:
                browser.close()
            demo.stop()
        if failed:
            print("--- what the demo said:\n" + demo.text())
    return 1 if failed else 0


sys.exit(main())
