// What the views share. Nothing here asks any other server, and all that is asked for is a plain address.
"use strict";

const disentangle = (window.disentangle = { views: new Set() });

disentangle.REACH = 3;

/** The answer to a GET as JSON; what the server has to say instead is thrown. */
disentangle.json = async (path, values = {}) => {
  const query = new URLSearchParams(values).toString();
  return (await disentangle.fetch(query ? `${path}?${query}` : path)).json();
};

/** What the server answers; what it says otherwise, and that it is silent, is an Error in words. */
disentangle.fetch = async (path, options) => {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    throw new Error(error.name === "TimeoutError" ? "the app takes very long: try again" : "the app does not answer: is it still running?");
  }
  return disentangle.answer(answer);
};

disentangle.answer = async (answer) => {
  if (answer.ok) return answer;
  const text = (answer.headers.get("content-type") || "").startsWith("text/plain") ? await answer.text() : "";
  throw new Error(text || `the server answered ${answer.status}`);
};

/** A number as an address has it: as short as it can be. */
disentangle.amounts = (move) =>
  [...move].filter(([, amount]) => amount !== 0).sort(([a], [b]) => a - b).map(([k, amount]) => `${k}:${amount}`).join(",");

/** The query of an edit; Edit.to_query of apps/edit.py writes the same. */
disentangle.query = (edit) => {
  const parts = [["run", edit.run], ["directions", edit.directions]];
  const moved = disentangle.amounts(edit.move);
  if (moved) parts.push(["move", moved]);
  parts.push(edit.picture ? ["picture", edit.picture] : ["seed", String(edit.seed)]);
  if (edit.truncation !== 1) parts.push(["truncation", String(edit.truncation)]);
  if (edit.weights) parts.push(["weights", edit.weights]);
  if (edit.basis && moved) parts.push(["basis", edit.basis]);
  return new URLSearchParams(parts).toString().replaceAll("%3A", ":").replaceAll("%2C", ",");
};

disentangle.signed = (amount) => (amount === 0 ? "0" : `${amount < 0 ? "−" : "+"}${Math.abs(amount)} σ`);

/** A whole number that an address can hold exactly. */
disentangle.seed = (text) => {
  const seed = Math.floor(Number(text));
  return Number.isSafeInteger(seed) && seed >= 0 ? seed : 0;
};

/** What the address said when the page was opened. */
disentangle.given = new URLSearchParams(location.search);

/** The run that the page is about: Explore's, or the one in the address until that has answered. */
disentangle.run = () => disentangle.explorer?.edit.run || disentangle.given.get("run") || "";

/** The address says what is shown by Explore or Compare, whichever of the two was opened last. */
disentangle.links = {};
disentangle.tab = "explore";
disentangle.address = (tab, link) => {
  disentangle.links[tab] = link;
  if (link && tab === disentangle.tab) history.replaceState(null, "", link);
};
disentangle.opened = (tab) => {
  disentangle.tab = tab;
  disentangle.address(tab, disentangle.links[tab]);
};

/** Keeps an <img> at the newest address asked for. One request is under way at a time; what was asked for meanwhile and
 * is not the newest any more is never sent, so that nothing stale waits, here or on the server. */
disentangle.Screen = class {
  constructor(image, failed) {
    this.image = image;
    this.failed = failed;
    this.wanted = this.shown = null;
    this.busy = false;
    this.blob = "";
  }

  show(address, alt) {
    this.wanted = { address, alt };
    if (!this.busy) this.follow();
  }

  async follow() {
    this.busy = true;
    while (this.wanted) {
      const { address, alt } = this.wanted;
      this.wanted = null;
      this.image.alt = alt;
      if (address === this.shown) continue;
      try {
        const answer = await disentangle.fetch(address, { signal: AbortSignal.timeout(60000) });
        const blob = URL.createObjectURL(await answer.blob());
        const next = new Image();
        next.src = blob;
        await next.decode(); // otherwise an empty frame shows between two pictures
        this.image.src = blob;
        if (this.blob) URL.revokeObjectURL(this.blob);
        [this.blob, this.shown] = [blob, address];
        this.failed("");
        this.image.dispatchEvent(new CustomEvent("shown", { detail: address }));
      } catch (error) {
        this.shown = null;
        if (!this.wanted) this.failed(error.message);
      }
    }
    this.busy = false;
  }
};

/** Options of a <select>, each [value, text] or a value alone; `chosen` is kept where it is one of them. */
disentangle.fill = (select, options, chosen) => {
  select.replaceChildren(
    ...options.map((option) => {
      const [value, text] = Array.isArray(option) ? option : [option, option];
      return new Option(text, value, false, value === chosen);
    }),
  );
};

/** A slider's fill, number and words for those who cannot see it. */
disentangle.paint = (input, amount = Number(input.value)) => {
  const reach = Number(input.max);
  input.style.setProperty("--at", `${50 + (50 * amount) / reach}%`);
  input.setAttribute("aria-valuetext", `${amount} sigma`);
  const output = input.parentElement.querySelector("output");
  output.value = disentangle.signed(amount);
  output.classList.toggle("d-on", amount !== 0);
};

/** Set a slider, which reaches further where it has to. */
disentangle.set = (input, amount) => {
  const reach = Math.max(disentangle.REACH, Math.ceil(Math.abs(amount)));
  [input.min, input.max] = [-reach, reach];
  if (amount && Math.abs(amount / 0.05 - Math.round(amount / 0.05)) > 1e-6) input.step = "any";
  input.value = amount;
  disentangle.paint(input, amount);
};

/** Text whose `…` are code. */
disentangle.code = (place, text) => {
  place.hidden = !text;
  place.replaceChildren(...text.split("`").map((part, i) => (i % 2 ? Object.assign(document.createElement("code"), { textContent: part }) : part)));
};

disentangle.message = (root, text, button) => {
  const place = root.querySelector(":scope > .d-message");
  disentangle.code(place, text || "");
  if (text && button) {
    const made = Object.assign(document.createElement("button"), { type: "button", textContent: button[0] });
    made.addEventListener("click", button[1]);
    place.append(" ", made);
  }
};

/** Which runs there are: into the <select>s of a view, or what to type where there is none. */
disentangle.runs = async (root, selects, chosen) => {
  const { runs, empty } = await disentangle.json("app/runs");
  const nothing = root.querySelector(":scope > .d-nothing");
  nothing.innerHTML = empty; // made by this server's templates, which escape
  nothing.hidden = !empty;
  for (const bar of root.querySelectorAll(":scope > .d-bar")) bar.hidden = !!empty;
  selects.forEach((select, i) => disentangle.fill(select, runs, chosen[i]));
  return runs;
};

/** Go to a tab of the page by its name. */
disentangle.go = (name) => {
  for (const tab of document.querySelectorAll("[role=tab], .overflow-dropdown button")) if (tab.textContent.trim() === name) tab.click();
};
