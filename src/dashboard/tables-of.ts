import { LOCAL } from '../api/names.ts';
import { type ClusterReading, withNames } from '../traffic/cluster-reading.ts';
import { mirrorRows } from '../traffic/service-rows.ts';
import { Tally } from '../traffic/tally.ts';
import type { ContextPicture } from './cluster-facts.ts';
import { type ContextTables, contextTables, keyed, type NamedPicture, shownRow } from './context-tables.ts';
import type { AdviceFor } from './link-rows-shown.ts';
import { mapEdges, mapNodes, sideTally } from './map-tables.ts';
import { NowCards } from './now-cards.ts';
import type { ContextRow, SignalsRow, Table, Tables } from './snapshot.ts';

const SIDES = ['egress', 'gateway'] as const;

/** What has been made of a context, for as long as nothing new was read of it. */
interface Made {
  readonly facts: object;
  readonly reading: ClusterReading;
  readonly tables: ContextTables;
}

/**
 * Makes tables of what is known of clusters. It keeps what it has made of a cluster of which nothing new was
 * read, and since when it has seen each failure.
 */
export class TableMaker {
  readonly #adviceFor: AdviceFor;
  readonly #cards = new NowCards();
  #made: ReadonlyMap<string, Made> = new Map();

  constructor(adviceFor: AdviceFor) {
    this.#adviceFor = adviceFor;
  }

  /** @param now milliseconds since the epoch */
  tables(pictures: readonly ContextPicture[], now: number): Tables {
    const known = this.#named(pictures);
    const made = new Map(known.map((picture) => [picture.context, this.#of(picture, now)]));
    this.#made = made;
    const all = [...made.values()].map(({ tables }) => tables);
    const merged = <K extends keyof ContextTables>(name: K): ContextTables[K] =>
      Object.assign({}, ...all.map((tables) => tables[name])) as ContextTables[K];
    const mirrors = this.#mirrors(known);
    const [links, services, processes] = [merged('links'), merged('services'), merged('processes')];
    const [clients, reports] = [merged('clients'), merged('reports')];
    const failing = { links, mirrors, processes, services, reports, exportOf: exportsOf(known) };
    return {
      contexts: contextsOf(pictures, known),
      cards: this.#cards.rows(pictures, failing, now),
      signals: signalsOf(known),
      nodes: mapNodes(pictures, known, clients),
      mapEdges: mapEdges(links),
      links,
      services,
      mirrors,
      reports,
      edges: merged('edges'),
      routes: merged('routes'),
      clients,
      processes,
      sparks: merged('sparks'),
    };
  }

  #of(picture: NamedPicture, now: number): Made {
    const { context, facts, reading } = picture;
    const before = this.#made.get(context);
    if (before?.reading === reading) return before;
    return { facts, reading, tables: contextTables(picture, this.#adviceFor, now) };
  }

  /**
   * Those of which something was read, with the names that clusters have for each other. One of which nothing
   * is new, its name neither, has the same reading as before.
   */
  #named(pictures: readonly ContextPicture[]): NamedPicture[] {
    const known = pictures.flatMap((one) => (one.facts === undefined ? [] : [{ ...one, facts: one.facts }]));
    const readings = withNames(known.map(({ facts }) => facts.reading));
    return known.map((one, at) => {
      const reading = readings[at] ?? one.facts.reading;
      const before = this.#made.get(one.context);
      const isSame = before?.facts === one.facts && before.reading.cluster === reading.cluster;
      return { ...one, reading: isSame ? before.reading : reading };
    });
  }

  /** Both ends of a mirror are of two contexts. */
  #mirrors(known: readonly NamedPicture[]): Tables['mirrors'] {
    const contextOf = new Map(known.toReversed().map(({ context, reading }) => [reading.cluster, context]));
    const rows = mirrorRows(known.map(({ reading }) => reading)).map((row) =>
      shownRow(row, contextOf.get(row.source ?? '') ?? '', this.#adviceFor),
    );
    return keyed(rows, mirrorKey);
  }
}

function mirrorKey(row: { readonly context: string; readonly namespace: string; readonly name: string }) {
  return `${row.context}/${row.namespace}/${row.name}`;
}

/** By the key of a mirror that of the Service that it mirrors, where that cluster was asked. */
function exportsOf(known: readonly NamedPicture[]): Map<string, string> {
  const byUid = new Map<string, string>();
  for (const { context, reading } of known)
    for (const { uid, namespace, name, mirror } of reading.services)
      if (uid !== '' && mirror === undefined) byUid.set(uid, `${context}/gateway/${namespace}/${name}`);
  const found = new Map<string, string>();
  for (const { context, reading } of known)
    for (const { namespace, name, mirror } of reading.services) {
      const key = mirror === undefined ? undefined : byUid.get(mirror.remoteUid);
      if (key !== undefined) found.set(mirrorKey({ context, namespace, name }), key);
    }
  return found;
}

function contextsOf(pictures: readonly ContextPicture[], known: readonly NamedPicture[]): Table<ContextRow> {
  const readings = new Map(known.map(({ context, reading }) => [context, reading]));
  return keyed(
    pictures.map(({ facts, ...picture }): ContextRow => {
      const reading = readings.get(picture.context);
      const asked = (reading?.processes ?? []).filter(({ kind }) => kind === 'egress' || kind === 'gateway');
      const answered = asked.filter(({ window }) => window !== undefined);
      const isBusy = answered.some(({ window }) =>
        (window?.report.targets ?? []).some(({ requests, inFlight }) => requests + inFlight > 0),
      );
      return {
        ...picture,
        cluster: reading?.cluster ?? picture.context,
        controller: facts?.controller ?? 'unknown',
        asked: asked.length,
        answered: answered.length,
        unread: facts?.unread ?? [],
        links: reading?.links.filter(({ name }) => name !== LOCAL).length ?? 0,
        traffic: isBusy,
      };
    }),
    ({ context }) => context,
  );
}

function signalsOf(known: readonly NamedPicture[]): Table<SignalsRow> {
  const all: Record<string, SignalsRow> = {};
  for (const side of SIDES) {
    const whole = new Tally();
    for (const { context, reading } of known) {
      const tally = sideTally(reading, side);
      whole.include(tally);
      all[`${context}/${side}`] = { ...tally.fields, context, side };
    }
    all[`/${side}`] = { ...whole.fields, context: '', side };
  }
  return all;
}
