"use strict";
const tokens = [...document.querySelectorAll(".token")];
const line = document.getElementById("drew");
const hint = line.textContent;

function show(token) {
  const drew = token ? token.dataset.drew.split(" ").filter(Boolean).map((part) => part.split(":")) : [];
  for (const passage of document.querySelectorAll(".passages li")) passage.classList.remove("on");
  for (const [number, share] of drew) {
    if (parseInt(share, 10) >= 20) document.getElementById("passage-" + number)?.classList.add("on");
  }
  if (!token) {
    line.textContent = hint;
    return;
  }
  const places = drew.map(([number, share]) => "[" + number + "] " + share).join(", ");
  const weak = token.classList.contains("weak") ? "weak support; " : "";
  line.textContent = "“" + token.textContent.trim() + "”: " + weak + (places || "none of the passages below");
}

function focused() {
  return document.activeElement?.classList.contains("token") ? document.activeElement : null;
}

tokens.forEach((token, place) => {
  token.addEventListener("mouseenter", () => show(token));
  token.addEventListener("mouseleave", () => show(focused()));
  token.addEventListener("blur", () => show(null));
  token.addEventListener("focus", () => {
    tokens.forEach((other) => { other.tabIndex = other === token ? 0 : -1; });
    show(token);
  });
  token.addEventListener("keydown", (event) => {
    const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: tokens.length - 1 }[event.key];
    if (event.altKey || event.ctrlKey || event.metaKey || !tokens[to]) return;
    event.preventDefault();
    tokens[to].focus();
  });
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") show(null);
});
