/**
 * A value that is made when it is first asked for.
 * @param make called once; when it throws, the next one who asks has it called again
 */
export function once<Value>(make: () => Value): () => Value {
  let made: { value: Value } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
