// A question to the API: the pieces of its answer as they come, then what stands in its last chunk.
import { problemOf } from "./parts.js";

const TRIES = 6;

// earlier: [{ question, answer }], what was said before it; tell: { waiting(seconds), begun(), piece(text) };
// resolves to { tscli, usage, finish }.
export async function ask(model, earlier, question, signal, tell) {
  const before = earlier.flatMap((each) => [{ role: "user", content: each.question }, { role: "assistant", content: each.answer }]);
  const response = await send(model, [...before, { role: "user", content: question }], signal, tell);
  tell.begun();
  let found = {}, ended = false;
  for await (const data of events(response.body)) {
    if (data === "[DONE]") {
      ended = true;
      continue;
    }
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Error(chunk.error.message);
    const choice = chunk.choices?.[0];
    if (choice?.delta?.content) tell.piece(choice.delta.content);
    if (choice?.finish_reason) found.finish = choice.finish_reason;
    if (chunk.usage) found.usage = chunk.usage;
    if (chunk.tscli) found.tscli = { ...found.tscli, ...chunk.tscli };
  }
  if (!ended) throw new Error("The connection ended before the answer was complete.");
  return found;
}

async function send(model, messages, signal, tell) {
  const body = JSON.stringify({ model, messages, stream: true, stream_options: { include_usage: true } });
  for (let tries = 1; ; tries++) {
    const response = await fetch("v1/chat/completions", { method: "POST", headers: { "Content-Type": "application/json" }, body, signal });
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (response.status !== 429 || tries === TRIES) throw new Error(problem);
    for (let left = Math.min(60, Math.max(1, Number(response.headers.get("Retry-After")) || tries)); left > 0; left--) {
      tell.waiting(left, problem);
      await pause(1000, signal);
    }
  }
}

function pause(milliseconds, signal) {
  return new Promise((done, fail) => {
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); fail(signal.reason); }, { once: true });
  });
}

// The data of each event of a stream of server-sent events.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const lines = rest.split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
  }
}
