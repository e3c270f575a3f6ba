import { spawnSync } from 'node:child_process';

const TABLE = 'inet linkspan_failover';

/**
 * Drops everything that is sent to some addresses or from them, in this process' network namespace: a black
 * hole, in which neither a FIN nor an RST nor an acknowledgement arrives.
 * @throws Error where nft is missing or not permitted
 */
export function cutOff(addresses: readonly string[]): void {
  const set = `{ ${addresses.join(', ')} }`;
  nft(
    `table ${TABLE} {
      chain cut {
        type filter hook prerouting priority -300;
        ip daddr ${set} tcp dport != 0 drop
        ip saddr ${set} tcp sport != 0 drop
      }
    }`,
  );
}

/** Lets everything through again. */
export function heal(): void {
  // Made first, as a table that is not there cannot be deleted.
  nft(`table ${TABLE}\ndelete table ${TABLE}`);
}

function nft(rules: string): void {
  const { error, status, stderr } = spawnSync('nft', ['-f', '-'], {
    input: rules,
    encoding: 'utf8',
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
  });
  if (error !== undefined || status !== 0)
    throw new Error(`nft (package nftables) refuses: ${(error?.message ?? stderr).trim()}`);
}
