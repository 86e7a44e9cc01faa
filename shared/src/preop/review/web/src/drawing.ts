/** The mask that is drawn: one byte a voxel, x fastest, with undo. It knows nothing of screens. */

import type { Voxel } from "./api";

/** Plane of a slice, by the axis across it: 2 axial, 1 coronal, 0 sagittal. */
export type Axis = 0 | 1 | 2;

export interface Box {
  low: Voxel;
  high: Voxel;
}

interface Step {
  places: Uint32Array;
  before: Uint8Array;
  after: Uint8Array;
}

export interface Brush {
  label: number;
  radiusMm: number;
  /** A ball instead of a disc in the plane. */
  ball: boolean;
  /** Whether a voxel may be marked: the threshold brush. */
  allows?: (place: number) => boolean;
}

export interface Marked {
  /** Around all that is marked; null where nothing is. */
  box: Box | null;
  highest: number;
  /** Middle of what is marked in the axial slice that has most of it. */
  middle: Voxel | null;
}

const MAX_STEPS = 200;

export class Drawing {
  private open: Map<number, number> | null = null;
  private undone: Step[] = [];
  private done: Step[] = [];

  constructor(
    readonly size: Voxel,
    readonly spacingMm: Voxel,
    readonly voxels: Uint8Array<ArrayBuffer>,
  ) {}

  place([x, y, z]: Voxel): number {
    return x + this.size[0] * (y + this.size[1] * z);
  }

  at(place: number): Voxel {
    const x = place % this.size[0];
    const rest = (place - x) / this.size[0];
    const y = rest % this.size[1];
    return [x, y, (rest - y) / this.size[1]];
  }

  get canUndo(): boolean {
    return this.done.length > 0;
  }

  get canRedo(): boolean {
    return this.undone.length > 0;
  }

  begin(): void {
    this.open ??= new Map();
  }

  /** End a step; gives the box in which anything changed, or null. */
  end(): Box | null {
    const changes = this.open;
    this.open = null;
    if (!changes) return null;
    const places: number[] = [];
    for (const [place, before] of changes) if (this.voxels[place] !== before) places.push(place);
    if (!places.length) return null;
    const step: Step = {
      places: Uint32Array.from(places),
      before: Uint8Array.from(places, (place) => changes.get(place)!),
      after: Uint8Array.from(places, (place) => this.voxels[place]),
    };
    this.done.push(step);
    if (this.done.length > MAX_STEPS) this.done.shift();
    this.undone = [];
    return this.around(step.places);
  }

  set(place: number, label: number): void {
    const before = this.voxels[place];
    if (before === label) return;
    if (!this.open!.has(place)) this.open!.set(place, before);
    this.voxels[place] = label;
  }

  undo(): Box | null {
    return this.back(this.done, this.undone, "before");
  }

  redo(): Box | null {
    return this.back(this.undone, this.done, "after");
  }

  /** Mark along a line in one slice, as the pointer moved; gives the box that was touched. */
  stroke(from: Voxel, to: Voxel, axis: Axis, brush: Brush): Box {
    const steps = Math.max(...from.map((each, i) => Math.abs(each - to[i])), 1);
    const touched: Box = { low: [...this.size], high: [0, 0, 0] };
    for (let step = from === to ? steps : 0; step <= steps; step++) {
      const centre = from.map((each, i) => Math.round(each + ((to[i] - each) * step) / steps)) as Voxel;
      this.dab(centre, axis, brush, touched);
    }
    return touched;
  }

  private dab(centre: Voxel, axis: Axis, brush: Brush, touched: Box): void {
    const reach = this.spacingMm.map((mm) => Math.floor(brush.radiusMm / mm)) as Voxel;
    if (!brush.ball) reach[axis] = 0;
    const low = centre.map((each, i) => Math.max(each - reach[i], 0)) as Voxel;
    const high = centre.map((each, i) => Math.min(each + reach[i], this.size[i] - 1)) as Voxel;
    const limit = brush.radiusMm * brush.radiusMm + 1e-6;
    for (let z = low[2]; z <= high[2]; z++)
      for (let y = low[1]; y <= high[1]; y++)
        for (let x = low[0]; x <= high[0]; x++) {
          const dx = (x - centre[0]) * this.spacingMm[0];
          const dy = (y - centre[1]) * this.spacingMm[1];
          const dz = (z - centre[2]) * this.spacingMm[2];
          if (dx * dx + dy * dy + dz * dz > limit) continue;
          const place = this.place([x, y, z]);
          if (!brush.allows || brush.allows(place)) this.set(place, brush.label);
        }
    for (let i = 0; i < 3; i++) {
      touched.low[i] = Math.min(touched.low[i], low[i]);
      touched.high[i] = Math.max(touched.high[i], high[i]);
    }
  }

  /** Fill what is enclosed in a slice around a voxel; false where it is open to the edge of the slice. */
  fill(start: Voxel, axis: Axis, label: number): boolean {
    const from = this.voxels[this.place(start)];
    if (from === label) return true;
    const [a, b] = [0, 1, 2].filter((each) => each !== axis) as [Axis, Axis];
    const seen = new Set<number>([this.place(start)]);
    const waiting: Voxel[] = [start];
    while (waiting.length) {
      const voxel = waiting.pop()!;
      for (const [which, step] of [[a, 1], [a, -1], [b, 1], [b, -1]] as const) {
        const next = [...voxel] as Voxel;
        next[which] += step;
        if (next[which] < 0 || next[which] >= this.size[which]) return false;
        const place = this.place(next);
        if (this.voxels[place] !== from || seen.has(place)) continue;
        seen.add(place);
        waiting.push(next);
      }
    }
    for (const place of seen) this.set(place, label);
    return true;
  }

  /** Take over a mask: all of it as it is, or what it marks as one label over what is there. */
  take(mask: Uint8Array, label: number | null): void {
    for (let place = 0; place < mask.length; place++) {
      if (label === null) this.set(place, mask[place]);
      else if (mask[place]) this.set(place, label);
    }
  }

  /** Take the box around all voxels of a label: 1 where they are, 0 elsewhere; null where there are none. */
  part(label: number): { box: Box; size: Voxel; content: Uint8Array<ArrayBuffer> } | null {
    const box: Box = { low: [...this.size], high: [0, 0, 0] };
    let found = false;
    for (let place = this.voxels.indexOf(label); place >= 0; place = this.voxels.indexOf(label, place + 1)) {
      extend(box, this.at(place));
      found = true;
    }
    if (!found) return null;
    const size = box.low.map((low, i) => box.high[i] - low + 1) as Voxel;
    const content = new Uint8Array(size[0] * size[1] * size[2]);
    let next = 0;
    for (let z = box.low[2]; z <= box.high[2]; z++)
      for (let y = box.low[1]; y <= box.high[1]; y++)
        for (let x = box.low[0]; x <= box.high[0]; x++) content[next++] = Number(this.voxels[this.place([x, y, z])] === label);
    return { box, size, content };
  }

  /** Look at all that is marked. */
  marked(): Marked {
    const { voxels, size } = this;
    const perSlice = size[0] * size[1];
    const box: Box = { low: [...size], high: [0, 0, 0] };
    let highest = 0;
    let most = 0;
    let middle: Voxel = [0, 0, 0];
    for (let z = 0; z < size[2]; z++) {
      let [count, sumX, sumY] = [0, 0, 0];
      for (let place = z * perSlice; place < (z + 1) * perSlice; place++) {
        if (!voxels[place]) continue;
        const [x, y] = this.at(place);
        count++;
        sumX += x;
        sumY += y;
        if (voxels[place] > highest) highest = voxels[place];
        extend(box, [x, y, z]);
      }
      if (count > most) [most, middle] = [count, [Math.round(sumX / count), Math.round(sumY / count), z]];
    }
    return { box: most ? box : null, highest, middle: most ? middle : null };
  }

  private back(from: Step[], to: Step[], which: "before" | "after"): Box | null {
    const step = from.pop();
    if (!step) return null;
    to.push(step);
    step.places.forEach((place, i) => {
      this.voxels[place] = step[which][i];
    });
    return this.around(step.places);
  }

  private around(places: Uint32Array): Box {
    const box: Box = { low: [...this.size], high: [0, 0, 0] };
    for (const place of places) extend(box, this.at(place));
    return box;
  }
}

function extend(box: Box, voxel: Voxel): void {
  for (let i = 0; i < 3; i++) {
    box.low[i] = Math.min(box.low[i], voxel[i]);
    box.high[i] = Math.max(box.high[i], voxel[i]);
  }
}
