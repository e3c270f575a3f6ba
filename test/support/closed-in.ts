/** Remembers how to close what a test opens. Gives back what it was given. */
export type Closed = <T>(thing: T, close: (thing: T) => unknown) => T;

/**
 * What is given to it is closed in the hook (`after` or `afterEach`), last opened first. Call inside
 * `describe`.
 */
export function closedIn(hook: (close: () => Promise<void>) => void): Closed {
  const closing: (() => unknown)[] = [];
  hook(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });
  return (thing, close) => {
    closing.push(() => close(thing));
    return thing;
  };
}
