// What HTML and htmx do not do by themselves: rest in a hidden tab, notices and values that leave.
(() => {
  "use strict";

  // A hidden tab does not poll; the next tick after it is seen again does.
  document.addEventListener("htmx:before:request", (event) => {
    const cause = event.detail.ctx.sourceEvent;
    if (document.hidden && cause && cause.type === "every") event.preventDefault();
    if (cause && cause.isComposing) event.preventDefault();
  });

  // Good news leaves by itself, bad news stays until it is read.
  const leave = (notice) => setTimeout(() => notice.remove(), 6000);
  const notices = document.getElementById("notices");
  if (notices) {
    new MutationObserver(() => notices.querySelectorAll(".notice.done:not([data-seen])").forEach((notice) => {
      notice.dataset.seen = "yes";
      leave(notice);
    })).observe(notices, { childList: true });
  }
  // While nobody answers, one notice says so; it leaves with the next answer.
  document.addEventListener("htmx:error", (event) => {
    if (!(event.detail.error instanceof TypeError) || notices.querySelector("[data-offline]")) return;
    const notice = document.getElementById("offline").content.firstElementChild.cloneNode(true);
    notice.dataset.offline = "";
    notices.append(notice);
  });
  document.addEventListener("htmx:after:request", () => notices?.querySelector("[data-offline]")?.remove());
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-dismiss]");
    if (button) button.closest(".notice").remove();
    const open = document.querySelector("details.me[open]");
    if (open && !open.contains(event.target)) open.open = false;
  });

  // Chosen rows are counted; the box in the head chooses all. Htmx keeps what is checked when the list is read again.
  const count = () => document.querySelectorAll("[data-pick]").forEach((form) => {
    const boxes = [...form.querySelectorAll("tbody [type=checkbox]")];
    const chosen = boxes.filter((box) => box.checked).length;
    const all = form.querySelector("[data-all]");
    if (all) {
      all.hidden = false;
      all.checked = chosen > 0 && chosen === boxes.length;
      all.indeterminate = chosen > 0 && chosen < boxes.length;
    }
    form.querySelectorAll("[data-two]").forEach((button) => { button.disabled = chosen !== 2; });
    form.querySelectorAll("[data-count]").forEach((place) => { place.textContent = chosen; });
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) {
      event.target.form.querySelectorAll("tbody [type=checkbox]").forEach((box) => { box.checked = event.target.checked; });
    }
    count();
  });
  const settle = () => {
    count();
    document.querySelectorAll("[data-copy]").forEach((button) => { button.hidden = false; });
  };
  document.addEventListener("htmx:after:swap", settle);
  settle();
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent).then(() => button.classList.add("pass"));
  });

  // Ctrl+Enter sends the form one writes in; Escape closes the menu. While text is being composed, no key is ours.
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented) return;
    const command = event.ctrlKey || event.metaKey;
    if (event.key === "Enter" && command && event.target.form) event.target.form.requestSubmit();
    if (event.key === "Escape") {
      const open = document.querySelector("details.me[open]");
      if (open) { open.open = false; open.querySelector("summary").focus(); }
    }
    if (document.documentElement.dataset.shortcuts === "off" || event.altKey) return;
    if (command && event.key.toLowerCase() === "k") return act(event, () => show("palette"));
    if (command || event.target.closest("input, textarea, select, dialog")) return;
    const goal = event.timeStamp - going < 1500 && { s: "/servers", t: "/test-runs", k: "/secrets", a: "/jobs", c: "[aria-keyshortcuts='g c']", o: "/" }[event.key];
    going = event.key === "g" ? event.timeStamp : -Infinity;
    if (goal) act(event, () => document.querySelector(goal[0] === "/" ? `.rail a[href="${goal}"]` : goal)?.click());
    else if (event.key === "?") act(event, () => show("help"));
    else if (event.key === "/") act(event, () => document.querySelector("main input[type=search]")?.focus());
  });
  let going = -Infinity; // when g was pressed
  const act = (event, what) => { event.preventDefault(); what(); };

  // The palette and the help are dialogs of the browser; what is in them comes when they are asked for.
  const show = (name) => {
    const dialog = document.getElementById(name);
    if (!dialog || dialog.open) return;
    dialog.showModal();
    const input = dialog.querySelector("input");
    if (input) input.value = "";
    dialog.querySelector("[hx-trigger=ask]").dispatchEvent(new Event("ask"));
  };
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-open]");
    if (opener && !event.ctrlKey && !event.metaKey) act(event, () => show(opener.dataset.open));
    if (event.target.matches("dialog.palette")) event.target.close();
  });
  document.getElementById("palette")?.addEventListener("keydown", (event) => {
    const dialog = event.currentTarget;
    const stops = [dialog.querySelector("input"), ...dialog.querySelectorAll(".hits a, .hits button")];
    const at = stops.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.isComposing) return;
    if (event.key === "Escape") act(event, () => dialog.close());
    else if (step) act(event, () => stops[(at + step + stops.length) % stops.length].focus());
    else if (event.key === "Enter" && at === 0 && stops[1]) act(event, () => stops[1].click());
    else if (at > 0 && event.key.length === 1 && !event.ctrlKey) stops[0].focus();
  });
  // What was composed counts as typed once it is whole.
  document.addEventListener("compositionend", (event) => event.target.dispatchEvent(new Event("search", { bubbles: true })));

  // A value that was shown leaves the page by itself.
  document.querySelectorAll("[data-hide-after]").forEach((box) => {
    setTimeout(() => box.remove(), Number(box.dataset.hideAfter) * 1000);
  });
})();
