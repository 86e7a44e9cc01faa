/** Elements, messages and questions, without a framework. */

type Child = Node | string | null | undefined | false;

/** Make an element: attributes by name, `on...` as listeners, text never read as markup. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, unknown> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value as EventListener);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false));
  return element;
}

export const find = (id: string): HTMLElement => document.getElementById(id)!;

/** Say something at the foot of the page; what went wrong stays until it is clicked away. */
export function say(text: string, kind: "done" | "wrong" = "done"): void {
  const message = h("div", { class: `message ${kind}`, onclick: () => message.remove() }, text);
  find("messages").append(message);
  while (find("messages").childElementCount > 3) find("messages").firstElementChild!.remove();
  if (kind === "done") setTimeout(() => message.remove(), 3500);
}

/** Put a question; gives the value of the button, or "" where it is closed. */
export function question(text: string, buttons: [value: string, label: string][], input?: HTMLElement): Promise<string> {
  const dialog = find("dialog") as HTMLDialogElement;
  return new Promise((resolve) => {
    const close = (value: string) => {
      dialog.close();
      resolve(value);
    };
    const form = h(
      "form",
      {
        onsubmit: (event: Event) => {
          event.preventDefault();
          close(buttons[0][0]);
        },
      },
      h("p", {}, text),
      input,
      h(
        "div",
        { class: "buttons" },
        ...buttons.map(([value, label], place) =>
          h("button", { type: place ? "button" : "submit", class: place ? "" : "primary", onclick: place ? () => close(value) : undefined }, label),
        ),
      ),
    );
    dialog.replaceChildren(form);
    dialog.oncancel = () => resolve("");
    dialog.showModal();
  });
}

export const when = (iso: string | null): string => {
  if (!iso) return "";
  const time = new Date(iso);
  const today = time.toDateString() === new Date().toDateString();
  const clock = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  return today ? clock : `${time.toLocaleDateString([], { day: "numeric", month: "short" })} ${clock}`;
};
