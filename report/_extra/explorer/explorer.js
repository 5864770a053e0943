/* The explorer: fields, two charts and a table of the trials that match, kept in the address. */
(() => {
  "use strict";
  const { choices, details, first, looks, night, questions, statuses, trials } = window.EXPLORER;
  const ALL = "all";
  const MOST_ROWS = 50;
  // opacity of what is not singled out
  const FAINT = 0.07;
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
  // what may distinguish trials at one learning rate, the seed apart
  const factors = Object.keys(choices).filter((c) => c !== "study" && c !== "learning_rate");
  const levelsIn = (column, data) => new Set(data.map((row) => row[column]));
  const groupBy = (data, key) => {
    const groups = new Map();
    for (const row of data) {
      const name = key(row);
      if (groups.has(name)) groups.get(name).push(row);
      else groups.set(name, [row]);
    }
    return groups;
  };
  const MOST_COLOURS = 12;

  /* --- the choice, and the address that keeps it --- */
  const choice = {};
  const read = () => {
    // without a choice of the reader's: one that shows something
    const asked = new URLSearchParams(location.hash.slice(1) || first);
    for (const column of Object.keys(choices)) {
      const known = trials[column].levels.map(String);
      const wanted = asked.get(column);
      const start = column === "study" ? known[0] ?? ALL : ALL;
      choice[column] = wanted === ALL || known.includes(wanted) ? wanted : start;
    }
    choice.colour = asked.get("colour") ?? "";
    choice.only = asked.get("only") ?? "";
  };
  const keep = () => {
    const told = Object.entries(choice).filter(([name, level]) => name === "study" || ![ALL, ""].includes(level));
    history.replaceState(null, "", `#${new URLSearchParams(told)}`);
  };
  read();
  const ofStudy = () => rows.filter((row) => choice.study === ALL || String(row.study) === choice.study);
  const varied = () => factors.filter((column) => levelsIn(column, ofStudy()).size > 1);
  const colourings = () => choice.study === ALL ? ["study", ...varied()] : varied();
  // unless the reader has chosen: what has most levels that can still be told apart
  const colourBy = () => {
    const offered = colourings();
    if (offered.includes(choice.colour)) return;
    const matching = rows.filter((row) => matches(row));
    const few = offered.map((column) => [levelsIn(column, matching).size, column])
      .filter(([size]) => size <= MOST_COLOURS);
    choice.colour = few.reduce((a, b) => (b[0] > a[0] ? b : a), [0, offered[0] ?? "clipping"])[1];
  };

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
    select.addEventListener("change", () => {
      choice[name] = select.value;
      // settings of another study would hide most of this one
      if (name === "study") for (const other of Object.keys(choice)) if (other !== "study") choice[other] = other === "colour" ? "" : ALL;
      // and what was singled out are levels of one factor
      if (["study", "colour"].includes(name)) choice.only = "";
      show();
    });
    label.append(select);
    form.append(label);
    fields[name] = { label, select, options };
  };
  for (const [column, text] of Object.entries(choices))
    addField(column, text, () => {
      const left = new Set(rows.filter((row) => matches(row, column)).map((row) => row[column]));
      return [ALL, ...inOrder(left)];
    });
  addField("colour", "colours", colourings);
  form.addEventListener("submit", (event) => event.preventDefault());

  const fill = () => {
    const here = new Set(["study", "learning_rate", "colour", ...varied()]);
    for (const [name, { label, select, options }] of Object.entries(fields)) {
      // what is the same throughout a study is no choice
      label.hidden = !here.has(name) && choice[name] === ALL;
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
  // on a dark page the colours that the figures have there
  const dark = () => document.documentElement.dataset.theme === "dark";
  const onPage = (colour) => dark() ? night[colour] ?? colour : colour;
  // of levels that have no colour in the figures
  const palette = Object.keys(night);
  const shapes = ["circle", "square", "cross", "diamond", "triangle-up", "triangle-down"];
  const base = () => ({
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    width: "container", autosize: { type: "fit-x", contains: "padding" }, config: themed(),
  });
  const legend = { orient: "bottom", columns: Math.max(2, Math.floor(root.clientWidth / 150)),
    symbolOpacity: 1 };
  const map = (data) => ({
    ...base(), height: 170, data: { values: data }, mark: { type: "bar", tooltip: true },
    encoding: {
      x: { field: "learning_rate", type: "ordinal", title: "learning rate", axis: { labelAngle: 0, labelOverlap: true } },
      y: { aggregate: "count", stack: "normalize", title: "share of trials", axis: { format: "%" } },
      color: { field: "status", title: null, legend,
        scale: { domain: Object.keys(statuses).filter((s) => levelsIn("status", data).has(s)),
          range: Object.entries(statuses).filter(([s]) => levelsIn("status", data).has(s))
            .map(([, colour]) => onPage(colour)) } },
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
  /* Factors with several levels left within a colour: a mean over them would say nothing. */
  const left = (data) => {
    const groups = groupBy(data, (row) => row[choice.colour]);
    return factors.filter((column) => column !== choice.colour
      && [...groups.values()].some((group) => levelsIn(column, group).size > 1));
  };
  // Student's 97.5% points for 1 to 10 degrees of freedom; more are rare here, and close to the last
  const STUDENT = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
  const meansOf = (data) => {
    const groups = groupBy(data, (row) => JSON.stringify([row[choice.colour], row.learning_rate]));
    return [...groups.values()].map((group) => {
      const values = group.map((row) => row.accuracy);
      const n = values.length;
      const mean = values.reduce((a, b) => a + b, 0) / n;
      const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(n - 1, 1);
      const half = n > 1 ? STUDENT[Math.min(n - 1, STUDENT.length) - 1] * Math.sqrt(variance / n) : 0;
      return { [choice.colour]: group[0][choice.colour], learning_rate: group[0].learning_rate, trials: n,
        mean, low: Math.max(0, mean - half), high: Math.min(1, mean + half) };
    });
  };
  // the same every time: by the trial's place, over a twelfth of a decade
  const JITTER = 1 / 12;
  const aside = (row, i) => ({ ...row, at: row.learning_rate * 10 ** (JITTER * (((i * 0.618034) % 1) - 0.5)) });
  const rates = (data, means) => {
    const levels = inOrder(levelsIn(choice.colour, data));
    const scale = (range) => ({ domain: levels, range: levels.map((_, i) => range[i % range.length]) });
    // numbers from dark to light, names in the colours of the figures
    const colourOf = (level, i) => onPage(looks[level]?.[0] ?? palette[i % palette.length]);
    const shades = levels.every((level) => typeof level === "number")
      ? { domain: levels, scheme: { name: "viridis", extent: dark() ? [0.3, 1] : [0, 0.88] } }
      : { domain: levels, range: levels.map(colourOf) };
    const color = { field: choice.colour, type: "nominal", title: words[choice.colour], legend, scale: shades };
    // as many colours as can be told apart, then the same ones dashed, as in the figures
    const dashes = { field: choice.colour, type: "nominal", legend: null, title: words[choice.colour],
      scale: { domain: levels, range: levels.map((level) => (looks[level]?.[1] ? [5, 3] : [1, 0])) } };
    // a click on the legend singles a level out; of many, the address may name some to begin with
    const named = choice.only.split("|");
    const picked = levels.filter((level) => named.includes(String(level))).map((level) => ({ [choice.colour]: level }));
    const only = { name: "only", select: { type: "point", fields: [choice.colour] }, bind: "legend",
      ...(picked.length ? { value: picked } : {}) };
    const clear = (opacity) => ({ condition: { param: "only", value: opacity }, value: FAINT });
    const log = { type: "log", nice: false, padding: 12 };
    const axis = { format: "~g", labelOverlap: true, values: decades(data) };
    const x = (field) => ({ field, type: "quantitative", title: "learning rate", scale: log, axis });
    const y = (field) => ({ field, type: "quantitative", title: "test accuracy", axis: { format: "%" } });
    const points = {
      data: { values: data.map(aside) },
      params: [only],
      mark: { type: "point", filled: true, size: 30 },
      encoding: { x: x("at"), y: y("accuracy"), color, opacity: clear(means.length ? 0.3 : 0.55),
        shape: { field: choice.colour, type: "nominal", title: words[choice.colour], legend, scale: scale(shapes) },
        tooltip: columns.filter((field) => field !== "study").map((field) => ({ field, title: words[field] })) },
    };
    const told = [{ field: choice.colour, title: words[choice.colour] }, { field: "learning_rate", title: "learning rate" },
      ...["mean", "low", "high"].map((field) => ({ field, format: ".1%" })), { field: "trials" }];
    const lines = [
      { data: { values: means }, mark: { type: "rule", strokeWidth: 1.5 },
        encoding: { x: x("learning_rate"), y: y("low"), y2: { field: "high" }, color, opacity: clear(1) } },
      { data: { values: means }, mark: { type: "line", strokeWidth: 1.5, point: { size: 45 } },
        encoding: { x: x("learning_rate"), y: y("mean"), color, opacity: clear(1), strokeDash: dashes, tooltip: told } },
    ];
    return { ...base(), height: 320, layer: means.length ? [points, ...lines] : [points] };
  };
  const draw = async (name, spec) => {
    const { view } = await window.vegaEmbed(find(name), spec, { actions: false, renderer: "canvas" });
    return view;
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
  const isNumber = (value) => typeof value === "number";
  const written = (column, value) => !isNumber(value) ? value
    : column === "accuracy" ? `${(100 * value).toFixed(1)}%`
      : value.toLocaleString("en-US", { maximumFractionDigits: 12 });
  const tabulate = (data) => {
    const wanted = find("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = data.filter((row) => {
      const text = columns.map((column) => row[column]).join(" ").toLowerCase();
      return wanted.every((word) => text.includes(word));
    }).sort(compare);
    // what is the same in all of them is left out
    const varying = columns.filter((column) => ["status", "accuracy"].includes(column)
      || new Set(data.map((row) => row[column])).size > 1);
    const numeric = new Set(varying.filter((column) => data.some((row) => isNumber(row[column]))));
    const aligned = (made, column) => {
      if (numeric.has(column)) made.className = "text-right";
      return made;
    };
    const table = document.createElement("table");
    table.className = "table";
    const head = table.createTHead().insertRow();
    for (const column of varying) {
      const heading = aligned(cell("th", ""), column);
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
        line.append(aligned(cell("td", written(column, row[column])), column));
    }
    find("more").textContent = kept.length > MOST_ROWS
      ? `The first ${MOST_ROWS} of ${kept.length.toLocaleString("en-US")} trials are shown.` : "";
    find("table").replaceChildren(table);
  };

  /* --- all together --- */
  let shown = [];
  const show = async () => {
    colourBy();
    shown = rows.filter((row) => matches(row));
    keep();
    fill();
    const counted = Object.keys(statuses)
      .map((status) => [shown.filter((row) => row.status === status).length, status])
      .filter(([n]) => n).map(([n, status]) => `${n.toLocaleString("en-US")} ${status}`);
    find("question").textContent = questions[choice.study] ?? "";
    find("count").textContent = `${shown.length.toLocaleString("en-US")} trials match: ${counted.join(", ") || "none"}.`;
    const open = left(shown);
    const named = open.map((column) => `${words[column]} (${levelsIn(column, shown).size})`).join(", ");
    find("means").textContent = open.length
      ? `No means are drawn, because several levels are left of: ${named}. Choose one of each.`
      : "Lines are means over seeds, strokes their 95% intervals.";
    tabulate(shown);
    await draw("map", map(shown));
    const drawn = await draw("rates", rates(shown, open.length ? [] : meansOf(shown)));
    drawn.addSignalListener("only", (_, value) => {
      choice.only = (value[choice.colour] ?? []).join("|");
      keep();
    });
    root.dataset.ready = "true";
  };
  window.addEventListener("hashchange", () => { read(); show(); });
  find("filter").addEventListener("input", () => tabulate(shown));
  new MutationObserver(show).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  show();
})();
