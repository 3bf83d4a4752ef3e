"use strict";
// The page is complete without this script. It adds sorting, a filter, values under the pointer, and the choice of texts.

const NUMBER = /^<?(-?[\d,]*\.?\d+)%?( \[.*\])?( \(n=.*\))?$/;

/** The number that a cell sorts by; NaN for other texts and for what is missing. */
function numberIn(cell) {
  const found = NUMBER.exec(cell.dataset.key ?? cell.textContent.trim());
  return found ? Number(found[1].replaceAll(",", "")) : NaN;
}

function isMissing(cell) {
  return ["", "n/a"].includes(cell.textContent.trim());
}

/** Sort the rows by a column: by number if all of it are numbers, otherwise as a person would sort texts. */
function sortRows(table, column, ascending) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const cell = (row) => row.cells[column];
  const areNumbers = rows.every((row) => isMissing(cell(row)) || !Number.isNaN(numberIn(cell(row))));
  const order = (a, b) =>
    areNumbers
      ? numberIn(a) - numberIn(b)
      : a.textContent.trim().localeCompare(b.textContent.trim(), "en", { numeric: true });
  rows.sort((one, other) => {
    const [a, b] = [cell(one), cell(other)];
    if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b); // what is missing stays below
    return ascending ? order(a, b) : order(b, a);
  });
  body.append(...rows);
}

function makeSortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const ascending = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sortRows(table, column, ascending);
    });
  });
}

const SHORT = 30; // number of characters up to which a cell is not broken into lines

/** Name every cell by its heading, which stands before it where a window is narrow. */
function labelCells(table) {
  const names = [...table.tHead.rows[0].cells].map((heading) => heading.textContent);
  table.classList.add("rows");
  // Without roles, rows that are no longer laid out as a table would be none to a screen reader either.
  table.setAttribute("role", "table");
  for (const row of table.rows) row.setAttribute("role", "row");
  for (const row of table.tBodies[0].rows) {
    [...row.cells].forEach((cell, column) => {
      cell.setAttribute("role", "cell");
      cell.dataset.label = names[column];
      cell.classList.toggle("short", cell.textContent.length <= SHORT);
    });
  }
  for (const heading of table.tHead.rows[0].cells) heading.setAttribute("role", "columnheader");
}

function addFilter(table) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < 20) return;
  const input = document.createElement("input");
  Object.assign(input, { type: "search", className: "find", placeholder: `find in ${rows.length} rows` });
  input.setAttribute("aria-label", input.placeholder);
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
  table.parentElement.before(input);
}

/** Show the values of the interval under the pointer or the arrow keys, and mark it in both maps. */
function readMaps(maps) {
  const readout = maps.nextElementSibling;
  const atFirst = readout.textContent;
  const panels = [...maps.querySelectorAll("svg")].map((svg) => [...svg.querySelectorAll(".cells rect")]);
  const places = panels[0].map((cell) => [Number(cell.getAttribute("x")), Number(cell.getAttribute("y"))]);
  let here = -1;
  const show = (index) => {
    for (const cells of panels) cells[here]?.classList.remove("here");
    here = index;
    for (const cells of panels) cells[here]?.classList.add("here");
    readout.textContent = here < 0 ? atFirst : panels[0][here].textContent;
  };
  for (const cells of panels) {
    cells.forEach((cell, index) => cell.addEventListener("pointerenter", () => show(index)));
  }
  maps.addEventListener("pointerleave", () => show(-1));
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  maps.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const [x, y] = here < 0 ? places[0].map((place, axis) => place - step[axis]) : places[here];
    const next = places.findIndex(([a, b]) => a === x + step[0] && b === y + step[1]);
    if (next >= 0) show(next);
  });
}

/** Show one prompt's texts, by the two models that are chosen. */
function chooseTexts(section) {
  const [prompt, left, right] = section.querySelectorAll("select");
  const show = () => {
    for (const shown of section.querySelectorAll("[data-prompt]")) {
      shown.hidden = shown.dataset.prompt !== prompt.value;
      for (const model of shown.querySelectorAll("[data-model]")) {
        const place = [left.value, right.value].indexOf(model.dataset.model);
        model.hidden = place < 0;
        model.style.order = place;
      }
    }
  };
  for (const select of [prompt, left, right]) select.addEventListener("change", show);
  section.querySelector(".choices").hidden = false;
  show();
}

/** Open the collapsed part that the address names. */
function openTarget() {
  const target = document.querySelector(":target");
  if (target instanceof HTMLDetailsElement) target.open = true;
}

/** Mark in the navigation what is in the window. */
function followReading() {
  const links = new Map(
    [...document.querySelectorAll("nav a")].map((link) => [
      document.getElementById(link.getAttribute("href").slice(1)),
      link,
    ]),
  );
  const watch = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) links.get(target).setAttribute("aria-current", "true");
        else links.get(target).removeAttribute("aria-current");
      }
    },
    { rootMargin: "-10% 0px -80% 0px" },
  );
  for (const target of links.keys()) if (target) watch.observe(target);
}

for (const table of document.querySelectorAll("table")) {
  labelCells(table);
  makeSortable(table);
  addFilter(table);
}
document.querySelectorAll(".maps").forEach(readMaps);
document.querySelectorAll(".compare").forEach(chooseTexts);
addEventListener("hashchange", openTarget);
openTarget();
followReading();
