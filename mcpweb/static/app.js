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
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-dismiss]");
    if (button) button.closest(".notice").remove();
    const open = document.querySelector("details.me[open]");
    if (open && !open.contains(event.target)) open.open = false;
  });

  // Chosen rows are counted; the box in the head chooses all. Htmx keeps what is checked when the list is read again.
  const count = () => document.querySelectorAll("[data-pick]").forEach((form) => {
    const boxes = [...form.querySelectorAll("tbody [name=id]")];
    const chosen = boxes.filter((box) => box.checked).length;
    const all = form.querySelector("[data-all]");
    all.hidden = false;
    all.checked = chosen > 0 && chosen === boxes.length;
    all.indeterminate = chosen > 0 && chosen < boxes.length;
    form.querySelector("[data-count]").textContent = chosen;
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) {
      event.target.form.querySelectorAll("tbody [name=id]").forEach((box) => { box.checked = event.target.checked; });
    }
    count();
  });
  document.addEventListener("htmx:after:swap", count);
  count();

  // Ctrl+Enter sends the form one writes in; Escape closes the menu.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.form && !event.isComposing) {
      event.target.form.requestSubmit();
    }
    if (event.key === "Escape") {
      const open = document.querySelector("details.me[open]");
      if (open) { open.open = false; open.querySelector("summary").focus(); }
    }
  });

  // A field is chosen when it is entered by its button, and copied.
  document.querySelectorAll("[data-copy]").forEach((button) => {
    const field = document.getElementById(button.dataset.copy);
    button.hidden = false;
    field.select();
    button.addEventListener("click", () => {
      field.select();
      if (navigator.clipboard) navigator.clipboard.writeText(field.value);
      else document.execCommand("copy");
    });
  });

  // A value that was shown leaves the page by itself.
  document.querySelectorAll("[data-hide-after]").forEach((box) => {
    setTimeout(() => box.remove(), Number(box.dataset.hideAfter) * 1000);
  });
})();
