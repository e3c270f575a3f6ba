/** docs/reference/cli.md, from the verbs' own help. */
import type { Command } from 'commander';
import { HELP_FORMAT, HIDDEN, verbs } from '../../src/cli/verbs.ts';

const HEAD = `# The CLI

\`linkspan <verb>\`, or \`kubectl linkspan <verb>\` when \`kubectl-linkspan\` (the same program) is on the PATH. This page is written by \`npm run generate\`.

- **Which cluster:** \`--kubeconfig\`, \`--context\` as with kubectl; \`--as\`, \`--as-group\` ask as somebody else; \`--verbose\` tells of every request on stderr.
- **Output:** \`-o table|json|yaml\`. Colours and progress on a terminal only; \`NO_COLOR\` and \`FORCE_COLOR\` are honoured. Results go to stdout, all else to stderr.
- **Printing and applying:** \`install\`, \`upgrade\`, \`uninstall\`, \`link-gen\`, \`allow\`, \`unlink\` print manifests for \`kubectl\`; with \`--apply\` they do it themselves: everything is tried on the server first, and nothing is written unless all of it is accepted. \`link\` applies; \`--dry-run\` prints.
- **Exit codes:** 0 done; 1 it could not be done, with a coded line on stderr ([errors](errors.md)); 2 wrong usage.
`;

/** The whole reference page. */
export async function cliPage(): Promise<string> {
  const parts = [HEAD];
  for (const [name, load] of Object.entries(verbs)) {
    if (HIDDEN.has(name)) continue;
    const command = (await load())();
    parts.push(`## ${name}\n\n${helpOf(command)}`);
    for (const below of command.commands) parts.push(`### ${name} ${below.name()}\n\n${helpOf(below)}`);
  }
  return parts.join('\n');
}

/** As the program prints it, with its examples, at a width of its own. */
export function helpOf(command: Command): string {
  let text = '';
  command
    .configureHelp({ ...HELP_FORMAT, helpWidth: 120 })
    .configureOutput({ writeOut: (part) => (text += part), getOutHasColors: () => false })
    .outputHelp();
  return `\`\`\`\n${text.trimEnd()}\n\`\`\`\n`;
}
