// Small things that all parts use. Text of others is only ever put in as text.
export const by = (id) => document.getElementById(id);

export function make(tag, { text, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
}

export const count = (number, noun) => number.toLocaleString("en") + " " + noun + (number === 1 ? "" : "s");

export function bytes(number) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; number >= 1000 && unit < units.length - 1; unit++) number /= 1000;
  return number.toFixed(unit && number < 10 ? 1 : 0) + " " + units[unit];
}

export function duration(seconds) {
  if (seconds < 10) return seconds.toFixed(seconds < 1 ? 2 : 1) + " s";
  if (seconds < 90) return Math.round(seconds) + " s";
  return seconds < 5400 ? Math.round(seconds / 60) + " min" : (seconds / 3600).toFixed(1) + " h";
}

export function say(element, message) {
  element.textContent = message;
  element.hidden = !message;
}

// What a response says is wrong, as the API gives it.
export async function problemOf(response) {
  const said = await response.json().catch(() => null);
  const message = said?.error?.message ?? said?.detail;
  return typeof message === "string" ? message : "The server answered " + response.status + " " + response.statusText + ".";
}

export async function json(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server cannot be reached; is tscli serve still running?");
  }
  if (!response.ok) throw new Error(await problemOf(response));
  return response.json();
}

// Documents of a library, by name; read once until `forget`.
const known = new Map();
export const forget = () => known.clear();
export function documentsOf(library) {
  if (!known.has(library)) {
    const reading = json("api/libraries/" + encodeURIComponent(library) + "/documents").then((found) => found.documents);
    reading.catch(() => known.delete(library));
    known.set(library, reading);
  }
  return known.get(library);
}
