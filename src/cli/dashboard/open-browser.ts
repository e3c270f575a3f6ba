import { spawn } from 'node:child_process';

/** What opens an address in the user's browser, by system. */
const OPENERS: Readonly<Partial<Record<NodeJS.Platform, readonly [string, ...string[]]>>> = {
  darwin: ['open'],
  win32: ['cmd', '/c', 'start', ''],
  linux: ['xdg-open'],
};

/**
 * Opens an address. Where there is no browser nothing happens: the address has been printed.
 * @param env tells whether there is a screen
 */
export function openBrowser(url: string, platform = process.platform, env = process.env): void {
  const [command, ...args] = OPENERS[platform] ?? [];
  const hasScreen = platform !== 'linux' || Boolean(env['DISPLAY'] ?? env['WAYLAND_DISPLAY']);
  if (command === undefined || !hasScreen) return;
  const child = spawn(command, [...args, url], { stdio: 'ignore', detached: true });
  child.on('error', () => undefined);
  child.unref();
}
