/**
 * Fields of a payload by their path: `data.object.id`, `*.eventId`.
 */

/** A field of the payload by its path. `*` is every element of an array: their common value, if they have one. */
export function fieldAt(value: unknown, path: string): unknown {
  const dot = path.indexOf(".");
  const name = dot === -1 ? path : path.slice(0, dot);
  const rest = dot === -1 ? undefined : path.slice(dot + 1);
  if (typeof value !== "object" || value === null) return undefined;
  if (name === "*") {
    if (!Array.isArray(value) || value.length === 0) return undefined;
    const found = rest === undefined ? value : value.map((element) => fieldAt(element, rest));
    return found.every((element) => element === found[0]) ? found[0] : undefined;
  }
  if (!Object.hasOwn(value, name)) return undefined;
  const own = (value as Record<string, unknown>)[name];
  return rest === undefined ? own : fieldAt(own, rest);
}

/** Every value at a path; `*` is each element of an array. Elements that have nothing there are left out. */
export function fieldsAt(value: unknown, path: string): unknown[] {
  if (path === "") return [value];
  const [name = "", ...rest] = path.split(".");
  if (typeof value !== "object" || value === null) return [];
  if (name === "*")
    return Array.isArray(value) ? value.flatMap((element) => fieldsAt(element, rest.join("."))) : [];
  return Object.hasOwn(value, name) ? fieldsAt((value as Record<string, unknown>)[name], rest.join(".")) : [];
}

/**
 * Sets a field by its path, making what is missing on the way; `*` is every element of an array. Does nothing where
 * the path leads through something else.
 */
export function setField(target: unknown, path: string, value: unknown): void {
  const [name = "", ...rest] = path.split(".");
  if (typeof target !== "object" || target === null) return;
  if (name === "*") {
    for (const element of Object.values(target)) setField(element, rest.join("."), value);
    return;
  }
  const object = target as Record<string, unknown>;
  if (rest.length === 0) {
    object[name] = value;
  } else {
    object[name] ??= rest[0] === "*" ? [{}] : {};
    setField(object[name], rest.join("."), value);
  }
}
