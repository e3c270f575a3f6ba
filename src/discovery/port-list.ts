/**
 * Whether a port is in a list as Linkerd's annotations hold it: numbers (`3306`), ranges (`8000-8100`) and port names, comma-separated.
 * @param names the port's names, if it has any
 */
export function isListed(list: string, port: number, names: readonly string[]): boolean {
  return list.split(',').some((entry) => {
    const text = entry.trim();
    const range = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
    if (range === null) return text !== '' && names.includes(text);
    const from = Number(range[1]);
    return port >= from && port <= Number(range[2] ?? from);
  });
}
