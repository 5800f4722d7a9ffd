// A comment form below the line whose number was pressed, without leaving the page.
// Without this file the number is a link to the page with the form in it.
(() => {
  "use strict";
  const open = () => document.querySelector("tr.say-here");
  const shut = () => {
    const row = open();
    row?.previousElementSibling?.querySelector("a[data-line]")?.focus();
    row?.remove();
  };

  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
    if (event.target.closest(".say-here [data-cancel]")) {
      event.preventDefault();
      shut();
      return;
    }
    const link = event.target.closest("a[data-line]");
    const template = document.getElementById("say-template");
    if (!link || !template) return;
    event.preventDefault();
    open()?.remove();
    const row = document.createElement("tr");
    row.className = "said say-here";
    row.insertCell().colSpan = 3;
    row.cells[0].append(template.content.cloneNode(true));
    row.querySelector("[name=path]").value = new URL(link.href).searchParams.get("path");
    row.querySelector("[name=line]").value = link.dataset.line;
    link.closest("tr").after(row);
    row.querySelector("textarea").focus();
  });

  // The page as the node has it knows nothing of this form, and would take it away.
  document.addEventListener("htmx:before:request", (event) => {
    if (open() && event.detail?.ctx?.sourceElement?.hasAttribute?.("data-poll")) event.preventDefault();
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target.closest(".say-here")) shut();
  });
})();
