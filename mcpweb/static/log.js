// The log viewer: it follows the end until somebody scrolls up, keeps at most 2,000 lines, and walks from hit to hit.
(() => {
  "use strict";
  const viewer = document.querySelector(".viewer");
  if (!viewer) return;
  const log = viewer.querySelector(".log");
  const find = (name) => viewer.querySelector(`[data-${name}]`);
  const follow = find("follow"), button = find("new"), text = find("new-count");
  let unread = 0, at = -1;
  viewer.querySelectorAll("[data-script]").forEach((one) => { one.hidden = false; });

  const toEnd = () => { log.scrollTop = log.scrollHeight; };
  const tell = (count) => {
    unread = count;
    button.hidden = !count;
    text.textContent = count === 1 ? text.dataset.one : text.dataset.many.replace("{n}", count);
  };
  const resume = () => { follow.checked = true; tell(0); toEnd(); };
  follow.addEventListener("change", () => { if (follow.checked) resume(); });
  button.addEventListener("click", () => { resume(); log.focus(); });
  log.addEventListener("scroll", () => {
    follow.checked = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    if (follow.checked) tell(0);
  });
  new MutationObserver((changes) => {
    let added = 0;
    changes.forEach((change) => change.addedNodes.forEach((node) => { if (node.matches && node.matches("[data-line]")) added += 1; }));
    const lines = log.querySelectorAll("[data-line]");
    for (let number = 0; number < lines.length - 2000; number += 1) lines[number].remove();
    if (follow.checked) toEnd(); else if (added) tell(unread + added);
    count();
  }).observe(log, { childList: true });

  // What takes over from a stream goes on where the stream ended.
  let place = 0;
  log.addEventListener("htmx:sse:before:message", (event) => { place = Number(event.detail.message.id) || place; });
  document.addEventListener("htmx:config:request", (event) => {
    const ctx = event.detail.ctx;
    if (ctx.sourceElement.id !== "tail") return;
    ctx.request.action = ctx.request.action.replace(/offset=(\d+)/, (_, from) => `offset=${Math.max(place, Number(from))}`);
  });

  const hits = find("hits");
  const count = () => {
    const marks = log.querySelectorAll("mark");
    hits.hidden = !marks.length;
    if (at >= marks.length) at = -1;
    find("count").textContent = (at < 0 ? "" : `${at + 1} / `) + marks.length;
    return marks;
  };
  hits.addEventListener("click", (event) => {
    const pressed = event.target.closest("[data-hit]");
    if (!pressed) return;
    const marks = count(), step = Number(pressed.dataset.hit);
    marks.forEach((mark) => mark.removeAttribute("aria-current"));
    at = at < 0 ? (step < 0 ? marks.length - 1 : 0) : (at + step + marks.length) % marks.length;
    marks[at].setAttribute("aria-current", "true");
    marks[at].scrollIntoView({ block: "center" });
    count();
  });
  count();
  if (follow.checked) toEnd();
})();
