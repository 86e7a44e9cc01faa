/** Tools of the pointer: what a click or a stroke in a slice does. */

import * as api from "./api";
import { h, say } from "./dom";
import type { Brush } from "./drawing";
import type { Session } from "./session";
import type { Place } from "./viewer";

export type Tool = "look" | "brush" | "eraser" | "threshold" | "fill" | "point" | "box" | "ruler";

export const TOOLS: { tool: Tool; key: string; title: string; hint: string }[] = [
  { tool: "look", key: "v", title: "Look", hint: "Left: crosshair. Right: window. Shift: move. Wheel: slices." },
  { tool: "brush", key: "b", title: "Brush", hint: "Marks voxels. [ and ] change its size." },
  { tool: "eraser", key: "e", title: "Eraser", hint: "Unmarks voxels." },
  { tool: "threshold", key: "t", title: "Threshold brush", hint: "Marks only voxels whose value lies in the range." },
  { tool: "fill", key: "f", title: "Fill", hint: "Fills what an outline encloses in this slice." },
  { tool: "point", key: "g", title: "Propose from a click", hint: "Click into the structure; Alt-click: not this." },
  { tool: "box", key: "x", title: "Propose from a box", hint: "Draw a box around the structure in a slice." },
  { tool: "ruler", key: "m", title: "Ruler", hint: "Drag along a line; click into what is drawn for its short axis." },
];

/** A pointer that moves less between down and up has clicked. */
const CLICK_PIXELS = 4;

export class Tools {
  tool: Tool = "look";
  radiusMm = 3;
  ball = false;
  range: [number, number] = [0, 1];
  /** How many slices on each side a box reaches, in mm. */
  depthMm = 15;
  private stroke: { last: Place; brush: Brush } | null = null;
  private corner: { place: Place; x: number; y: number } | null = null;
  private prompt: api.Prompt | null = null;
  private pressed: [number, number] | null = null;
  private proposing = false;
  private readonly listening = new AbortController();
  private readonly ring = h("div", { class: "ring" });
  private readonly rubber = h("div", { class: "rubber" });

  constructor(
    readonly session: Session,
    readonly frame: HTMLElement,
    readonly changed: () => void,
  ) {
    frame.append(this.ring, this.rubber);
    // Before the viewer sees them: with a tool in hand, the crosshair stays.
    const early = { capture: true, signal: this.listening.signal };
    frame.addEventListener("mousedown", (event) => this.down(event), early);
    window.addEventListener("mousemove", (event) => this.move(event), early);
    window.addEventListener("mouseup", (event) => this.up(event), early);
    frame.addEventListener("mouseleave", () => this.ring.classList.remove("shown"), early);
  }

  /** Let go of the frame, which another patient takes over. */
  release(): void {
    this.listening.abort();
    this.ring.remove();
    this.rubber.remove();
  }

  choose(tool: Tool): void {
    this.tool = tool;
    this.prompt = null;
    this.session.viewer.measure(tool === "ruler");
    this.ring.classList.remove("shown");
    this.frame.dataset.tool = tool;
    this.changed();
  }

  resize(by: number): void {
    this.radiusMm = Math.min(40, Math.max(0, Math.round((this.radiusMm + by * Math.max(0.5, this.radiusMm * 0.2)) * 2) / 2));
    this.changed();
  }

  private get draws(): boolean {
    return this.tool === "brush" || this.tool === "eraser" || this.tool === "threshold";
  }

  private brush(): Brush {
    const { viewer, label } = this.session;
    const common = { radiusMm: this.radiusMm, ball: this.ball };
    if (this.tool === "eraser") return { ...common, label: 0 };
    if (this.tool === "brush") return { ...common, label };
    const [low, high] = this.range;
    const allows = (place: number) => {
      const value = viewer.value(place);
      return value >= low && value <= high;
    };
    return { ...common, label, allows };
  }

  private down(event: MouseEvent): void {
    if (event.button !== 0 || event.shiftKey || this.tool === "look") return;
    this.pressed = [event.clientX, event.clientY];
    if (this.tool === "ruler") return; // the line is the viewer's
    const { viewer } = this.session;
    const place = viewer.placeOf(event);
    if (!place || !viewer.drawing) return;
    event.stopPropagation();
    event.preventDefault();
    (document.activeElement as HTMLElement | null)?.blur();
    if (this.draws) {
      const brush = this.brush();
      viewer.drawing.begin();
      this.stroke = { last: place, brush };
      viewer.refresh(viewer.drawing.stroke(place.voxel, place.voxel, place.axis, brush));
    } else if (this.tool === "fill") this.fill(place);
    else if (this.tool === "point") void this.point(place, event.altKey);
    else this.corner = { place, x: event.clientX, y: event.clientY };
  }

  private move(event: MouseEvent): void {
    const { viewer } = this.session;
    this.showRing(event);
    if (this.corner) this.showRubber(event);
    if (!this.stroke || !viewer.drawing) return;
    event.stopPropagation();
    const place = viewer.placeOf(event);
    // Out of the slice in which it began, a stroke waits.
    if (!place || place.axis !== this.stroke.last.axis) return;
    if (place.voxel[place.axis] !== this.stroke.last.voxel[place.axis]) return;
    viewer.refresh(viewer.drawing.stroke(this.stroke.last.voxel, place.voxel, place.axis, this.stroke.brush));
    this.stroke.last = place;
  }

  private up(event: MouseEvent): void {
    const { viewer } = this.session;
    if (this.tool === "ruler" && this.pressed) void this.measure(event);
    this.pressed = null;
    if (this.stroke && viewer.drawing) {
      event.stopPropagation();
      this.stroke = null;
      this.session.drawn(viewer.drawing.end(), "drawn by hand");
    }
    if (this.corner) {
      const { place } = this.corner;
      this.corner = null;
      this.rubber.classList.remove("shown");
      const other = viewer.placeOf(event);
      if (other && other.axis === place.axis) void this.box(place, other);
    }
  }

  /** A click, not a line: the diameters of what is drawn there. */
  private async measure(event: MouseEvent): Promise<void> {
    const [x, y] = this.pressed!;
    const place = Math.hypot(event.clientX - x, event.clientY - y) < CLICK_PIXELS ? this.session.viewer.placeOf(event) : null;
    if (!place) return;
    try {
      const found = await this.session.measure(place.voxel);
      if (!found) say("Nothing is drawn there: click into what is drawn, or drag a line.", "wrong");
      else say(`Short axis ${found.short_axis_mm.toFixed(1)} mm, long axis ${found.long_axis_mm.toFixed(1)} mm (axial), volume ${Number(found.volume_ml.toPrecision(3))} ml`);
    } catch (error) {
      say((error as Error).message, "wrong");
    }
  }

  private fill(place: Place): void {
    const drawing = this.session.viewer.drawing!;
    drawing.begin();
    const closed = drawing.fill(place.voxel, place.axis, this.session.label);
    const box = drawing.end();
    if (closed) this.session.drawn(box, "drawn by hand");
    else say("The outline is open to the edge of the slice: close it first.", "wrong");
  }

  private async point(place: Place, outside: boolean): Promise<void> {
    const method = this.method("click");
    if (!method) return;
    this.prompt ??= { method, inside: [], outside: [], box: null };
    this.prompt[outside ? "outside" : "inside"].push(place.voxel);
    if (this.prompt.inside.length) await this.propose(this.prompt, this.prompt.inside.length + this.prompt.outside.length > 1);
  }

  private async box(one: Place, other: Place): Promise<void> {
    const method = this.method("box");
    if (!method) return;
    const { size, spacingMm } = this.session.viewer.drawing!;
    const low = one.voxel.map((each, i) => Math.min(each, other.voxel[i])) as api.Voxel;
    const high = one.voxel.map((each, i) => Math.max(each, other.voxel[i])) as api.Voxel;
    const reach = Math.round(this.depthMm / spacingMm[one.axis]);
    low[one.axis] = Math.max(0, one.voxel[one.axis] - reach);
    high[one.axis] = Math.min(size[one.axis] - 1, one.voxel[one.axis] + reach);
    await this.propose({ method, inside: [], outside: [], box: [low, high] }, false);
  }

  /** The method chosen for clicks or boxes. */
  methods: Partial<Record<"click" | "box", string>> = {};

  /** The methods that take a click or a box on the scan that is drawn on. */
  fitting(needs: "click" | "box"): api.Description["methods"] {
    const { description, kind } = this.session;
    return description.methods.filter((each) => each.needs === needs && (each.of === null || each.of === kind.of));
  }

  private method(needs: "click" | "box"): string | undefined {
    const found = this.fitting(needs);
    return found.find((each) => each.name === this.methods[needs])?.name ?? found[0]?.name;
  }

  private async propose(prompt: api.Prompt, again: boolean): Promise<void> {
    if (this.proposing) return;
    const { patient, kind, description } = this.session;
    this.proposing = true;
    this.frame.classList.add("busy");
    try {
      const mask = await api.prompt(patient.id, kind.slug, prompt);
      if (this.session.patient.id !== patient.id || this.session.kind.slug !== kind.slug) return;
      if (again) this.session.undo(); // a further click replaces what the clicks before it gave
      const title = description.methods.find((each) => each.name === prompt.method)!.title;
      if (!this.session.take(mask, this.session.label, title)) say("Nothing was found there.", "wrong");
    } catch (error) {
      say((error as Error).message, "wrong");
    } finally {
      this.proposing = false;
      this.frame.classList.remove("busy");
    }
  }

  private showRing(event: MouseEvent): void {
    const inFrame = event.target instanceof Node && this.frame.contains(event.target);
    const pixels = this.draws && inFrame ? this.session.viewer.pixelsPerMm(event) : 0;
    this.ring.classList.toggle("shown", pixels > 0);
    if (!pixels) return;
    const bounds = this.frame.getBoundingClientRect();
    const diameter = Math.max(3, 2 * this.radiusMm * pixels);
    Object.assign(this.ring.style, {
      width: `${diameter}px`,
      height: `${diameter}px`,
      left: `${event.clientX - bounds.left - diameter / 2}px`,
      top: `${event.clientY - bounds.top - diameter / 2}px`,
    });
  }

  private showRubber(event: MouseEvent): void {
    const bounds = this.frame.getBoundingClientRect();
    const { x, y } = this.corner!;
    Object.assign(this.rubber.style, {
      left: `${Math.min(x, event.clientX) - bounds.left}px`,
      top: `${Math.min(y, event.clientY) - bounds.top}px`,
      width: `${Math.abs(event.clientX - x)}px`,
      height: `${Math.abs(event.clientY - y)}px`,
    });
    this.rubber.classList.add("shown");
  }
}
