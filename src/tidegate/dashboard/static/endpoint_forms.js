/* The traffic split: says what the shares add up to while they are typed. The server checks them again. */
"use strict";

for (const form of document.querySelectorAll("form[data-split]")) {
  const inputs = [...form.querySelectorAll("input[type=number]")];
  const said = form.querySelector("[data-sum]");
  const check = () => {
    const sum = inputs.reduce((total, input) => total + (Number(input.value) || 0), 0);
    const wrong = sum === 100 ? "" : `The shares add up to ${sum} %, not to 100.`;
    said.textContent = wrong || "The shares add up to 100 %.";
    inputs[0].setCustomValidity(wrong);
  };
  form.addEventListener("input", check);
}
