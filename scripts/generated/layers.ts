/** The import rule in words, from scripts/check-imports.ts, for docs/architecture.md. */
import { apart, layers, sideways } from '../check-imports.ts';

const code = (name: string) => `\`${name}\``;

/** Which folder of src/ may import which, in Markdown. */
export function layersText(): string {
  const down = layers.map((layer) => code(layer.join(' | '))).join(' → ');
  const beside = sideways.map(([from, to]) => `${code(from)} → ${code(to)}`).join(', ');
  const alone = apart.map(code).join(', ');
  return `Imports point down only: ${down}.\nBeside each other only: ${beside}.\nOf what is around them nothing: ${alone}.`;
}
