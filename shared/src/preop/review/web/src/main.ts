/** Start: who is reviewing, and the page that the address names. */

import * as api from "./api";
import { find, h, question, say } from "./dom";
import * as list from "./list";
import { makeStage, openPatient } from "./patient";
import "./style.css";

const NAME = "preop-reviewer";
let close: () => void | Promise<boolean> = () => undefined;

async function start(): Promise<void> {
  let description: api.Description;
  try {
    description = await api.getDescription();
  } catch (error) {
    find("page").replaceChildren(h("p", { class: "notice" }, (error as Error).message));
    return;
  }
  document.title = `Review: ${description.title}`;
  const name = h("button", { class: "who", title: "Change the reviewer", onclick: () => void askName() });
  find("top").replaceChildren(
    h("a", { href: "#/", class: "home" }, h("img", { src: "./icon.svg", alt: "" }), description.title),
    h("span", { id: "where", class: "where" }, description.table),
    h("span", { class: "space" }),
    name,
  );

  async function askName(): Promise<void> {
    const input = h("input", { "aria-label": "Your name", value: localStorage.getItem(NAME) ?? "", maxlength: 80 });
    await question("Who is reviewing? Every change is kept with this name.", [["ok", "Start"]], input);
    const given = input.value.trim();
    if (given) localStorage.setItem(NAME, given);
    use();
  }

  function use(): void {
    const given = localStorage.getItem(NAME) ?? "";
    api.setReviewer(given);
    name.textContent = given || "Who are you?";
  }

  async function show(): Promise<void> {
    const [, page, id] = location.hash.split("/");
    await close();
    if (page === "patient" && id) close = await openPatient(description, Number(id));
    else {
      find("where").textContent = description.table;
      close = list.open(description, (patient) => {
        location.hash = `#/patient/${patient}`;
      });
    }
  }

  use();
  window.addEventListener("hashchange", () => void show().catch((error: Error) => say(error.message, "wrong")));
  if (!localStorage.getItem(NAME)) await askName();
  description.notes.forEach((note) => say(note));
  await show();
  makeStage().catch(() => undefined); // said when a patient is opened
}

void start();
