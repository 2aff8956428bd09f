"""harness.py -- what the end-to-end tests share: a gateway process, Meta's side of it, and claims.

  Gateway   `wingman serve` on free ports, its log read line by line, restarted or killed at will
  Graph     a stand-in for graph.facebook.com: takes sends, remembers each with our reference, returns statuses
  claims    functions whose name is what they claim; run() prints cmocka's lines
"""
import atexit
import functools
import hashlib
import hmac
import http.client
import http.server
import json
import os
import pathlib
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import babble

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SHARED = ROOT / ".." / "shared"
WINGMAN = os.environ.get("WINGMAN", str(ROOT / "build/release/wingman"))

PHONE = "106540352242922"  # our phone number id
APP_SECRET = "e2e-app-secret-0123456789"
VERIFY_TOKEN = "e2e-verify-token-0123456789"
ACCESS_TOKEN = "e2e-access-token-0123456789"
ADMIN_TOKEN = "e2e-admin-token-0123456789"


class Skip(Exception):
    """Leaves a claim as skipped, with the reason."""


def run(claims):
    """Runs them in order; the exit code."""
    failed = 0
    for claim in claims:
        print(f"[ RUN      ] {claim.__name__}", flush=True)
        try:
            claim()
        except Skip as why:
            print(f"SKIP: {why}\n[  SKIPPED ] {claim.__name__}", flush=True)
        except Exception:  # a broken test is a failed claim, not the end of the others
            traceback.print_exc(file=sys.stdout)
            print(f"[  FAILED  ] {claim.__name__}", flush=True)
            failed += 1
        else:
            print(f"[       OK ] {claim.__name__}", flush=True)
    return 1 if failed else 0


def check(condition, sentence):
    if not condition:
        raise AssertionError(sentence)


def wait_until(what, condition, seconds=20.0):
    """What `condition` returned once it was true."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        check(time.monotonic() < end, f"waited {seconds:g} s in vain until {what}")
        time.sleep(0.02)


@functools.cache
def model():
    """The path of a model that starts in milliseconds, for as long as this script runs."""
    folder = tempfile.mkdtemp(prefix="wm-e2e-model-")
    atexit.register(shutil.rmtree, folder, True)
    path = pathlib.Path(folder) / "babble.gguf"
    babble.write(path)
    return path


# --- webhooks as Meta sends them ---------------------------------------------------------------------------------


def signature(body, secret=APP_SECRET):
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def text_message(message_id, sender, text, at=None):
    return {"from": sender, "id": message_id, "timestamp": str(int(at or time.time())), "type": "text",
            "text": {"body": text}}


def envelope(messages=(), statuses=()):
    """One signed-to-be body with these messages and statuses."""
    value = {"messaging_product": "whatsapp",
             "metadata": {"display_phone_number": "15550783881", "phone_number_id": PHONE}}
    if messages:
        senders = dict.fromkeys(m["from"] for m in messages)
        value["contacts"] = [{"profile": {"name": "Test"}, "wa_id": s} for s in senders]
        value["messages"] = list(messages)
    if statuses:
        value["statuses"] = list(statuses)
    return json.dumps({"object": "whatsapp_business_account",
                       "entry": [{"id": "102290129340398", "changes": [{"value": value, "field": "messages"}]}]}).encode()


def request(address, method, path, body=None, headers=None, timeout=10):
    """(status, headers, body) of one request on a connection of its own."""
    connection = http.client.HTTPConnection(*address, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, dict((k.lower(), v) for k, v in answer.getheaders()), answer.read()
    finally:
        connection.close()


def raw_request(address, data, timeout=10):
    """Everything the peer says to these bytes until it closes (or falls silent), as bytes."""
    with socket.create_connection(address, timeout=timeout) as s:
        got = b""
        try:
            s.sendall(data)
            while piece := s.recv(65536):
                got += piece
        except (ConnectionError, socket.timeout):
            pass
        return got


# --- Meta's side ---------------------------------------------------------------------------------------------------


class Graph:
    """Accepts sends like the Graph API; every accepted one comes back as statuses, again and again until a 200."""

    def __init__(self):
        self.lock = threading.Lock()
        self.sends = []  # accepted: {"to", "text", "ref", "id"}, in order
        self.marks = 0  # read receipts and typing marks
        self.denied = 0  # calls without our token
        self.misbehave = lambda: None  # may return "lost" (accept, then no answer) or "busy" (500, not accepted)
        self.post_webhook = None  # function(body) -> status or None; set it to have statuses delivered
        self.pending = queue.Queue()
        self.stopping = threading.Event()
        graph = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                graph.handle(self, body)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):  # a killed gateway leaves broken connections behind: no news
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v25.0"
        self.threads = [threading.Thread(target=self.server.serve_forever, daemon=True),
                        threading.Thread(target=self.deliver_statuses, daemon=True)]
        for thread in self.threads:
            thread.start()

    def handle(self, http_request, body):
        if http_request.headers.get("Authorization") != f"Bearer {ACCESS_TOKEN}":
            self.denied += 1
            return self.answer(http_request, 401, {"error": {"message": "no token", "code": 190}})
        call = json.loads(body)
        if call.get("status") == "read":
            self.marks += 1
            return self.answer(http_request, 200, {"success": True})
        fault = self.misbehave()
        if fault == "busy":
            return self.answer(http_request, 500, {"error": {"message": "something went wrong", "code": 131000}})
        with self.lock:
            send = {"to": call["to"], "text": call["text"]["body"], "ref": call.get("biz_opaque_callback_data"),
                    "id": f"wamid.OUT{len(self.sends)}"}
            self.sends.append(send)
        self.pending.put(send)
        if fault == "lost":
            http_request.close_connection = True
            return None
        return self.answer(http_request, 200, {"messaging_product": "whatsapp",
                                               "contacts": [{"input": call["to"], "wa_id": call["to"]}],
                                               "messages": [{"id": send["id"]}]})

    @staticmethod
    def answer(http_request, status, value):
        body = json.dumps(value).encode()
        http_request.send_response(status)
        http_request.send_header("Content-Type", "application/json")
        http_request.send_header("Content-Length", str(len(body)))
        http_request.end_headers()
        http_request.wfile.write(body)

    def deliver_statuses(self):
        while not self.stopping.is_set():
            try:
                sends = [self.pending.get(timeout=0.1)]
            except queue.Empty:
                continue
            while not self.pending.empty() and len(sends) < 50:
                sends.append(self.pending.get())
            statuses = [{"id": s["id"], "status": word, "timestamp": str(int(time.time())), "recipient_id": s["to"],
                         **({"biz_opaque_callback_data": s["ref"]} if s["ref"] else {})}
                        for s in sends for word in ("sent", "delivered", "read")]
            body = envelope(statuses=statuses)
            while self.post_webhook and not self.stopping.is_set() and self.post_webhook(body) != 200:
                self.stopping.wait(0.05)

    def sent_to(self, contact):
        with self.lock:
            return [s for s in self.sends if s["to"] == contact]

    def stop(self):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()
        for thread in self.threads:
            thread.join(10)


# --- the gateway ---------------------------------------------------------------------------------------------------


def settings(data, graph_url, **changes):
    """Settings as a dict (JSON is YAML); `changes` replace whole top-level keys."""
    value = {
        "data": str(data),
        "listen": "127.0.0.1:0",
        "admin": {"listen": "127.0.0.1:0", "token_file": "admin.token"},
        "model": {"path": str(model()), "threads": 1, "context": 2048},
        "kv": {"device": "64MiB"},
        "delivery": {"unknown_wait": "2s"},
        "log": {"format": "json"},
        "bots": [{"name": "bot", "system": "Be brief.", "max_reply_tokens": 12, "temperature": 0}],
        "channels": [{"name": "whatsapp", "platform": "whatsapp", "bot": "bot", "app_secret": APP_SECRET,
                      "verify_token": VERIFY_TOKEN, "access_token": ACCESS_TOKEN, "account": PHONE,
                      "graph_url": graph_url, "settle": {"quiet": "300ms", "at_most": "2s"}}],
    }
    value.update(changes)
    return value


class Gateway:
    """`wingman serve` in a scratch folder. `everything_logged` keeps the log of all lives."""

    def __init__(self, value=None, text=None, folder=None):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="wm-e2e-"))
        self.owns_folder = folder is None
        self.file = self.folder / "wingman.yaml"
        self.everything_logged = []
        self.process = self.public = self.admin = None
        self.environment = {}
        token = self.folder / "admin.token"
        token.write_text(ADMIN_TOKEN + "\n")
        token.chmod(0o600)
        if value is not None or text is not None:
            self.configure(value, text)

    def configure(self, value=None, text=None):
        self.file.write_text(text if text is not None else json.dumps(value, indent=1))
        self.file.chmod(0o600)

    def spawn(self):
        """Starts the process; its listeners come later (wait_ready)."""
        self.public = self.admin = None
        self.process = subprocess.Popen([WINGMAN, "serve", "-c", str(self.file)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT,
                                        env={**os.environ, **self.environment})
        self.reader = threading.Thread(target=self.read_log, args=(self.process,), daemon=True)
        self.reader.start()
        return self

    def read_log(self, process):
        for raw in process.stderr:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            self.everything_logged.append(line)
            if '"event":"listening"' in line and process is self.process:
                entry = json.loads(line)
                self.admin = self.address_of(entry["admin"])
                self.public = self.address_of(entry["public"])
        process.stderr.close()

    @staticmethod
    def address_of(url):
        host, port = url.split("://")[1].rsplit(":", 1)
        return host, int(port)

    def wait_ready(self, seconds=60):
        wait_until("the gateway listens", lambda: self.public or self.process.poll() is not None, seconds)
        check(self.process.poll() is None,
              f"the gateway ended with {self.process.poll()}: " + "\n".join(self.everything_logged[-5:]))
        return self

    def start(self):
        return self.spawn().wait_ready()

    def end(self, how=signal.SIGTERM, seconds=40):
        """Sends the signal, waits; the exit code (negative: the signal that ended it)."""
        self.process.send_signal(how)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the gateway did not end within {seconds} s of signal {how}") from None
        self.reader.join(10)
        self.public = self.admin = None
        return code

    def clean(self):
        if self.process and self.process.poll() is None:
            self.end(signal.SIGKILL)
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def post(self, body, headers=None, timeout=10):
        """Status of one signed webhook; None when no answer came."""
        address = self.public
        if not address:
            return None
        try:
            return request(address, "POST", "/webhooks/whatsapp", body,
                           headers or {"Content-Type": "application/json", "X-Hub-Signature-256": signature(body)},
                           timeout)[0]
        except (OSError, http.client.HTTPException):
            return None

    def ask(self, path):
        """The admin interface's JSON."""
        status, _, body = request(self.admin, "GET", path, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
        check(status == 200, f"{path} answered {status}: {body[:200]}")
        return json.loads(body)

    def metrics(self):
        status, _, body = request(self.admin, "GET", "/metrics", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
        check(status == 200, f"/metrics answered {status}")
        lines = [line for line in body.decode().splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def events(self, after=0):
        """All events behind that number."""
        found = []
        while True:
            page = self.ask(f"/admin/v1/events?after={after}&limit=1000")["events"]
            if not page:
                return found
            found += page
            after = page[-1]["seq"]

    def conversations(self, contact=None):
        """Whole conversations, of one contact or of all."""
        listed = self.ask("/admin/v1/conversations?limit=1000" + (f"&contact={contact}" if contact else ""))
        return [self.ask(f"/admin/v1/conversations/{c['id']}") for c in listed["conversations"]]

    def is_quiet(self):
        m = self.metrics()
        return not any(m[name] for name in ("wingman_backlog_bodies", "wingman_conversations_active",
                                            "wingman_outbox_queued", "wingman_outbox_unknown"))
