// The theme, set before the page is drawn: the reader's choice, else the system's.
"use strict";
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let stored = null;
  try { stored = localStorage.getItem("theme"); } catch { /* storage may be off */ }
  const apply = (theme) => {
    root.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) button.setAttribute("aria-label", `Use the ${theme === "dark" ? "light" : "dark"} theme`);
    document.dispatchEvent(new CustomEvent("theme"));
  };
  apply(stored ?? (system.matches ? "dark" : "light"));
  system.addEventListener("change", () => stored ?? apply(system.matches ? "dark" : "light"));
  document.addEventListener("DOMContentLoaded", () => {
    apply(root.dataset.theme);
    document.getElementById("theme").addEventListener("click", () => {
      stored = root.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem("theme", stored); } catch { /* it lasts as long as the page */ }
      apply(stored);
    });
  });
})();
