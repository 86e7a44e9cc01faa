/** The work list: who is to do, what is strange, what has been decided. */

import * as api from "./api";
import { find, h, say, when } from "./dom";

const STATES: api.State[] = ["to do", "approved", "corrected", "drawn", "rejected"];
const KINDS: Record<string, string> = {
  missing: "no mask",
  unreadable: "unreadable",
  geometry: "geometry differs",
  empty: "empty",
  components: "several parts",
  edge: "touches the edge",
  volume: "volume out of range",
  body: "outside of the body",
  air: "in air",
  size: "size not plausible",
  density: "density not plausible",
  scan: "scan out of its unit",
};
type Column = "name" | "centre" | "state" | "findings" | "volume" | "reviewer" | "changed";
const COLUMNS: [Column, string][] = [
  ["name", "Patient"],
  ["centre", "Centre"],
  ["state", "State"],
  ["findings", "Found automatically"],
  ["volume", "Volume"],
  ["reviewer", "Reviewer"],
  ["changed", "Changed"],
];
const POLL_MS = 4000;
const RESTING_MS = 150;

export interface Filters {
  text: string;
  states: Set<api.State>;
  kinds: Set<string>;
  sort: Column;
  down: boolean;
}

/** Kept while patients are looked at, so that the list is the one that was left. */
const filters: Filters = { text: "", states: new Set(), kinds: new Set(), sort: "name", down: false };
let rows: api.Row[] = [];
let chosen = 0;

/** Ids in the order of the list, for going from one patient to the next. */
export const order = (): number[] => visible().map((row) => row.id);

export function open(description: api.Description, go: (id: number) => void): () => void {
  const page = find("page");
  const body = h("tbody");
  const chips = h("div", { class: "chips" });
  const search = h("input", {
    type: "search",
    placeholder: "Find a patient  ( / )",
    "aria-label": "Find a patient",
    value: filters.text,
    oninput: () => {
      filters.text = search.value;
      draw();
    },
  });
  let resting = 0;
  const head = h("tr");
  const table = h("table", { class: "list" }, h("thead", {}, head), body);
  const agreement = h("section", { class: "agreement" });
  page.className = "list-page";
  page.replaceChildren(h("div", { class: "bar" }, search, chips), table, agreement);

  function draw(): void {
    const shown = visible();
    chosen = Math.min(chosen, Math.max(shown.length - 1, 0));
    head.replaceChildren(
      h("th", { class: "picture" }),
      ...COLUMNS.filter(([name]) => name !== "centre" || rows.some((row) => row.centre)).map(([name, title]) =>
        h(
          "th",
          { class: name, "aria-sort": filters.sort === name ? (filters.down ? "descending" : "ascending") : "none" },
          h("button", { onclick: () => sort(name) }, title, filters.sort === name ? (filters.down ? " ↓" : " ↑") : ""),
        ),
      ),
    );
    body.replaceChildren(...shown.map((row, place) => line(row, place === chosen)));
    chips.replaceChildren(...stateChips(), ...kindChips());
    if (!shown.length) body.append(h("tr", {}, h("td", { colspan: 8, class: "none" }, "No patient fits these filters.")));
  }

  function line(row: api.Row, isChosen: boolean): HTMLElement {
    const texts = row.findings.map((each) => `${title(description, each.slug)}${each.text}`).join("\n");
    const kinds = [...new Set(row.findings.map((each) => each.kind))];
    return h(
      "tr",
      { class: isChosen ? "chosen" : "", "data-patient": row.id, onclick: () => go(row.id), onpointerenter: () => prepareSoon(row.id) },
      h(
        "td",
        { class: "picture" },
        row.thumbnail ? h("img", { src: api.thumbnailAddress(row), alt: "", loading: "lazy" }) : h("span", { class: "blank" }),
      ),
      h("td", { class: "name" }, h("a", { href: `#/patient/${row.id}` }, row.name)),
      rows.some((each) => each.centre) && h("td", { class: "centre" }, row.centre),
      h("td", { class: "state" }, h("span", { class: `state-of ${row.state.replace(" ", "-")}` }, row.state)),
      h(
        "td",
        { class: "findings", title: texts },
        row.checked ? null : h("span", { class: "quiet" }, "being checked …"),
        ...kinds.map((kind) => h("span", { class: `finding ${kind}` }, KINDS[kind] ?? kind)),
      ),
      h("td", { class: "volume" }, volume(row)),
      h("td", { class: "reviewer" }, row.reviewer),
      h("td", { class: "changed" }, when(row.changed_at)),
    );
  }

  /** Who rests on a patient is likely to open it. */
  function prepareSoon(id: number): void {
    clearTimeout(resting);
    resting = window.setTimeout(() => void api.prepare(id).catch(() => undefined), RESTING_MS);
  }

  function stateChips(): HTMLElement[] {
    return STATES.map((state) => chip(state, rows.filter((row) => row.state === state).length, filters.states, state));
  }

  function kindChips(): HTMLElement[] {
    const found = Object.keys(KINDS).filter((kind) => rows.some((row) => row.findings.some((each) => each.kind === kind)));
    return found.map((kind) =>
      chip(KINDS[kind], rows.filter((row) => row.findings.some((each) => each.kind === kind)).length, filters.kinds, kind),
    );
  }

  function chip<T extends string>(label: string, count: number, set: Set<T>, value: T): HTMLElement {
    const toggle = () => {
      if (!set.delete(value)) set.add(value);
      draw();
    };
    const pressed = String(set.has(value));
    return h("button", { class: "chip", "aria-pressed": pressed, onclick: toggle }, label, h("b", {}, String(count)));
  }

  function sort(name: Column): void {
    filters.down = filters.sort === name ? !filters.down : name !== "name";
    filters.sort = name;
    draw();
  }

  function onKey(event: KeyboardEvent): void {
    if ((find("dialog") as HTMLDialogElement).open) return;
    if (event.target === search) {
      if (event.key === "Escape" || event.key === "Enter") search.blur();
      else return;
    }
    const shown = visible();
    if (event.key === "/") {
      event.preventDefault();
      search.focus();
    } else if (event.key === "ArrowDown" || event.key === "j") choose(chosen + 1);
    else if (event.key === "ArrowUp" || event.key === "k") choose(chosen - 1);
    else if (event.key === "Enter" && shown[chosen] && !(event.target instanceof HTMLButtonElement)) go(shown[chosen].id);
    else return;
    event.preventDefault();

    function choose(place: number): void {
      chosen = Math.max(0, Math.min(place, shown.length - 1));
      if (shown[chosen]) prepareSoon(shown[chosen].id);
      draw();
      body.children[chosen]?.scrollIntoView({ block: "nearest" });
    }
  }

  async function refresh(): Promise<void> {
    try {
      rows = await api.getPatients();
      draw();
    } catch (error) {
      say((error as Error).message, "wrong");
    }
  }

  async function showAgreement(): Promise<void> {
    const found = await api.getAgreement().catch(() => []);
    if (!found.length) return;
    const figure = (value: number | null | undefined, digits: number) => (value == null ? "–" : value.toFixed(digits));
    agreement.replaceChildren(
      h("h2", {}, "Agreement between reviewers"),
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, ...["Patient", "Mask", "Reviewers", "Dice", "Mean surface distance", "Hausdorff 95 %", "Volumes"].map((each) => h("th", {}, each)))),
        h(
          "tbody",
          {},
          ...found.map((each) =>
            h(
              "tr",
              { title: each.problem },
              h("td", {}, each.patient),
              h("td", {}, title(description, each.slug).replace(": ", "")),
              h("td", {}, each.reviewers.join(" and ")),
              h("td", {}, figure(each.figures?.dice, 3)),
              h("td", {}, `${figure(each.figures?.mean_surface_mm, 2)} mm`),
              h("td", {}, `${figure(each.figures?.hausdorff_95_mm, 2)} mm`),
              h("td", {}, each.figures ? `${each.figures.volumes_ml.map((ml) => ml.toPrecision(3)).join(" and ")} ml` : each.problem),
            ),
          ),
        ),
      ),
    );
  }

  window.addEventListener("keydown", onKey);
  draw();
  void refresh().then(showAgreement);
  const timer = setInterval(refresh, POLL_MS);
  return () => {
    clearInterval(timer);
    clearTimeout(resting);
    window.removeEventListener("keydown", onKey);
  };
}

function title(description: api.Description, slug: string): string {
  const found = [...description.masks, ...description.scans].find((each) => each.slug === slug);
  return found ? `${found.title}: ` : "";
}

function volume(row: api.Row): string {
  const known = Object.values(row.volumes_ml).filter((each): each is number => each !== null);
  return known.length ? `${known[0] >= 100 ? known[0].toFixed(0) : known[0].toPrecision(3)} ml` : "";
}

function visible(): api.Row[] {
  const wanted = filters.text.trim().toLowerCase();
  const shown = rows.filter(
    (row) =>
      (!wanted || `${row.name} ${row.centre} ${row.reviewer}`.toLowerCase().includes(wanted)) &&
      (!filters.states.size || filters.states.has(row.state)) &&
      (!filters.kinds.size || row.findings.some((each) => filters.kinds.has(each.kind))),
  );
  const key: Record<Column, (row: api.Row) => string | number> = {
    name: (row) => row.name,
    centre: (row) => row.centre,
    state: (row) => STATES.indexOf(row.state),
    findings: (row) => row.findings.length,
    volume: (row) => Object.values(row.volumes_ml)[0] ?? -1,
    reviewer: (row) => row.reviewer,
    changed: (row) => row.changed_at ?? "",
  };
  const by = key[filters.sort];
  const compare = (a: api.Row, b: api.Row) => {
    const [one, other] = [by(a), by(b)];
    return typeof one === "number" ? one - Number(other) : String(one).localeCompare(String(other), [], { numeric: true });
  };
  return shown.sort((a, b) => (filters.down ? -1 : 1) * compare(a, b) || a.id - b.id);
}
