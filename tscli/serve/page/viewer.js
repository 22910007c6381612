// A document beside the answer: the browser's own PDF viewer at the page, or the text with the passage marked.
import { by, count, documentsOf, json, make, say } from "./parts.js";

let shown = null; // { library, document, page, passage, opener }

// passage: { page, first, last } in tokens of the document, or null for its beginning.
export async function open(library, name, passage, opener) {
  let document_;
  try {
    document_ = (await documentsOf(library)).find((each) => each.name === name);
    if (!document_) throw new Error(name + " is no longer in the library " + library + "; ask again.");
  } catch (error) {
    shown = { opener };
    return show(name, "", error.message);
  }
  mark(opener);
  const at = { page: passage?.page ?? 1, first: passage?.first, last: passage?.last };
  shown = { library, document: document_, ...at, opener };
  const page = passage?.label ? passage.label + " (page " + at.page + ")" : at.page;
  show(name, document_.paged ? "p. " + page : "", "");
  by("viewer-link").href = address("file") + (document_.kind === "pdf" ? "#page=" + at.page : "");
  by("viewer-link").hidden = false;
  const asPage = document_.kind === "pdf" && navigator.pdfViewerEnabled !== false;
  by("as-page").parentElement.hidden = !asPage;
  return asPage ? showPage() : showText();
}

export function close() {
  if (by("viewer").hidden) return;
  by("viewer").hidden = true;
  by("viewer-body").replaceChildren();
  mark(null);
  shown?.opener?.isConnected && shown.opener.focus();
  shown = null;
}

function show(name, page, problem) {
  by("viewer").hidden = false;
  by("viewer-name").textContent = name;
  by("viewer-page").textContent = page;
  by("viewer-link").hidden = true;
  by("as-page").parentElement.hidden = true;
  by("viewer-body").replaceChildren();
  say(by("viewer-problem"), problem);
  by("viewer-title").focus();
}

function mark(opener) {
  for (const button of document.querySelectorAll("[aria-expanded]")) button.setAttribute("aria-expanded", String(button === opener));
}

const address = (what) => "api/libraries/" + encodeURIComponent(shown.library) + "/documents/" + shown.document.id + "/" + what;

function press(id) {
  for (const each of ["as-page", "as-text"]) by(each).setAttribute("aria-pressed", String(each === id));
}

async function showPage() {
  const now = shown;
  press("as-page");
  const there = await fetch(address("file"), { method: "HEAD" }).catch(() => null);
  if (shown !== now) return;
  if (!there?.ok) {
    // Only a GET says in words what is wrong.
    await json(address("file")).catch((error) => say(by("viewer-problem"), error.message));
    if (shown === now) await showText();
    return;
  }
  const title = shown.document.name + ", page " + shown.page;
  by("viewer-body").replaceChildren(make("iframe", { src: address("file") + "#page=" + shown.page + "&navpanes=0&view=FitH", title }));
}

async function showText() {
  const now = shown;
  press("as-text");
  const range = now.first === undefined ? "page=" + now.page : "first=" + now.first + (now.last === undefined ? "" : "&last=" + now.last);
  await textOf(now, range);
}

async function textOf(now, range) {
  let found;
  try {
    found = await json(address("text") + "?" + range);
  } catch (error) {
    if (shown === now) say(by("viewer-problem"), error.message);
    return;
  }
  if (shown !== now) return;
  const read = now.document.kind === "pdf" ? flowing(found.text) : found.text;
  const characters = Array.from(read), [start, end] = found.passage ?? [0, 0];
  const text = make("p", { class: "text", dir: "auto", tabindex: "0", role: "region", "aria-label": "Text of " + found.name });
  const passage = make("mark", { text: characters.slice(start, end).join("") });
  text.append(characters.slice(0, start).join(""), ...(found.passage ? [passage] : []), characters.slice(end).join(""));
  const more = (label, first) => {
    const button = make("button", { type: "button", text: label });
    button.addEventListener("click", () => textOf(now, "first=" + first));
    return button;
  };
  by("viewer-body").replaceChildren(
    ...(found.before === null ? [] : [more("Earlier text", found.before)]), text,
    ...(found.behind === null ? [] : [more("Later text", found.behind)]),
  );
  if (!found.text) text.replaceChildren(make("span", { class: "note", text: "No text was read on this page." }));
  if (found.passage) passage.scrollIntoView({ block: "center" });
  else by("viewer-body").scrollTop = 0;
}

// A PDF's lines end where its page does: those that are full go on in the next. Characters stay as many as they are.
function flowing(text) {
  const lines = text.split("\n"), longest = Math.max(...lines.map((line) => line.length));
  return lines.map((line, index) => line + (index === lines.length - 1 ? "" : line.length > 0.7 * longest && lines[index + 1].trim() ? " " : "\n")).join("");
}

by("as-page").addEventListener("click", () => { say(by("viewer-problem"), ""); showPage(); });
by("as-text").addEventListener("click", showText);
by("viewer-close").addEventListener("click", close);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open], [popover]:popover-open")) close();
});

// A line for a document of a list; pressed, it opens.
export function documentLine(library, found, before) {
  const size = (found.paged ? count(found.pages, "page") + ", " : "") + count(found.tokens, "token");
  const line = make("button", { type: "button", class: "line" }, make("bdi", { text: found.name }), make("span", { class: "note", text: size }));
  line.addEventListener("click", () => { before?.(); open(library, found.name, null, line); });
  return make("li", {}, line);
}
