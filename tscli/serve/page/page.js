// The page: libraries, a question, its answer, where that comes from, and what was asked before.
import { ask } from "./answers.js";
import { openDocuments, setUp, takeFiles } from "./documents.js";
import { by, count, documentsOf, duration, json, make, say } from "./parts.js";
import * as viewer from "./viewer.js";

const HISTORY = "tscli.history", CHOSEN = "tscli.libraries", MOST = 50, LEVELS = 9, MAPPED = 20, TURNS = 8;
let about = { libraries: [], read_only: true }, running = null;
let conversation = { libraries: [], turns: [] }; // what a question may follow up: at most TURNS of { question, answer }

// Libraries
const chosen = () => [...document.querySelectorAll("#libraries input:checked")].map((box) => box.value);

async function readLibraries() {
  const before = stored(CHOSEN, chosen());
  about = await json("api/libraries");
  const names = about.libraries.map((each) => each.name);
  const wanted = before.filter((name) => names.includes(name));
  by("libraries").replaceChildren(...about.libraries.map(({ name, documents, tokens }) => {
    const box = make("input", { type: "checkbox", value: name });
    box.checked = wanted.length ? wanted.includes(name) : name === names[0];
    return make("label", {}, box, make("bdi", { text: name }),
      make("span", { class: "note", text: count(documents, "document") + ", " + count(tokens, "token") }));
  }));
  setUp(about, () => readLibraries().catch(complain));
  showChosen();
}

function showChosen() {
  const names = chosen();
  by("chosen").textContent = names.length ? names.join(" + ") : "no library";
  by("send").disabled = !names.length;
  by("follow-line").hidden = !conversation.turns.length || names.join("+") !== conversation.libraries.join("+");
  const broken = about.libraries.filter((each) => each.error && names.includes(each.name));
  say(by("problem"), broken.map((each) => each.error).join(" "));
  if (!by("empty").hidden) showEmpty(names.filter((name) => !broken.some((each) => each.name === name))).catch(complain);
}

async function showEmpty(names) {
  const found = about.libraries.filter((each) => names.includes(each.name));
  const sum = (key) => found.reduce((total, each) => total + each[key], 0);
  by("hint").textContent = found.length
    ? count(sum("documents"), "document") + " of " + count(sum("tokens"), "token") + ", read once and kept. Each answer names the pages that it comes from."
    : about.libraries.length ? "Choose a library above." : about.takes_new ? "There is no library yet: drop documents here to make one." : "There is no library yet: make one with tscli ingest PATH.";
  const lines = [];
  for (const name of names) lines.push(...(await documentsOf(name)).map((each) => viewer.documentLine(name, each)));
  by("document-list").replaceChildren(...lines);
}

by("libraries").addEventListener("change", () => {
  keep(CHOSEN, chosen());
  showChosen();
});

// Asking
by("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = by("question").value.trim();
  if (question && !running && chosen().length) run(question);
});
by("question").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  by("ask").requestSubmit();
});
by("stop").addEventListener("click", () => running?.abort());

async function run(question) {
  const libraries = chosen(), earlier = !by("follow-line").hidden && by("follow").checked ? conversation.turns : [];
  running = new AbortController();
  const signal = running.signal;
  viewer.close();
  begin(question, earlier);
  busy(true);
  by("status").textContent = "Reading the question…";
  const text = document.createTextNode("");
  by("answer").replaceChildren(text);
  const answered = { question, libraries, earlier, when: Date.now() };
  try {
    const found = await ask(libraries.join("+"), earlier, question, signal, {
      waiting: (seconds, why) => { by("status").textContent = why + " Asking again in " + seconds + " s."; },
      begun: () => { by("status").textContent = "Reading the question…"; },
      piece: (piece) => {
        if (!text.length) by("status").textContent = "Answering…";
        text.appendData(text.length ? piece : piece.trimStart());
      },
    });
    Object.assign(answered, { answer: text.data, tscli: found.tscli ?? null });
    by("status").textContent = found.finish === "length" ? "The answer was cut off at its maximum length." : "";
    showWeak(answered);
    showEvidence(answered);
    remember(answered);
    follow(answered);
    if (document.activeElement === by("question")) by("question").select();
  } catch (error) {
    by("status").textContent = signal.aborted ? "Stopped." : "";
    if (!signal.aborted) complain(error);
  } finally {
    running = null;
    busy(false);
  }
}

// What was answered is what the next question may follow up.
function follow({ question, answer, libraries, earlier = [] }) {
  conversation = { libraries, turns: answer ? [...earlier, { question, answer }].slice(-TURNS) : earlier };
  by("follow").checked = true;
  showChosen();
}

function begin(question, earlier) {
  say(by("problem"), "");
  by("turns").replaceChildren(...earlier.map((each) => make("li", {}, make("p", { class: "turn", dir: "auto", text: each.question }), make("p", { dir: "auto", text: each.answer }))));
  by("turns").hidden = !earlier.length;
  by("empty").hidden = true;
  by("exchange").hidden = false;
  by("asked").textContent = question;
  for (const id of ["passages", "map", "figures"]) by(id).hidden = true;
}

function busy(is) {
  const held = document.activeElement === by(is ? "send" : "stop");
  by("answer").setAttribute("aria-busy", String(is));
  by("send").hidden = is;
  by("stop").hidden = !is;
  if (held) by(is ? "stop" : "send").focus();
}

const complain = (error) => say(by("problem"), error instanceof TypeError ? "The server cannot be reached; is tscli serve still running?" : error.message);

// Where an answer comes from
function showEvidence({ libraries, tscli }) {
  const citations = tscli?.citations ?? [], warned = new Map((tscli?.instructions ?? []).map((each) => [each.citation, each.words]));
  const place = (each) => (libraries.length > 1 ? each.library + ": " : "") + each.file;
  by("passages").querySelector("ol").replaceChildren(...citations.map((each, index) => {
    const page = each.paged ? " p. " + (each.label ? each.label + " (page " + each.page + ")" : each.page) : "";
    const button = make("button", { type: "button", "aria-expanded": "false", "aria-controls": "viewer" },
      make("span", { class: "place" }, make("span", { class: "number", text: index + 1 }), make("bdi", { text: place(each) + page }),
        make("span", { class: "share", text: percent(each.share) })),
      make("bdi", { class: "quote", dir: "auto", text: each.quote }),
      ...(warned.has(index) ? [make("span", { class: "warned", text: "This looks like instructions to the model: " + warned.get(index) })] : []));
    button.addEventListener("click", () => viewer.open(each.library, each.file, each, button));
    return make("li", {}, button);
  }));
  by("passages").hidden = !citations.length;
  showMap(tscli?.map ?? [], libraries, place);
  say(by("figures"), [figures(tscli?.statistics), ...(tscli?.notes ?? [])].join(" "));
}

// The answer; what drew on the question rather than on documents is underlined.
function showWeak({ answer, tscli }) {
  const characters = Array.from(answer), parts = [];
  let at = 0;
  for (const [start, end] of tscli?.weak ?? []) {
    const title = "Weak support: this attended to the question, or on what is always attended, rather than on documents";
    parts.push(characters.slice(at, start).join(""), make("span", { class: "weak", title, text: characters.slice(start, end).join("") }));
    at = end;
  }
  by("answer").replaceChildren(...parts, characters.slice(at).join(""));
}

const percent = (share) => Math.round(share * 100) + "%";

function showMap(documents, libraries, place) {
  const highest = Math.max(...documents.flatMap((each) => each.cells), Number.MIN_VALUE);
  by("map").querySelector("ul").replaceChildren(...documents.slice(0, MAPPED).map((each) => {
    const cells = each.cells.map((cell) => make("i", { class: "h" + Math.ceil(cell / highest * LEVELS) }));
    const button = make("button", { type: "button" }, make("bdi", { text: place(each) }),
      make("span", { class: "share", text: percent(each.share) }), make("span", { class: "cells", "aria-hidden": "true" }, ...cells));
    button.addEventListener("click", () => viewer.open(each.library, each.file, { page: each.page, first: each.first }, button));
    return make("li", {}, button);
  }));
  by("map").hidden = !documents.length;
  const all = about.libraries.filter((each) => libraries.includes(each.name)).reduce((sum, each) => sum + each.documents, 0);
  const rest = all - Math.min(documents.length, MAPPED);
  by("others").textContent = rest > 0 ? count(rest, "other document") + ": little or nothing." : "";
}

function figures(found) {
  if (!found) return "";
  const number = (value) => value.toLocaleString("en"), { tokens, timing } = found;
  return [
    number(tokens.cached) + " tokens of documents cached, " + number(tokens.recomputed) + " computed again",
    number(tokens.prompt) + " of the prompt, " + number(tokens.generated) + " generated",
    "first token " + duration(timing.ttft_s) + (timing.decode_tps ? ", then " + timing.decode_tps.toFixed(1) + " tokens/s" : ""),
  ].join(" · ") + ". Shares are those of the answer’s attention to documents; selection is not proof of causation.";
}

// History, of this browser only
function stored(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function keep(key, value) {
  for (let left = value; ; left = left.slice(0, left.length >> 1)) {
    try {
      return localStorage.setItem(key, JSON.stringify(left));
    } catch {
      if (!left.length) return undefined; // a browser that keeps nothing
    }
  }
}

const remember = (answered) => keep(HISTORY, [answered, ...stored(HISTORY, [])].slice(0, MOST));

function showHistory() {
  const earlier = stored(HISTORY, []);
  by("earlier").replaceChildren(...earlier.map((each) => {
    const when = new Date(each.when).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    const line = make("button", { type: "button", class: "line" }, make("bdi", { dir: "auto", text: each.question }), make("span", { class: "note", text: when }));
    line.addEventListener("click", () => recall(each));
    return make("li", {}, line);
  }));
  if (!earlier.length) by("earlier").append(make("li", { class: "note", text: "Nothing has been asked yet." }));
  by("clear").disabled = !earlier.length;
}

function recall(answered) {
  by("history").close();
  if (running) return;
  viewer.close();
  begin(answered.question, answered.earlier ?? []);
  showWeak(answered);
  by("status").textContent = "Answered on " + new Date(answered.when).toLocaleString() + ", from " + answered.libraries.join(" + ") + ".";
  showEvidence(answered);
  follow(answered);
  by("asked").focus();
}

by("open-history").addEventListener("click", () => { showHistory(); by("history").showModal(); });
by("clear").addEventListener("click", () => { localStorage.removeItem(HISTORY); showHistory(); });
by("open-documents").addEventListener("click", () => openDocuments(chosen()));
for (const button of document.querySelectorAll("[data-close]")) button.addEventListener("click", () => button.closest("dialog").close());

takeFiles(chosen);
readLibraries().catch(complain);
by("question").focus();
