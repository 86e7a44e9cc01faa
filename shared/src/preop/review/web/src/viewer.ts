/**
 * Three planes and 3D by NiiVue. The server sends volumes that are turned already, so that a voxel of the drawing is the
 * voxel of the array; `show` refuses a volume for which that would not hold, because a mask must never be drawn beside it.
 */

import { DRAG_MODE, NVImage, Niivue, SHOW_RENDER, SLICE_TYPE } from "@niivue/niivue";
import type { Voxel } from "./api";
import { type Axis, type Box, Drawing, type Marked } from "./drawing";
import { ScanTexture } from "./scan";

export type Layout = "all" | "axial" | "coronal" | "sagittal" | "3d";

export interface Place {
  voxel: Voxel;
  axis: Axis;
}

const AXES: Record<number, Axis> = { [SLICE_TYPE.AXIAL]: 2, [SLICE_TYPE.CORONAL]: 1, [SLICE_TYPE.SAGITTAL]: 0 };
const AXIAL_SHARE = 0.64;
const TYPES: Record<Exclude<Layout, "all">, SLICE_TYPE> = {
  axial: SLICE_TYPE.AXIAL,
  coronal: SLICE_TYPE.CORONAL,
  sagittal: SLICE_TYPE.SAGITTAL,
  "3d": SLICE_TYPE.RENDER,
};
const DRAWING_UNIT = 7;
/** NiiVue's COLORMAP_TYPE.ZERO_TO_MAX_TRANSPARENT_BELOW_MIN, which it does not export. */
const TRANSPARENT_BELOW = 1;
/** Colours of labels: told apart on grey, and by people who see no red and green (Okabe and Ito). */
export const COLOURS = ["#ffb020", "#56b4e9", "#2fc79a", "#e78ac3", "#f0e442", "#d55e00", "#7f9cff", "#c9c9c9"];

export class Viewer {
  readonly nv: Niivue;
  drawing: Drawing | null = null;
  private readonly scan: ScanTexture;
  private fast = true;
  private changed: Box | null = null;
  onMove: (voxel: Voxel, value: number) => void = () => undefined;
  onMeasured: (mm: number) => void = () => undefined;

  constructor(readonly canvas: HTMLCanvasElement) {
    this.nv = new Niivue({
      backColor: [0, 0, 0, 1],
      crosshairColor: [0.35, 0.72, 0.68, 0.8],
      crosshairWidth: 0.2,
      crosshairWidthUnit: "percent",
      crosshairGap: 2,
      fontColor: [0.62, 0.68, 0.74, 1],
      fontSizeScaling: 0.5,
      fontMinPx: 13,
      isRadiologicalConvention: true,
      isOrientationTextVisible: true,
      sagittalNoseLeft: true,
      show3Dcrosshair: true,
      multiplanarPadPixels: 2,
      multiplanarShowRender: SHOW_RENDER.NEVER,
      dragAndDropEnabled: false,
      rulerColor: [1, 0.69, 0.13, 0.9],
      measureLineColor: [1, 0.69, 0.13, 1],
      measureTextColor: [1, 0.69, 0.13, 1],
      loadingText: "",
      isRuler: true,
      rulerWidth: 2,
      // Its own keys would turn and cut the volume: the page has all keys.
      viewModeHotKey: "",
      clipPlaneHotKey: "",
      cycleClipPlaneHotKey: "",
      logLevel: "error",
      maxDrawUndoBitmaps: 1,
    });
    this.nv.onLocationChange = () => this.moved();
    this.nv.onMeasurementCompleted = (measured) => this.onMeasured(measured.distance);
    this.measure(false);
    this.setLabelColours();
    this.scan = new ScanTexture(this.nv);
    // One picture a frame, however often the viewer asks: opening a patient alone asks a dozen times.
    const draw = this.nv.drawScene.bind(this.nv);
    let waiting = false;
    this.nv.drawScene = () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        draw();
      });
    };
  }

  async attach(): Promise<void> {
    await this.nv.attachToCanvas(this.canvas);
    for (const name of ["keydown", "keyup"]) this.canvas.addEventListener(name, (event) => event.stopImmediatePropagation(), { capture: true });
    // Without a graphics card a picture in 3D takes seconds, and the planes would wait for it: then it is shown alone.
    const { gl } = this.nv;
    const known = gl.getExtension("WEBGL_debug_renderer_info");
    const name = String(known ? gl.getParameter(known.UNMASKED_RENDERER_WEBGL) : "");
    this.fast = !/swiftshader|llvmpipe|software|basic render/i.test(name);
  }

  /** Show a scan, with a mask to draw on: one byte a voxel, or null for an empty one; gives what is marked on it. */
  async show(content: ArrayBuffer, window: [number, number], colours: string, mask: Uint8Array<ArrayBuffer> | null): Promise<Marked> {
    this.clear();
    const volume = await image(content, "scan.nii", colours, 1, window);
    this.nv.addVolume(volume);
    const size = volume.dimsRAS!.slice(1, 4) as Voxel;
    const straight = String(volume.permRAS) === "1,2,3" && size.every((each, i) => each === volume.hdr!.dims[i + 1]);
    if (!straight) throw new Error("This scan cannot be drawn on: the viewer would turn it.");
    const spacing = Array.from(volume.hdr!.pixDims.slice(1, 4)) as Voxel;
    const voxels = mask ?? new Uint8Array(size[0] * size[1] * size[2]);
    this.nv.drawBitmap = voxels;
    this.nv.drawTexture = this.nv.r8Tex(this.nv.drawTexture, this.nv.gl.TEXTURE0 + DRAWING_UNIT, volume.dimsRAS!);
    this.drawing = new Drawing(size, spacing, voxels);
    const marked = this.drawing.marked();
    this.refresh(marked.box);
    return marked;
  }

  /** Lay another volume over the scan; what is low in its window lets the scan through, so that uptake alone has colour. */
  async lay(content: ArrayBuffer, colours: string, opacity: number, window?: [number, number]): Promise<void> {
    const [low, high] = window ?? [0, 0];
    const above: [number, number] | undefined = window && [low + 0.15 * (high - low), high];
    const volume = await image(content, "layer.nii", colours, opacity, above);
    volume.colormapType = TRANSPARENT_BELOW;
    this.nv.addVolume(volume);
  }

  /** Show a scan without drawing, beside another viewer. */
  async showAlone(content: ArrayBuffer, window: [number, number], colours: string): Promise<void> {
    this.clear();
    this.nv.addVolume(await image(content, "scan.nii", colours, 1, window));
  }

  clear(): void {
    this.nv.volumes = []; // as the viewer does before it loads others: removing one by one would draw each time
    this.nv.overlays = [];
    this.nv.document.completedMeasurements = [];
    this.nv.document.completedAngles = [];
    this.drawing = this.changed = null;
  }

  removeLayers(): void {
    while (this.nv.volumes.length > 1) this.nv.removeVolumeByIndex(this.nv.volumes.length - 1);
  }

  setLayerOpacity(opacity: number): void {
    for (let place = 1; place < this.nv.volumes.length; place++) this.nv.setOpacity(place, opacity);
  }

  setWindow([low, high]: [number, number]): void {
    const volume = this.nv.volumes[0];
    if (!volume) return;
    volume.cal_min = low;
    volume.cal_max = high;
    this.nv.updateGLVolume();
  }

  window(): [number, number] {
    const volume = this.nv.volumes[0];
    return [volume?.cal_min ?? 0, volume?.cal_max ?? 1];
  }

  setLayout(layout: Layout): void {
    this.scan.setDeep(layout === "3d" || (layout === "all" && this.fast));
    if (layout === "all") {
      const height = 1 / (this.fast ? 3 : 2);
      const right = [SLICE_TYPE.CORONAL, SLICE_TYPE.SAGITTAL, ...(this.fast ? [SLICE_TYPE.RENDER] : [])];
      this.nv.setCustomLayout([
        { sliceType: SLICE_TYPE.AXIAL, position: [0, 0, AXIAL_SHARE, 1] },
        ...right.map((sliceType, place) => ({
          sliceType,
          position: [AXIAL_SHARE, place * height, 1 - AXIAL_SHARE, height] as [number, number, number, number],
        })),
      ]);
    } else {
      this.nv.clearCustomLayout();
      this.nv.setSliceType(TYPES[layout]);
    }
  }

  /** Colours by the value of a label, in turn. */
  private setLabelColours(): void {
    const { lut } = this.nv.drawLut;
    for (let label = 1; label <= 255; label++) {
      const hex = COLOURS[(label - 1) % COLOURS.length];
      lut.set([...[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)), 255], label * 4);
    }
  }

  setMaskLook(outline: boolean, opacity: number): void {
    this.nv.drawRimOpacity = Math.min(opacity + 0.35, 1);
    this.nv.setDrawOpacity(outline ? 0.01 : opacity);
    this.nv.drawScene();
  }

  /** Where a pointer is in a slice; null over 3D and outside. */
  placeOf(event: MouseEvent): Place | null {
    const [x, y] = this.pointer(event);
    const tile = this.nv.tileIndex(x, y);
    const axis = tile < 0 ? undefined : AXES[this.nv.screenSlices[tile].axCorSag];
    if (axis === undefined) return null;
    const fraction = this.nv.screenXY2TextureFrac(x, y, tile, false);
    if (Array.from(fraction).some((each) => each < 0 || each > 1)) return null;
    const voxel = Array.from(this.nv.frac2vox(fraction)).slice(0, 3) as Voxel;
    return { voxel, axis };
  }

  /** Size of a millimetre on the screen in CSS pixels, in the slice under a pointer. */
  pixelsPerMm(event: MouseEvent): number {
    const slice = this.nv.screenSlices[this.nv.tileIndex(...this.pointer(event))];
    return slice ? slice.leftTopWidthHeight[2] / slice.fovMM[0] / (this.nv.uiData.dpr ?? 1) : 0;
  }

  /** Where a pointer is in the picture that is on the screen, even where the canvas has just changed its size. */
  private pointer(event: MouseEvent): [number, number] {
    const bounds = this.canvas.getBoundingClientRect();
    return [
      ((event.clientX - bounds.left) * this.canvas.width) / bounds.width,
      ((event.clientY - bounds.top) * this.canvas.height) / bounds.height,
    ];
  }

  /** Take the size of the canvas, and wait until that is on the screen. */
  async fit(): Promise<void> {
    this.nv.resizeListener();
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  }

  value(place: number): number {
    return Number(this.nv.volumes[0].img![place]);
  }

  get voxel(): Voxel {
    return Array.from(this.nv.frac2vox(this.nv.scene.crosshairPos)).slice(0, 3) as Voxel;
  }

  goTo(voxel: Voxel): void {
    const here = this.voxel;
    this.nv.moveCrosshairInVox(voxel[0] - here[0], voxel[1] - here[1], voxel[2] - here[2]);
  }

  step(axis: Axis, by: number): void {
    const move: Voxel = [0, 0, 0];
    move[axis] = by;
    this.nv.moveCrosshairInVox(...move);
  }

  /** Bring a part of the drawing to the screen with the next picture: that part alone, for a whole scan takes long. */
  refresh(box: Box | null): void {
    if (!box || box.high.some((each, i) => each < box.low[i])) return;
    if (!this.changed) requestAnimationFrame(() => this.send());
    const { low, high } = this.changed ?? box;
    this.changed = {
      low: low.map((each, i) => Math.min(each, box.low[i])) as Voxel,
      high: high.map((each, i) => Math.max(each, box.high[i])) as Voxel,
    };
  }

  private send(): void {
    const { drawing, nv, changed } = this;
    this.changed = null;
    if (!drawing || !changed) return;
    const { gl } = nv;
    const skipped = [gl.UNPACK_SKIP_PIXELS, gl.UNPACK_SKIP_ROWS, gl.UNPACK_SKIP_IMAGES];
    gl.activeTexture(gl.TEXTURE0 + DRAWING_UNIT);
    gl.bindTexture(gl.TEXTURE_3D, nv.drawTexture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.pixelStorei(gl.UNPACK_ROW_LENGTH, drawing.size[0]);
    gl.pixelStorei(gl.UNPACK_IMAGE_HEIGHT, drawing.size[1]);
    skipped.forEach((name, i) => gl.pixelStorei(name, changed.low[i]));
    const [width, height, depth] = changed.low.map((low, i) => changed.high[i] - low + 1);
    gl.texSubImage3D(gl.TEXTURE_3D, 0, ...changed.low, width, height, depth, gl.RED, gl.UNSIGNED_BYTE, drawing.voxels);
    for (const name of [gl.UNPACK_ROW_LENGTH, gl.UNPACK_IMAGE_HEIGHT, ...skipped]) gl.pixelStorei(name, 0);
    nv.drawScene();
  }

  /** Left button: the ruler, or the crosshair. Right: window. Middle: move and zoom. */
  measure(on: boolean): void {
    this.nv.setMouseEventConfig({
      leftButton: { primary: on ? DRAG_MODE.measurement : DRAG_MODE.crosshair, withShift: DRAG_MODE.pan },
      rightButton: DRAG_MODE.windowing,
      centerButton: DRAG_MODE.pan,
    });
  }

  /** Voxel and value under the crosshair, by the same rounding as those that are drawn. */
  private moved(): void {
    const { voxel, drawing } = this;
    if (drawing) this.onMove(voxel, this.value(drawing.place(voxel)));
  }
}

function image(
  content: ArrayBuffer,
  name: string,
  colours: string,
  opacity: number,
  window?: [number, number],
): Promise<NVImage> {
  const range = window ? { cal_min: window[0], cal_max: window[1] } : {};
  return NVImage.loadFromUrl({ url: content, name, colormap: colours, opacity, colorbarVisible: false, ...range });
}
