/** What is known about a patient: windows, other scans, what was found, results, readings, versions, history. */

import * as api from "./api";
import { h, say, when } from "./dom";
import type { Session } from "./session";
import type { Tools } from "./tools";
import { Viewer } from "./viewer";

const JOB_POLL_MS = 800;

/** The second viewer, made when it is first asked for. */
let beside: Viewer | null = null;

export class Panel {
  private readonly noteField = h("textarea", { rows: 2, maxlength: 4000, placeholder: "Note on the decision", "aria-label": "Note" });
  private window = "";
  private layer = "";
  private layerOpacity = 0.5;
  private compared = "";
  private history: api.Change[] = [];
  private closed = false;
  private job = "";

  constructor(
    readonly session: Session,
    readonly tools: Tools,
    readonly side: HTMLElement,
    readonly second: HTMLElement,
  ) {}

  get note(): string {
    return this.noteField.value.trim();
  }

  /** Another mask is on the screen. */
  async opened(): Promise<void> {
    this.window = this.modality === "CT" ? "soft tissue" : "";
    this.layer = "";
    this.noteField.value = this.session.patient.note;
    if (this.compared) await this.compare(this.compared);
    await this.changed();
  }

  async changed(): Promise<void> {
    this.history = await api.getHistory(this.session.patient.id).catch(() => []);
    this.draw();
  }

  close(): void {
    this.closed = true;
    beside?.clear();
  }

  draw(): void {
    // What is being typed is not taken away.
    const writing = this.side.contains(document.activeElement) && document.activeElement!.matches("textarea, input, select");
    if (this.closed || writing) return;
    const parts = [
      this.windows(),
      this.others(),
      this.helps(),
      this.findings(),
      this.result(),
      this.reading(),
      section("Note", this.noteField),
      this.versions(),
      this.files(),
      this.changes(),
    ];
    this.side.replaceChildren(...parts.filter((each) => each !== null));
  }

  nextWindow(): void {
    const names = Object.keys(this.session.description.windows);
    if (this.modality === "CT") this.setWindow(names[(names.indexOf(this.window) + 1) % names.length]);
  }

  private get modality(): string | null {
    return this.session.description.scans.find((scan) => scan.slug === this.session.kind.of)?.modality ?? null;
  }

  private setWindow(name: string): void {
    this.window = name;
    this.session.viewer.setWindow(this.session.description.windows[name]);
    this.draw();
  }

  private windows(): HTMLElement {
    const { tools, session } = this;
    const range = tools.range;
    const bound = (place: 0 | 1, title: string) =>
      h("input", {
        type: "number",
        step: "any",
        "aria-label": title,
        value: range[place],
        onchange: (event: Event) => {
          tools.range[place] = Number((event.target as HTMLInputElement).value);
        },
      });
    return section(
      "Window",
      this.modality === "CT" &&
        h(
          "div",
          { class: "pills" },
          ...Object.keys(session.description.windows).map((name) =>
            h("button", { "aria-pressed": String(name === this.window), onclick: () => this.setWindow(name) }, name),
          ),
        ),
      h("p", { class: "hint" }, "Drag with the right button to change it", this.modality === "CT" ? "; W for the next one." : "."),
      h("div", { class: "range" }, "Threshold brush", bound(0, "Lowest value"), "to", bound(1, "Highest value")),
    );
  }

  private others(): HTMLElement | null {
    const { description, patient, kind } = this.session;
    const scans = description.scans.filter((scan) => scan.slug !== kind.of && scan.slug in patient.scans);
    const layers = (patient.result?.layers ?? []).filter((layer) => layer.of === kind.of);
    if (!scans.length && !layers.length) return null;
    const choice = (value: string, label: string, chosen: string, act: (value: string) => void, name: string) =>
      h("button", { "aria-pressed": String(value === chosen), id: `${name}-${value || "none"}`, onclick: () => act(value) }, label);
    return section(
      "Other scans",
      h("p", { class: "hint" }, "Laid over"),
      h(
        "div",
        { class: "pills" },
        choice("", "none", this.layer, (value) => void this.lay(value), "lay"),
        ...scans.map((scan) => choice(scan.slug, scan.title, this.layer, (value) => void this.lay(value), "lay")),
        ...layers.map((layer) => choice(layer.slug, words(layer.slug), this.layer, (value) => void this.lay(value), "lay")),
      ),
      this.layer !== "" &&
        h("input", {
          type: "range",
          min: 0,
          max: 1,
          step: 0.05,
          value: this.layerOpacity,
          "aria-label": "Opacity of what is laid over",
          oninput: (event: Event) => {
            this.layerOpacity = Number((event.target as HTMLInputElement).value);
            this.session.viewer.setLayerOpacity(this.layerOpacity);
          },
        }),
      layers.some((layer) => layer.labels && layer.slug === this.layer) &&
        h("button", { class: "wide", id: "start-from-result", onclick: () => void this.startFrom(this.layer) }, "Start from this outline"),
      scans.length > 0 && h("p", { class: "hint" }, "Side by side"),
      scans.length > 0 &&
        h(
          "div",
          { class: "pills" },
          choice("", "none", this.compared, (value) => void this.compare(value), "beside"),
          ...scans.map((scan) => choice(scan.slug, scan.title, this.compared, (value) => void this.compare(value), "beside")),
        ),
    );
  }

  private async lay(slug: string): Promise<void> {
    const { viewer, patient, kind, description } = this.session;
    this.layer = slug;
    viewer.removeLayers();
    try {
      const scan = description.scans.find((each) => each.slug === slug);
      if (scan) {
        const pet = scan.modality === "PET";
        await viewer.lay(await api.getScan(patient.id, slug, kind.of), pet ? "hot" : "gray", this.layerOpacity, patient.scans[slug].window);
      } else if (slug) {
        const labels = patient.result!.layers.find((each) => each.slug === slug)!.labels;
        await viewer.lay(await api.getLayer(patient.id, slug, kind.of), labels ? "random" : "inferno", this.layerOpacity);
      }
    } catch (error) {
      say((error as Error).message, "wrong");
    }
    this.draw();
  }

  /** Make a label map of the algorithm the drawing, to be corrected and approved by a person. */
  private async startFrom(layer: string): Promise<void> {
    const { patient, kind } = this.session;
    try {
      const mask = await api.getResultMask(patient.id, kind.slug, layer);
      if ((await this.session.replace(mask, `result ${layer}`)) === false) say("Nothing else is outlined than what is drawn.");
    } catch (error) {
      say((error as Error).message, "wrong");
    }
  }

  private async compare(slug: string): Promise<void> {
    const { viewer, patient, kind } = this.session;
    this.compared = slug in patient.scans && slug !== kind.of ? slug : "";
    this.second.classList.toggle("shown", this.compared !== "");
    if (this.compared) {
      if (!beside) {
        const canvas = h("canvas", { tabindex: -1 });
        this.second.replaceChildren(h("div", { class: "frame" }, canvas));
        beside = new Viewer(canvas);
        await beside.attach();
      } else if (!this.second.contains(beside.canvas)) this.second.replaceChildren(beside.canvas.parentElement!);
      try {
        await beside.showAlone(await api.getScan(patient.id, slug, kind.of), patient.scans[slug].window, this.session.colours(slug));
        beside.setLayout(this.session.layout);
        viewer.nv.broadcastTo([beside.nv], { "2d": true, "3d": true });
        beside.nv.broadcastTo([viewer.nv], { "2d": true, "3d": true });
      } catch (error) {
        say((error as Error).message, "wrong");
      }
    } else viewer.nv.broadcastTo([]);
    this.draw();
  }

  private helps(): HTMLElement {
    const { description, kind } = this.session;
    const choose = (needs: "click" | "box") => {
      const found = this.tools.fitting(needs);
      if (found.length < 2) return null;
      return h(
        "select",
        {
          "aria-label": `Method for a ${needs}`,
          onchange: (event: Event) => {
            this.tools.methods[needs] = (event.target as HTMLSelectElement).value;
          },
        },
        ...found.map((each) => h("option", { value: each.name, selected: this.tools.methods[needs] === each.name }, each.title)),
      );
    };
    return section(
      "Draw with help",
      h("p", { class: "hint" }, "G: click into the structure. X: draw a box around it. Correct what is proposed, then save."),
      h(
        "div",
        { class: "range" },
        "A box reaches",
        h("input", {
          type: "number",
          min: 0,
          max: 200,
          value: this.tools.depthMm,
          "aria-label": "Depth of a box in mm",
          onchange: (event: Event) => {
            this.tools.depthMm = Number((event.target as HTMLInputElement).value);
          },
        }),
        "mm to each side",
      ),
      choose("click"),
      choose("box"),
      ...description.networks.filter((each) => each.of === null || each.of === kind.of).map(({ name }) =>
        h("button", { class: "wide", id: `network-${name}`, disabled: this.job !== "", onclick: () => void this.propose(name) }, this.job || `Propose by the network ${name}`),
      ),
    );
  }

  private async propose(network: string): Promise<void> {
    const { patient, kind } = this.session;
    try {
      const job = await api.beginNetwork(patient.id, kind.slug, network);
      for (;;) {
        const state = await api.getJob(job);
        if (state.error) throw new Error(state.error);
        if (state.finished) break;
        this.job = state.total ? `${network}: ${Math.round((100 * state.done) / state.total)} %` : `${network} is starting …`;
        this.draw();
        await new Promise((resolve) => setTimeout(resolve, JOB_POLL_MS));
      }
      if (this.closed || this.session.kind.slug !== kind.slug) say("The proposal is ready: ask for it again, and it is there at once.");
      else if ((await this.session.replace(await api.getJobMask(job), `network ${network}`)) === false) say("The network found nothing else than what is drawn.");
    } catch (error) {
      say((error as Error).message, "wrong");
    } finally {
      this.job = "";
      this.draw();
    }
  }

  private findings(): HTMLElement | null {
    const { patient, description } = this.session;
    if (!patient.findings.length) return null;
    const title = (slug: string) => [...description.masks, ...description.scans].find((each) => each.slug === slug)?.title ?? "";
    return section(
      "Found automatically",
      h("ul", { class: "found" }, ...patient.findings.map((each) => h("li", {}, h("b", {}, title(each.slug)), ` ${each.text}`))),
    );
  }

  private result(): HTMLElement | null {
    const { description, patient, kind, viewer } = this.session;
    if (!description.results) return null;
    if (!patient.result) {
      const hidden = description.reader_study && !patient.readings.length;
      return section("Result of the algorithm", h("p", { class: "hint" }, hidden ? "Shown after your own reading." : "There is none for this patient."));
    }
    const shown = (value: number | string | boolean) => (typeof value === "number" ? value.toFixed(2) : String(value));
    return section(
      "Result of the algorithm",
      h("dl", {}, ...Object.entries(patient.result.values).flatMap(([slug, value]) => [h("dt", {}, words(slug)), h("dd", {}, shown(value))])),
      h(
        "ol",
        { class: "points" },
        ...patient.result.points.map((point) =>
          h(
            "li",
            {},
            h("button", { onclick: () => viewer.goTo(point.voxels[kind.of]) }, point.name),
            point.probability === null ? "" : h("span", {}, point.probability.toFixed(2)),
          ),
        ),
      ),
    );
  }

  private reading(): HTMLElement | null {
    const { description, patient } = this.session;
    if (!description.results) return null;
    const given = patient.readings.map((each) =>
      h("p", {}, `${each.phase === "before" ? "Before" : "After"} the result: `, h("b", {}, each.answer), each.likelihood === null ? "" : ` (${Math.round(each.likelihood * 100)} %)`),
    );
    const phase = patient.readings.some((each) => each.phase === "before") ? "after" : "before";
    if (patient.readings.length === 2) return section("Your reading", ...given);
    const choices = description.answer.choices.length ? description.answer.choices : ["yes", "no"];
    const answer = h("select", { "aria-label": "Your answer" }, h("option", { value: "" }, "choose"), ...choices.map((each) => h("option", { value: each }, each)));
    const percent = h("input", { type: "number", min: 0, max: 100, placeholder: "%", "aria-label": "Likelihood in per cent" });
    const keep = async () => {
      const likelihood = percent.value === "" ? null : Number(percent.value) / 100;
      try {
        this.session.patient = await api.read(patient.id, { phase, answer: answer.value, likelihood, note: "" });
        (document.activeElement as HTMLElement | null)?.blur();
        await this.changed();
      } catch (error) {
        say((error as Error).message, "wrong");
      }
    };
    return section(
      "Your reading",
      h("p", { class: "hint" }, description.answer.title),
      ...given,
      h("div", { class: "range" }, answer, percent, h("button", { id: "read", onclick: () => void keep() }, phase === "before" ? "Keep, before the result" : "Keep, after the result")),
    );
  }

  private versions(): HTMLElement | null {
    const { patient, kind } = this.session;
    const saved = patient.saved.filter((each) => each.slug === kind.slug);
    const original = patient.originals.includes(kind.slug);
    if (!saved.length) return null;
    const show = async (number: number) => {
      const mask = await api.getMask(patient.id, kind.slug, number);
      if (mask && !this.session.take(mask, null, number ? `mask ${number}` : "original")) say("That is what is on the screen.");
    };
    return section(
      "Masks",
      h(
        "ol",
        { class: "points" },
        original && h("li", {}, h("button", { onclick: () => void show(0) }, "original")),
        ...saved.map((each) =>
          h("li", {}, h("button", { onclick: () => void show(each.number) }, `mask ${each.number}`), h("span", {}, `${each.reviewer}, ${when(each.at)}`)),
        ),
      ),
      h("p", { class: "hint" }, "A click puts it on the screen, to be saved anew or undone."),
    );
  }

  private files(): HTMLElement {
    const { patient, kind } = this.session;
    const there = kind.slug in patient.masks;
    const file = h("input", { type: "file", accept: ".nii,.gz,.nrrd,.mha,.dcm", hidden: true });
    file.addEventListener("change", () => {
      const [chosen] = file.files ?? [];
      if (!chosen) return;
      api
        .importMask(patient.id, kind.slug, chosen)
        .then((mask) => this.session.take(mask, null, `from ${chosen.name}`) || say("That is what is on the screen."))
        .catch((error: Error) => say(error.message, "wrong"));
    });
    return section(
      "3D Slicer, ITK-SNAP",
      h(
        "div",
        { class: "pills" },
        there && h("a", { href: api.maskFileAddress(patient.id, kind.slug, "nifti"), download: "" }, "NIfTI"),
        there && h("a", { href: api.maskFileAddress(patient.id, kind.slug, "nrrd"), download: "" }, "NRRD"),
        h("button", { onclick: () => file.click() }, "Take a mask from a file"),
        file,
      ),
      h("p", { class: "hint" }, "NIfTI, NRRD, MetaImage, DICOM SEG or RTSTRUCT on the grid of this scan."),
    );
  }

  private changes(): HTMLElement | null {
    if (!this.history.length) return null;
    return section(
      "History",
      h(
        "ul",
        { class: "history" },
        ...[...this.history].reverse().map((each) =>
          h("li", {}, h("span", {}, `${when(each.at)}  ${each.reviewer}`), h("div", {}, each.what), each.note && h("div", { class: "quiet" }, each.note)),
        ),
      ),
    );
  }
}

function section(title: string, ...children: Parameters<typeof h>[2][]): HTMLElement {
  return h("section", {}, h("h2", {}, title), ...children);
}

function words(slug: string): string {
  return slug.replaceAll("-", " ");
}
