/** The page of one patient: tools on the left, the viewer in the middle, and what is known on the right. */

import * as api from "./api";
import { find, h, question, say } from "./dom";
import * as list from "./list";
import { Panel } from "./panel";
import { Session } from "./session";
import { TOOLS, Tools } from "./tools";
import { COLOURS, type Layout, Viewer } from "./viewer";

const LAYOUTS: [Layout, string, string][] = [
  ["all", "Planes", "1"],
  ["axial", "Axial", "2"],
  ["coronal", "Coronal", "3"],
  ["sagittal", "Sagittal", "4"],
  ["3d", "3D", "5"],
];

/** One viewer for all patients: browsers allow few of them, and making one takes long. */
let stage: Promise<{ frame: HTMLElement; viewer: Viewer }> | null = null;

/** Make the viewer while the work list is read: out of sight, and taken from there by the first patient. */
export async function makeStage(): Promise<{ frame: HTMLElement; viewer: Viewer }> {
  stage ??= (async () => {
    const canvas = h("canvas", { id: "canvas", tabindex: -1 });
    const frame = h("div", { class: "frame" }, canvas);
    document.body.append(h("div", { class: "offstage" }, frame));
    const viewer = new Viewer(canvas);
    await viewer.attach();
    return { frame, viewer };
  })();
  return stage;
}

/** Open a patient; gives what closes the page, false where the reviewer stays. */
export async function openPatient(description: api.Description, id: number): Promise<() => Promise<boolean>> {
  const page = find("page");
  page.className = "patient-page";
  const { frame, viewer } = await makeStage();
  const rail = h("nav", { class: "rail", "aria-label": "Tools" });
  const side = h("aside", { class: "side" });
  const bar = h("div", { class: "bar" });
  const readout = h("div", { class: "readout" });
  const second = h("div", { class: "second" });
  const work = h("div", { class: "work" }, h("div", { class: "views" }, frame, second), readout);
  page.replaceChildren(bar, rail, work, side);
  frame.classList.add("loading");

  let outline = true;
  let opacity = 0.45;
  const session = new Session(description, viewer, draw);
  const tools = new Tools(session, frame, draw);
  const panel = new Panel(session, tools, side, second);
  session.saved = () => void panel.changed();
  const started = performance.now();
  viewer.onMove = (voxel, value) => {
    readout.textContent = `voxel ${voxel.join(", ")}   value ${Number(value.toPrecision(5))}`;
  };
  viewer.onMeasured = (mm) => mm > 0.05 && say(`${mm.toFixed(1)} mm`);

  await session.open(id);
  find("where").textContent = `${session.patient.name}${session.patient.centre ? ` · ${session.patient.centre}` : ""}`;
  await opened();
  frame.dataset.patient = String(id);
  frame.dataset.openedMs = String(Math.round(performance.now() - started));
  window.addEventListener("keydown", onKey, { capture: true });
  window.addEventListener("beforeunload", onLeave);
  const next = neighbour(1);
  if (next !== undefined) api.prepare(next).catch(() => undefined);

  async function opened(): Promise<void> {
    frame.classList.remove("loading");
    viewer.setMaskLook(outline, opacity);
    viewer.setLayout(session.layout);
    tools.range = viewer.window();
    tools.choose(tools.tool);
    await panel.opened();
    draw();
    await viewer.fit();
  }

  function draw(): void {
    if (!session.patient || !session.kind) return;
    drawBar();
    drawRail();
    panel.draw();
  }

  function drawBar(): void {
    const { patient, kind, dirty } = session;
    const reopen = button("Reopen", "", () => void decide("reopen"), { id: "reopen" });
    bar.replaceChildren(
      h(
        "div",
        { class: "tabs", role: "tablist" },
        ...session.kinds().map((each, place) =>
          h(
            "button",
            {
              role: "tab",
              "aria-selected": String(each.slug === kind.slug),
              title: `Shift+${place + 1}`,
              onclick: () => void openMask(each.slug),
            },
            each.title,
            !(each.slug in patient.masks) && h("span", { class: "finding missing" }, "to draw"),
          ),
        ),
      ),
      h("span", { class: `state-of ${patient.state.replace(" ", "-")}`, id: "state" }, patient.state),
      h("span", { class: "quiet", id: "dirty" }, dirty ? "not saved" : ""),
      h("span", { class: "space" }),
      button("Save", "s", () => void session.save(), { id: "save", disabled: !dirty }),
      button("Approve", "a", () => void decide("approve"), { id: "approve", class: "primary" }),
      button("Reject", "r", () => void reject(), { id: "reject" }),
      ...(patient.state === "to do" ? [] : [reopen]),
      button("‹", "p", () => go(-1), { title: "Patient before (P)" }),
      button("›", "n", () => go(1), { title: "Next patient (N)" }),
    );
  }

  function drawRail(): void {
    const drawing = viewer.drawing;
    rail.replaceChildren(
      ...TOOLS.map(({ tool, key, title, hint }) =>
        h(
          "button",
          { "aria-pressed": String(tools.tool === tool), id: `tool-${tool}`, title: `${hint} (${key.toUpperCase()})`, onclick: () => tools.choose(tool) },
          h("span", {}, title),
          h("kbd", {}, key.toUpperCase()),
        ),
      ),
      h("hr"),
      h(
        "label",
        {},
        `Size ${tools.radiusMm * 2} mm`,
        h("input", {
          type: "range",
          id: "size",
          min: 0,
          max: 40,
          step: 0.5,
          value: tools.radiusMm,
          oninput: (event: Event) => {
            tools.radiusMm = Number((event.target as HTMLInputElement).value);
            (event.target as HTMLElement).parentElement!.firstChild!.textContent = `Size ${tools.radiusMm * 2} mm`;
          },
        }),
      ),
      toggle("Ball", "In 3D, not in this slice alone (L)", tools.ball, () => {
        tools.ball = !tools.ball;
      }),
      labelChoice(),
      h("hr"),
      h(
        "div",
        { class: "pair" },
        button("Undo", "z", () => session.undo(), { id: "undo", disabled: !drawing?.canUndo }),
        button("Redo", "y", () => session.redo(), { id: "redo", disabled: !drawing?.canRedo }),
      ),
      button("Interpolate", "i", interpolate, { title: "Fill the slices between those that are drawn (I)" }),
      h("hr"),
      toggle("Outline", "Outline or filled (O)", outline, () => look(!outline, opacity)),
      h(
        "label",
        {},
        "Opacity",
        h("input", {
          type: "range",
          min: 0,
          max: 1,
          step: 0.05,
          value: opacity,
          oninput: (event: Event) => look(outline, Number((event.target as HTMLInputElement).value), false),
        }),
      ),
      h("hr"),
      h(
        "div",
        { class: "layouts" },
        ...LAYOUTS.map(([layout, title, key]) =>
          h("button", { "aria-pressed": String(session.layout === layout), title: `${title} (${key})`, onclick: () => layOut(layout) }, title),
        ),
      ),
    );
  }

  function labelChoice(): HTMLElement {
    const named = Object.entries(session.kind.labels);
    if (named.length === 1) return h("div", { class: "label-of" }, swatch(named[0][1]), named[0][0]);
    const set = (value: number) => {
      session.label = Math.min(255, Math.max(1, value || 1));
      draw();
    };
    if (named.length)
      return h(
        "select",
        { "aria-label": "Label", onchange: (event: Event) => set(Number((event.target as HTMLSelectElement).value)) },
        ...named.map(([name, value]) => h("option", { value, selected: value === session.label }, `${value} ${name}`)),
      );
    const number = h("input", { type: "number", min: 1, max: 255, value: session.label, "aria-label": "Number of the instance" });
    number.addEventListener("change", () => set(Number(number.value)));
    return h("label", { class: "label-of" }, swatch(session.label), "Number", number);
  }

  function look(isOutline: boolean, strength: number, redraw = true): void {
    outline = isOutline;
    opacity = strength;
    viewer.setMaskLook(outline, opacity);
    if (redraw) draw();
  }

  function layOut(layout: Layout): void {
    session.layout = layout;
    viewer.setLayout(layout);
    draw();
  }

  /** By the viewer's own method, between the slices of the plane that is shown. */
  function interpolate(): void {
    const drawing = viewer.drawing!;
    const before = drawing.voxels.slice();
    const plane = { coronal: 1, sagittal: 2 }[session.layout as string] ?? 0;
    try {
      viewer.nv.interpolateMaskSlices(undefined, undefined, { useIntensityGuided: false, sliceType: plane });
    } catch (error) {
      say(`Nothing to interpolate: draw two slices with a gap between them (${(error as Error).message}).`, "wrong");
      return;
    }
    const after = drawing.voxels.slice();
    drawing.voxels.set(before);
    if (!session.take(after, null, "interpolated")) say("Nothing to interpolate: draw two slices with a gap between them.", "wrong");
    viewer.nv.refreshDrawing(true);
  }

  async function openMask(slug: string): Promise<void> {
    if (!(await mayLeave())) return;
    frame.classList.add("loading");
    await session.openMask(slug);
    await opened();
  }

  async function decide(verdict: "approve" | "reopen"): Promise<void> {
    if (await session.decide(verdict, panel.note)) {
      say(`${session.patient.name}: ${session.patient.state}.`);
      await panel.changed();
    }
  }

  async function reject(): Promise<void> {
    const why = h("input", { "aria-label": "Why", placeholder: "Why?", maxlength: 400, value: panel.note });
    const answer = await question(`Reject the masks of ${session.patient.name}?`, [["yes", "Reject"], ["", "Cancel"]], why);
    if (answer === "yes" && (await session.decide("reject", why.value))) await panel.changed();
  }

  function neighbour(by: number): number | undefined {
    const ids = list.order();
    return ids[ids.indexOf(id) + by];
  }

  function go(by: number): void {
    const next = neighbour(by);
    location.hash = next === undefined ? "#/" : `#/patient/${next}`;
  }

  async function mayLeave(): Promise<boolean> {
    if (!session.dirty) return true;
    const answer = await question(`Your strokes on ${session.kind.title} are not saved.`, [
      ["save", "Save"],
      ["keep", "Leave them as a draft"],
      ["", "Stay"],
    ]);
    if (answer === "save") return session.save();
    return answer === "keep";
  }

  function onLeave(event: BeforeUnloadEvent): void {
    if (session.dirty) event.preventDefault();
  }

  function onKey(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    const inField = target.matches?.("input:not([type=range]), textarea, select") || (find("dialog") as HTMLDialogElement).open;
    if (inField) {
      if (event.key === "Escape") target.blur();
      return;
    }
    const key = event.key.toLowerCase();
    const steps = { arrowup: 1, arrowdown: -1, pageup: 5, pagedown: -5 }[key];
    const digit = event.shiftKey ? /^Digit(\d)$/.exec(event.code)?.[1] : undefined;
    const kind = digit ? session.kinds()[Number(digit) - 1] : undefined;
    const tool = TOOLS.find((each) => each.key === key);
    const layout = LAYOUTS.find((each) => each[2] === key);
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    const actions: Record<string, () => void> = {
      s: () => void session.save(),
      a: () => void decide("approve"),
      r: () => void reject(),
      n: () => go(1),
      p: () => go(-1),
      z: () => session.undo(),
      y: () => session.redo(),
      i: interpolate,
      o: () => look(!outline, opacity),
      l: () => {
        tools.ball = !tools.ball;
        draw();
      },
      w: () => panel.nextWindow(),
      "[": () => tools.resize(-1),
      "]": () => tools.resize(1),
      escape: () => (tools.tool === "look" ? (location.hash = "#/") : tools.choose("look")),
    };
    let action: (() => void) | undefined;
    if ((event.ctrlKey || event.metaKey) && (key === "z" || key === "s" || key === "y")) {
      action = key === "z" && event.shiftKey ? () => session.redo() : actions[key];
    } else if (plain) {
      if (steps) action = () => viewer.step(session.layout === "coronal" ? 1 : session.layout === "sagittal" ? 0 : 2, steps);
      else if (kind) action = () => void openMask(kind.slug);
      else if (tool) action = () => tools.choose(tool.tool);
      else if (layout) action = () => layOut(layout[0]);
      else action = actions[key];
    }
    if (!action) return;
    event.preventDefault();
    action();
  }

  return async () => {
    window.removeEventListener("keydown", onKey, { capture: true });
    window.removeEventListener("beforeunload", onLeave);
    await session.settle();
    tools.release();
    panel.close();
    viewer.clear();
    delete frame.dataset.patient;
    return true;
  };
}

function button(title: string, key: string, onclick: () => void, more: Record<string, unknown> = {}): HTMLElement {
  return h("button", { onclick, ...more }, title, key && !("title" in more) && h("kbd", {}, key.toUpperCase()));
}

function toggle(title: string, hint: string, on: boolean, change: () => void): HTMLElement {
  return h("button", { "aria-pressed": String(on), title: hint, onclick: change }, title);
}

function swatch(label: number): HTMLElement {
  return h("i", { class: "swatch", style: `background:${COLOURS[(label - 1) % COLOURS.length]}` });
}
