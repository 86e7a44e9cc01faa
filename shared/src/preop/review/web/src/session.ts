/** One patient on the screen: what is loaded, what is drawn and not saved, and how it is saved. */

import * as api from "./api";
import { question, say, when } from "./dom";
import { dropDraft, findDraft, keepDraft } from "./drafts";
import type { Box } from "./drawing";
import type { Layout, Viewer } from "./viewer";

const DRAFT_AFTER_MS = 600;

export class Session {
  patient!: api.Patient;
  kind!: api.MaskKind;
  label = 1;
  dirty = false;
  layout: Layout = "all";
  /** Is called after each mask that was saved. */
  saved: () => void = () => undefined;
  private origin = "";
  private basedOn: number | undefined;
  /** Revision that the strokes on the screen were drawn on. */
  private revision = 0;
  private timer = 0;
  private saving: Promise<boolean> | null = null;

  constructor(
    readonly description: api.Description,
    readonly viewer: Viewer,
    readonly changed: () => void,
  ) {}

  async open(id: number, slug?: string): Promise<void> {
    this.patient = await api.getPatient(id);
    const possible = this.kinds();
    if (!possible.length) throw new Error(`${this.patient.name} has no scan on which a mask is drawn.`);
    await this.openMask((possible.find((each) => each.slug === slug) ?? possible[0]).slug);
  }

  /** Masks that this patient has a scan for. */
  kinds(): api.MaskKind[] {
    return this.description.masks.filter((mask) => mask.of in this.patient.scans);
  }

  async openMask(slug: string): Promise<void> {
    this.kind = this.description.masks.find((mask) => mask.slug === slug)!;
    const { id } = this.patient;
    const scan = this.kind.of;
    const [content, mask] = await Promise.all([api.getScan(id, scan, scan), api.getMask(id, slug)]);
    const marked = await this.viewer.show(content, this.patient.scans[scan].window, this.colours(scan), mask);
    this.label = Object.values(this.kind.labels)[0] ?? Math.max(1, marked.highest);
    this.dirty = false;
    this.origin = "";
    this.revision = this.patient.revision;
    this.basedOn = this.patient.masks[slug];
    if (marked.middle) this.viewer.goTo(marked.middle);
    await this.restore();
    this.changed();
  }

  colours(slug: string): string {
    return this.description.scans.find((scan) => scan.slug === slug)?.modality === "PET" ? "gray_r" : "gray";
  }

  /** Something was drawn: show it, and keep it as a draft in this browser. */
  drawn(box: Box | null, origin: string): void {
    if (!box) return;
    this.viewer.refresh(box);
    this.dirty = true;
    if (!this.origin.includes(origin)) this.origin = [this.origin, origin].filter(Boolean).join(", ");
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.keep(), DRAFT_AFTER_MS);
    this.changed();
  }

  /** Take over a mask from elsewhere as one step, which can be undone. */
  take(mask: Uint8Array, label: number | null, origin: string): boolean {
    const drawing = this.viewer.drawing!;
    if (mask.length !== drawing.voxels.length) throw new Error("The mask does not have the voxels of this scan.");
    drawing.begin();
    drawing.take(mask, label);
    const box = drawing.end();
    this.drawn(box, origin);
    return box !== null;
  }

  /** Take over a whole mask; where something is drawn, only after the question whether it may go. */
  async replace(mask: Uint8Array, origin: string): Promise<boolean | null> {
    const { kind, patient } = this;
    if (this.viewer.drawing!.voxels.some((label) => label > 0)) {
      const answer = await question("Something is drawn already, and would be replaced. Undo brings it back.", [
        ["replace", "Replace it"],
        ["", "Keep what is drawn"],
      ]);
      if (answer !== "replace" || this.kind !== kind || this.patient.id !== patient.id) return null;
    }
    return this.take(mask, null, origin);
  }

  /** Measure the structure that is drawn at a voxel; null where nothing is drawn there. */
  async measure(voxel: api.Voxel): Promise<api.Diameters | null> {
    const drawing = this.viewer.drawing!;
    const label = drawing.voxels[drawing.place(voxel)];
    const part = label ? drawing.part(label) : null;
    if (!part) return null;
    const at = voxel.map((each, i) => each - part.box.low[i]) as api.Voxel;
    return api.measure(this.patient.id, this.kind.slug, part.content, part.size, at);
  }

  undo(): void {
    this.drawn(this.viewer.drawing!.undo(), "drawn by hand");
  }

  redo(): void {
    this.drawn(this.viewer.drawing!.redo(), "drawn by hand");
  }

  /** Save what is drawn; false where it could not be. */
  save(): Promise<boolean> {
    this.saving ??= this.write().finally(() => {
      this.saving = null;
    });
    return this.saving;
  }

  async decide(verdict: api.Verdict, note: string): Promise<boolean> {
    if (verdict === "approve" && this.dirty && !(await this.save())) return false;
    const upToDate = this.revision === this.patient.revision;
    try {
      this.patient = await api.decide(this.patient.id, verdict, this.patient.revision, note);
      if (upToDate) this.revision = this.patient.revision;
    } catch (error) {
      await this.refused(error as api.Refused);
      return false;
    }
    this.changed();
    return true;
  }

  /** Keep strokes that are not saved as a draft, before the page is left. */
  async settle(): Promise<void> {
    clearTimeout(this.timer);
    if (this.dirty) await this.keep();
  }

  private async write(): Promise<boolean> {
    if (!this.dirty) return true;
    clearTimeout(this.timer);
    const { id } = this.patient;
    const packed = await this.keep();
    const at = { revision: this.revision, basedOn: this.basedOn, origin: this.origin || "drawn by hand" };
    try {
      this.patient = await api.putMask(id, this.kind.slug, packed, at);
    } catch (error) {
      await this.refused(error as api.Refused);
      return false;
    }
    this.dirty = false;
    this.origin = "";
    this.revision = this.patient.revision;
    this.basedOn = this.patient.masks[this.kind.slug];
    await dropDraft(this.key);
    say("Saved.");
    this.changed();
    this.saved();
    return true;
  }

  /** Say why the server refused; after someone else's change, offer to look at it. */
  private async refused(error: api.Refused): Promise<void> {
    if (error.status !== 409) {
      say(error.message, "wrong");
      return;
    }
    const answer = await question(error.message, [
      ["theirs", "Show theirs (undo brings mine back)"],
      ["", "Keep mine on the screen"],
    ]);
    this.patient = await api.getPatient(this.patient.id);
    if (answer === "theirs") {
      const theirs = await api.getMask(this.patient.id, this.kind.slug);
      if (theirs) this.take(theirs, null, `mask ${this.patient.masks[this.kind.slug]}`);
      this.revision = this.patient.revision;
      this.basedOn = this.patient.masks[this.kind.slug];
      // What is on the screen is what was saved: there is nothing of mine in it until something is drawn, or undone.
      this.dirty = false;
      clearTimeout(this.timer);
    }
    this.changed();
  }

  private get key(): string {
    const { study, table } = this.description;
    return `${study}/${table}/${this.patient.name}/${this.kind.slug}`;
  }

  private async keep(): Promise<Uint8Array<ArrayBuffer>> {
    const { key, revision, basedOn, origin } = this;
    const packed = await api.pack(this.viewer.drawing!.voxels);
    if (this.dirty) await keepDraft(key, { revision, basedOn, origin, at: new Date().toISOString(), packed });
    return packed;
  }

  private async restore(): Promise<void> {
    const draft = await findDraft(this.key).catch(() => undefined);
    if (!draft) return;
    const voxels = await api.unpack(draft.packed);
    if (voxels.length !== this.viewer.drawing!.voxels.length) return;
    if (!this.take(voxels, null, draft.origin)) return;
    this.revision = draft.revision;
    this.basedOn = draft.basedOn;
    say(`Your strokes of ${when(draft.at)}, which were not saved, are back.`);
  }
}
