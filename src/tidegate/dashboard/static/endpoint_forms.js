/* The traffic split: says what the shares add up to while they are typed. The server checks them again. */
"use strict";

document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-split]");
  if (!form) return;
  const inputs = [...form.querySelectorAll("input[type=number]")];
  const sum = inputs.reduce((total, input) => total + (Number(input.value) || 0), 0);
  const wrong = sum === 100 ? "" : `The shares add up to ${sum} %, not to 100.`;
  form.querySelector("[data-sum]").textContent = wrong || "The shares add up to 100 %.";
  inputs[0].setCustomValidity(wrong);
});
