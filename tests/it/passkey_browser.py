"""A person with a browser of somebody else's: Chromium, with an authenticator of its own, on our real pages.

    passkey_browser.py CHROMIUM ISSUER SPKI EMAIL       the password on standard input; prints what was proven

It speaks the DevTools protocol over two pipes (messages end with a zero byte), so that nothing listens anywhere.
"""

import json
import os
import subprocess
import sys
import tempfile


class Browser:
    def __init__(self, program, profile, spki):
        self.number, self.events = 0, []
        read_there, self.to = os.pipe()
        self.of, write_there = os.pipe()
        wanted = ["--remote-debugging-pipe", f"--user-data-dir={profile}", f"--ignore-certificate-errors-spki-list={spki}"]
        plain = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"]

        def as_three_and_four():
            # Out of the way first: the pipes may have these very numbers.
            read, write = os.dup(read_there), os.dup(write_there)
            os.dup2(read, 3)
            os.dup2(write, 4)

        self.process = subprocess.Popen(
            [program, *wanted, *plain, "about:blank"],
            preexec_fn=as_three_and_four,
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_there)
        os.close(write_there)
        self.incoming = os.fdopen(self.of, "rb", buffering=0)
        self.rest, self.session = b"", None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "WebAuthn"):
            self.ask(f"{domain}.enable")

    def message(self):
        while b"\0" not in self.rest:
            more = self.incoming.read(65536)
            assert more, "the browser is gone"
            self.rest += more
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def ask(self, method, **parameters):
        self.number += 1
        asked = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            asked["sessionId"] = self.session
        os.write(self.to, json.dumps(asked).encode() + b"\0")
        while True:
            message = self.message()
            if message.get("id") == self.number:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            if "method" in message:
                self.events.append(message)

    def loaded(self):
        """Waits until another page is there than before."""
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.message())
        self.events = [event for event in self.events if event["method"] != "Page.loadEventFired"]

    def open(self, url):
        self.forget_loads()
        self.ask("Page.navigate", url=url)
        self.loaded()

    def forget_loads(self):
        self.events = [event for event in self.events if event["method"] != "Page.loadEventFired"]

    def evaluate(self, expression, wait=False):
        result = self.ask("Runtime.evaluate", expression=expression, awaitPromise=wait, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def fill(self, **fields):
        for name, value in fields.items():
            self.evaluate(f"document.querySelector({json.dumps(f'input[name={name}]:not([type=hidden])')}).value = {json.dumps(value)}")

    def press(self, label, leads_on=True):
        self.forget_loads()
        found = self.evaluate(
            f"(() => {{ const b = [...document.querySelectorAll('button')].find((b) => b.textContent === {json.dumps(label)} && b.offsetParent);"
            f" if (b) b.click(); return Boolean(b); }})()"
        )
        assert found, (label, self.text())
        if leads_on:
            self.loaded()

    def text(self):
        return self.evaluate("document.body.innerText")

    def forget_who_it_is(self):
        self.ask("Network.clearBrowserCookies")

    def complaints(self):
        """What the browser found wrong with our pages, their policy first of all."""
        entries = [event["params"]["entry"] for event in self.events if event["method"] == "Log.entryAdded"]
        return [entry["text"] for entry in entries if entry["source"] in ("security", "javascript", "violation")]


def scenario(browser, issuer, email, password):
    page = f"{issuer}/account/passkeys"
    authenticator = browser.ask(
        "WebAuthn.addVirtualAuthenticator",
        options={
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        },
    )["authenticatorId"]

    browser.open(page)
    browser.fill(email=email, password=password)
    browser.press("Sign in")
    browser.fill(name="laptop")
    browser.press("Add a passkey")
    text = browser.text()
    assert "The passkey is added" in text, text
    assert browser.evaluate("document.querySelectorAll('li').length") == 10, text
    [kept] = browser.ask("WebAuthn.getCredentials", authenticatorId=authenticator)["credentials"]
    assert kept["isResidentCredential"], kept
    yield "added"

    browser.forget_who_it_is()
    browser.open(page)
    browser.press("Sign in with a passkey")
    assert f"You are signed in as {email}." in browser.text(), browser.text()
    yield "without a password"

    browser.forget_who_it_is()
    browser.open(page)
    browser.fill(email=email, password=password)
    browser.press("Sign in")
    assert "One more step" in browser.text(), browser.text()
    browser.press("Use a passkey")
    assert f"You are signed in as {email}." in browser.text(), browser.text()
    yield "behind a password"

    # The same authenticator twice is no second passkey.
    browser.fill(name="again")
    browser.press("Add a passkey", leads_on=False)
    waits = "new Promise((done) => { const see = () => document.querySelector('[role=alert]') ? done(document.querySelector('[role=alert]').textContent) : requestAnimationFrame(see); see(); })"
    assert browser.evaluate(waits, wait=True), "nothing was told"
    assert len(browser.ask("WebAuthn.getCredentials", authenticatorId=authenticator)["credentials"]) == 1
    yield "not twice"

    # Somebody who took the laptop and cannot unlock it.
    browser.ask("WebAuthn.setUserVerified", authenticatorId=authenticator, isUserVerified=False)
    browser.forget_who_it_is()
    browser.open(page)
    browser.press("Sign in with a passkey", leads_on=False)
    assert browser.evaluate(waits, wait=True) == "No passkey was used."
    yield "not without a finger"

    # A browser without scripts sees the fields for passwords and nothing that would not work.
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(page)
    assert "Sign in" in browser.text() and "with a passkey" not in browser.text(), browser.text()
    yield "without a script"

    assert not browser.complaints(), browser.complaints()


def main():
    program, issuer, spki, email = sys.argv[1:]
    password = sys.stdin.readline().rstrip("\n")
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(program, profile, spki)
        try:
            print(json.dumps(list(scenario(browser, issuer, email, password))))
        finally:
            browser.process.kill()
            browser.process.wait()


main()
