// The Explore tab: one run, one start, a slider a direction.

disentangle.Explore = class {
  constructor(root) {
    this.root = root;
    this.edit = { run: "", directions: "auto", move: new Map(), seed: 0, picture: "", truncation: 1, weights: "", basis: "" };
    this.view = null;
    this.current = null;
    this.several = false;
    this.starts = 12;
    const find = (selector) => root.querySelector(selector);
    this.parts = {
      run: find("[name=run]"), directions: find("[name=directions]"), facts: find(".d-facts"), from: find(".d-from"),
      desk: find(".d-desk"), list: find(".d-list"), gallery: find(".d-gallery"), seed: find("[name=seed]"),
      truncation: find("[name=truncation]"), truncated: find("[name=truncated]"), strip: find(".d-strip"),
      head: find(".d-head h3"), naming: find(".d-naming"), form: find("form"), link: find("[name=link]"),
      photo: find(".d-photo"), kept: find(".d-kept"),
    };
    this.blank = [...this.parts.strip.childNodes];
    const failed = (text) => this.say(text);
    this.moved = new disentangle.Screen(find(".d-moved img"), failed);
    this.original = new disentangle.Screen(find(".d-original img"), failed);
    this.photo = new disentangle.Screen(find(".d-photo img"), failed);
    this.listen(find);
    this.start();
  }

  listen(find) {
    const { run, directions, list, seed, truncation, form, gallery } = this.parts;
    run.addEventListener("change", () => this.open({ run: run.value, directions: "auto", seed: this.edit.seed }));
    directions.addEventListener("change", () => this.open({ ...this.edit, directions: directions.value, move: new Map(), basis: "" }));
    list.addEventListener("input", (event) => this.slide(event.target));
    list.addEventListener("focusin", (event) => event.target.type === "range" && this.choose(this.place(event.target)));
    list.addEventListener("dblclick", (event) => {
      if (event.target.type !== "range") return;
      disentangle.set(event.target, 0);
      this.slide(event.target);
    });
    seed.addEventListener("input", () => this.from({ seed: disentangle.seed(seed.value), picture: "" }));
    seed.addEventListener("change", () => (seed.value = this.edit.seed)); // what it was taken for
    truncation.addEventListener("input", () => this.from({ truncation: Number(truncation.value) }));
    find("[name=more]").addEventListener("click", () => { this.starts += 12; this.samples(); });
    find("[name=reset]").addEventListener("click", () => this.reset());
    find("[name=strip]").addEventListener("click", () => this.lay(false));
    find("[name=grid]").addEventListener("click", () => this.lay(true));
    gallery.addEventListener("keydown", (event) => this.step(event));
    gallery.addEventListener("click", (event) => {
      const chosen = event.target.closest("button");
      if (!chosen) return;
      const { seed, picture } = chosen.dataset;
      this.from(picture ? { seed: 0, picture, truncation: 1 } : { seed: Number(seed), picture: "" }); // as it was found
    });
    this.parts.strip.addEventListener("click", (event) => {
      const cell = event.target.closest("button");
      if (cell) this.jump(cell);
    });
    form.addEventListener("submit", (event) => { event.preventDefault(); this.name(); });
    find("[name=copy]").addEventListener("click", () => this.copy());
    for (const file of this.root.querySelectorAll("[data-file]"))
      file.addEventListener("click", (event) => file.getAttribute("aria-disabled") === "true" && event.preventDefault());
  }

  /** What the page's address says, or the first run. */
  async start() {
    const { given } = disentangle;
    const move = new Map();
    this.left = [];
    for (const part of (given.get("move") || "").split(",").filter(Boolean)) {
      const [k, amount] = part.split(":").map(Number);
      if (Number.isInteger(k) && k >= 0 && Number.isFinite(amount)) move.set(k, amount);
      else this.left.push(`move=${part}`);
    }
    try {
      const runs = await disentangle.runs(this.root, [this.parts.run], [given.get("run")]);
      if (!runs.length) return;
      if (given.get("run") && !runs.includes(given.get("run"))) {
        this.say(`There is no run ${given.get("run")} here any more: choose another one.`);
        this.parts.run.selectedIndex = -1;
        return;
      }
      let truncation = Number(given.get("truncation") ?? 1);
      if (!(truncation >= 0 && truncation <= 2)) {
        this.left.push(`truncation=${given.get("truncation")}`);
        truncation = 1;
      }
      const seed = disentangle.seed(given.get("seed"));
      if (given.has("seed") && String(seed) !== given.get("seed")) this.left.push(`seed=${given.get("seed")}`);
      if (!given.get("run")) return this.first(runs);
      await this.open({
        run: given.get("run"), directions: given.get("directions") || "auto", move,
        seed, picture: given.get("picture") || "", truncation, weights: given.get("weights") || "", basis: given.get("basis") || "",
      });
    } catch (error) {
      this.say(error.message);
    }
  }

  /** The first run that can be opened. */
  async first(runs) {
    for (const run of runs) {
      await this.open({ run, directions: "auto" });
      if (this.view) return;
    }
  }

  /** Show a run's directions; an edit of it that is already known comes along. */
  async open(edit) {
    const wanted = { move: new Map(), seed: 0, picture: "", truncation: 1, weights: "", basis: "", ...edit };
    const turn = (this.turn = (this.turn || 0) + 1);
    this.root.setAttribute("aria-busy", "true");
    try {
      const asked = { run: wanted.run, directions: wanted.directions };
      for (const key of ["weights", "basis"]) if (wanted[key]) asked[key] = wanted[key];
      const view = await disentangle.json("app/run", asked);
      if (turn === this.turn) this.show(view, wanted);
    } catch (error) {
      if (turn !== this.turn) return;
      this.say(error.message);
      this.parts.desk.hidden = !this.view || !!this.view.problem;
      if (this.view) [this.parts.run.value, this.parts.directions.value] = [this.view.run, this.view.directions];
    } finally {
      if (turn === this.turn) this.root.removeAttribute("aria-busy");
    }
  }

  show(view, edit) {
    const { parts } = this;
    if (edit.run !== this.view?.run) this.starts = 12;
    if (view.run !== this.view?.run || view.directions !== this.view.directions) this.choose(null);
    this.view = view;
    this.current = null;
    for (const [k, amount] of edit.move)
      if (k >= view.count || Math.abs(amount) > 10) {
        edit.move.delete(k);
        this.left?.push(`move=${k}:${amount}`);
      }
    const { weights, basis } = view.problem ? edit : view;
    this.edit = { ...edit, run: view.run, directions: view.directions, weights, basis };
    if (![...parts.run.options].some((option) => option.value === view.run)) parts.run.add(new Option(view.run, view.run));
    parts.run.value = view.run;
    disentangle.fill(parts.directions, view.choices, view.directions);
    parts.facts.textContent = view.facts;
    disentangle.code(parts.from, view.note);
    parts.list.innerHTML = view.html; // made by this server's templates, which escape
    for (const input of parts.list.querySelectorAll("input")) disentangle.set(input, this.edit.move.get(this.place(input)) || 0);
    for (const fold of parts.list.querySelectorAll("details:not([open])"))
      fold.open = [...fold.querySelectorAll("input")].some((input) => Number(input.value) !== 0);
    [parts.seed.value, parts.truncation.value] = [this.edit.seed, this.edit.truncation];
    parts.truncated.value = this.edit.truncation;
    parts.desk.hidden = !!view.problem;
    clearTimeout(this.rest);
    if (view.problem) return this.say(""); // nothing that the link asks for can be drawn
    this.choose(this.edit.move.keys().next().value ?? null);
    this.samples();
    this.draw();
    this.notice = this.left?.length ? `Not all that the link asks for is possible. Left out: ${this.left.join(", ")}.` : "";
    this.left = null;
    this.say("");
  }

  place(input) {
    return Number(input.closest("[data-place]").dataset.place);
  }

  slider(k) {
    return this.parts.list.querySelector(`[data-place="${k}"] input`);
  }

  slide(input) {
    const k = this.place(input);
    disentangle.paint(input);
    this.edit.move.set(k, Number(input.value));
    this.notice = "";
    if (this.current !== k) this.choose(k);
    this.draw();
  }

  from(changed) {
    this.edit = { ...this.edit, ...changed };
    if (!("seed" in changed) || document.activeElement !== this.parts.seed) this.parts.seed.value = this.edit.seed;
    this.parts.truncation.value = this.parts.truncated.value = this.edit.truncation;
    this.draw();
    this.mark();
  }

  reset() {
    this.edit.move.clear();
    for (const input of this.parts.list.querySelectorAll("input")) disentangle.set(input, 0);
    this.draw();
  }

  /** The address of a picture: `seen` lets the server tell when run or directions have changed meanwhile. */
  address(file, edit = this.edit, extra = {}) {
    const more = new URLSearchParams({ seen: this.view.seen, ...extra }).toString();
    return `${file}?${disentangle.query(edit)}&${more}`;
  }

  /** Everything that follows a change: the picture at once, strip and address when things have come to rest. */
  draw() {
    const { edit } = this;
    const still = { ...edit, move: new Map() };
    const start = edit.picture ? "your picture" : `sample ${edit.seed}`;
    const words = [...edit.move].filter(([, amount]) => amount).map(([k, amount]) => `${this.label(k)} ${disentangle.signed(amount)}`);
    this.moved.show(this.address("picture.png"), `${edit.run}, ${start}${words.length ? `, moved: ${words.join(", ")}` : ""}`);
    this.original.show(this.address("picture.png", still), "The picture before it was moved");
    this.parts.photo.hidden = !edit.picture;
    if (edit.picture) this.photo.show(this.address("original.png", still), "Your picture, as it was given");
    clearTimeout(this.rest);
    this.rest = setTimeout(() => this.settle(), 160);
  }

  settle() {
    const link = `${location.origin}${location.pathname}?${disentangle.query(this.edit)}`;
    this.parts.link.value = link;
    disentangle.address("explore", link);
    for (const file of this.root.querySelectorAll("[data-file]")) {
      const along = file.dataset.file !== "picture.png";
      const off = along && this.current === null;
      const extra = along ? { along: this.current } : { download: 1 };
      const grid = file.dataset.file === "grid.png" || (this.several && file.dataset.file.startsWith("loop"));
      if (along && grid) extra.seeds = this.others().join(",");
      file.setAttribute("aria-disabled", String(off));
      file.title = off ? "Move a slider first: this shows one direction" : "";
      if (off) file.removeAttribute("href");
      else file.href = this.address(file.dataset.file, this.edit, extra);
    }
    this.along();
  }

  /** Seeds of the other rows of a grid. */
  others() {
    const from = this.edit.picture ? 0 : this.edit.seed + 1;
    return [from, from + 1, from + 2];
  }

  label(k) {
    return this.view.rows.find((row) => row.place === k)?.label ?? `direction ${k}`;
  }

  /** The direction that strip, files and name are about. */
  choose(k) {
    this.current = k;
    const row = this.view?.rows.find((each) => each.place === k);
    for (const each of this.parts.list.querySelectorAll(".d-slider")) each.classList.toggle("d-current", Number(each.dataset.place) === k);
    this.parts.head.textContent = row ? row.label : "Move a slider";
    this.parts.naming.hidden = !row;
    if (row) [this.parts.form.elements.name.value, this.parts.form.elements.note.value] = [row.name, row.note];
    this.parts.kept.textContent = "";
    if (!row) {
      this.parts.strip.replaceChildren(...this.blank);
      this.parts.strip.classList.remove("d-cells");
      this.laid = "";
    }
    clearTimeout(this.rest);
    this.rest = setTimeout(() => this.settle(), 160);
  }

  lay(several) {
    this.several = several;
    this.root.querySelector("[name=strip]").setAttribute("aria-pressed", String(!several));
    this.root.querySelector("[name=grid]").setAttribute("aria-pressed", String(several));
    this.settle();
  }

  /** Strip or grid of the current direction; the newest asked for wins. */
  async along() {
    const { current, several, parts, view } = this;
    if (current === null || !view) return;
    const query = this.address("app/strip", { ...this.edit, move: new Map([...this.edit.move, [current, 0]]) }, { along: current, seeds: several ? this.others().join(",") : "" });
    if (query !== this.laid) {
      if (this.laying) { this.again = true; return; }
      this.laying = true;
      try {
        const drawn = await disentangle.json(query);
        if (current === this.current && view === this.view) {
          this.laid = query;
          this.rows(drawn);
        }
      } catch (error) {
        this.say(error.message);
      }
      this.laying = false;
      if (this.again) { this.again = false; this.along(); return; }
    }
    const here = this.edit.move.get(current) || 0;
    const cells = [...parts.strip.querySelectorAll("[data-at]")];
    const near = Math.min(...cells.map((cell) => Math.abs(Number(cell.dataset.at) - here)));
    cells.forEach((cell) => cell.classList.toggle("d-here", Math.abs(Number(cell.dataset.at) - here) === near && near <= 0.5));
  }

  rows(drawn) {
    const cell = (row, i) => {
      const at = drawn.positions[i];
      const made = Object.assign(document.createElement("button"), { type: "button", title: `${disentangle.signed(at)}, ${row.start}` });
      Object.assign(made.dataset, { at, seed: row.seed, mine: row === drawn.rows[0] ? "1" : "" });
      made.append(Object.assign(new Image(), { src: row.pictures[i], alt: `${drawn.label} at ${at} sigma, ${row.start}`, draggable: false }));
      return made;
    };
    const marks = drawn.positions.map((at) => Object.assign(document.createElement("span"), { textContent: disentangle.signed(at) }));
    this.parts.strip.replaceChildren(...drawn.rows.flatMap((row) => row.pictures.map((_, i) => cell(row, i))), ...marks);
    this.parts.strip.classList.add("d-cells");
  }

  /** A picture of the strip was chosen: go there. */
  jump(cell) {
    const input = this.slider(this.current);
    if (!cell.dataset.mine) this.from({ seed: Number(cell.dataset.seed), picture: "" });
    disentangle.set(input, Number(cell.dataset.at));
    this.slide(input);
  }

  /** The samples, and before them the pictures that people brought. */
  samples() {
    const plain = { ...this.edit, move: new Map(), picture: "", truncation: 1 };
    const button = (data, address, name) => {
      const made = Object.assign(document.createElement("button"), { type: "button" });
      Object.assign(made.dataset, data);
      made.append(Object.assign(new Image(), { src: address, alt: name, title: name, loading: "lazy", draggable: false }));
      return made;
    };
    const own = this.view.pictures.map((name) => button({ picture: name }, this.address("original.png", { ...plain, picture: name }), `your picture ${name.slice(0, 6)}`));
    const drawn = Array.from({ length: this.starts }, (_, seed) => button({ seed }, this.address("picture.png", { ...plain, seed }), `sample ${seed}`));
    this.parts.gallery.replaceChildren(...own, ...drawn);
    this.mark();
  }

  mark() {
    for (const each of this.parts.gallery.children) {
      const chosen = this.edit.picture ? each.dataset.picture === this.edit.picture : each.dataset.seed === String(this.edit.seed);
      each.setAttribute("aria-pressed", String(chosen));
    }
    // One stop of the Tab key for all of them; the arrow keys go from one to the next.
    const all = [...this.parts.gallery.children];
    const stop = all.find((each) => each === document.activeElement) || all.find((each) => each.getAttribute("aria-pressed") === "true") || all[0];
    for (const each of all) each.tabIndex = each === stop ? 0 : -1;
  }

  /** An arrow key in the gallery. */
  step(event) {
    const all = [...this.parts.gallery.children];
    const at = all.indexOf(event.target.closest("button"));
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || !all[to]) return;
    event.preventDefault();
    all[to].focus();
    this.mark();
  }

  async name() {
    const { form, kept } = this.parts;
    const words = { name: form.elements.name.value, note: form.elements.note.value };
    const row = this.view.rows.find((each) => each.place === this.current);
    const was = [row.name, row.note]; // somebody else may have named it meanwhile
    const body = { run: this.edit.run, directions: this.edit.directions, seen: this.view.seen, place: this.current, was, ...words };
    const current = this.current;
    try {
      const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
      const view = await (await disentangle.fetch("app/name", options)).json();
      this.show(view, this.edit);
      this.choose(current);
      this.parts.naming.open = true;
      kept.textContent = "Kept with the run.";
    } catch (error) {
      kept.textContent = error.message;
    }
  }

  async copy() {
    const { link } = this.parts;
    const button = this.root.querySelector("[name=copy]");
    link.select();
    try {
      await navigator.clipboard.writeText(link.value);
    } catch {
      document.execCommand("copy"); // where the browser gives no leave
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1600);
  }

  say(text) {
    if (this.view?.problem) {
      const go = () => this.show({ ...this.view, problem: "" }, this.edit);
      disentangle.message(this.root, [text, this.view.problem].filter(Boolean).join(" "), ["Show it all the same", go]);
    } else disentangle.message(this.root, text || this.notice);
  }
};

disentangle.explore = (element) => {
  const root = element.querySelector(".d-explore");
  if (root && !root.dataset.on) {
    root.dataset.on = "1";
    disentangle.explorer = new disentangle.Explore(root);
  }
};
