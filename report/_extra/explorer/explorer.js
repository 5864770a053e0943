/* The explorer: fields, two charts and a table of the trials that match, kept in the address. */
(() => {
  "use strict";
  const { choices, colours, details, first, statuses, trials } = window.EXPLORER;
  const ALL = "all";
  const MOST_ROWS = 200;
  const root = document.getElementById("explorer");
  const find = (name) => root.querySelector(`.explorer-${name}`);
  const words = { ...choices, ...details };
  const columns = Object.keys(words);
  const count = trials[columns[0]].rows.length;
  // -1 stands for what a trial does not have
  const value = (column, row) => trials[column].levels[trials[column].rows[row]] ?? "–";
  const rows = Array.from({ length: count }, (_, row) =>
    Object.fromEntries(columns.map((column) => [column, value(column, row)])));
  const inOrder = (levels) => [...levels].sort((a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  const colourings = [...Object.keys(choices), "batch_size", "optimizer", "schedule", "depth",
    "init_gain", "disturbance"].filter((c) => c !== "learning_rate" && trials[c].levels.length > 1);

  /* --- the choice, and the address that keeps it --- */
  const asked = new URLSearchParams(location.hash.slice(1));
  const choice = { colour: asked.get("colour") ?? "clipping" };
  for (const column of Object.keys(choices)) {
    const known = trials[column].levels.map(String);
    const wanted = asked.get(column);
    const start = column === "study" ? (known.includes(first) ? first : known[0] ?? ALL) : ALL;
    choice[column] = wanted === ALL || known.includes(wanted) ? wanted : start;
  }
  if (!colourings.includes(choice.colour)) choice.colour = colourings[0] ?? "clipping";

  const matches = (row, but) => Object.keys(choices).every((column) =>
    column === but || choice[column] === ALL || String(row[column]) === choice[column]);

  /* --- fields --- */
  const form = find("choices");
  const fields = {};
  const addField = (name, text, options) => {
    const label = document.createElement("label");
    label.append(text);
    const select = document.createElement("select");
    select.name = name;
    select.addEventListener("change", () => { choice[name] = select.value; show(); });
    label.append(select);
    form.append(label);
    fields[name] = { select, options };
  };
  for (const [column, text] of Object.entries(choices))
    addField(column, text, () => {
      const left = new Set(rows.filter((row) => matches(row, column)).map((row) => row[column]));
      return [ALL, ...inOrder(left)];
    });
  addField("colour", "colours", () => colourings);
  form.addEventListener("submit", (event) => event.preventDefault());

  const fill = () => {
    for (const [name, { select, options }] of Object.entries(fields)) {
      const offered = options().map(String);
      // what was chosen stays on offer, even where nothing matches it any more
      if (!offered.includes(choice[name])) offered.push(choice[name]);
      select.replaceChildren(...offered.map((level) =>
        new Option(name === "colour" ? words[level] : level, level, false, level === choice[name])));
    }
  };

  /* --- charts --- */
  const themed = () => {
    const style = getComputedStyle(document.documentElement);
    const text = style.getPropertyValue("--pst-color-text-base").trim() || "#222";
    const grid = style.getPropertyValue("--pst-color-border").trim() || "#ccc";
    return {
      background: "transparent",
      view: { stroke: grid },
      // the darkest status would else be lost on a dark page
      bar: { stroke: grid, strokeWidth: 0.7 },
      axis: { labelColor: text, titleColor: text, gridColor: grid, domainColor: grid, tickColor: grid,
        gridOpacity: 0.5, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" },
      legend: { symbolStrokeColor: grid, labelColor: text, titleColor: text, labelFontSize: 12, titleFontWeight: "normal" },
    };
  };
  const palette = ["#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#888888"];
  const shapes = ["circle", "square", "cross", "diamond", "triangle-up", "triangle-down"];
  const base = () => ({
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    width: "container", autosize: { type: "fit-x", contains: "padding" }, config: themed(),
  });
  const legend = { orient: "bottom", columns: Math.max(2, Math.floor(root.clientWidth / 150)) };
  const map = (data) => ({
    ...base(), height: 170, data: { values: data }, mark: { type: "bar", tooltip: true },
    encoding: {
      x: { field: "learning_rate", type: "ordinal", title: "learning rate", axis: { labelAngle: 0, labelOverlap: true } },
      y: { aggregate: "count", stack: "normalize", title: "share of trials", axis: { format: "%" } },
      color: { field: "status", title: null, legend,
        scale: { domain: Object.keys(statuses), range: Object.values(statuses) } },
      tooltip: [{ field: "learning_rate", title: "learning rate" }, { field: "status" },
        { aggregate: "count", title: "trials" }],
    },
  });
  // rates are read in decades; undefined leaves the choice to the library where there are too few
  const decades = (data) => {
    const logs = data.map((row) => Math.log10(row.learning_rate)).filter(Number.isFinite);
    const low = Math.ceil(logs.reduce((a, b) => Math.min(a, b), Infinity) - 0.05);
    const high = Math.floor(logs.reduce((a, b) => Math.max(a, b), -Infinity) + 0.05);
    return high > low ? Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)) : undefined;
  };
  const rates = (data) => {
    const levels = inOrder(new Set(data.map((row) => row[choice.colour])));
    const scale = (range) => ({ domain: levels, range: levels.map((_, i) => range[i % range.length]) });
    // numbers from dark to light, names in the colours of the figures; black is the page's ink
    const ink = themed().axis.labelColor;
    const colourOf = (level, i) => (colours[level] ?? palette[i % palette.length]).replace("#222222", ink);
    const shades = levels.every((level) => typeof level === "number")
      ? { domain: levels, scheme: "viridis" }
      : { domain: levels, range: levels.map(colourOf) };
    const look = {
      color: { field: choice.colour, type: "nominal", title: words[choice.colour], legend, scale: shades },
    };
    const x = { field: "learning_rate", type: "quantitative", title: "learning rate",
      scale: { type: "log", nice: false, padding: 12 }, axis: { format: "~g", labelOverlap: true, values: decades(data) } };
    return {
      ...base(), height: 300, data: { values: data }, encoding: { x, ...look },
      layer: [
        { mark: { type: "point", filled: true, opacity: 0.55, size: 35 },
          encoding: {
            y: { field: "accuracy", type: "quantitative", title: "test accuracy", axis: { format: "%" } },
            shape: { field: choice.colour, type: "nominal", title: words[choice.colour], legend, scale: scale(shapes) },
            tooltip: columns.map((field) => ({ field, title: words[field] })),
          } },
        { mark: { type: "line", strokeWidth: 1.5 },
          encoding: { y: { aggregate: "mean", field: "accuracy", type: "quantitative" } } },
      ],
    };
  };
  const draw = async (name, spec) => {
    await window.vegaEmbed(find(name), spec, { actions: false, renderer: "canvas" });
  };

  /* --- the table --- */
  let sorted = { column: "accuracy", down: true };
  const compare = (a, b) => {
    const [x, y] = [a[sorted.column], b[sorted.column]];
    const both = typeof x === "number" && typeof y === "number";
    const order = both ? x - y : typeof x === typeof y ? String(x).localeCompare(String(y))
      : typeof x === "number" ? -1 : 1;
    return sorted.down ? -order : order;
  };
  const cell = (kind, text) => {
    const made = document.createElement(kind);
    // text, whatever a results file holds
    made.textContent = text;
    return made;
  };
  const tabulate = (data) => {
    const wanted = find("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = data.filter((row) => {
      const text = columns.map((column) => row[column]).join(" ").toLowerCase();
      return wanted.every((word) => text.includes(word));
    }).sort(compare);
    // what is the same in all of them is left out
    const varying = columns.filter((column) => ["status", "accuracy"].includes(column)
      || new Set(data.map((row) => row[column])).size > 1);
    const table = document.createElement("table");
    table.className = "table";
    const head = table.createTHead().insertRow();
    for (const column of varying) {
      const heading = cell("th", "");
      const button = cell("button", words[column]);
      button.type = "button";
      heading.ariaSort = sorted.column !== column ? "none" : sorted.down ? "descending" : "ascending";
      button.addEventListener("click", () => {
        sorted = { column, down: sorted.column === column ? !sorted.down : false };
        tabulate(data);
      });
      heading.append(button);
      head.append(heading);
    }
    const body = table.createTBody();
    for (const row of kept.slice(0, MOST_ROWS)) {
      const line = body.insertRow();
      for (const column of varying)
        line.append(cell("td", column === "accuracy" ? `${(100 * row[column]).toFixed(1)}%` : row[column]));
    }
    const note = kept.length > MOST_ROWS
      ? cell("p", `The first ${MOST_ROWS} of ${kept.length} trials are shown.`) : "";
    find("table").replaceChildren(table, note);
  };

  /* --- all together --- */
  let shown = [];
  const show = async () => {
    shown = rows.filter((row) => matches(row));
    history.replaceState(null, "", `#${new URLSearchParams(choice)}`);
    fill();
    const bad = shown.filter((row) => !["stable", "stalled"].includes(row.status)).length;
    find("count").textContent = `${shown.length} trials match; ${bad} of them exploded or collapsed.`;
    tabulate(shown);
    await draw("map", map(shown));
    await draw("rates", rates(shown));
    root.dataset.ready = "true";
  };
  find("filter").addEventListener("input", () => tabulate(shown));
  new MutationObserver(show).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  show();
})();
