"use strict";
// All that moves: charts that read out their points, the threshold, and the long tables. Without it the page has the same numbers.
(() => {
  const { names, charts, shades, thresholds, tables } = JSON.parse(document.getElementById("report-data").textContent);
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  document.documentElement.classList.add("js");

  // --- charts
  const hidden = new Set();
  const drawn = []; // what redraws a chart after a candidate was hidden, or the threshold moved
  let cut = null; // a position in thresholds.threshold; null: each candidate's own

  const rows = (line, c) => line.x.map((_, i) => Object.assign({ c, i }, ...Object.keys(line).map((key) => ({ [key]: line[key][i] }))));
  const counts = (c) => {
    const { tp, fp, positives, negatives, start } = thresholds.candidates[c];
    const at = cut ?? start;
    return { tp: tp[at], fp: fp[at], fn: positives - tp[at], tn: negatives - fp[at] };
  };
  const ratio = (part, total) => (total > 0 ? part / total : 0);
  const cutPoint = { // where a threshold is on a curve
    roc: ({ tp, fp, fn, tn }) => [ratio(fp, fp + tn), ratio(tp, tp + fn)],
    precision_recall: ({ tp, fp, fn }) => [ratio(tp, tp + fn), ratio(tp, tp + fp)],
    gain: ({ tp, fp, fn, tn }) => [ratio(tp + fp, tp + fp + fn + tn), ratio(tp, tp + fn)],
  };
  const number = (value) => {
    if (value === null) return "undefined";
    return (Number.isInteger(value) ? value.toLocaleString("en-US") : String(Number(value.toPrecision(4)))).replace("-", "−");
  };

  async function draw(element) {
    const { spec, fields, lines } = charts[element.dataset.chart];
    const readout = one(".readout", element.parentElement), note = readout.textContent;
    const points = lines.flatMap(rows);
    const visible = () => points.filter((point) => !hidden.has(point.c));
    const marks = () => {
      const place = cutPoint[element.dataset.chart];
      if (!place) return [];
      return lines.map((_, c) => c).filter((c) => !hidden.has(c)).map((c) => ({ c, x: place(counts(c))[0], y: place(counts(c))[1] }));
    };
    const holder = document.createElement("div");
    const datasets = { ...spec.datasets, points: visible(), cut: marks() };
    const { view } = await vegaEmbed(holder, { ...spec, datasets }, { mode: "vega-lite", ast: true, renderer: "svg", actions: false, tooltip: false, defaultStyle: false });
    element.replaceChildren(holder);

    let focus = null;
    const show = (point) => {
      if (point === focus) return;
      focus = point;
      view.data("focus", point ? [point] : []).runAsync();
      const text = (field) => field.text.replace("{}", number(point[field.key] === null ? null : point[field.key] * field.scale));
      readout.textContent = point ? `${names[point.c]}: ${fields.map(text).join(", ")}` : note;
    };
    drawn.push(() => {
      show(null);
      view.data("points", visible()).data("cut", marks()).runAsync();
    });
    element.addEventListener("pointermove", (event) => {
      const box = one("svg", element).getBoundingClientRect(), scale = box.width / spec.width, [left, top] = view.origin();
      const x = (event.clientX - box.left) / scale - left, y = (event.clientY - box.top) / scale - top;
      const toX = view.scale("x"), toY = view.scale("y");
      const distance = (point) => Math.hypot(toX(point.x) - x, toY(point.y) - y);
      const nearest = visible().reduce((best, point) => (best && best[1] <= distance(point) ? best : [point, distance(point)]), null);
      show(nearest && nearest[0]);
    });
    element.addEventListener("pointerleave", () => show(null));
    element.addEventListener("blur", () => show(null));
    element.tabIndex = 0;
    element.setAttribute("aria-label", `${element.getAttribute("aria-label")} The arrow keys read out its points.`);
    element.addEventListener("keydown", (event) => {
      const shown = visible();
      if (!shown.length) return;
      const at = focus ?? shown[0], own = shown.filter((point) => point.c === at.c), place = own.indexOf(at);
      const others = [...new Set(shown.map((point) => point.c))];
      const nextTo = (step) => {
        const c = others[(others.indexOf(at.c) + step + others.length) % others.length];
        const line = shown.filter((point) => point.c === c);
        return line.reduce((best, point) => (Math.abs(point.x - at.x) < Math.abs(best.x - at.x) ? point : best), line[0]);
      };
      const moves = {
        ArrowRight: () => (focus ? own[Math.min(place + 1, own.length - 1)] : at),
        ArrowLeft: () => (focus ? own[Math.max(place - 1, 0)] : at),
        Home: () => own[0],
        End: () => own[own.length - 1],
        ArrowDown: () => nextTo(1),
        ArrowUp: () => nextTo(-1),
        Escape: () => null,
      };
      if (!(event.key in moves)) return;
      event.preventDefault();
      show(moves[event.key]());
    });
  }

  const redraw = () => drawn.forEach((update) => update());
  all(".legend input").forEach((input) => input.addEventListener("change", () => {
    hidden[input.checked ? "delete" : "add"](Number(input.dataset.series));
    redraw();
  }));

  // --- the threshold
  const slider = one("#cut"), output = one("#cut-value");
  const matrices = all(".matrix").map((element) => {
    const cells = all("[data-key]", element);
    return { series: Number(element.dataset.series), cells, decided: cells.map((cell) => [cell.innerHTML, cell.className]) };
  });
  const whole = (value) => value.toLocaleString("en-US", { minimumFractionDigits: Number.isInteger(value) ? 0 : 2, maximumFractionDigits: 2 });
  const percent = (share) => (share > 0 && share < 0.0005 ? "<0.1%" : `${(100 * share).toFixed(1)}%`);
  const measures = ({ tp, fp, fn, tn }) => ({
    accuracy: ratio(tp + tn, tp + fp + fn + tn),
    precision: ratio(tp, tp + fp),
    recall: ratio(tp, tp + fn),
    specificity: ratio(tn, tn + fp),
    f1: ratio(2 * tp, 2 * tp + fp + fn),
  });
  function decide() {
    const label = cut === null ? slider.dataset.decided : thresholds.threshold[cut];
    output.textContent = label;
    slider.setAttribute("aria-valuetext", label);
    for (const { series, cells, decided } of matrices) {
      const of = counts(series), found = measures(of), actual = { tp: of.tp + of.fn, fn: of.tp + of.fn, fp: of.fp + of.tn, tn: of.fp + of.tn };
      cells.forEach((cell, i) => {
        const key = cell.dataset.key;
        if (cut === null) [cell.innerHTML, cell.className] = decided[i];
        else if (key === "threshold") cell.textContent = `positive above p = ${label}`;
        else if (key in found) cell.textContent = found[key].toFixed(4);
        else {
          const share = ratio(of[key], actual[key]);
          one("b", cell).textContent = whole(of[key]);
          one("small", cell).textContent = percent(share);
          cell.className = `s${Math.round(shades * share)}`;
        }
      });
    }
    redraw();
  }
  const starts = thresholds.candidates.map((candidate) => candidate.start);
  slider.max = thresholds.threshold.length - 1;
  slider.value = starts[0];
  slider.dataset.decided = starts.every((start) => start === starts[0]) ? thresholds.threshold[starts[0]] : output.textContent;
  const TICKS = 5;
  one(".scale").replaceChildren(...Array.from({ length: TICKS }, (_, i) => {
    const tick = document.createElement("span");
    tick.textContent = number(Number(Number(thresholds.threshold[Math.round((slider.max * i) / (TICKS - 1))]).toPrecision(2)));
    return tick;
  }));
  slider.addEventListener("input", () => { cut = Number(slider.value); decide(); });
  one("#reset").addEventListener("click", () => { cut = null; slider.value = starts[0]; decide(); });

  // --- long tables
  const STEP = 100; // rows that are shown at a click
  const sortKey = (text) => {
    const value = parseFloat(text.replaceAll("−", "-").replaceAll(",", "").replace("inf", "Infinity"));
    return Number.isNaN(value) ? -Infinity : value;
  };
  for (const holder of all(".long")) {
    const body = one("tbody", holder), headings = all("thead th", holder), sample = body.rows[0], count = one(".count", holder);
    const kinds = headings.map((heading) => heading.className);
    const read = (cell, kind) => {
      if (kind !== "plot") return cell.textContent;
      if (one("svg", cell).classList.contains("none")) return "";
      const reach = one(".reach", cell), at = one(".at", cell);
      return [reach.getAttribute("x1"), at.getAttribute("x1"), reach.getAttribute("x2")].join(" ");
    };
    const shown = [...body.rows].map((row) => [...row.cells].map((cell, i) => read(cell, kinds[i])));
    const content = [...shown, ...(tables[holder.dataset.table] ?? [])];
    let limit = shown.length, sorted = null, order = "none";
    const fill = (row, cells) => {
      cells.forEach((text, i) => {
        const cell = row.cells[i];
        if (kinds[i] !== "plot") { (one("bdi", cell) ?? cell).textContent = text; return; }
        const [low, at, high] = text.split(" ");
        one("svg", cell).classList.toggle("none", !text);
        Object.entries({ reach: [low, high], at: [at, at] }).forEach(([name, [from, to]]) => {
          one(`.${name}`, cell).setAttribute("x1", from || 0);
          one(`.${name}`, cell).setAttribute("x2", to ?? 0);
        });
      });
      return row;
    };
    const search = document.createElement("input"), more = document.createElement("button");
    const show = () => {
      const wanted = search.value.trim().toLowerCase();
      const found = content.filter((cells) => cells[0].toLowerCase().includes(wanted));
      if (order !== "none") {
        const by = kinds[sorted] === "number" ? (a, b) => sortKey(a[sorted]) - sortKey(b[sorted]) : (a, b) => a[sorted].localeCompare(b[sorted], "en");
        found.sort((a, b) => (order === "ascending" ? by(a, b) : by(b, a)));
      }
      body.replaceChildren(...found.slice(0, limit).map((cells) => fill(sample.cloneNode(true), cells)));
      if (count) count.textContent = `${Math.min(limit, found.length)} of ${content.length} are shown.`;
      more.hidden = found.length <= limit;
      more.textContent = `Show ${Math.min(STEP, found.length - limit)} more`;
    };
    headings.forEach((heading, i) => {
      if (kinds[i] === "plot") return;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      heading.replaceChildren(button);
      heading.classList.add("sortable");
      button.addEventListener("click", () => {
        const next = { none: "descending", descending: "ascending", ascending: "none" };
        order = sorted === i ? next[order] : "descending";
        sorted = i;
        headings.forEach((each) => each.removeAttribute("aria-sort"));
        if (order !== "none") heading.setAttribute("aria-sort", order);
        show();
      });
    });
    if (content.length === shown.length) continue;
    const tools = document.createElement("div"), label = document.createElement("label");
    tools.className = "tools";
    label.textContent = "Find";
    search.type = "search";
    label.append(search);
    more.type = "button";
    tools.append(label, more);
    holder.append(tools);
    search.addEventListener("input", show);
    more.addEventListener("click", () => { limit += STEP; show(); });
    show();
  }

  addEventListener("beforeprint", () => all("details").forEach((each) => { each.open = true; }));
  all(".chart").reduce((before, element) => before.then(() => draw(element)), Promise.resolve()).then(() => document.documentElement.classList.add("drawn"));
  decide();
})();
