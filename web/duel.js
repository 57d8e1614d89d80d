// The page: an engine in WebAssembly, a map of a generator's digits, and a training. No library, and nothing is sent anywhere.
"use strict";

/** What the engine reports: a message, and the code that `duel` would exit with. */
class EngineError extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

/** One instance of duel.wasm (src/lib.rs says what its functions do): one generator and one training. */
class Engine {
  constructor(instance) {
    this.wasm = instance.exports;
  }

  static async load(bytes) {
    return new Engine((await WebAssembly.instantiate(bytes)).instance);
  }

  /** Calls a function with the content of its room, if there is any, and returns a copy of its result. */
  call(name, room, ...numbers) {
    if (room) {
      // Places and sizes come as signed numbers.
      const place = this.wasm.room(room.length) >>> 0;
      new Uint8Array(this.wasm.memory.buffer, place, room.length).set(room);
    }
    const code = this.wasm[name](...numbers);
    const [at, length] = [this.wasm.result() >>> 0, this.wasm.result_len() >>> 0];
    const result = new Uint8Array(this.wasm.memory.buffer, at, length).slice();
    if (code) throw new EngineError(new TextDecoder().decode(result), code);
    return result;
  }

  /** A generator with the tensors of a checkpoint: its average, if it has one. */
  setGenerator(checkpoint) {
    const { latent, classes, hidden, pixels } = checkpoint;
    this.call("generator", checkpoint.generator, latent, classes, hidden, pixels);
  }

  /** The noise vectors of `count` samples, as one array. */
  noise(seed, first, count) {
    return new Float32Array(this.call("noise", null, BigInt(seed), BigInt(first), count).buffer);
  }

  /** Images of noise vectors, of a class or null: a byte per pixel, white on black. */
  generate(z, cls) {
    return this.call("generate", new Uint8Array(z.buffer, z.byteOffset, z.byteLength), cls ?? -1);
  }

  /** A training at step 0. Settings are pairs of name and value. */
  begin(settings, images, labels) {
    for (const [name, value] of settings) this.call("setting", new TextEncoder().encode(`${name} ${value}`));
    const room = new Uint8Array(images.pixels.length + labels.length);
    room.set(images.pixels);
    room.set(labels, images.pixels.length);
    this.call("train", room, images.count, images.height, images.width);
  }

  /** One step: losses of the generator and of the discriminator. */
  step() {
    return new Float32Array(this.call("step").buffer);
  }

  digest() {
    return new TextDecoder().decode(this.call("digest"));
  }

  samples(seed, cls, count) {
    return this.call("samples", null, BigInt(seed), cls ?? -1, count);
  }
}

// Files.

/** A checkpoint as `duel` writes it, of which the generator is read. */
function readCheckpoint(bytes) {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const settings = new Map(header.__metadata__.checkpoint.trim().split("\n").map((line) => line.split("=")));
  const number = (name) => Number(settings.get(name));
  const of = (name) => {
    const [from, to] = (header[`${name}.average`] ?? header[name]).data_offsets;
    return bytes.subarray(8 + length + from, 8 + length + to);
  };
  const tensors = ["hidden.weight", "hidden.bias", "out.weight", "out.bias"].map((name) => of(`generator.${name}`));
  const generator = new Uint8Array(tensors.reduce((sum, tensor) => sum + tensor.length, 0));
  tensors.reduce((at, tensor) => (generator.set(tensor, at), at + tensor.length), 0);
  const [height, width] = [number("height"), number("width")];
  return {
    generator, height, width, pixels: height * width, latent: number("latent-size"), classes: number("classes"),
    hidden: number("generator-hidden"), step: number("step"), seed: settings.get("seed"),
  };
}

/** The content of an IDX file: images, or labels. */
function readIdx(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const count = view.getUint32(4);
  if (bytes[3] === 1) return bytes.subarray(8, 8 + count);
  const [height, width] = [view.getUint32(8), view.getUint32(12)];
  return { count, height, width, pixels: bytes.subarray(16, 16 + count * height * width) };
}

/** Unpacks gzip; what a server has unpacked already is returned as it is. */
async function gunzip(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** One of the page's files. From a disk a page may not read files: then all of them come as text, in a script. */
async function load(name) {
  if (location.protocol === "file:") {
    if (!window.duelFiles) {
      await new Promise((done, failed) => {
        const script = Object.assign(document.createElement("script"), { src: "files.js", onload: done, onerror: failed });
        document.head.append(script);
      });
    }
    return Uint8Array.from(atob(window.duelFiles[name]), (c) => c.charCodeAt(0));
  }
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

// Pictures.

const $ = (id) => document.getElementById(id);

/** Draws an image, a byte per pixel, with its left upper corner at a place of a canvas. */
function draw(context, pixels, width, height, x, y) {
  const image = context.createImageData(width, height);
  // Red, green, blue, opacity: four equal bytes but for the last.
  const colours = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) colours[i] = 0xff000000 | (pixels[i] * 0x010101);
  context.putImageData(image, x, y);
}

/** The map of a generator's digits, and the digit under the pointer. */
class Space {
  static SIDE = 12;

  constructor(engine) {
    this.engine = engine;
    this.seed = 42;
    this.firstCorner = 0;
    this.class = null;
    this.place = [0.5, 0.5];
    this.map = $("map").getContext("2d");
    this.mark = document.createElement("canvas").getContext("2d");
    $("map").addEventListener("pointermove", (event) => this.follow(event));
    $("map").addEventListener("pointerdown", (event) => this.follow(event));
    $("map").addEventListener("keydown", (event) => this.press(event));
    $("corners").addEventListener("click", () => {
      this.firstCorner += 4;
      this.drawMap();
    });
    $("file").addEventListener("change", async ({ target }) => {
      try {
        const [file] = target.files;
        this.open(readCheckpoint(new Uint8Array(await file.arrayBuffer())), file.name);
      } catch (error) {
        fail(`That is not a checkpoint of duel: ${error.message}`);
      }
    });
  }

  open(checkpoint, name) {
    this.engine.setGenerator(checkpoint);
    fail("");
    this.shape = checkpoint;
    this.class = checkpoint.classes ? 3 % checkpoint.classes : null;
    const buttons = Array.from({ length: checkpoint.classes }, (_, cls) => {
      const button = Object.assign(document.createElement("button"), { textContent: cls });
      button.setAttribute("aria-pressed", cls === this.class);
      button.addEventListener("click", () => {
        buttons.forEach((other) => other.setAttribute("aria-pressed", other === button));
        this.class = cls;
        this.drawMap();
      });
      return button;
    });
    $("classes").replaceChildren(...buttons);
    $("classes").hidden = !buttons.length;
    $("about").textContent = `${name}: ${checkpoint.latent} numbers of noise, ${checkpoint.hidden} hidden units, `
      + `${checkpoint.width} × ${checkpoint.height} pixels, seed ${checkpoint.seed}, step ${checkpoint.step.toLocaleString("en")}.`;
    const { width, height } = checkpoint;
    for (const [canvas, scale] of [[$("map"), Space.SIDE], [$("digit"), 1]]) {
      canvas.width = width * scale;
      canvas.height = height * scale;
    }
    this.drawMap();
  }

  /** The noise vector of a place from 0 to 1. The four weights' squares sum to 1: mixtures are as long as their corners. */
  noiseAt([x, y]) {
    const { latent } = this.shape;
    const [u, v] = [x, y].map((part) => (part * Math.PI) / 2);
    const weights = [Math.cos(u) * Math.cos(v), Math.sin(u) * Math.cos(v), Math.cos(u) * Math.sin(v), Math.sin(u) * Math.sin(v)];
    return Float32Array.from({ length: latent }, (_, i) =>
      weights.reduce((sum, weight, corner) => sum + weight * this.corners[corner * latent + i], 0));
  }

  drawMap() {
    const { width, height, latent, pixels } = this.shape;
    const side = Space.SIDE;
    this.corners = this.engine.noise(this.seed, this.firstCorner, 4);
    const z = new Float32Array(side * side * latent);
    for (let i = 0; i < side * side; i++) {
      z.set(this.noiseAt([(i % side) / (side - 1), Math.floor(i / side) / (side - 1)]), i * latent);
    }
    const images = this.engine.generate(z, this.class);
    for (let i = 0; i < side * side; i++) {
      draw(this.map, images.subarray(i * pixels, (i + 1) * pixels), width, height, (i % side) * width, Math.floor(i / side) * height);
    }
    const clean = this.mark.canvas;
    Object.assign(clean, { width: side * width, height: side * height });
    this.mark.drawImage($("map"), 0, 0);
    this.drawDigit();
  }

  drawDigit() {
    const { width, height } = this.shape;
    draw($("digit").getContext("2d"), this.engine.generate(this.noiseAt(this.place), this.class), width, height, 0, 0);
    // The map's pictures stand with their middles where their noise is.
    const side = Space.SIDE;
    const at = this.place.map((part, i) => (part * (side - 1) + 0.5) * [width, height][i]);
    this.map.drawImage(this.mark.canvas, 0, 0);
    this.map.strokeStyle = "#f0955c";
    this.map.lineWidth = 3;
    this.map.strokeRect(at[0] - width / 2, at[1] - height / 2, width, height);
  }

  go(x, y) {
    this.place = [x, y].map((part) => Math.min(1, Math.max(0, part)));
    this.drawDigit();
  }

  follow(event) {
    const { left, top, width, height } = $("map").getBoundingClientRect();
    const side = Space.SIDE;
    const inside = (part) => (part * side - 0.5) / (side - 1);
    this.go(inside((event.clientX - left) / width), inside((event.clientY - top) / height));
  }

  press(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    this.go(this.place[0] + step[0] / 24, this.place[1] + step[1] / 24);
  }
}

/** The training, in slices between frames. */
class Training {
  /** What a frame may spend on steps, in milliseconds, and how often pictures are made. */
  static BUDGET = 12;
  static PICTURES_EVERY = 100;
  static ROWS = 4;

  constructor(wasm, task, images, labels) {
    Object.assign(this, { wasm, task, images, labels });
    this.running = false;
    $("task").textContent = `${images.count.toLocaleString("en")} digits of MNIST in ${images.width} × ${images.height} pixels, `
      + `${task.steps.toLocaleString("en")} steps, on one thread of this machine.`;
    $("command").textContent = task.command;
    $("run").addEventListener("click", () => (this.running ? this.pause() : this.start()));
    $("again").addEventListener("click", async () => {
      this.pause();
      await this.reset();
    });
  }

  async reset() {
    // A new instance: memory of the former one is given back.
    this.engine = await Engine.load(this.wasm);
    this.engine.begin(this.task.settings, this.images, this.labels);
    Object.assign(this, { step: 0, losses: [], seconds: 0 });
    $("digests").replaceChildren();
    this.show();
    this.drawPictures();
    $("run").disabled = false;
    $("again").disabled = true;
  }

  start() {
    this.running = true;
    $("again").disabled = false;
    const slice = () => {
      if (!this.running) return;
      try {
        this.advance();
      } catch (error) {
        fail(error.message);
        this.pause();
        return;
      }
      this.show();
      requestAnimationFrame(slice);
    };
    requestAnimationFrame(slice);
    this.show();
  }

  pause() {
    this.running = false;
    this.show();
  }

  advance() {
    const started = performance.now();
    while (this.running && performance.now() - started < Training.BUDGET) {
      this.losses.push(this.engine.step());
      this.step += 1;
      if (this.step % Training.PICTURES_EVERY === 0) this.pictured = false;
      if (this.step in this.task.digests) this.compare();
      if (this.step === this.task.steps) {
        this.running = false;
        $("run").disabled = true;
      }
    }
    this.seconds += (performance.now() - started) / 1000;
    if (!this.pictured) this.drawPictures();
  }

  compare() {
    const [here, there] = [this.engine.digest(), this.task.digests[this.step]];
    const cells = [this.step.toLocaleString("en"), here, there, here === there ? "✓ same" : "✗ differs"];
    const row = document.createElement("tr");
    row.append(...cells.map((text, i) => {
      const cell = Object.assign(document.createElement("td"), { textContent: text, title: text });
      if (i === 1 || i === 2) {
        cell.className = "digest";
        // Twelve digits are shown, and all of the last.
        if (this.step !== this.task.steps) cell.textContent = `${text.slice(7, 19)}…`;
      }
      if (i === 3) cell.className = here === there ? "same" : "differs";
      return cell;
    }));
    row.dataset.step = this.step;
    $("digests").append(row);
  }

  show() {
    const rate = this.seconds ? `, ${Math.round(this.step / this.seconds)} steps/s` : "";
    $("progress").textContent = `step ${this.step.toLocaleString("en")}${rate}`;
    $("progress").dataset.rate = this.seconds ? this.step / this.seconds : 0;
    $("run").textContent = this.running ? "Pause" : "Train";
    const last = this.losses.at(-1);
    $("losses").textContent = last ? `Now ${last[0].toFixed(4)} and ${last[1].toFixed(4)}.` : "";
    this.drawCurves();
  }

  drawPictures() {
    this.pictured = true;
    const { width, height } = this.images;
    const classes = 10;
    Object.assign($("pictures"), { width: classes * width, height: Training.ROWS * height });
    const context = $("pictures").getContext("2d");
    for (let cls = 0; cls < classes; cls++) {
      const images = this.engine.samples(36, cls, Training.ROWS);
      for (let row = 0; row < Training.ROWS; row++) {
        draw(context, images.subarray(row * width * height, (row + 1) * width * height), width, height, cls * width, row * height);
      }
    }
  }

  drawCurves() {
    const canvas = $("curves");
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio];
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    const style = getComputedStyle(document.body);
    const most = 3;
    const y = (loss) => height - (Math.min(loss, most) / most) * height;
    context.font = `${11 * ratio}px system-ui, sans-serif`;
    context.fillStyle = context.strokeStyle = style.color;
    context.globalAlpha = 0.4;
    for (const loss of [1, 2]) {
      context.fillRect(0, y(loss), width, ratio);
      context.fillText(loss, 2 * ratio, y(loss) - 3 * ratio);
    }
    context.globalAlpha = 1;
    // A point per pixel: the mean of its steps.
    const perPixel = Math.max(1, Math.ceil(this.task.steps / width));
    [["generator", 0], ["discriminator", 1]].forEach(([name, which]) => {
      context.strokeStyle = getComputedStyle(document.querySelector(`.${name}`)).color;
      context.lineWidth = 1.5 * ratio;
      context.beginPath();
      for (let from = 0; from < this.losses.length; from += perPixel) {
        const some = this.losses.slice(from, from + perPixel);
        const mean = some.reduce((sum, losses) => sum + losses[which], 0) / some.length;
        context.lineTo((from / this.task.steps) * width, y(mean));
      }
      context.stroke();
    });
  }
}

function fail(message) {
  $("failure").textContent = message;
}

async function main() {
  const wasm = await load("duel.wasm");
  const space = new Space(await Engine.load(wasm));
  space.open(readCheckpoint(await load("generator.safetensors")), "generator.safetensors");
  const task = JSON.parse(new TextDecoder().decode(await load("training.json")));
  const [images, labels] = await Promise.all(task.data.map(async (name) => readIdx(await gunzip(await load(name)))));
  const training = new Training(wasm, task, images, labels);
  await training.reset();
  // For whoever wants to look inside.
  window.duel = { space, training };
}

main().catch((error) => fail(`This page does not work here: ${error.message}`));
