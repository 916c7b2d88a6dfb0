/* Before the first paint: the theme that this browser's user has chosen, else the system's. */
"use strict";
try {
  const theme = localStorage.getItem("tidegate-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* no storage: the system's theme */ }
