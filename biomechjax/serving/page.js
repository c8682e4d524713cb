// The page of serve.py. All text from the server or a file goes in as text, never as HTML.
"use strict";

(() => {
  const $ = (id) => document.getElementById(id);
  const shown = { key: null, player: null, files: [], charts: [] };

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function say(id, text) {
    $(id).textContent = text || "";
    if (id.endsWith("error")) $(id).hidden = !text;
  }

  // The JSON that the server answers; throws an Error with a sentence for the person.
  async function request(path, settings) {
    let response;
    try {
      response = await fetch(path, settings);
    } catch {
      throw new Error("The server does not answer; it may have been stopped, or it refused the size of the file.");
    }
    const found = await response.json().catch(() => ({ error: `The server answered with status ${response.status}.` }));
    if (!response.ok) throw new Error(found.error);
    return found;
  }

  function options(select, values) {
    for (const value of values) select.append(new Option(value, value));
  }

  async function start() {
    const about = await request("/about");
    say("model", `Model ${about.model}, which learned from ${about.cohort} and reads ${about.reads.join(", ")}`);
    say("disclaimer", about.disclaimer);
    say("simulated", about.simulated_note);
    $("simulated").hidden = !about.simulated;
    say("endings", `Read are ${about.endings.join(" ")}; a *_motion.tsv with the files beside it.`);
    options($("format"), about.formats);
    options($("unit"), about.units);
    options($("task"), Object.keys(about.tasks));
    for (const question of Object.values(about.tasks)) $("examples").append(new Option(question));
    shown.limit = about.upload_bytes;
  }

  async function read(files) {
    if (!files.length) return;
    shown.files = files;
    $("again").disabled = false;
    forget();
    const size = files.reduce((sum, file) => sum + file.size, 0);
    if (size > shown.limit) return say("error", `${files[0].name}: more than ${shown.limit / 1e6} MB; cut the trial`);
    const query = new URLSearchParams();
    for (const file of files) {
      query.append("file", file.name);
      query.append("size", file.size);
    }
    for (const field of document.querySelectorAll("[data-option]")) {
      if (field.value.trim()) query.append(field.dataset.option, field.value.trim());
    }
    say("status", `Reading ${files.map((file) => file.name).join(", ")} …`);
    const mine = (shown.reading = {});
    try {
      const found = await request(`/recordings?${query}`, {
        method: "POST",
        headers: { "Content-Type": "application/octet-stream" },
        body: new Blob(files),
      });
      if (mine === shown.reading) show(found);
    } catch (error) {
      if (mine !== shown.reading) return;
      say("error", error.message);
      if (/\b(rate|unit|format|array|seconds|given?)\b/.test(error.message)) $("more").open = true;
    } finally {
      if (mine === shown.reading) say("status", "");
    }
  }

  function forget() {
    if (shown.player) shown.player.remove();
    Object.assign(shown, { key: null, player: null, charts: [] });
    $("found").hidden = true;
    $("send").disabled = true;
    $("replies").replaceChildren();
    for (const id of ["error", "ask-error"]) say(id, "");
    say("ask-status", "Give a recording first.");
  }

  function show(found) {
    const { recording, figure } = found;
    const speed = recording.measured_speed_m_s;
    const facts = {
      File: recording.file,
      Format: `${recording.format}, ${recording.channels_recorded} of ${recording.channels} channels`,
      Length: `${recording.seconds.toFixed(2)} s at ${+recording.rate_hz.toPrecision(4)} Hz`,
    };
    if (found.key) facts["For the model"] = `${recording.tokens} tokens of the first ${recording.read_seconds.toFixed(1)} s`;
    if (speed !== null) {
      facts["Measured speed"] = `${speed.toFixed(2)} m/s in a straight line from first to last frame (not the model's)`;
    }
    $("facts").replaceChildren(...Object.entries(facts).flatMap(([k, v]) => [element("dt", "", k), element("dd", "", v)]));
    $("notes").replaceChildren(...recording.notes.map((note) => element("li", "", note)));
    $("player").querySelector("figcaption").textContent = recording.file;
    $("player").hidden = !figure;
    $("unseen").hidden = Boolean(figure);
    say("unseen", found.figure_error);
    $("found").hidden = false;
    if (figure) shown.player = MotionPlayer.mount($("player"), figure, { play: true });
    shown.key = found.key;
    $("send").disabled = !found.key;
    say("ask-status", found.key ? "" : "This recording can be seen, but not asked about:");
    say("ask-error", found.ask_error);
  }

  async function ask(event) {
    event.preventDefault();
    const question = $("question").value.trim() || $("question").placeholder;
    const key = shown.key;
    $("send").disabled = true;
    say("ask-error", "");
    say("ask-status", "Asking …");
    try {
      const body = { key, question, explain: $("explain").checked, task: $("task").value || null };
      const found = await request("/questions", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
      });
      if (key === shown.key) $("replies").prepend(replyItem(found));
    } catch (error) {
      if (key === shown.key) say("ask-error", error.message);
    } finally {
      if (key === shown.key) {
        $("send").disabled = false;
        say("ask-status", "");
      }
    }
  }

  function replyItem(found) {
    const item = element("li");
    item.append(element("p", "question", found.question), element("p", "answer", found.answer || "(no words)"));
    const explanation = found.explanation;
    if (!explanation) return item;
    const percent = (p) => (p < 0.001 ? "< 0.1 %" : `${(100 * p).toFixed(1)} %`);
    item.append(element("p", "part", `Probability of just these words: ${percent(explanation.probability)}`));
    if (explanation.probabilities) {
      item.append(element("p", "part", `Among the answers that task ${explanation.task} allows:`), optionList());
    }
    item.append(
      element("p", "part", "How much less likely the answer becomes without these seconds (hatched: more likely):"),
      ...windowChart(explanation.seconds_that_mattered),
    );
    const how = element("details", "small");
    how.append(element("summary", "", "What this says, and what not"), element("p", "", explanation.how));
    item.append(how);
    return item;

    function optionList() {
      const list = element("dl", "options");
      for (const [option, p] of Object.entries(explanation.probabilities).sort((a, b) => b[1] - a[1])) {
        const bar = element("span", "bar");
        bar.style.width = `${100 * p}%`;
        const drawn = element("dd");
        drawn.append(bar);
        list.append(element("dt", "", option), element("dd", "number", percent(p)), drawn);
      }
      return list;
    }
  }

  // A bar for each stretch of time; a click goes there in the movement.
  function windowChart(windows) {
    const longest = Math.max(0.1, ...windows.map((w) => Math.abs(w.change)));
    const chart = element("div", "windows");
    const buttons = windows.map((w) => {
      const button = element("button");
      button.type = "button";
      const change = `${w.change > 0 ? "+" : "−"}${Math.abs(w.change).toFixed(2)}`;
      button.title = `${w.start_s.toFixed(2)} to ${w.end_s.toFixed(2)} s: log-probability ${change}`;
      button.setAttribute("aria-label", button.title);
      const bar = element("span", w.change > 0 ? "bar more" : "bar");
      bar.style.height = `${(100 * Math.abs(w.change)) / longest}%`;
      button.append(bar);
      button.addEventListener("click", () => {
        if (!shown.player) return;
        shown.player.pause();
        shown.player.seek(w.start_s);
      });
      return button;
    });
    chart.append(...buttons);
    shown.charts.push((t) => {
      buttons.forEach((button, i) => {
        if (windows[i].start_s <= t && t < windows[i].end_s) button.setAttribute("aria-current", "time");
        else button.removeAttribute("aria-current");
      });
    });
    const axis = element("div", "axis");
    const end = windows[windows.length - 1].end_s;
    axis.append(element("span", "", "0 s"), element("span", "", `tallest bar: ${longest.toFixed(2)}`), element("span", "", `${end.toFixed(1)} s`));
    return [chart, axis];
  }

  const drop = $("drop");
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    read([...event.dataTransfer.files]);
  });
  $("files").addEventListener("change", () => read([...$("files").files]));
  $("again").addEventListener("click", () => read(shown.files));
  $("ask").addEventListener("submit", ask);
  $("player").addEventListener("motiontime", (event) => shown.charts.forEach((mark) => mark(event.detail.seconds)));
  start().catch((error) => say("error", error.message));
})();
