// The Compare tab: two runs, the same seed, and sliders that move a direction of each.

/** How the keys of A and B end in a link. */
const ENDS = ["", "2"];

disentangle.Compare = class {
  constructor(root) {
    this.root = root;
    this.seed = 0;
    this.list = root.querySelector(".d-list");
    this.desk = root.querySelector(".d-desk");
    this.sides = [...root.querySelectorAll(".d-side")].map((side) => ({
      side, run: side.querySelector("[name=run]"), directions: side.querySelector("[name=directions]"),
      facts: side.querySelector(".d-facts"), move: new Map(), view: null,
      moved: new disentangle.Screen(side.querySelector(".d-moved img"), (text) => this.say(text)),
      original: new disentangle.Screen(side.querySelector(".d-original img"), (text) => this.say(text)),
    }));
    const find = (name) => root.querySelector(`[name=${name}]`);
    for (const part of this.sides) {
      part.run.addEventListener("change", () => { part.directions.replaceChildren(); this.open(); });
      part.directions.addEventListener("change", () => this.open());
      part.side.querySelector("[name=open]").addEventListener("click", () => {
        if (!part.view) return;
        disentangle.explorer?.open({ run: part.view.run, directions: part.view.directions, move: new Map(part.move), seed: this.seed });
        disentangle.go("Explore");
      });
    }
    this.number = root.querySelector(".d-starts [name=seed]");
    this.number.addEventListener("input", () => this.from(disentangle.seed(this.number.value), true));
    this.number.addEventListener("change", () => (this.number.value = this.seed)); // what it was taken for
    find("previous").addEventListener("click", () => this.from(Math.max(0, this.seed - 1)));
    find("next").addEventListener("click", () => this.from(this.seed + 1));
    find("reset").addEventListener("click", () => this.reset());
    this.list.addEventListener("input", (event) => this.slide(event.target));
    this.list.addEventListener("dblclick", (event) => {
      if (event.target.type !== "range") return;
      disentangle.set(event.target, 0);
      this.slide(event.target);
    });
    this.start();
  }

  /** What a link with a second run says, or the run of Explore and another one. */
  async start() {
    const { given } = disentangle;
    const linked = given.has("run2");
    try {
      const chosen = linked ? given.get("run") : disentangle.run();
      const runs = await disentangle.runs(this.root, this.sides.map((part) => part.run), [chosen, null]);
      if (!runs.length) return;
      if (chosen) this.sides[0].run.value = chosen;
      const other = linked ? given.get("run2") : runs.find((run) => run !== this.sides[0].run.value);
      if (other) this.sides[1].run.value = other;
      this.desk.hidden = false; // a run that cannot be opened must not hide the choice of another
      const gone = linked && [chosen, other].find((run) => !runs.includes(run));
      if (gone) return this.say(`There is no run ${gone} here any more: choose another one.`);
      this.number.value = this.seed = linked ? disentangle.seed(given.get("seed")) : 0;
      if (linked) this.sides.forEach((part, i) => disentangle.fill(part.directions, [given.get(`directions${ENDS[i]}`) || "auto"]));
      await this.open();
      if (linked && this.sides[0].view) this.follow(given);
    } catch (error) {
      this.say(error.message);
    }
  }

  /** Set the sliders so that they move both runs' directions as a link says. */
  follow(given) {
    const moves = ENDS.map((end) => new Map((given.get(`move${end}`) || "").split(",").filter(Boolean).map((part) => part.split(":").map(Number))));
    for (const row of this.list.querySelectorAll("[data-places]")) {
      const places = row.dataset.places.split("|");
      const [a, b] = places.map((place, i) => (place === "" ? null : moves[i].get(Number(place)) || 0));
      const back = b && "turned" in row.dataset ? -b : b;
      const amount = a ?? back;
      if (!amount || Math.abs(amount) > 10 || (a !== null && b !== null && a !== back)) continue;
      places.forEach((place, i) => moves[i].delete(Number(place)));
      disentangle.set(row.querySelector("input"), amount);
      row.closest("details").open = true;
    }
    if (moves.some((move) => move.size)) this.notice = "No slider here does all that the link asks for.";
    const same = ({ view }, i) => ["weights", "basis"].every((key) => view[key].startsWith(given.get(key + ENDS[i]) || ""));
    if (!this.sides.every(same)) this.notice = "This link was made with other weights or directions than these runs have now: the pictures are others.";
    this.gather();
  }

  async open() {
    this.notice = "";
    const asked = {};
    this.sides.forEach((part, i) => {
      asked[`run${i + 1}`] = part.run.value;
      asked[`directions${i + 1}`] = part.directions.value || "auto";
    });
    const turn = (this.turn = (this.turn || 0) + 1);
    try {
      const { sides, html } = await disentangle.json("app/compare", asked);
      if (turn !== this.turn) return;
      sides.forEach((view, i) => {
        const part = this.sides[i];
        part.view = view;
        part.move.clear();
        disentangle.fill(part.directions, view.choices, view.directions);
        part.facts.textContent = view.facts;
      });
      this.list.innerHTML = html; // made by this server's templates, which escape
      for (const input of this.list.querySelectorAll("input")) disentangle.set(input, 0);
      this.say("");
      this.draw();
    } catch (error) {
      if (turn !== this.turn) return;
      for (const part of this.sides) part.view = null;
      this.list.replaceChildren();
      this.say(error.message);
    }
  }

  slide(input) {
    disentangle.paint(input);
    const row = input.closest("[data-places]");
    // A direction may stand in both lists, by rank and by factor: what was moved last counts.
    const mine = row.dataset.places.split("|");
    for (const other of this.list.querySelectorAll("[data-places]")) {
      const shared = other.dataset.places.split("|").some((place, i) => place !== "" && place === mine[i]);
      if (other !== row && shared) disentangle.set(other.querySelector("input"), 0);
    }
    this.gather();
  }

  /** What the sliders say, for both runs. */
  gather() {
    for (const part of this.sides) part.move.clear();
    for (const each of this.list.querySelectorAll("[data-places]")) {
      const amount = Number(each.querySelector("input").value);
      const ways = [amount, "turned" in each.dataset ? -amount : amount]; // B may point the other way
      each.dataset.places.split("|").forEach((place, i) => place !== "" && amount && this.sides[i].move.set(Number(place), ways[i]));
    }
    this.draw();
  }

  from(seed, typed = false) {
    this.seed = seed;
    if (!typed) this.number.value = seed;
    this.draw();
  }

  reset() {
    for (const part of this.sides) part.move.clear();
    for (const input of this.list.querySelectorAll("input")) disentangle.set(input, 0);
    this.draw();
  }

  draw() {
    for (const part of this.sides) {
      const { view, moved, original } = part;
      if (!view) continue;
      const edit = this.edit(part);
      const seen = `&seen=${view.seen}`;
      moved.show(`picture.png?${disentangle.query(edit)}${seen}`, `${view.run}, sample ${this.seed}, moved`);
      original.show(`picture.png?${disentangle.query({ ...edit, move: new Map() })}${seen}`, `${view.run}, sample ${this.seed}, before it was moved`);
    }
    clearTimeout(this.rest);
    this.rest = setTimeout(() => this.settle(), 160);
  }

  edit({ view, move }) {
    return { run: view.run, directions: view.directions, move, seed: this.seed, picture: "", truncation: 1, weights: view.weights, basis: view.basis };
  }

  /** The link: that of A's picture, and behind it what B has of its own. */
  settle() {
    if (!this.sides.every((part) => part.view)) return;
    const [a, b] = this.sides.map((part) => disentangle.query(this.edit(part)));
    const second = b.split("&").filter((part) => !part.startsWith("seed=")).map((part) => part.replace("=", "2="));
    disentangle.address("compare", `${location.origin}${location.pathname}?${a}&${second.join("&")}`);
  }

  say(text) {
    disentangle.message(this.root, text || this.notice);
  }
};

disentangle.compare = (element) => {
  const root = element.querySelector(".d-compare");
  if (root && !root.dataset.on) {
    root.dataset.on = "1";
    disentangle.comparer = new disentangle.Compare(root);
  }
};

/** The Scores tab. */
disentangle.scores = (element) => {
  const root = element.querySelector(".d-board");
  if (!root || root.dataset.on) return;
  root.dataset.on = "1";
  const run = root.querySelector("[name=run]");
  const show = async () => {
    try {
      root.querySelector(".d-report").innerHTML = (await disentangle.json("app/scores", { run: run.value })).html;
      disentangle.message(root, "");
    } catch (error) {
      root.querySelector(".d-report").replaceChildren();
      disentangle.message(root, error.message);
    }
  };
  run.addEventListener("change", show);
  /** Show the run that the page is about; which runs there are may have changed. */
  disentangle.board = () =>
    disentangle.runs(root, [run], [disentangle.run() || run.value]).then((runs) => runs.length && show(), (error) => disentangle.message(root, error.message));
  disentangle.board();
};
