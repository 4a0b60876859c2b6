// The API reference: reads the server's own description of its API and lays it out. Nothing else is asked for.

import { byId } from "./shared.js";

const COPIED_SHOWN_MS = 1600;
/** Deeper than this a shape is named and not opened: every shape has a place of its own in the description. */
const DEPTH_MAX = 3;
const METHODS = ["get", "post", "put", "patch", "delete"];

let api;

async function start() {
  try {
    const response = await fetch("/v1/openapi.json", { headers: { accept: "application/json" } });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    api = await response.json();
  } catch (error) {
    byId("trouble").textContent = `The description cannot be had: ${error.message}.`;
    return;
  }
  byId("about").replaceChildren(...prose(api.info.description));
  lay();
  byId("filter").addEventListener("input", () => find(byId("filter").value));
  document.addEventListener("click", copy);
  // The browser looked for the anchor before there was anything to find.
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

/** An element with these properties and children; text is always text. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "class") element.className = value;
    else if (name.startsWith("aria-") || name === "tabindex") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** The little Markdown that the description uses: paragraphs, `code` and **bold**. */
function prose(text) {
  return (text ?? "").split("\n\n").filter(Boolean).map((paragraph) => make("p", {}, ...inline(paragraph)));
}

function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((piece) => {
    if (piece.startsWith("`") && piece.length > 2) return make("code", {}, piece.slice(1, -1));
    if (piece.startsWith("**") && piece.length > 4) return make("strong", {}, piece.slice(2, -2));
    return piece;
  });
}

function resolved(part) {
  if (!part?.$ref) return part;
  return part.$ref.slice(2).split("/").reduce((at, step) => at?.[step], api) ?? {};
}

function nameOf(part) {
  return part?.$ref?.startsWith("#/components/schemas/") ? part.$ref.split("/").pop() : null;
}

function lay() {
  const index = byId("index");
  const room = byId("operations");
  for (const tag of api.tags) {
    const all = Object.entries(api.paths).flatMap(([path, methods]) =>
      METHODS.filter((method) => methods[method]?.tags?.includes(tag.name)).map((method) => [path, method, methods[method]]),
    );
    if (all.length === 0) continue;
    const entries = all.map(([path, method, operation]) => entry(path, method, operation));
    index.append(make("section", {}, make("h2", {}, tag.name), make("ul", {}, ...entries)));
    room.append(
      make("section", { class: "of-group" },
        make("h2", { class: "group" }, tag.name),
        make("p", { class: "group-about" }, tag.description),
        ...all.map(([path, method, operation]) => card(path, method, operation))),
    );
  }
}

function badge(method) {
  return make("span", { class: "method", dataset: { method } }, method.toUpperCase());
}

function entry(path, method, operation) {
  const link = make("a", { href: `#${operation.operationId}` }, badge(method), make("span", {}, operation.summary));
  return make("li", { dataset: { words: words(path, method, operation) } }, link);
}

function words(path, method, operation) {
  return `${method} ${path} ${operation.summary} ${operation.tags.join(" ")}`.toLowerCase();
}

function card(path, method, operation) {
  const id = operation.operationId;
  return make("article", { class: "operation", id, "aria-labelledby": `${id}-title`, dataset: { words: words(path, method, operation) } },
    make("h3", { id: `${id}-title` }, make("a", { href: `#${id}` }, operation.summary)),
    make("p", { class: "address" }, badge(method), make("code", {}, path)),
    make("div", { class: "says" }, ...prose(operation.description)),
    ...parameters(operation),
    ...body(operation),
    ...answers(operation),
    command(path, method, operation),
  );
}

function parameters(operation) {
  const all = (operation.parameters ?? []).map(resolved);
  if (all.length === 0) return [];
  const rows = all.map((one) => row(one.name, one.schema, one.required, one.description, `in ${one.in}`));
  return [make("h4", {}, "Parameters"), make("ul", { class: "fields" }, ...rows)];
}

function body(operation) {
  const content = operation.requestBody?.content;
  if (!content) return [];
  return Object.entries(content).flatMap(([media, one]) => {
    const title = operation.requestBody.required === false ? "Body, may be left out" : "Body";
    return [make("h4", {}, `${title} (${media})`), shape(one.schema, 0)];
  });
}

function answers(operation) {
  const rows = Object.entries(operation.responses).map(([status, answer]) => {
    const known = resolved(answer);
    const content = Object.values(known.content ?? {})[0]?.schema;
    const about = make("div", {}, make("p", {}, ...inline(known.description)));
    if (content && Number(status) < 400) about.append(opened(content));
    return make("li", {}, make("code", {}, status), about);
  });
  return [make("h4", {}, "Answers"), make("ul", { class: "fields answers" }, ...rows)];
}

function opened(schema) {
  return make("details", {}, make("summary", {}, nameOf(schema) ?? "What it holds"), shape(schema, 0));
}

/** What a shape holds, field by field. */
function shape(schema, depth) {
  const known = resolved(schema) ?? {};
  if (known.allOf) return make("div", {}, ...known.allOf.map((one) => shape(one, depth)));
  if (known.type === "array") return shape(known.items, depth);
  if (!known.properties) return make("p", {}, known.description ?? kind(known));
  const rows = Object.entries(known.properties).map(([name, property]) =>
    row(name, property, known.required?.includes(name), resolved(property)?.description, null, depth));
  return make("ul", { class: "fields" }, ...rows);
}

function row(name, schema, required, about, where, depth = DEPTH_MAX) {
  const inner = holds(schema);
  return make("li", {},
    make("code", {}, name),
    make("span", { class: "kind" }, [kind(schema), where].filter(Boolean).join(", ")),
    required ? make("span", { class: "must" }, "required") : null,
    about ? make("p", {}, ...inline(about)) : null,
    inner && depth < DEPTH_MAX ? make("details", {}, make("summary", {}, "Fields"), shape(inner, depth + 1)) : null,
  );
}

/** The schema with fields inside, where there is one and it does not hold itself. */
function holds(schema) {
  const known = resolved(schema) ?? {};
  const inner = known.type === "array" ? known.items : schema;
  return resolved(inner)?.properties ? inner : null;
}

function kind(schema) {
  const known = resolved(schema) ?? {};
  if (known.enum) return known.enum.join(" | ");
  if (known.const) return JSON.stringify(known.const);
  if (known.oneOf) return known.oneOf.map(kind).join(" or ");
  if (known.type === "array") return `list of ${nameOf(known.items) ?? kind(known.items)}`;
  const type = [known.type ?? "any"].flat().filter((one) => one !== "null").join(" or ");
  return known.format ? `${type} (${known.format})` : type;
}

/** A command that can be pasted into a shell. */
function command(path, method, operation) {
  const lines = [`curl${method === "get" ? "" : ` -X ${method.toUpperCase()}`} ${location.origin}${path.replace(/\{(\w+)\}/g, (_, name) => name.toUpperCase())}`];
  if (operation.security === undefined) lines.push(`-H "Authorization: Bearer $BELFRY_KEY"`);
  const example = operation.requestBody?.content?.["application/json"]?.example;
  if (example) {
    lines.push(`-H "Content-Type: application/json"`);
    lines.push(`-d '${JSON.stringify(example, null, 2).replaceAll("'", "'\\''")}'`);
  }
  const text = lines.join(" \\\n  ");
  return make("div", { class: "command" },
    make("pre", { tabindex: "0", "aria-label": `Command: ${operation.summary}` }, make("code", {}, text)),
    make("button", { type: "button", dataset: { copy: "" }, "aria-label": `Copy the command: ${operation.summary}` }, "Copy"));
}

async function copy(event) {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  let done = "Copied";
  try {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
  } catch {
    done = "Not allowed";
  }
  button.textContent = done;
  byId("copied").textContent = done;
  setTimeout(() => (button.textContent = "Copy"), COPIED_SHOWN_MS);
}

/** Hides what does not hold every word that is looked for. */
function find(text) {
  const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (element) => wanted.every((word) => element.dataset.words.includes(word));
  let found = 0;
  for (const element of document.querySelectorAll("[data-words]")) {
    element.hidden = !fits(element);
    if (!element.hidden && element.matches("article")) found += 1;
  }
  for (const group of document.querySelectorAll("#index section, .of-group")) {
    group.hidden = !group.querySelector("[data-words]:not([hidden])");
  }
  byId("found").textContent = wanted.length === 0 ? "" : `${found} operations`;
}

start();
