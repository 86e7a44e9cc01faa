/**
 * A scan on the graphics card, and its window. The viewer would look at every voxel for a window that is known, keep four
 * bytes a voxel, and compute gradients for a light that is never switched on: for a scan of 512 x 512 x 400 that takes over a
 * minute where there is no graphics card. Here a voxel is one grey value, and has its transparency only where 3D is shown.
 */

import { NVImage, type Niivue } from "@niivue/niivue";

const SCAN_UNIT = 0;
const SHADES = 256;
/** Bytes that are turned to grey and sent at once: they fit into a processor's cache. */
const SLAB_BYTES = 2 ** 21;
/** Every so many voxels tell how far a scan's values reach: a prime, so that they lie in all its columns. */
const STRIDE = 1009;

const findWindow = NVImage.prototype.calMinMax;
NVImage.prototype.calMinMax = function (...asked) {
  const { cal_min: low, cal_max: high } = this.hdr!;
  if (!(high > low)) return findWindow.apply(this, asked);
  [this.cal_min, this.cal_max, this.robust_min, this.robust_max] = [low, high, low, high];
  // How far a drag of the mouse moves the window.
  [this.global_min, this.global_max] = reach(this.img!);
  return [low, high, low, high];
};

function reach(voxels: ArrayLike<number>): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (let place = 0; place < voxels.length; place += STRIDE) {
    low = Math.min(low, voxels[place]);
    high = Math.max(high, voxels[place]);
  }
  return [low, high];
}

export class ScanTexture {
  private deep = false;

  /** Take over from a viewer how it brings a scan to the graphics card; what is laid over a scan stays as it was. */
  constructor(private readonly nv: Niivue) {
    const colour = nv.refreshLayers.bind(nv);
    nv.refreshLayers = (volume, layer) => {
      if (layer > 0) return colour(volume, layer);
      // All but the work on voxels: where the scan lies, its size, its texture without any content.
      quietly(nv.gl, () => colour(volume, 0));
      this.send(volume);
    };
  }

  /** Say whether 3D is on the screen, which needs to know how transparent each voxel is. */
  setDeep(deep: boolean): void {
    if (deep === this.deep) return;
    this.deep = deep;
    if (this.nv.volumes.length) this.nv.updateGLVolume();
  }

  private send(volume: NVImage): void {
    const { gl } = this.nv;
    const [width, height, depth] = volume.dimsRAS!.slice(1, 4);
    const format = this.deep ? gl.LUMINANCE_ALPHA : gl.LUMINANCE;
    const channels = this.deep ? 2 : 1;
    gl.activeTexture(gl.TEXTURE0 + SCAN_UNIT);
    gl.bindTexture(gl.TEXTURE_3D, this.nv.volumeTexture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.texImage3D(gl.TEXTURE_3D, 0, format, width, height, depth, 0, format, gl.UNSIGNED_BYTE, null);
    const colours = this.nv.colormap(volume.colormap);
    const shades = shadesOf(volume);
    const perSlice = width * height;
    const slices = Math.max(1, Math.floor(SLAB_BYTES / (perSlice * channels)));
    const slab = new Uint8Array(Math.min(slices, depth) * perSlice * channels);
    for (let first = 0; first < depth; first += slices) {
      const count = Math.min(slices, depth - first);
      shades(first * perSlice, count * perSlice, slab, channels, colours);
      gl.texSubImage3D(gl.TEXTURE_3D, 0, 0, 0, first, width, height, count, format, gl.UNSIGNED_BYTE, slab);
    }
  }
}

/** Give what writes the shades of voxels from a place on: by a table of all values for whole numbers, else by computing. */
function shadesOf(volume: NVImage) {
  const low = volume.cal_min!;
  const scale = (SHADES - 1) / (volume.cal_max! - low);
  const shade = (value: number): number => Math.min(SHADES - 1, Math.max(0, Math.round((value - low) * scale)));
  const voxels = volume.img!;
  if (voxels instanceof Int16Array || voxels instanceof Uint8Array) {
    const bits = voxels instanceof Int16Array ? new Uint16Array(voxels.buffer, voxels.byteOffset, voxels.length) : voxels;
    const table = Uint8Array.from({ length: 2 ** (8 * voxels.BYTES_PER_ELEMENT) }, (_, each) => shade(voxels instanceof Int16Array ? (each << 16) >> 16 : each));
    return writer(bits, (value) => table[value]);
  }
  return writer(voxels, shade);
}

function writer(voxels: ArrayLike<number>, shade: (value: number) => number) {
  return (first: number, count: number, slab: Uint8Array, channels: number, colours: ArrayLike<number>): void => {
    for (let i = 0; i < count; i++) {
      const at = 4 * shade(voxels[first + i]);
      slab[i * channels] = colours[at];
      if (channels === 2) slab[i * 2 + 1] = colours[at + 3];
    }
  };
}

/** Do something without any pixel being drawn or sent. */
function quietly(gl: WebGL2RenderingContext, work: () => void): void {
  const nothing = () => undefined;
  const without = {
    drawArrays: nothing,
    texStorage3D: nothing,
    texSubImage3D: nothing,
    framebufferTextureLayer: nothing,
    checkFramebufferStatus: () => gl.FRAMEBUFFER_COMPLETE,
  };
  Object.assign(gl, without);
  try {
    work();
  } finally {
    for (const name of Object.keys(without)) delete (gl as unknown as Record<string, unknown>)[name];
  }
}
