/* The charts: uPlot in the place of the server's SVG, with one cursor and one zoom for all, and new points as they come.
   Without uPlot the SVG stays. All text goes through textContent. */
"use strict";

{
  const FOCUS = "tidegate";
  let plots = [];
  let model = null;

  const part = () => document.getElementById("charts");
  const utc = () => { try { return localStorage.getItem("tidegate-zone") === "utc"; } catch { return false; } };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function text(value) {
    if (value === null || value === undefined) return "–";
    if (Math.abs(value) >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
    return Math.abs(value) >= 10 ? value.toFixed(1) : String(Number(value.toPrecision(Math.abs(value) >= 1 ? 3 : 2)));
  }

  function axisText(value) {
    for (const [unit, by, name] of [[1e9, 1e9, "G"], [1e6, 1e6, "M"], [1e4, 1e3, "k"]]) {
      if (Math.abs(value) >= unit) return `${Number((value / by).toPrecision(4))}${name}`;
    }
    return String(Number(value.toPrecision(4)));
  }

  /* --- reading the page */

  function read() {
    const place = document.getElementById("chart-data");
    if (!place) return null;
    const data = JSON.parse(place.textContent);
    const t0 = data.t0;
    return {
      x: data.x.map((at) => t0 + at), since: t0 + data.since, until: t0 + data.until, charts: data.charts,
      gaps: data.gaps.map(([from, to]) => [t0 + from, t0 + to]),
      marks: data.marks.map(([at, kind, said]) => ({ at: t0 + at, kind, said })),
    };
  }

  /* --- drawing: what is below and above the lines */

  function stripes(u, from, to) {
    const { ctx, bbox } = u;
    const left = Math.max(bbox.left, u.valToPos(from, "x", true));
    const right = Math.min(bbox.left + bbox.width, u.valToPos(to, "x", true));
    if (!(right > left)) return;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, bbox.top, Math.max(2, right - left), bbox.height);
    ctx.clip();
    ctx.strokeStyle = colour("bar-rest");
    ctx.globalAlpha = 0.5;
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    for (let at = left - bbox.height; at < right; at += 6 * devicePixelRatio) {
      ctx.moveTo(at, bbox.top + bbox.height);
      ctx.lineTo(at + bbox.height, bbox.top);
    }
    ctx.stroke();
    ctx.restore();
  }

  function flags(u, shown) {
    const { ctx, bbox } = u;
    model.marks.forEach((mark, number) => {
      const x = u.valToPos(mark.at, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) return;
      const strong = shown === number;
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = colour(mark.kind === "switch" ? "text" : mark.kind === "eviction" ? "bad" : "quiet");
      ctx.lineWidth = (strong ? 2.5 : 1) * devicePixelRatio;
      if (!strong) ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      const size = 5 * devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(x - size, bbox.top);
      ctx.lineTo(x + size, bbox.top);
      ctx.lineTo(x, bbox.top + size * 1.4);
      ctx.fill();
      ctx.restore();
    });
  }

  let strong = -1; /* the mark that is pointed at, in the list or on a chart */

  function point(number) {
    if (strong === number) return;
    strong = number;
    document.querySelectorAll("[data-mark]").forEach((item) => {
      item.classList.toggle("pointed", Number(item.dataset.mark) === number);
    });
    plots.forEach(({ u }) => u.redraw(false));
  }

  /* --- one chart */

  function times(u, splits, axis, space, step) {
    const format = new Intl.DateTimeFormat("en-GB", {
      ...(step >= 86400 ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" }),
      ...(step < 60 ? { second: "2-digit" } : {}), ...(utc() ? { timeZone: "UTC" } : {}),
    });
    return splits.map((at) => format.format(new Date(at * 1000)));
  }

  /* Of a line only the points are drawn that have no neighbour: without a dot nobody would see them. */
  function lonely(u, number) {
    const column = u.data[number];
    const found = [];
    column.forEach((value, at) => {
      if (value !== null && (column[at - 1] ?? null) === null && (column[at + 1] ?? null) === null) found.push(at);
    });
    return found;
  }

  function options(chart, width, height) {
    const axis = {
      stroke: colour("quiet"), font: "11px system-ui, sans-serif", ticks: { show: false },
      grid: { stroke: colour("line"), width: 1 },
    };
    return {
      width, height, padding: [8, 20, 0, 0],
      legend: { show: false },
      tzDate: (at) => (utc() ? uPlot.tzDate(new Date(at * 1e3), "Etc/UTC") : new Date(at * 1e3)),
      cursor: { y: false, sync: { key: FOCUS, setSeries: false }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
      scales: {
        x: { time: true, range: () => [model.since, model.until] },
        y: { range: (u, least, most) => [0, most > 0 ? most * 1.08 : 1] },
      },
      axes: [{ ...axis, space: 60, size: 24, gap: 4, values: times }, { ...axis, size: 46, space: 34, values: (u, splits) => splits.map(axisText) }],
      series: [{}, ...chart.lines.map(([label, number]) => ({
        label, stroke: colour(`c${number}`), width: 1.6, spanGaps: false,
        points: { show: true, size: 5, fill: colour(`c${number}`), filter: lonely },
      }))],
      hooks: {
        drawClear: [(u) => model.gaps.forEach(([from, to]) => stripes(u, from, to))],
        draw: [(u) => flags(u, strong)],
        setCursor: [follow],
        setSelect: [(u) => {
          if (u.select.width < 4) return;
          zoom(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        }],
      },
    };
  }

  function follow(u) {
    const own = plots.find((one) => one.u === u);
    if (!own) return;
    const index = u.cursor.idx;
    const values = own.chart.y;
    own.keys.forEach((element, number) => {
      const column = values[number];
      const shown = index === null || index === undefined ? column.findLast((value) => value !== null) : column[index];
      element.textContent = text(shown);
    });
    const here = own.place.matches(":hover");
    if (!here && own.tip.hidden) return; /* another chart is pointed at */
    const near = here && u.cursor.left >= 0
      ? model.marks.findIndex((mark) => Math.abs(u.valToPos(mark.at, "x") - u.cursor.left) < 6) : -1;
    point(near);
    own.tip.hidden = near < 0;
    if (near >= 0) own.tip.textContent = model.marks[near].said;
  }

  function draw() {
    plots.forEach(({ u, tip }) => { u.destroy(); tip.remove(); });
    plots = [];
    model = model || read();
    if (!model || !window.uPlot) return;
    for (const figure of document.querySelectorAll("#charts [data-chart]")) {
      const chart = model.charts[figure.dataset.chart];
      const place = figure.querySelector(".plot");
      if (!chart || !place) continue;
      const svg = place.querySelector("svg");
      const height = place.clientHeight || 180;
      if (svg) svg.remove();
      const tip = document.createElement("p");
      tip.className = "tip";
      tip.hidden = true;
      const u = new uPlot(options(chart, place.clientWidth, height), [model.x, ...chart.y], place);
      place.append(tip);
      plots.push({
        u, chart, place, tip,
        keys: chart.lines.map(([label]) => figure.querySelector(`[data-line="${CSS.escape(label)}"]`)),
      });
    }
  }

  new ResizeObserver(() => plots.forEach(({ u, place }) => {
    if (place.clientWidth && place.clientWidth !== u.width) u.setSize({ width: place.clientWidth, height: u.height });
  })).observe(document.getElementById("main"));
  document.addEventListener("tidegate:theme", draw);
  document.addEventListener("tidegate:zone", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  /* --- another stretch of time: the charts' part of the page is asked for again */

  let asking = 0;

  async function load(address, push) {
    const mine = ++asking;
    const answer = await fetch(address, { headers: { "hx-request": "true" } }).catch(() => null);
    if (mine !== asking) return;
    if (!answer || !answer.ok || answer.redirected) { if (push) location.assign(address); return; }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("charts");
    if (mine !== asking || !fresh) return;
    const open = [...document.querySelectorAll("#charts details[open]")].map((one) => one.dataset.key);
    const focused = part().contains(document.activeElement) ? document.activeElement.id : "";
    part().replaceWith(fresh);
    open.forEach((key) => fresh.querySelector(`details[data-key="${CSS.escape(key)}"]`)?.setAttribute("open", ""));
    if (push) history.pushState(null, "", address);
    if (focused) document.getElementById(focused)?.focus();
    model = null;
    strong = -1;
    draw();
    document.dispatchEvent(new CustomEvent("htmx:after:swap")); /* times, and the stream's address */
  }

  function zoom(from, to) {
    const address = new URL(location.href);
    address.searchParams.delete("range");
    address.searchParams.set("from", Math.floor(from));
    address.searchParams.set("to", Math.ceil(to));
    load(address.href, true);
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("#charts .ranges a");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    load(link.href, true);
  });
  window.addEventListener("popstate", () => load(location.href, false));

  document.addEventListener("tidegate:refresh", (event) => {
    if (!event.detail.includes("charts") || document.querySelector("#charts .plot:hover")) return;
    if (!new URL(location.href).searchParams.has("from")) load(location.href, false);
  });

  /* --- new points */

  /* A chart that was empty, or a line that was not there, is drawn by the server: it knows their colours and words. */
  const ANEW = 5000; /* ms between two such questions at least */
  let anew = 0;

  function isNew(points) {
    const known = new Map(plots.map(({ chart, place }) => [place.parentElement.dataset.chart, chart.lines.map(([label]) => label)]));
    return points.some(({ rows }) => Object.entries(rows).some(([key, lines]) =>
      Object.entries(lines).some(([label, value]) => value && !known.get(key)?.includes(label))));
  }

  document.addEventListener("tidegate:points", (event) => {
    if (!model) return;
    if (Date.now() - anew > ANEW && isNew(event.detail)) {
      anew = Date.now();
      load(location.href, false);
    }
    for (const { at, gap, rows } of event.detail) {
      if (model.x.length && at <= model.x.at(-1)) continue;
      model.x.push(at);
      if (gap) model.gaps.push([at, at + gap]);
      for (const [key, chart] of Object.entries(model.charts)) {
        chart.lines.forEach(([label], number) => chart.y[number].push(rows[key]?.[label] ?? null));
      }
      const width = model.until - model.since;
      model.until = Math.max(model.until, at);
      model.since = model.until - width;
    }
    const old = model.x.findIndex((at) => at >= model.since);
    if (old > 0) {
      model.x.splice(0, old);
      for (const chart of Object.values(model.charts)) chart.y.forEach((column) => column.splice(0, old));
    }
    plots.forEach(({ u, chart }) => { u.setData([model.x, ...chart.y]); follow(u); });
  });

  /* --- marks in the list */

  for (const [on, off] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
    document.addEventListener(on, (event) => {
      const item = event.target.closest?.("[data-mark]");
      if (item) point(Number(item.dataset.mark));
    });
    document.addEventListener(off, (event) => { if (event.target.closest?.("[data-mark]")) point(-1); });
  }

  draw();
}
