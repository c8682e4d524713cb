// Plays movements as stick figures on a canvas. Needs nothing else; `player.py` makes what it shows.
//
// Each figure.motion-player that holds a script of type application/json with a movement is mounted when the page is
// ready. MotionPlayer.mount(figure, movement, {play: true}) mounts one later and returns figure.player, which can
// seek(seconds), play(), pause() and remove(). The figure gets an event "motiontime" with detail {seconds} for each moment
// shown. Nothing in this file ends a script element, so that it may stand in one.
"use strict";

var MotionPlayer = (() => {
  const SPEEDS = [0.1, 0.25, 0.5, 1, 2];
  const GRID_M = 0.5;
  const TURN = 0.12; // radians for a key
  const KEYS =
    "Keys: space plays or pauses; left and right turn the view, up and down tilt it; comma and full stop go a frame " +
    "back or on; Home and End go to the start or end.";

  // Frames as Float32Array of metres, from whole millimetres that are differences but in the first frame.
  function unpack(movement) {
    const frames = [];
    let last = null;
    for (const row of movement.mm) {
      last = last ? row.map((x, i) => x + last[i]) : row;
      frames.push(Float32Array.from(last, (x) => x / 1000));
    }
    return frames;
  }

  // Where the view looks at in each frame [x, z]: the middle of all points, averaged over about a second.
  function middles(frames, rate) {
    const raw = frames.map((frame) => {
      const at = [0, 0];
      for (let i = 0; i < frame.length; i += 3) {
        at[0] += frame[i];
        at[1] += frame[i + 2];
      }
      return at.map((x) => x / (frame.length / 3));
    });
    const half = Math.max(1, Math.round(rate / 2));
    return raw.map((_, f) => {
      const reach = Math.min(half, f, raw.length - 1 - f); // even at both ends, so that it does not lag there
      const sum = [0, 0];
      for (let i = f - reach; i <= f + reach; i++) {
        sum[0] += raw[i][0];
        sum[1] += raw[i][1];
      }
      return sum.map((x) => x / (2 * reach + 1));
    });
  }

  function extent(frames, centres) {
    let high = 0.5;
    let wide = 0.5;
    frames.forEach((frame, f) => {
      for (let i = 0; i < frame.length; i += 3) {
        high = Math.max(high, frame[i + 1]);
        wide = Math.max(wide, Math.hypot(frame[i] - centres[f][0], frame[i + 2] - centres[f][1]));
      }
    });
    return { high, wide };
  }

  function element(name, attributes, text) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function mount(figure, movement, options) {
    const frames = unpack(movement);
    const rate = movement.rate_hz;
    const end = (frames.length - 1) / rate;
    const centres = middles(frames, rate);
    const size = extent(frames, centres);
    const lined = new Set(movement.lines.flatMap((line) => line[0]));
    const title = figure.querySelector("figcaption");
    const view = { yaw: -movement.facing - 0.5, pitch: 0.15 };
    let time = 0;
    let playing = false;
    let before = 0;
    let removed = false;

    const canvas = element("canvas", {
      tabindex: "0",
      role: "application",
      "aria-label": `Moving stick figure${title ? ": " + title.textContent : ""}. ${KEYS}`,
      title: "Drag to turn the view",
    });
    canvas.style.touchAction = "pan-y";
    const button = element("button", { type: "button" }, "Play");
    const scrub = element("input", { type: "range", min: "0", max: String(end), step: "any", value: "0" });
    scrub.setAttribute("aria-label", "Time");
    const clock = element("output", { class: "motion-player-time" });
    const speed = element("select", { "aria-label": "Speed" });
    for (const x of SPEEDS) speed.append(element("option", { value: String(x) }, `${x}×`));
    speed.value = "1";
    const controls = element("div", { class: "motion-player-controls" });
    controls.append(button, scrub, clock, speed);
    const sides = element("p", { class: "motion-player-sides" });
    const twoSided = movement.lines.some((line) => line[1] !== "m");
    if (twoSided) {
      sides.append(element("span", { class: "motion-player-right" }, "right"), " ");
      sides.append(element("span", { class: "motion-player-left" }, "left"), " ");
    }
    sides.append(twoSided ? "– drag, or arrow keys, to turn" : "Drag, or arrow keys, to turn");
    const notes = element("p", { class: "motion-player-notes" }, movement.notes.join(" "));
    figure.append(canvas, controls, sides, notes);

    function between() {
      const at = Math.min(Math.max(time * rate, 0), frames.length - 1);
      const low = Math.min(Math.floor(at), frames.length - 2);
      const share = at - low;
      const mix = (a, b) => a + share * (b - a);
      const frame = frames[low].map((x, i) => mix(x, frames[low + 1][i]));
      const centre = centres[low].map((x, i) => mix(x, centres[low + 1][i]));
      return { frame, centre };
    }

    function draw() {
      const ratio = window.devicePixelRatio || 1;
      const width = canvas.clientWidth;
      const height = canvas.clientHeight;
      if (!width || !height) return;
      if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
      }
      const pen = canvas.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, width, height);
      const style = getComputedStyle(canvas);
      const colour = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
      const colours = {
        r: colour("--motion-right", "#d62728"),
        l: colour("--motion-left", "#1f77b4"),
        m: style.color || "black",
      };
      const { frame, centre } = between();
      const scale = Math.min((0.86 * height) / (size.high + 0.5 * Math.sin(view.pitch)), (0.48 * width) / size.wide);
      const [cy, sy, cp, sp] = [Math.cos(view.yaw), Math.sin(view.yaw), Math.cos(view.pitch), Math.sin(view.pitch)];
      // [across, down, towards the viewer] of a place in the room; seen from the right at yaw 0.
      const project = (x, y, z) => {
        const [dx, dy, dz] = [x - centre[0], y - size.high / 2, z - centre[1]];
        const near = dz * cy - dx * sy;
        return [width / 2 + scale * (dx * cy + dz * sy), height / 2 - scale * (dy * cp - near * sp), near * cp + dy * sp];
      };

      const reach = Math.max(1.5, Math.ceil(size.wide / GRID_M) * GRID_M);
      pen.strokeStyle = colour("--motion-floor", "#8888");
      pen.lineWidth = 1;
      pen.beginPath();
      for (const [along, from] of [[0, centre[0]], [1, centre[1]]]) {
        const other = centre[1 - along];
        for (let at = Math.ceil((from - reach) / GRID_M) * GRID_M; at <= from + reach; at += GRID_M) {
          const ends = [other - reach, other + reach].map((o) => (along ? project(o, 0, at) : project(at, 0, o)));
          pen.moveTo(ends[0][0], ends[0][1]);
          pen.lineTo(ends[1][0], ends[1][1]);
        }
      }
      pen.stroke();

      const places = [];
      for (let i = 0; i < frame.length; i += 3) places.push(project(frame[i], frame[i + 1], frame[i + 2]));
      const lines = movement.lines.map(([points, side, recorded]) => {
        const near = points.reduce((sum, p) => sum + places[p][2], 0) / points.length;
        return { points, side, recorded, near };
      });
      lines.sort((a, b) => a.near - b.near);
      pen.lineJoin = pen.lineCap = "round";
      for (const line of lines) {
        pen.strokeStyle = colours[line.side];
        pen.globalAlpha = line.recorded ? 1 : 0.3;
        pen.lineWidth = line.points.length > 2 ? 3.5 : 1.5;
        pen.beginPath();
        line.points.forEach((p, i) => (i ? pen.lineTo : pen.moveTo).call(pen, places[p][0], places[p][1]));
        pen.stroke();
      }
      pen.globalAlpha = 1;
      const dots = movement.lines.every((line) => line[0].length === 2);
      pen.fillStyle = colours.m;
      places.forEach((place, i) => {
        if (!dots && lined.has(i)) return;
        pen.beginPath();
        pen.arc(place[0], place[1], 2.5, 0, 2 * Math.PI);
        pen.fill();
      });
    }

    function show() {
      scrub.value = String(time);
      scrub.setAttribute("aria-valuetext", `${time.toFixed(2)} seconds`);
      clock.textContent = `${time.toFixed(2)} / ${end.toFixed(2)} s`;
      draw();
      figure.dispatchEvent(new CustomEvent("motiontime", { detail: { seconds: time } }));
    }

    function tick(now) {
      if (!playing || removed) return;
      time += (Math.min(now - before, 250) / 1000) * Number(speed.value);
      before = now;
      if (time > end) time = end > 0 ? time % end : 0; // again from the start
      show();
      requestAnimationFrame(tick);
    }

    function setPlaying(on) {
      if (on === playing) return;
      playing = on;
      button.textContent = on ? "Pause" : "Play";
      before = performance.now();
      if (on) requestAnimationFrame(tick);
    }

    function seek(seconds) {
      time = Math.min(Math.max(seconds, 0), end);
      show();
    }

    function turn(yaw, pitch) {
      view.yaw += yaw;
      view.pitch = Math.min(Math.max(view.pitch + pitch, -0.3), Math.PI / 2);
      draw();
    }

    const keys = {
      " ": () => setPlaying(!playing),
      ArrowLeft: () => turn(TURN, 0),
      ArrowRight: () => turn(-TURN, 0),
      ArrowUp: () => turn(0, TURN),
      ArrowDown: () => turn(0, -TURN),
      ",": () => (setPlaying(false), seek(time - 1 / rate)),
      ".": () => (setPlaying(false), seek(time + 1 / rate)),
      Home: () => seek(0),
      End: () => seek(end),
    };
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
      event.preventDefault();
      keys[event.key]();
    });
    let held = null;
    canvas.addEventListener("pointerdown", (event) => {
      held = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!held) return;
      turn((held[0] - event.clientX) / 120, (event.clientY - held[1]) / 200);
      held = [event.clientX, event.clientY];
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (held = null));
    button.addEventListener("click", () => setPlaying(!playing));
    scrub.addEventListener("input", () => {
      setPlaying(false);
      seek(Number(scrub.value));
    });
    const resized = new ResizeObserver(draw);
    resized.observe(canvas);
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    show();
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (options && options.play && !still) setPlaying(true);
    figure.player = {
      seek,
      play: () => setPlaying(true),
      pause: () => setPlaying(false),
      remove() {
        removed = true;
        resized.disconnect();
        dark.removeEventListener("change", draw);
        for (const part of [canvas, controls, sides, notes]) part.remove();
        delete figure.player;
      },
    };
    return figure.player;
  }

  function mountAll() {
    for (const figure of document.querySelectorAll("figure.motion-player")) {
      const data = figure.querySelector('script[type="application/json"]');
      if (!data) continue;
      mount(figure, JSON.parse(data.textContent));
      data.remove(); // so that it is mounted once
    }
  }

  if (typeof document !== "undefined") {
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mountAll);
    else mountAll();
  }
  return { mount, unpack, middles };
})();
