/** What the server says and takes. Every request names the reviewer; nothing but this server is asked. */

export type State = "to do" | "approved" | "corrected" | "rejected" | "drawn";
export type Verdict = "approve" | "reject" | "reopen";
export type Voxel = [number, number, number];

export interface Scan {
  slug: string;
  title: string;
  modality: "CT" | "PET" | "MR" | null;
}

export interface MaskKind {
  slug: string;
  title: string;
  of: string;
  labels: Record<string, number>;
}

export interface Description {
  title: string;
  study: string;
  table: string;
  scans: Scan[];
  masks: MaskKind[];
  windows: Record<string, [number, number]>;
  /** Networks that propose masks; `of` is the scan that one was made for, null where that is any. */
  networks: { name: string; of: string | null }[];
  /** Methods that take a click or a box; `of` is as of a network. */
  methods: { name: string; title: string; needs: "click" | "box"; of: string | null }[];
  results: boolean;
  reader_study: boolean;
  answer: { title: string; choices: string[] };
  notes: string[];
}

export interface Finding {
  kind: string;
  slug: string;
  text: string;
}

interface Standing {
  id: number;
  name: string;
  centre: string;
  state: State;
  revision: number;
  reviewer: string;
  changed_at: string | null;
  note: string;
  findings: Finding[];
}

export interface Row extends Standing {
  checked: boolean;
  thumbnail: string | null;
  volumes_ml: Record<string, number | null>;
}

export interface Result {
  said: number | string;
  values: Record<string, number | string | boolean>;
  layers: { slug: string; of: string; labels: boolean }[];
  points: { name: string; probability: number | null; voxels: Record<string, Voxel> }[];
}

export interface Patient extends Standing {
  scans: Record<string, { window: [number, number] }>;
  masks: Record<string, number>;
  originals: string[];
  saved: { slug: string; number: number; reviewer: string; at: string; origin: string }[];
  readings: { phase: "before" | "after"; answer: string; likelihood: number | null; note: string }[];
  result: Result | null;
}

export interface Change {
  at: string;
  reviewer: string;
  what: string;
  note: string;
}

export interface Agreement {
  patient: string;
  slug: string;
  reviewers: [string, string];
  numbers: [number, number];
  figures: {
    dice: number;
    mean_surface_mm: number | null;
    hausdorff_95_mm: number | null;
    volumes_ml: [number, number];
  } | null;
  problem: string;
}

/** The server refused: its own sentence. Status 0: it was not reached. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const OCTETS = "application/octet-stream";
let reviewer = "";

export function setReviewer(name: string): void {
  reviewer = name;
}

async function ask(path: string, options: RequestInit = {}): Promise<Response> {
  const headers = { ...(options.headers as Record<string, string>), "x-preop-reviewer": encodeURIComponent(reviewer) };
  let answer: Response;
  try {
    answer = await fetch(`/api/${path}`, { ...options, headers, cache: "no-store" });
  } catch {
    throw new Refused(0, "The server does not answer. Is it still running? What you have drawn is kept in this browser.");
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, told.error ?? `The server failed (${answer.status}); see what it printed.`);
  }
  return answer;
}

const json = async <T>(path: string, options?: RequestInit): Promise<T> => (await ask(path, options)).json();

const post = (path: string, body: unknown): Promise<Response> =>
  ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

const bytes = async (answer: Response): Promise<Uint8Array<ArrayBuffer>> => new Uint8Array(await answer.arrayBuffer());

const masks = (patient: number, slug: string): string => `patients/${patient}/masks/${slug}`;

export const getDescription = (): Promise<Description> => json("review");
export const getPatients = (): Promise<Row[]> => json("patients");
export const getPatient = (id: number): Promise<Patient> => json(`patients/${id}`);
/** Have the server read the scans of a patient, who is opened faster then. */
export const prepare = (id: number): Promise<Response> => ask(`patients/${id}/prepared`);
export const getHistory = (id: number): Promise<Change[]> => json(`patients/${id}/history`);
export const getAgreement = (): Promise<Agreement[]> => json("agreement");

export const getScan = async (id: number, slug: string, base: string): Promise<ArrayBuffer> =>
  (await ask(`patients/${id}/scans/${slug}?base=${base}`)).arrayBuffer();

export const getLayer = async (id: number, slug: string, base: string): Promise<ArrayBuffer> =>
  (await ask(`patients/${id}/results/${slug}?base=${base}`)).arrayBuffer();

/** A mask, one byte a voxel; null where there is none yet. */
export async function getMask(id: number, slug: string, number?: number): Promise<Uint8Array<ArrayBuffer> | null> {
  const answer = await ask(masks(id, slug) + (number === undefined ? "" : `?number=${number}`));
  return answer.status === 204 ? null : bytes(answer);
}

export async function putMask(
  id: number,
  slug: string,
  packed: Uint8Array<ArrayBuffer>,
  at: { revision: number; basedOn: number | undefined; origin: string },
): Promise<Patient> {
  const query = new URLSearchParams({ origin: at.origin });
  if (at.basedOn !== undefined) query.set("based_on", String(at.basedOn));
  return json(`${masks(id, slug)}?${query}`, {
    method: "PUT",
    headers: { "content-type": OCTETS, "content-encoding": "gzip", "if-match": String(at.revision) },
    body: packed,
  });
}

export const decide = async (id: number, verdict: Verdict, revision: number, note: string): Promise<Patient> =>
  (await post(`patients/${id}/decision`, { verdict, revision, note })).json();

export const read = async (
  id: number,
  reading: { phase: "before" | "after"; answer: string; likelihood: number | null; note: string },
): Promise<Patient> => (await post(`patients/${id}/readings`, reading)).json();

export interface Prompt {
  method: string;
  inside: Voxel[];
  outside: Voxel[];
  box: [Voxel, Voxel] | null;
}

export const prompt = async (id: number, slug: string, pointed: Prompt): Promise<Uint8Array> =>
  bytes(await post(`${masks(id, slug)}/prompt`, pointed));

export const beginNetwork = async (id: number, slug: string, network: string): Promise<string> =>
  (await (await post(`${masks(id, slug)}/network`, { network })).json()).job;

export const getJob = (job: string): Promise<{ done: number; total: number; finished: boolean; error: string }> =>
  json(`jobs/${job}`);

export const getJobMask = async (job: string): Promise<Uint8Array> => bytes(await ask(`jobs/${job}/mask`));

/** A label map of the algorithm, as a mask to start from. */
export const getResultMask = async (id: number, slug: string, layer: string): Promise<Uint8Array> =>
  bytes(await ask(`${masks(id, slug)}/results/${layer}`));

export const importMask = async (id: number, slug: string, file: File): Promise<Uint8Array> =>
  bytes(
    await ask(`${masks(id, slug)}/import?name=${encodeURIComponent(file.name)}`, {
      method: "POST",
      headers: { "content-type": OCTETS },
      body: file,
    }),
  );

export interface Diameters {
  long_axis_mm: number;
  short_axis_mm: number;
  volume_ml: number;
}

/** Measure the structure at a voxel of a box, of which each voxel is a byte: not 0 is marked. */
export const measure = async (id: number, slug: string, content: Uint8Array<ArrayBuffer>, size: Voxel, at: Voxel): Promise<Diameters> =>
  json(`${masks(id, slug)}/diameters?size=${size}&at=${at}`, {
    method: "POST",
    headers: { "content-type": OCTETS, "content-encoding": "gzip" },
    body: await pack(content),
  });

export const maskFileAddress = (id: number, slug: string, format: "nifti" | "nrrd"): string =>
  `/api/${masks(id, slug)}/file?format=${format}`;

export const thumbnailAddress = (row: Row): string => `/api/patients/${row.id}/thumbnail?${row.thumbnail}`;

export async function pack(content: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([content]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

export async function unpack(packed: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
