// app.js -- the page: phones, the chat of one of them, and the calls that pass.
//
// The server tells everything through one event stream: first the whole state, then each change. What the page shows
// is drawn from `world` alone, so a stream that breaks and begins again sets everything right. Text from people, bots
// and bodies only ever becomes text nodes.
"use strict";

const $ = (id) => document.getElementById(id);
const world = { businesses: [], contacts: new Map(), messages: new Map(), log: new Map(), hooks: {}, faults: [], kinds: [] };
const LOG_SHOWN = 200, MESSAGES_KEPT = 2000, IMAGE_BYTES = 5000000;
const BUTTONS = [ // what the page offers of the simulator's faults, with a person's words
  ["duplicate", "Duplicate"], ["reorder", "Reorder"], ["lost_ack", "Lose the 200"], ["bad_signature", "Bad signature"],
  ["slow", "Slow answer"], ["server_error", "500"], ["html_error", "500 HTML"], ["rate_limit", "Rate limit"],
  ["pair_limit", "Pair limit"], ["lost_answer", "Lose the answer"], ["undeliverable", "Undeliverable"],
];
const IDEAS = ["What is the capital of France?", "Give me three tips for a good night's sleep.", "Write a short poem about the sea."];
let current = null; // the contact whose phone is shown
let atEnd = true;   // the chat is scrolled to its end
const drafts = new Map();

// --- small tools ---------------------------------------------------------------------------------------------------

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
const day = (ms) => new Date(ms).toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });

async function tell(path, body) {
  try {
    const answer = await fetch(`.${path}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const json = await answer.json();
    if (!answer.ok) throw new Error(json.error || `the simulator answered ${answer.status}`);
    complain("");
    return json;
  } catch (error) {
    complain(error instanceof TypeError ? "The simulator does not answer. Is it still running?" : error.message);
    return null;
  }
}

function complain(sentence) {
  $("alert").textContent = sentence;
  $("alert").hidden = !sentence;
}

// --- phones --------------------------------------------------------------------------------------------------------

function initials(name) {
  const words = name.trim().split(/\s+/);
  return ((words[0] || "?")[0] + (words.length > 1 ? words[words.length - 1][0] : "")).toUpperCase();
}

function colour(contact) {
  let sum = 0;
  for (const c of contact) sum = (sum * 31 + c.charCodeAt(0)) % 997;
  return `c${sum % 6}`;
}

function drawPeople() {
  const last = new Map(), unread = new Map();
  for (const m of world.messages.values()) {
    last.set(m.contact, m);
    if (m.from === "business" && (m.status === "sent" || m.status === "delivered"))
      unread.set(m.contact, (unread.get(m.contact) || 0) + 1);
  }
  const focused = document.activeElement?.dataset?.contact;
  const rows = [...world.contacts.values()].map((c) => {
    const m = last.get(c.contact), n = c.contact === current ? 0 : unread.get(c.contact) || 0;
    const text = c.typing ? "typing…" : m ? dialect(m.text).textContent || kindWords(m.kind) : `+${c.contact}`;
    return make("li", {}, make("button", {
      type: "button", class: "person", "data-contact": c.contact, "aria-current": String(c.contact === current),
      onclick: () => show(c.contact, true),
    },
      make("span", { class: `avatar ${colour(c.contact)}`, "aria-hidden": "true" }, initials(c.name)),
      make("span", { class: "name" }, c.name),
      make("span", { class: "when" }, m ? clock(m.at_ms) : ""),
      make("span", { class: `last${c.typing ? " typing-now" : ""}${n ? "" : " wide"}` }, text),
      n ? make("span", { class: "badge", "aria-label": `${n} unread` }, String(n)) : ""));
  });
  $("contacts").replaceChildren(...rows);
  if (focused) document.querySelector(`[data-contact="${CSS.escape(focused)}"]`)?.focus();
}

let peopleDue = 0;
function drawPeopleSoon() { // a burst redraws the list once
  peopleDue ||= setTimeout(() => { peopleDue = 0; drawPeople(); }, 40);
}

// --- who is written to ---------------------------------------------------------------------------------------------

const here = () => world.businesses.find((b) => b.here) || { name: "Business", about: "bot of the gateway", ideas: IDEAS, pictures: [] };

// Each business has a page of its own, below its own path; the pages lie beside each other.
function drawBusinesses() {
  const up = here().path && here().path !== "/" ? ".." : ".";
  $("businesses").replaceChildren(...world.businesses.map((b) => make("li", {},
    make("a", { href: `${up}${b.path}`, title: b.about, "aria-current": b.here ? "page" : null }, b.name))));
  $("businesses").hidden = world.businesses.length < 2;
  $("business").textContent = here().name;
  document.title = `${here().name} · wingman simulator`;
  const ideas = here().ideas.length ? here().ideas : IDEAS;
  $("ideas").replaceChildren(...ideas.map((idea) => make("button", { type: "button", onclick: () => { $("text").value = idea; send(); } }, idea)));
  $("pictures").replaceChildren(...here().pictures.map((file, i) => make("button", {
    type: "button", "aria-label": `Send sample picture ${i + 1}`, onclick: () => sendSample(file),
  }, make("img", { src: file, alt: "" }))));
  $("pictures").hidden = here().pictures.length === 0;
}

async function sendSample(file) {
  sendPicture(await (await fetch(file)).blob());
}

// --- the chat ------------------------------------------------------------------------------------------------------

const kindWords = (kind) => kind === "text" ? "" : `[${kind}]`;

// WhatsApp's marks as elements: *bold* _italic_ ~strike~ `code` and links. Everything else stays as it was written.
function dialect(text) {
  const out = document.createDocumentFragment();
  const marks = /```([\s\S]+?)```|`([^`\n]+)`|(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])|(?<![\w_])_(?=\S)([^_\n]+?)(?<=\S)_(?![\w_])|(?<![\w~])~(?=\S)([^~\n]+?)(?<=\S)~(?![\w~])|(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)])/g;
  let from = 0;
  for (const found of text.matchAll(marks)) {
    out.append(text.slice(from, found.index));
    const [whole, block, code, bold, italic, strike, link] = found;
    if (block || code) out.append(make("code", {}, block || code));
    else if (link) out.append(make("a", { href: link, target: "_blank", rel: "noopener noreferrer" }, link));
    else out.append(make(bold ? "strong" : italic ? "em" : "s", {}, dialect(bold || italic || strike)));
    from = found.index + whole.length;
  }
  out.append(text.slice(from));
  return out;
}

const SVG = "http://www.w3.org/2000/svg";
function ticks() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 17 11");
  svg.setAttribute("class", "tick");
  svg.setAttribute("aria-hidden", "true");
  for (const [name, d] of [["first", "M1 6l3.2 3.5L11 1.5"], ["second", "M7.6 8l1.4 1.5L15.8 1.5"]]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

const SAID = { sent: "sent", delivered: "delivered", read: "read" };

function bubble(m, previous) {
  const mine = m.from === "person";
  const first = !previous || previous.from !== m.from || m.at_ms - previous.at_ms > 120000;
  const meta = make("span", { class: "meta" }, make("time", { datetime: new Date(m.at_ms).toISOString() }, clock(m.at_ms)));
  if (mine) meta.append(ticks(), make("span", { class: "unseen" }, SAID[m.status] || ""));
  const body = make("div", { class: "body" });
  if (m.media) body.append(make("img", { src: `media/${m.media}`, alt: "Picture", loading: "lazy" }));
  else if (m.kind !== "text") body.append(make("span", { class: "kind" }, kindWords(m.kind) + " "));
  body.append(dialect(m.text), meta);
  const item = make("li", { class: `bubble${mine ? " mine" : ""}${first ? " first" : ""}`, "data-seq": m.seq }, body);
  setStatus(item, m);
  return item;
}

function setStatus(item, m) {
  item.dataset.status = m.status;
  if (m.from === "person" && item.querySelector(".meta .unseen")) item.querySelector(".meta .unseen").textContent = SAID[m.status] || "";
  if (m.status === "failed" && !item.querySelector(".why")) {
    item.classList.add("failed");
    item.append(make("p", { class: "why" }, `never arrived: error ${m.error}`));
  }
}

function chatOf(contact) {
  return [...world.messages.values()].filter((m) => m.contact === contact);
}

function drawChat() {
  const rows = [];
  let previous = null;
  for (const m of chatOf(current)) {
    if (!previous || day(previous.at_ms) !== day(m.at_ms)) rows.push(make("li", { class: "day" }, day(m.at_ms)));
    rows.push(bubble(m, previous));
    previous = m;
  }
  $("messages").replaceChildren(...rows);
  $("empty").hidden = rows.length > 0;
  drawPresence();
  toEnd();
}

function drawPresence() {
  const c = world.contacts.get(current);
  $("me").textContent = c ? c.name : "";
  $("typing").hidden = !(c && c.typing);
  $("presence").textContent = c && c.typing ? "typing…" : here().about;
  $("presence").className = c && c.typing ? "on" : "";
  if (atEnd) toEnd();
}

function toEnd() {
  atEnd = true;
  $("latest").hidden = true;
  $("scroll").scrollTop = $("scroll").scrollHeight;
}

// Puts one message in its place, or its new status on its bubble.
function drawMessage(m, isNew) {
  if (m.contact !== current) return;
  const there = document.querySelector(`[data-seq="${m.seq}"]`);
  if (there) return setStatus(there, m);
  if (!isNew) return;
  const chat = chatOf(current), previous = chat[chat.length - 2];
  if (!previous || day(previous.at_ms) !== day(m.at_ms)) $("messages").append(make("li", { class: "day" }, day(m.at_ms)));
  const item = bubble(m, previous);
  item.classList.add("new");
  $("messages").append(item);
  $("empty").hidden = true;
  if (atEnd || m.from === "person") toEnd();
  else $("latest").hidden = false;
}

function show(contact, chosen) {
  if (current) drafts.set(current, $("text").value);
  current = contact;
  $("text").value = drafts.get(contact) || "";
  grow();
  atEnd = true;
  document.body.classList.toggle("choosing", false);
  drawPeople();
  drawChat();
  looking();
  if (chosen) $("text").focus();
}

// Tells the simulator which chat a person looks at: what it holds is then read.
function looking() {
  if (current) tell("/sim/open", { contact: document.hidden ? null : current });
}

// --- writing -------------------------------------------------------------------------------------------------------

function grow() {
  const field = $("text");
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight + 2, 132)}px`;
}

async function send() {
  const text = $("text").value.trim();
  if (!text || !current) return;
  $("text").value = "";
  grow();
  if (!await tell("/sim/message", { contact: current, text })) $("text").value = $("text").value || text;
  $("text").focus();
}

function sendPicture(file) {
  if (!file) return;
  if (file.size > IMAGE_BYTES) return complain("The picture is larger than 5 MB; choose a smaller one.");
  const reader = new FileReader();
  reader.onload = async () => {
    const data = String(reader.result).split(",")[1];
    const text = $("text").value.trim();
    if (await tell("/sim/message", { contact: current, text, image: { type: file.type, data } })) $("text").value = "";
  };
  reader.readAsDataURL(file);
}

// --- the panel -----------------------------------------------------------------------------------------------------

// A JSON text as coloured, indented nodes; anything else as it is.
function pretty(text) {
  let value;
  try { value = JSON.parse(text); } catch { return [text]; }
  const tokens = JSON.stringify(value, null, 2).split(/("(?:[^"\\]|\\.)*"(?:\s*:)?|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/);
  return tokens.map((t, i) => i % 2 === 0 ? t
    : make("span", { class: t.endsWith(":") ? "key" : t[0] === '"' ? "str" : "num" }, t));
}

function codeOf(e) {
  if (e.status === 0) return ["…", ""];
  if (e.status < 0) return ["lost", "bad"];
  return [String(e.status), e.status < 300 ? "good" : e.status < 500 ? "warn" : "bad"];
}

function callRow(e) {
  const [code, tone] = codeOf(e);
  const person = world.contacts.get(e.contact);
  const facts = [clock(e.at_ms), person ? person.name : "", e.status ? `${e.took_ms} ms` : "", e.attempt > 1 ? `attempt ${e.attempt}` : ""];
  const sub = make("span", { class: "sub" }, facts.filter(Boolean).join(" · "));
  if (e.note) sub.append(" · ", make("span", { class: "note" }, e.note));
  const details = make("details", {},
    make("summary", {},
      make("span", { class: "way", "aria-label": e.outward ? "to the gateway" : "from the gateway", title: e.outward ? "Meta to the gateway" : "the gateway to Meta" }, e.outward ? "→" : "←"),
      make("span", { class: "title", title: e.title }, e.what ? make("b", {}, e.what) : "", e.title),
      make("span", { class: `code ${tone}` }, code), sub));
  details.addEventListener("toggle", () => { // bodies are built when somebody looks
    if (!details.open || details.querySelector(".bodies")) return;
    const bodies = make("div", { class: "bodies" });
    if (e.request) bodies.append(make("h3", {}, "request"), make("pre", { tabindex: "0" }, ...pretty(e.request)));
    if (e.answer) bodies.append(make("h3", {}, "answer"), make("pre", { tabindex: "0" }, ...pretty(e.answer)));
    if (!e.request && !e.answer) bodies.append(make("h3", {}, "no body"));
    details.append(bodies);
  });
  return make("li", { class: "call", "data-log": e.seq }, details);
}

function drawLogEntry(e) {
  const there = document.querySelector(`[data-log="${e.seq}"]`);
  const row = callRow(e);
  if (there) {
    if (there.querySelector("details").open) row.querySelector("details").open = true;
    there.replaceWith(row);
  } else {
    $("log").prepend(row);
    while ($("log").childElementCount > LOG_SHOWN) $("log").lastElementChild.remove();
  }
  $("log-empty").hidden = true;
  $("log").hidden = false;
}

function drawLog() {
  const rows = [...world.log.values()].slice(-LOG_SHOWN).reverse().map(callRow);
  $("log").replaceChildren(...rows);
  $("log-empty").hidden = rows.length > 0;
  $("log").hidden = rows.length === 0;
}

function drawHooks() {
  for (const name of ["pending", "delivered", "failures"]) $(`n-${name}`).textContent = world.hooks[name] ?? 0;
  $("n-pending").parentElement.classList.toggle("hot", world.hooks.pending > 0);
  linkState(world.hooks.verified ? "on" : "", world.hooks.verified ? "gateway connected" : "waiting for the gateway…");
}

function drawFaults() {
  $("waiting").replaceChildren(...world.faults.map((f) =>
    make("li", { title: f.help }, `${f.kind}${f.left > 0 ? ` × ${f.left}` : ""}${f.probability < 1 ? ` ${Math.round(f.probability * 100)}%` : ""}`)));
  if (world.faults.length)
    $("waiting").append(make("li", {}, make("button", { type: "button", onclick: () => tell("/sim/fault", { clear: true }) }, "clear all")));
}

function drawFaultButtons() {
  const help = new Map(world.kinds.map((k) => [k.kind, k.help]));
  $("faults").replaceChildren(
    make("button", { type: "button", title: "The person sends 20 messages at once", onclick: () => tell("/sim/burst", { contact: current, count: 20 }) }, "Burst of 20"),
    ...BUTTONS.map(([kind, words]) => make("button", {
      type: "button", title: `Next time: ${help.get(kind) || words}`, onclick: () => tell("/sim/fault", { kind, contact: current }),
    }, words)));
}

function linkState(state, sentence) {
  $("link").className = `link ${state}`;
  $("link-text").textContent = sentence;
}

// --- the stream ----------------------------------------------------------------------------------------------------

const handlers = {
  state(s) {
    world.contacts = new Map(s.contacts.map((c) => [c.contact, c]));
    world.messages = new Map(s.messages.map((m) => [m.seq, m]));
    world.log = new Map(s.log.map((e) => [e.seq, e]));
    Object.assign(world, { businesses: s.businesses, hooks: s.hooks, faults: s.faults, kinds: s.fault_kinds });
    if (!world.contacts.has(current)) current = null;
    drawBusinesses();
    drawLog();
    drawHooks();
    drawFaults();
    drawFaultButtons();
    show(current || [...world.contacts.keys()][0], false);
  },
  contact(c) {
    world.contacts.set(c.contact, c);
    drawPeopleSoon();
    if (c.contact === current) drawPresence();
  },
  message(m) {
    const isNew = !world.messages.has(m.seq);
    world.messages.set(m.seq, m);
    if (world.messages.size > MESSAGES_KEPT) world.messages.delete(world.messages.keys().next().value);
    drawMessage(m, isNew);
    drawPeopleSoon();
  },
  log(e) {
    world.log.set(e.seq, e);
    if (world.log.size > LOG_SHOWN) world.log.delete(world.log.keys().next().value);
    drawLogEntry(e);
  },
  hooks(h) { world.hooks = h; drawHooks(); },
  faults(f) { world.faults = f.faults; drawFaults(); },
};

function connect() {
  const stream = new EventSource("sim/stream");
  stream.onmessage = (event) => {
    const news = JSON.parse(event.data);
    handlers[news.type]?.(news);
  };
  stream.onerror = () => {
    linkState("off", "simulator gone; trying again…");
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 2000); // the browser has given up: we have not
  };
}

// --- what a person does --------------------------------------------------------------------------------------------

$("composer").addEventListener("submit", (event) => { event.preventDefault(); send(); });
$("text").addEventListener("input", grow);
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
});
$("attach").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => { sendPicture($("file").files[0]); $("file").value = ""; });
const pictureOf = (files) => [...files].find((file) => file.type.startsWith("image/"));
$("text").addEventListener("paste", (event) => {
  const picture = pictureOf(event.clipboardData.files);
  if (picture) { event.preventDefault(); sendPicture(picture); }
});
const phone = document.querySelector(".phone");
for (const [name, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]])
  phone.addEventListener(name, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    phone.classList.toggle("dropping", over);
    if (name === "drop") sendPicture(pictureOf(event.dataTransfer.files) || complain("Only pictures can be sent: JPEG, PNG or WebP."));
  });
$("scroll").addEventListener("scroll", () => {
  const box = $("scroll");
  atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
  if (atEnd) $("latest").hidden = true;
});
$("latest").addEventListener("click", toEnd);
$("back").addEventListener("click", () => document.body.classList.add("choosing"));
$("clear").addEventListener("click", () => { world.log.clear(); drawLog(); });
$("add").addEventListener("click", () => { $("new-name").value = ""; $("new-phone").showModal(); });
$("new-phone").addEventListener("close", async () => {
  if ($("new-phone").returnValue !== "ok") return;
  const made = await tell("/sim/contact", { name: $("new-name").value.trim() });
  if (made) show(made.contact, true);
});
document.addEventListener("visibilitychange", looking);
connect();
$("text").focus();
