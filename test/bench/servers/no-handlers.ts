/** Handlers for nothing: a delivery is kept, and no code runs for it. */
export const handlers = {};
