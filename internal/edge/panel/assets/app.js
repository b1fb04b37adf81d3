// The panel works without this file. It adds live updates, copying, the
// viewer's time zone and the keyboard.

const root = document.documentElement;
root.classList.add("js");
const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

// Times: relative text that stays true, the viewer's zone and UTC on hover.

const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const month = new Intl.DateTimeFormat(undefined, { month: "short", year: "numeric" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

function distance(seconds) {
  if (seconds < 90) return `${Math.floor(seconds)} s`;
  if (seconds < 5400) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

function ago(when) {
  const past = (Date.now() - when) / 1000;
  if (Math.abs(past) > 604800) return (Math.abs(past) > 25e6 ? month : day).format(when);
  if (Math.abs(past) < 2) return "now";
  return past < 0 ? `in ${distance(-past)}` : `${distance(past)} ago`;
}

function tellTimes(within = document) {
  for (const t of $$("time[datetime]", within)) {
    const when = new Date(t.dateTime);
    if (Number.isNaN(when.getTime())) continue;
    if (!t.dataset.utc) t.dataset.utc = t.title;
    t.title = `${full.format(when)} here, ${t.dataset.utc}`;
    const text = "full" in t.dataset ? full.format(when) : "clock" in t.dataset ? clock.format(when) : ago(when);
    if (t.textContent !== text) t.textContent = text;
  }
}

// Saying something to people who cannot see the page change.

function speak(text) {
  const at = $("#spoken");
  if (at) at.textContent = text;
}

// Copying.

async function copy(button) {
  const text = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Plain http on another machine has no clipboard: use a selection.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "vh";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    button.focus();
    if (!done) return speak("Copying is not allowed here");
  }
  button.classList.add("done");
  speak("Copied");
  setTimeout(() => button.classList.remove("done"), 1500);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.copy !== undefined) copy(button);
  // Browsers from before invoker commands.
  if (button.hasAttribute("commandfor") && !("command" in HTMLButtonElement.prototype)) {
    const dialog = document.getElementById(button.getAttribute("commandfor"));
    if (button.getAttribute("command") === "close") dialog?.close();
    else dialog?.showModal();
  }
});

// Live updates: a notice says that something changed, the page asks for itself
// again, and the parts that differ are replaced.

const live = document.body.hasAttribute("data-live");
let waiting = null;
let busy = false;
let poll = null;
let source = null;
let again = new Set();

function state(name, word) {
  const mark = $("#live");
  if (!mark) return;
  mark.dataset.state = name;
  $("span", mark).textContent = word;
}

function changed(kind) {
  again.add(kind);
  waiting ??= setTimeout(refresh, 200);
}

async function refresh() {
  waiting = null;
  if (busy || document.hidden) return;
  const kinds = again;
  again = new Set();
  const parts = $$("[data-part]").filter((p) => p.dataset.part.split(" ").some((k) => kinds.has(k)));
  if (parts.length === 0) return;
  busy = true;
  try {
    const url = new URL(location.href);
    url.searchParams.delete("done");
    const answer = await fetch(url, { headers: { "X-Live": "1" }, credentials: "same-origin" });
    if (answer.status === 401) return location.reload();
    if (answer.ok) replace(parts, new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    state("off", "offline");
  } finally {
    busy = false;
    if (again.size) waiting ??= setTimeout(refresh, 200);
  }
}

const key = (e) => e?.getAttribute?.("href") ?? e?.closest?.("details")?.id ?? null;

function replace(parts, next) {
  for (const part of parts) {
    const fresh = next.getElementById(part.id);
    if (!fresh) continue;
    const known = new Set($$("[data-row]", part).map(key));
    const wasEmpty = !$(".rows", part);
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const focus = focused && { key: key(focused), tag: focused.tagName };
    for (const open of $$("details[open]", part)) fresh.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
    for (const radio of $$("input[type=radio]:checked", part)) {
      const same = fresh.querySelector(`#${CSS.escape(radio.id)}`);
      if (same) same.checked = true;
    }
    const selection = getSelection();
    if (selection && !selection.isCollapsed && part.contains(selection.anchorNode)) continue;
    part.replaceChildren(...fresh.childNodes);
    tellTimes(part);
    const arrived = $$("[data-row]", part).filter((row) => !known.has(key(row)));
    if (part.id === "list" && arrived.length) {
      for (const row of arrived) row.closest("tr")?.classList.add("new");
      speak(wasEmpty ? "The first message has arrived" : `${arrived.length} new`);
    }
    if (focus?.key) $$(focus.tag, part).find((e) => key(e) === focus.key)?.focus({ preventScroll: true });
  }
}

function everything() {
  for (const kind of ["message", "webhook", "domain"]) changed(kind);
}

function listen() {
  if (source || document.hidden) return;
  source = new EventSource("/events/stream");
  source.onopen = () => {
    clearInterval(poll);
    poll = null;
    state("on", "live");
    everything();
  };
  for (const kind of ["message", "webhook", "domain"]) source.addEventListener(kind, () => changed(kind));
  source.onerror = () => {
    state("poll", "polling");
    poll ??= setInterval(everything, 5000);
    if (source.readyState === EventSource.CLOSED) {
      source = null;
      setTimeout(listen, 30000);
    }
  };
}

function rest() {
  source?.close();
  source = null;
  clearInterval(poll);
  poll = null;
}

if (live) {
  listen();
  // A hidden tab needs no connection; browsers allow only six per server.
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : listen()));
  addEventListener("pagehide", rest);
  addEventListener("pageshow", (event) => event.persisted && listen());
}

// Keyboard. Single keys can be switched off in the help (WCAG 2.1.4).

const stored = (() => {
  try { return localStorage; } catch { return null; }
})();
const toggle = $("#keys-on");
let single = stored?.getItem("postroad-keys") !== "off";
if (toggle) {
  toggle.checked = single;
  toggle.addEventListener("change", () => {
    single = toggle.checked;
    stored?.setItem("postroad-keys", single ? "on" : "off");
  });
}

function step(by) {
  const rows = $$("[data-row]");
  if (rows.length === 0) return $(by > 0 ? "[data-j]" : "[data-k]")?.click();
  const at = rows.indexOf(document.activeElement);
  const to = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by));
  rows[to].focus();
  rows[to].scrollIntoView({ block: "nearest" });
}

let prefix = 0;

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select");
  if (typing && event.key === "Escape" && typing.type === "search") typing.blur();
  if (!single || typing || event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
  if (Date.now() - prefix < 1500) {
    prefix = 0;
    const to = $(`[data-go="${CSS.escape(event.key)}"]`);
    if (to) return to.click();
  }
  const act = {
    j: () => step(1),
    k: () => step(-1),
    u: () => $("[data-up]")?.click(),
    g: () => { prefix = Date.now(); },
    "/": () => { $("#q")?.focus(); $("#q")?.select(); },
    "?": () => $("#keys")?.showModal(),
  }[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
});

$(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
tellTimes();
setInterval(() => tellTimes(), 10000);
