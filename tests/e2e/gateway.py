#!/usr/bin/env python3
"""gateway.py -- the gateway from outside: signed webhooks in, Graph calls out, and everything a stranger may try.

One gateway and one stand-in for the Graph API serve most claims; those about starting and stopping have their own.
"""
import hashlib
import hmac
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h  # noqa: E402
from harness import check, wait_until  # noqa: E402

graph = gateway = None
logs = []  # of gateways that have gone
contacts = iter(range(15550000001, 15559999999))
SECRETS = [h.APP_SECRET, h.VERIFY_TOKEN, h.ACCESS_TOKEN, h.ADMIN_TOKEN]
BODY_WORD = "xylophone"  # stands in every message text we send: the logs must not know it
JSON = {"Content-Type": "application/json"}


def start_shared():
    global graph, gateway
    graph = h.Graph()
    gateway = h.Gateway()
    gateway.configure(h.settings(gateway.folder / "data", graph.url))
    gateway.start()
    graph.post_webhook = gateway.post


def new_message(text=BODY_WORD, contact=None):
    contact = contact or str(next(contacts))
    return h.text_message(f"wamid.{contact}.{time.monotonic_ns()}", contact, text)


def signed(body, secret=h.APP_SECRET):
    return {**JSON, "X-Hub-Signature-256": h.signature(body, secret)}


# --- the door ------------------------------------------------------------------------------------------------------


def the_challenge_is_answered_to_who_knows_the_token_and_to_nobody_else():
    path = "/webhooks/whatsapp?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    status, headers, body = h.request(gateway.public, "GET", path + h.VERIFY_TOKEN)
    check((status, body) == (200, b"1158201444"), f"{status} {body}")
    check(headers["content-type"].startswith("text/plain"), headers)
    check(headers.get("x-content-type-options") == "nosniff", headers)
    for token in ("", "wrong", h.VERIFY_TOKEN + "x", h.VERIFY_TOKEN[:-1], "%ZZ"):
        status, _, body = h.request(gateway.public, "GET", path + token)
        check(400 <= status < 500 and b"1158201444" not in body, f"{token!r}: {status} {body}")
    status, _, body = h.request(gateway.public, "GET", "/webhooks/whatsapp")
    check(400 <= status < 500, f"no query: {status}")


def a_signature_that_is_not_right_gets_401_and_leaves_nothing_behind():
    body = h.envelope([new_message()])
    good = h.signature(body)
    right = good[len("sha256="):]
    sha1 = "sha1=" + hmac.new(h.APP_SECRET.encode(), body, hashlib.sha1).hexdigest()
    table = {
        "none": {},
        "empty": {"X-Hub-Signature-256": ""},
        "another secret": {"X-Hub-Signature-256": h.signature(body, "another-secret-0123456789")},
        "another body": {"X-Hub-Signature-256": h.signature(body + b" ")},
        "sha1 only": {"X-Hub-Signature": sha1},
        "sha1 in its place": {"X-Hub-Signature-256": sha1},
        "no prefix": {"X-Hub-Signature-256": right},
        "wrong prefix": {"X-Hub-Signature-256": "sha512=" + right},
        "one digit less": {"X-Hub-Signature-256": good[:-1]},
        "one digit more": {"X-Hub-Signature-256": good + "0"},
        "not hex": {"X-Hub-Signature-256": "sha256=" + "g" * 64},
        "a blank inside": {"X-Hub-Signature-256": good[:20] + " " + good[20:]},
        "NULs": {"X-Hub-Signature-256": "sha256=" + "0" * 64},
    }
    after, denied = last_event(gateway), metric('wingman_webhooks_total{channel="whatsapp",result="denied"}')
    for name, headers in table.items():
        status, _, answer = h.request(gateway.public, "POST", "/webhooks/whatsapp", body, {**JSON, **headers})
        check(status == 401, f"{name}: {status} {answer}")
        check(right.encode() not in answer and h.APP_SECRET.encode() not in answer, f"{name}: the answer tells: {answer}")
    twice = (f"POST /webhooks/whatsapp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
             f"\r\nX-Hub-Signature-256: {good}\r\nX-Hub-Signature-256: {good}\r\nConnection: close\r\n\r\n").encode() + body
    answer = h.raw_request(gateway.public, twice)
    check(b" 401 " in answer.split(b"\r\n")[0] or b" 400 " in answer.split(b"\r\n")[0], f"given twice: {answer[:80]}")
    nothing_was_stored(after)
    now = metric('wingman_webhooks_total{channel="whatsapp",result="denied"}')
    check(now >= denied + len(table), f"denied went from {denied} to {now}")


def metric(name):
    return gateway.metrics()[name]


def nothing_was_stored(after):
    time.sleep(0.2)
    last_event(gateway)
    stored = [e for e in gateway.events(after) if e["kind"] != "status"]  # statuses may still come of earlier replies
    check(not stored, f"it was stored: {stored}")


def upper_case_hex_is_a_signature_too():
    body = h.envelope([new_message()])
    upper = "sha256=" + h.signature(body)[7:].upper()
    check(gateway.post(body, {**JSON, "X-Hub-Signature-256": upper}) == 200, "refused")


def http_that_is_malformed_or_smuggled_is_refused_and_the_connection_closed():
    body = h.envelope([new_message()])
    head = "POST /webhooks/whatsapp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    sign = f"X-Hub-Signature-256: {h.signature(body)}\r\n"
    length = f"Content-Length: {len(body)}\r\n"
    table = [  # what, bytes, statuses that are right
        ("two lengths", head + sign + length + "Content-Length: 5\r\n\r\n", (400,)),
        ("length and chunked", head + sign + length + "Transfer-Encoding: chunked\r\n\r\n", (400,)),
        ("signed length", head + sign + f"Content-Length: +{len(body)}\r\n\r\n", (400,)),
        ("a list of lengths", head + sign + f"Content-Length: {len(body)}, {len(body)}\r\n\r\n", (400,)),
        ("hexadecimal length", head + sign + "Content-Length: 0x10\r\n\r\n", (400,)),
        ("huge length", head + sign + "Content-Length: 99999999999999999999\r\n\r\n", (400, 413)),
        ("3 MiB and a byte", head + sign + f"Content-Length: {3 * 2**20 + 1}\r\n\r\n", (413,)),
        ("no length", head + sign + "\r\n", (411,)),
        ("unknown coding", head + sign + "Transfer-Encoding: gzip, chunked\r\n\r\n", (400, 501)),
        ("bad chunk", head + sign + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", (400,)),
        ("no host", head.replace("Host: x\r\n", "") + sign + length + "\r\n", (400,)),
        ("blank before colon", head + "X-A : b\r\n" + sign + length + "\r\n", (400,)),
        ("folded header", head + "X-A: b\r\n c\r\n" + sign + length + "\r\n", (400,)),
        ("NUL in header", head + "X-A: b\0c\r\n" + sign + length + "\r\n", (400,)),
        ("long line", "GET /" + "a" * 20000 + " HTTP/1.1\r\nHost: x\r\n\r\n", (414,)),
        ("large head", head + "".join(f"X-{i}: {'a' * 200}\r\n" for i in range(99)) + "\r\n", (431,)),
        ("many headers", head + "".join(f"X-{i}: a\r\n" for i in range(200)) + "\r\n", (431,)),
        ("not a request", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", (400,)),
        ("HTTP/3.0", "GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n", (400, 505)),
        ("a text", head.replace("application/json", "text/plain") + sign + length + "\r\n", (415,)),
        ("compressed", head + "Content-Encoding: gzip\r\n" + sign + length + "\r\n", (415,)),
    ]
    after = last_event(gateway)
    for what, text, statuses in table:
        answer = h.raw_request(gateway.public, text.encode("latin-1") + body)
        line = answer.split(b"\r\n")[0].decode("latin-1")
        check(line.startswith("HTTP/1.1 ") and int(line.split()[1]) in statuses, f"{what}: {line!r}, not {statuses}")
        check(len(re.findall(rb"^HTTP/1.1 \d", answer, re.M)) == 1, f"{what}: a second request was read behind it")
    nothing_was_stored(after)


def routes_that_are_not_there_are_404_and_methods_405():
    for method, path, want in (("GET", "/", 404), ("GET", "/webhooks/none", 404), ("DELETE", "/webhooks/whatsapp", 405),
                               ("PUT", "/webhooks/whatsapp", 405), ("POST", "/healthz", 405), ("GET", "/metrics", 404),
                               ("GET", "/admin/v1/events", 404), ("GET", "/webhooks/../metrics", 400)):
        status, _, _ = h.request(gateway.public, method, path, b"{}" if method != "GET" else None, JSON)
        check(status == want, f"{method} {path}: {status}, not {want}")


def a_chunked_body_is_a_body():
    body = h.envelope([new_message()])
    pieces = [body[:1], body[1:100], body[100:]]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
    head = (f"POST /webhooks/whatsapp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json; charset=utf-8\r\n"
            f"X-Hub-Signature-256: {h.signature(body)}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n").encode()
    answer = h.raw_request(gateway.public, head + chunks)
    check(answer.startswith(b"HTTP/1.1 200 "), answer[:100])


def two_pipelined_webhooks_get_two_answers():
    requests = b""
    for last in (False, True):
        body = h.envelope([new_message()])
        requests += (f"POST /webhooks/whatsapp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                     f"X-Hub-Signature-256: {h.signature(body)}\r\nContent-Length: {len(body)}\r\n"
                     + ("Connection: close\r\n" if last else "") + "\r\n").encode() + body
    answer = h.raw_request(gateway.public, requests)
    check(answer.count(b"HTTP/1.1 200 ") == 2, answer[:200])


# --- what comes in -------------------------------------------------------------------------------------------------


def last_event(of):
    """The number of the last event, once every body has become events."""
    wait_until("the backlog is read", lambda: of.metrics()["wingman_backlog_bodies"] == 0)
    return max((e["seq"] for e in of.events()), default=0)


def events_command(*arguments):
    done = subprocess.run([h.WINGMAN, "events", "--data", str(gateway.folder / "data"), *arguments],
                          capture_output=True, text=True, timeout=60, cwd=h.ROOT)
    check(done.returncode == 0, f"exit {done.returncode}: {done.stderr}")
    return done.stdout


def a_signed_body_that_cannot_be_parsed_is_acknowledged_and_shown_by_events():
    after = last_event(gateway)
    bodies = [b'{"object":', b"", b"[]", b"\xff\xfe\x00", b'"text"', b"[" * 5000]
    for body in bodies:
        check(gateway.post(body) == 200, f"{body[:20]!r} was refused")
    wait_until("they are events", lambda: len(gateway.events(after)) >= len(bodies))
    shown = [json.loads(line) for line in events_command("--json", "--after", str(after)).splitlines()]
    check([e["kind"] for e in shown] == ["unparsed"] * len(bodies), [e["kind"] for e in shown])


def the_events_command_prints_no_control_characters_of_strangers():
    after = last_event(gateway)
    evil = f"{BODY_WORD} \x1b[2J\x07\x9b31m\u202e\u2066"
    check(gateway.post(h.envelope([new_message(evil)])) == 200, "refused")
    wait_until("it is an event", lambda: gateway.events(after))
    for arguments in ([], ["--json"]):
        out = events_command("--after", str(after), *arguments)
        check(BODY_WORD in out and "u001b" in out.lower(), out)
        bad = [c for c in out if c != "\n" and (ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066")]
        check(not bad, f"{bad} in {out!r}")


def the_events_command_says_what_is_wrong_and_ends_with_1_or_2():
    for arguments, code in ((["--data", str(gateway.folder / "none")], 1), (["-c", str(gateway.folder / "none.yaml")], 1),
                            (["--after", "x"], 2), (["--limit", "0"], 2), (["more"], 2),
                            (["-c", "a", "--data", "b"], 2)):
        done = subprocess.run([h.WINGMAN, "events", *arguments], capture_output=True, text=True, timeout=60, cwd=h.ROOT)
        check(done.returncode == code and done.stderr.strip(), f"{arguments}: {done.returncode} {done.stderr!r}")


def a_burst_of_20_messages_arrives_whole_and_in_order_and_gets_one_reply():
    contact = str(next(contacts))
    texts = [f"{BODY_WORD} part {i:02}" for i in range(20)]
    for text in texts:
        check(gateway.post(h.envelope([new_message(text, contact)])) == 200, "refused")
    wait_until("the reply is out", lambda: graph.sent_to(contact))
    wait_until("all is quiet", gateway.is_quiet)
    conversation, = gateway.conversations(contact)
    check(conversation["contact"] == contact and conversation["channel"] == "whatsapp", conversation)
    asked = "\n".join(t["text"] for t in conversation["turns"] if t["role"] == "user")
    check(re.findall(r"part (\d\d)", asked) == [f"{i:02}" for i in range(20)], asked)
    replies = [t for t in conversation["turns"] if t["role"] == "assistant"]
    check(len(replies) == 1, f"{len(replies)} replies")
    sent = graph.sent_to(contact)
    check(len(sent) == len(conversation["outbox"]) and all(s["ref"] for s in sent), f"{sent} {conversation['outbox']}")
    check(replies[0]["usage"]["prompt_tokens"] > 0 and replies[0]["usage"]["completion_tokens"] > 0, replies[0])


def a_message_that_comes_twice_is_answered_once():
    message = new_message()
    contact = message["from"]
    for messages in ([message], [message], [message, message]):
        check(gateway.post(h.envelope(messages)) == 200, "refused")
    wait_until("the reply is out", lambda: graph.sent_to(contact))
    wait_until("all is quiet", gateway.is_quiet)
    check(gateway.post(h.envelope([message])) == 200, "refused")
    time.sleep(0.8)
    wait_until("all is quiet", gateway.is_quiet)
    conversation, = gateway.conversations(contact)
    check([t["role"] for t in conversation["turns"]] == ["user", "assistant"], conversation["turns"])
    check(len({s["ref"] for s in graph.sent_to(contact)}) == len(graph.sent_to(contact)), "a reference was sent twice")


def an_answer_of_graph_that_is_lost_is_settled_by_its_status_and_not_sent_again():
    message = new_message()
    faults = iter(["lost"])
    graph.misbehave = lambda: next(faults, None)
    try:
        check(gateway.post(h.envelope([message])) == 200, "refused")
        wait_until("the reply is out", lambda: graph.sent_to(message["from"]))
        wait_until("all is quiet", gateway.is_quiet)
    finally:
        graph.misbehave = lambda: None
    time.sleep(2.5)  # longer than unknown_wait
    check(len(graph.sent_to(message["from"])) == 1, graph.sent_to(message["from"]))
    conversation, = gateway.conversations(message["from"])
    check([o["state"] for o in conversation["outbox"]] == ["sent"], conversation["outbox"])


def what_graph_refuses_for_now_is_sent_later():
    message = new_message()
    faults = iter(["busy", "busy"])
    graph.misbehave = lambda: next(faults, None)
    try:
        check(gateway.post(h.envelope([message])) == 200, "refused")
        wait_until("the reply is out", lambda: graph.sent_to(message["from"]), 60)
    finally:
        graph.misbehave = lambda: None
    wait_until("all is quiet", gateway.is_quiet)
    check(len(graph.sent_to(message["from"])) == 1, graph.sent_to(message["from"]))


def matches(expected, event):
    """Whether a stored event is what index.json expects; what the admin interface does not show is not compared."""
    if event["kind"] not in [expected["kind"], *expected.get("alt", [])]:
        return False
    if expected.get("id") and event["id"] != expected["id"]:
        return False
    senders = [expected["sender"], *expected.get("sender_alt", [])] if expected.get("sender") else None
    if senders and event["sender"] not in senders:
        return False
    if expected.get("timestamp") and event["timestamp"] != expected["timestamp"]:
        return False
    return not (expected.get("text") and event["kind"] == expected["kind"]) or event["text"] == expected["text"]


def the_collected_whatsapp_bodies_give_the_events_of_their_index():
    folder = h.SHARED / "payloads"
    if not folder.exists():
        raise h.Skip("../shared/payloads is not here")
    index = json.loads((folder / "index.json").read_text())
    value = h.settings("data", graph.url)
    with_own(value, lambda own: compare_bodies(own, folder, [b for b in index["bodies"] if b["platform"] == "whatsapp"]))


def compare_bodies(own, folder, bodies):
    for number, entry in enumerate(bodies):
        after = last_event(own)
        body = (folder / entry["file"]).read_text()
        for event in entry["events"]:  # several bodies carry one made-up id: each gets its own here
            if event.get("id") and body.count(event["id"]):
                body = body.replace(event["id"], new_id := f"{event['id']}.{number}")
                for other in entry["events"]:
                    for key in ("id", "target"):
                        if other is not event and other.get(key) == event["id"]:
                            other[key] = new_id
                event["id"] = new_id
        check(own.post(body.encode()) == 200, f"{entry['file']} was refused")
        wanted = [e for e in entry["events"] if not e.get("optional") and not e.get("duplicate")]
        last_event(own)
        found = own.events(after)
        left = list(found)
        for expected in wanted:
            event = next((e for e in left if matches(expected, e)), None)
            check(event, f"{entry['file']}: no event is {expected}; there are {found}")
            left.remove(event)
        for event in left:
            check(any(matches(e, event) for e in entry["events"]), f"{entry['file']}: nobody expects {event}")


# --- what the operator sees ----------------------------------------------------------------------------------------


def health_and_readiness_are_told_on_both_listeners():
    for path, want in (("/healthz", b"ok\n"), ("/readyz", b"ready\n")):
        check(h.request(gateway.public, "GET", path)[::2] == (200, want), path)
        headers = {"Authorization": f"Bearer {h.ADMIN_TOKEN}"}
        check(h.request(gateway.admin, "GET", path, headers=headers)[::2] == (200, want), path)


def the_admin_listener_is_closed_without_its_token():
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": h.ADMIN_TOKEN},
                    {"Authorization": f"Basic {h.ADMIN_TOKEN}"}, {"Authorization": f"Bearer {h.ADMIN_TOKEN}x"}):
        for path in ("/metrics", "/admin/v1/events", "/admin/v1/conversations"):
            status, _, body = h.request(gateway.admin, "GET", path, headers=headers)
            check(status == 401 and h.ADMIN_TOKEN.encode() not in body, f"{headers} {path}: {status}")


def without_a_token_the_admin_listener_answers_only_to_loopback_names():
    def asks(own):
        host, port = own.admin
        for name, want in ((f"127.0.0.1:{port}", 200), (f"localhost:{port}", 200), ("evil.example", 403), (f"evil.example:{port}", 403)):
            status, _, _ = h.request(own.admin, "GET", "/metrics", headers={"Host": name})
            check(status == want, f"Host {name}: {status}, not {want}")
    with_own(h.settings("data", graph.url, admin={"listen": "127.0.0.1:0"}), asks)


def wrong_questions_get_400_or_404():
    headers = {"Authorization": f"Bearer {h.ADMIN_TOKEN}"}
    for path, want in (("/admin/v1/events?after=x", 400), ("/admin/v1/events?limit=-1", 400),
                       ("/admin/v1/conversations/999999999", 404), ("/admin/v1/conversations/x", 404), ("/admin/v1/", 404)):
        status, _, _ = h.request(gateway.admin, "GET", path, headers=headers)
        check(status == want, f"{path}: {status}, not {want}")


def metrics_are_prometheus_text():
    status, headers, body = h.request(gateway.admin, "GET", "/metrics", headers={"Authorization": f"Bearer {h.ADMIN_TOKEN}"})
    check(status == 200 and headers["content-type"].startswith("text/plain; version=0.0.4"), headers)
    label = r'[a-z_]+="(?:[^"\\\n]|\\.)*"'
    sample = re.compile(rf"([a-z_:][a-z0-9_:]*)(\{{{label}(?:,{label})*\}})? (-?[0-9.e+-]+|NaN|[+-]Inf)$")
    typed, seen = {}, set()
    for line in body.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            check(kind in ("counter", "gauge", "histogram") and name not in typed, line)
            typed[name] = kind
        elif not line.startswith("# HELP "):
            found = sample.match(line)
            check(found, f"not a sample: {line!r}")
            check(re.sub(r"_(bucket|sum|count)$", "", found[1]) in typed or found[1] in typed, f"no TYPE before {line!r}")
            check((found[1], found[2]) not in seen, f"twice: {line!r}")
            seen.add((found[1], found[2]))
    for name in ("wingman_backlog_age_seconds", "wingman_bodies_total", "wingman_commits_total"):
        check(name in typed, f"{name} is missing")


def a_conversation_that_a_person_has_taken_over_gets_no_reply():
    contact = str(next(contacts))
    check(gateway.post(h.envelope([new_message(contact=contact)])) == 200, "refused")
    wait_until("the reply is out", lambda: graph.sent_to(contact))
    wait_until("all is quiet", gateway.is_quiet)
    conversation, = gateway.conversations(contact)
    headers = {"Authorization": f"Bearer {h.ADMIN_TOKEN}", "Content-Type": "application/json"}
    for verb, replies in (("human", 1), ("bot", 2)):
        status, _, answer = h.request(gateway.admin, "POST", f"/admin/v1/conversations/{conversation['id']}/{verb}", b"{}", headers)
        check(status == 200, f"{verb}: {status} {answer}")
        check(gateway.post(h.envelope([new_message(contact=contact)])) == 200, "refused")
        if replies == 2:
            wait_until("the bot speaks again", lambda: len(graph.sent_to(contact)) >= 2)
        time.sleep(1.0)
        check(len(graph.sent_to(contact)) == replies, f"after {verb}: {graph.sent_to(contact)}")


# --- starting, reloading, ending -----------------------------------------------------------------------------------


def with_own(value, do, running=True):
    """A gateway of its own for one claim; "data" counts from its folder."""
    own = h.Gateway(value)
    try:
        if running:
            own.start()
        do(own)
    finally:
        own.clean()
        logs.extend(own.everything_logged)


def refuses_to_start(own, words):
    """Exit 1, one sentence, and it holds these words."""
    own.spawn()
    code = own.process.wait(60)
    own.reader.join(10)
    sentences = [line for line in own.everything_logged if line and not line.startswith("{")]
    check(code == 1, f"exit {code}: {sentences}")
    check(len(sentences) == 1, f"not one sentence: {sentences}")
    for word in words:
        check(re.search(word, sentences[0], re.I), f"no {word!r} in: {sentences[0]}")


def a_busy_port_is_one_sentence_and_exit_1():
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with_own(h.settings("data", graph.url, listen=f"127.0.0.1:{port}"), lambda own: refuses_to_start(own, [str(port), "in use"]),
                 running=False)


def a_missing_model_is_one_sentence_and_exit_1():
    with_own(h.settings("data", graph.url, model={"path": "none.gguf"}),
             lambda own: refuses_to_start(own, [r"none\.gguf", r"gateway/demo\.sh --build"]), running=False)


def a_file_that_is_no_model_is_one_sentence_and_exit_1():
    def try_it(own):
        (own.folder / "model.gguf").write_bytes(b"GGUF\3\0\0\0" + b"\xff" * 100)
        refuses_to_start(own, [r"model\.gguf"])
    with_own(h.settings("data", graph.url, model={"path": "model.gguf"}), try_it, running=False)


def a_second_daemon_on_the_folder_is_one_sentence_and_exit_1():
    with_own(h.settings(gateway.folder / "data", graph.url), lambda own: refuses_to_start(own, ["data", "another|second|in use|holds"]),
             running=False)
    check(gateway.post(h.envelope([new_message()])) == 200, "the first daemon suffered")


def a_data_folder_that_cannot_be_written_is_one_sentence_and_exit_1():
    def in_a_file(own):
        (own.folder / "taken").write_text("a file")
        refuses_to_start(own, ["taken"])
    with_own(h.settings("taken/data", graph.url), in_a_file, running=False)

    def in_a_closed_folder(own):
        (own.folder / "closed").mkdir(mode=0o500)
        refuses_to_start(own, ["closed"])
    if os.geteuid() != 0:  # root may write anywhere
        with_own(h.settings("closed/data", graph.url), in_a_closed_folder, running=False)


def an_unknown_key_is_refused_by_check_and_serve_with_line_and_nearest_name():
    def try_it(own):
        own.configure(text=f"model: {{path: {h.model()}}}\nchanels: []\n")
        refuses_to_start(own, [r"wingman\.yaml:2: error", '"chanels"', '"channels"'])
        done = subprocess.run([h.WINGMAN, "check", "-c", str(own.file)], capture_output=True, text=True, timeout=60, cwd=h.ROOT)
        check(done.returncode == 1 and ':2: error: unknown key "chanels"' in done.stdout, done)
        own.configure(h.settings("data", graph.url))
        done = subprocess.run([h.WINGMAN, "check", "-c", str(own.file)], capture_output=True, text=True, timeout=60, cwd=h.ROOT)
        check(done.returncode == 0 and "error" not in done.stdout, done)
        done = subprocess.run([h.WINGMAN, "check", "--what"], capture_output=True, text=True, timeout=60, cwd=h.ROOT)
        check(done.returncode == 2, done)
    with_own(None, try_it, running=False)


def hup_takes_new_settings_and_keeps_the_old_when_the_new_are_broken():
    new_secret = "e2e-new-app-secret-9876543210"
    SECRETS.append(new_secret)
    value = h.settings("data", graph.url)

    def logged(own, words):
        return any(words in line for line in own.everything_logged)

    def try_it(own):
        body = h.envelope([new_message()])
        check(own.post(body, signed(body, new_secret)) == 401, "a secret that is not there was taken")
        own.configure(text=own.file.read_text().replace('"listen"', '"lisen"', 1))
        own.process.send_signal(signal.SIGHUP)
        wait_until("the log says so", lambda: logged(own, "settings not reloaded"))
        check(own.post(h.envelope([new_message()])) == 200, "the old settings are gone")
        value["channels"][0]["app_secret"] = [h.APP_SECRET, new_secret]
        own.configure(value)
        own.process.send_signal(signal.SIGHUP)
        wait_until("the log says so", lambda: logged(own, "settings reloaded"))
        check(own.post(body, signed(body, new_secret)) == 200, "the new secret is not taken")
        check(own.post(body) == 200, "the old secret is not taken any more")
    with_own(value, try_it)


def term_drains_and_what_was_unfinished_is_answered_once_after_the_restart():
    def try_it(own):
        graph.post_webhook = own.post
        messages = [new_message() for _ in range(10)]
        for message in messages:
            check(own.post(h.envelope([message])) == 200, "refused")
        code = own.end(signal.SIGTERM)
        check(code == 0, f"exit {code}")
        own.start()
        for message in messages:
            wait_until("the reply is out", lambda m=message: graph.sent_to(m["from"]), 60)
        wait_until("all is quiet", own.is_quiet)
        for message in messages:
            conversation, = own.conversations(message["from"])
            check([t["role"] for t in conversation["turns"]] == ["user", "assistant"], conversation["turns"])
            check(len(graph.sent_to(message["from"])) == len(conversation["outbox"]), "sent twice")
        check(own.end(signal.SIGTERM) == 0, "the second stop was not clean")
    try:
        with_own(h.settings("data", graph.url), try_it)
    finally:
        graph.post_webhook = gateway.post


def the_logs_hold_no_secret_no_phone_number_and_no_body():
    wait_until("all is quiet", gateway.is_quiet, 60)
    check(gateway.end(signal.SIGTERM) == 0, "the stop was not clean")
    lines = logs + gateway.everything_logged
    check(len(lines) > 20, f"only {len(lines)} lines were logged")
    for line in lines:
        for word in [*SECRETS, BODY_WORD]:
            check(word not in line, f"{word!r} in: {line}")
        check(not re.search(r"1555\d{7}", line), f"a phone number in: {line}")


def main():
    start_shared()
    try:
        return h.run([
            the_challenge_is_answered_to_who_knows_the_token_and_to_nobody_else,
            upper_case_hex_is_a_signature_too,
            a_signature_that_is_not_right_gets_401_and_leaves_nothing_behind,
            http_that_is_malformed_or_smuggled_is_refused_and_the_connection_closed,
            routes_that_are_not_there_are_404_and_methods_405,
            a_chunked_body_is_a_body,
            two_pipelined_webhooks_get_two_answers,
            a_signed_body_that_cannot_be_parsed_is_acknowledged_and_shown_by_events,
            the_events_command_prints_no_control_characters_of_strangers,
            the_events_command_says_what_is_wrong_and_ends_with_1_or_2,
            a_burst_of_20_messages_arrives_whole_and_in_order_and_gets_one_reply,
            a_message_that_comes_twice_is_answered_once,
            an_answer_of_graph_that_is_lost_is_settled_by_its_status_and_not_sent_again,
            what_graph_refuses_for_now_is_sent_later,
            a_conversation_that_a_person_has_taken_over_gets_no_reply,
            the_collected_whatsapp_bodies_give_the_events_of_their_index,
            health_and_readiness_are_told_on_both_listeners,
            the_admin_listener_is_closed_without_its_token,
            without_a_token_the_admin_listener_answers_only_to_loopback_names,
            wrong_questions_get_400_or_404,
            metrics_are_prometheus_text,
            a_busy_port_is_one_sentence_and_exit_1,
            a_missing_model_is_one_sentence_and_exit_1,
            a_file_that_is_no_model_is_one_sentence_and_exit_1,
            a_second_daemon_on_the_folder_is_one_sentence_and_exit_1,
            a_data_folder_that_cannot_be_written_is_one_sentence_and_exit_1,
            an_unknown_key_is_refused_by_check_and_serve_with_line_and_nearest_name,
            hup_takes_new_settings_and_keeps_the_old_when_the_new_are_broken,
            term_drains_and_what_was_unfinished_is_answered_once_after_the_restart,
            the_logs_hold_no_secret_no_phone_number_and_no_body,
        ])
    finally:
        graph.stop()
        gateway.clean()


sys.exit(main())
