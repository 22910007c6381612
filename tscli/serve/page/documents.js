// The documents of the chosen libraries, and files that are added: the plan first, then the ingest.
import { by, bytes, count, documentsOf, duration, forget, json, make, say } from "./parts.js";
import { close, documentLine } from "./viewer.js";

const EVERY = 500; // milliseconds
const FRESH = "default"; // the library that is made where there is none
let job = null, timer = 0, changed = () => {};

export function setUp(about, onChange) {
  changed = onChange;
  const names = about.libraries.map((each) => each.name), fresh = about.takes_new && !names.includes(FRESH);
  by("take").hidden = about.read_only || !(names.length || fresh);
  by("into").replaceChildren(...names.map((name) => make("option", { value: name, text: name })),
    ...(fresh ? [make("option", { value: FRESH, text: FRESH + " (new)" })] : []));
  by("into-line").hidden = by("into").options.length < 2;
}

export async function openDocuments(libraries) {
  if (libraries.length) by("into").value = libraries[0];
  if (!by("documents").open) by("documents").showModal();
  const parts = [];
  if (!job && !by("take").hidden) resume().catch((error) => fail(error.message));
  for (const library of libraries) {
    parts.push(make("h3", {}, make("bdi", { text: library })));
    try {
      const found = await documentsOf(library);
      parts.push(make("ul", { class: "plain" }, ...found.map((each) => documentLine(library, each, () => by("documents").close()))));
    } catch (error) {
      parts.push(make("p", { role: "alert", text: error.message }));
    }
  }
  by("list").replaceChildren(...parts);
}

// An ingest that goes on since before this page was opened.
async function resume() {
  const { upload: found } = await json("api/uploads");
  if (job || !found || ["done", "failed", "cancelled"].includes(found.state)) return;
  job = found;
  by("job").hidden = false;
  reset("");
  follow();
}

async function upload(files, libraries) {
  if (!files.length || by("take").hidden) return;
  close();
  await openDocuments(libraries);
  by("job").hidden = false;
  reset("Sending " + count(files.length, "file") + "…");
  const form = new FormData();
  for (const file of files) form.append("files", file, file.name);
  try {
    job = await json("api/uploads?library=" + encodeURIComponent(by("into").value), { method: "POST", body: form });
    follow();
  } catch (error) {
    fail(error.message);
  }
}

function reset(status) {
  by("job-status").textContent = status;
  say(by("job-problem"), "");
  for (const id of ["plan", "job-start", "job-cancel", "job-progress"]) by(id).hidden = true;
}

function fail(message) {
  reset("");
  say(by("job-problem"), message);
}

async function follow() {
  clearTimeout(timer);
  const id = job?.id;
  if (!id) return;
  show();
  if (["done", "failed", "cancelled"].includes(job.state)) return;
  timer = setTimeout(async () => {
    try {
      const found = await json("api/uploads/" + id);
      if (job?.id === id) job = found;
      follow();
    } catch (error) {
      fail(error.message);
    }
  }, EVERY);
}

function show() {
  const { state, doing, progress, plan, report, error } = job;
  if (state === "failed") return fail(error);
  const rate = progress?.seconds ? ", " + Math.round(progress.done / progress.seconds).toLocaleString("en") + " tokens/s, about "
    + duration((progress.total - progress.done) * progress.seconds / progress.done) + " left" : "";
  const lines = {
    planning: "Planning: " + doing,
    planned: "This is the plan; nothing has been computed yet.",
    running: doing === "prefill" ? progress.done.toLocaleString("en") + " of " + count(progress.total, "token") + rate : "Working: " + doing,
    done: report && "Done: " + count(report.documents, "document") + ", " + count(report.tokens, "token") + " in " + duration(report.seconds) + ". You can ask about them now.",
    cancelled: "Cancelled.",
  };
  if (by("job-status").textContent !== lines[state]) by("job-status").textContent = lines[state];
  by("job-start").hidden = state !== "planned";
  by("job-cancel").hidden = !["planning", "planned", "running"].includes(state);
  by("plan").hidden = state !== "planned";
  if (state === "planned" && by("plan").dataset.job !== job.id) showPlan(plan);
  const bar = by("job-progress");
  bar.hidden = !["planning", "running"].includes(state);
  if (doing === "prefill" && progress?.total) [bar.max, bar.value] = [progress.total, progress.done];
  else bar.removeAttribute("value");
  if (state === "done" && by("plan").dataset.done !== job.id) {
    by("plan").dataset.done = job.id;
    forget();
    changed();
    openDocuments([job.library]);
  }
}

function showPlan(plan) {
  by("plan").dataset.job = job.id;
  const head = make("tr", {}, ...["Document", "Pages", "Tokens"].map((text) => make("th", { scope: "col", text })));
  const rows = plan.documents.map((each) => make("tr", {},
    make("td", {}, make("bdi", { text: each.path })), make("td", { text: each.pages.toLocaleString("en") }),
    make("td", { text: each.tokens.toLocaleString("en") })));
  const time = plan.estimated_seconds === null ? "" : ", about " + duration(plan.estimated_seconds);
  const sum = count(plan.prefill_tokens, "token") + " to compute with " + plan.model + time + "; " + bytes(plan.new_bytes)
    + " on disk, " + bytes(plan.free_bytes) + " free.";
  const lost = plan.failures.map((each) => "Not read: " + each.path + " (" + each.reason + ")");
  by("plan").replaceChildren(
    ...(rows.length ? [make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))] : []),
    make("p", { text: rows.length ? sum : "The library holds all of this already; there is nothing to compute." }),
    ...[...lost, ...plan.notes].map((text) => make("p", { class: "note", text })),
  );
  by("job-start").focus();
}

const act = (path, method) => async () => {
  try {
    job = await json("api/uploads/" + job.id + path, { method });
    by("job-status").focus?.();
    follow();
  } catch (error) {
    fail(error.message);
  }
};
by("job-start").addEventListener("click", act("/start", "POST"));
by("job-cancel").addEventListener("click", act("", "DELETE"));

// Files by the button, or dropped anywhere.
export function takeFiles(chosen) {
  by("files").addEventListener("change", async () => {
    await upload([...by("files").files], [by("into").value]);
    by("files").value = "";
  });
  let depth = 0;
  const hasFiles = (event) => !by("take").hidden && event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => { if (hasFiles(event)) { depth++; by("veil").hidden = false; } });
  addEventListener("dragleave", (event) => { if (hasFiles(event) && --depth <= 0) { depth = 0; by("veil").hidden = true; } });
  addEventListener("dragover", (event) => { if (event.dataTransfer?.types.includes("Files")) event.preventDefault(); });
  addEventListener("drop", (event) => {
    event.preventDefault(); // a dropped file never replaces the page
    depth = 0;
    by("veil").hidden = true;
    if (hasFiles(event)) upload([...event.dataTransfer.files], by("documents").open ? [by("into").value] : chosen());
  });
}
