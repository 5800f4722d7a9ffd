// What htmx does not do by itself: rest while nobody looks, say when the node is away, send a form once.
// Everything on these pages works without this file.
(() => {
  "use strict";
  const isPoll = (event) => event.detail?.ctx?.sourceElement?.hasAttribute?.("data-poll");
  const lost = (away) => {
    const banner = document.getElementById("lost");
    if (banner) banner.hidden = !away;
  };

  document.addEventListener("htmx:before:request", (event) => {
    if (isPoll(event) && document.hidden) event.preventDefault();
  });
  document.addEventListener("htmx:after:request", (event) => {
    if (isPoll(event)) lost(event.detail.ctx.response?.status >= 500);
  });
  document.addEventListener("htmx:error", (event) => {
    if (isPoll(event)) lost(true);
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  });
  // Back from the history's cache, a form may be sent again.
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });
})();
