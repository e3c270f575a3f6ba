import { expect } from 'chai';
import {
  type BoardFile,
  type BoardPanel,
  boards,
  expressionsOf,
  variablesOf,
} from '../../support/chart-boards.ts';
import { recordings } from '../../support/chart-rules.ts';

const COLUMNS = 24;
/**
 * Panels that Grafana itself has, from 10 to 12; those that needed Angular (graph, singlestat, table-old) are
 * not.
 */
const TYPES: ReadonlySet<string> = new Set(['row', 'stat', 'table', 'timeseries']);
/** Of Grafana itself, and the place of a label's value in PromQL. */
const NO_VARIABLES: ReadonlySet<string> = new Set(['__rate_interval', '1']);

/** Whether two panels lie on each other. */
function overlap({ gridPos: one }: BoardPanel, { gridPos: other }: BoardPanel): boolean {
  return (
    one.x < other.x + other.w &&
    other.x < one.x + one.w &&
    one.y < other.y + other.h &&
    other.y < one.y + one.h
  );
}

const used = (text: string) => [...text.matchAll(/\$(\w+)/g)].map(([, name = '']) => name);

describe('the boards of the chart', () => {
  const each = (check: (board: BoardFile) => void) => {
    for (const board of boards.values()) check(board);
  };

  it('have addresses that stay, which their files are called by', () => {
    expect([...boards].map(([file, { uid }]) => [file, uid])).to.deep.equal(
      ['linkspan-link', 'linkspan-overview', 'linkspan-processes', 'linkspan-service'].map((uid) => [
        `${uid}.json`,
        uid,
      ]),
    );
  });

  it('are of the classic schema that Grafana 10.0 knows, with no panel that needs a plugin', () =>
    each((board) => {
      expect(board.schemaVersion).to.equal(38);
      expect(board.tags).to.deep.equal(['linkspan']);
      for (const { type, title } of board.panels) expect(TYPES, `${board.title}: ${title}`).to.include(type);
    }));

  it('have panels that lie beside each other, each with an id and queries of its own', () =>
    each(({ title, panels }) => {
      expect(new Set(panels.map(({ id }) => id)).size).to.equal(panels.length);
      for (const [index, panel] of panels.entries()) {
        const { gridPos, targets = [] } = panel;
        expect(gridPos.x + gridPos.w, `${title}: ${panel.title}`).to.be.at.most(COLUMNS);
        for (const other of panels.slice(index + 1))
          expect(overlap(panel, other), `${title}: ${panel.title}, ${other.title}`).to.equal(false);
        expect(new Set(targets.map(({ refId }) => refId)).size).to.equal(targets.length);
        expect(targets.length > 0, `${title}: ${panel.title}`).to.equal(panel.type !== 'row');
        if (panel.type === 'table') expect(targets, `${title}: ${panel.title}`).to.have.lengthOf(1);
        for (const { datasource } of targets) expect(datasource.uid).to.equal('${datasource}');
      }
    }));

  it('ask by variables that they have, and by all of them', () =>
    each((board) => {
      const names = board.templating.list.map(({ name }) => name);
      expect(names.slice(0, 3), board.title).to.deep.equal(['datasource', 'cluster', 'namespace']);
      const asked = [...expressionsOf(board), ...variablesOf(board)].flatMap(({ expr }) => used(expr));
      expect(
        [...new Set(asked)].filter((name) => !names.includes(name) && !NO_VARIABLES.has(name)),
      ).to.deep.equal([]);
      expect(names.slice(1).filter((name) => !asked.includes(name))).to.deep.equal([]);
    }));

  // A board that shows several clusters as one hides the one that fails.
  it('keep to the clusters and the installation that are chosen', () =>
    each((board) => {
      for (const { at, expr } of expressionsOf(board)) {
        if (expr.includes('linkspan:error_budget:ratio')) continue;
        const selectors = [...expr.matchAll(/\{([^}]*)\}/g)].map(([, matchers = '']) => matchers);
        expect(selectors, at).not.to.have.lengthOf(0);
        for (const matchers of selectors)
          expect(matchers, at).to.contain('cluster=~"$cluster",namespace=~"$namespace"');
      }
    }));

  it('ask for recorded series that the rules record', () => {
    const recorded = new Set(recordings.map(({ record }) => record));
    const asked = [...boards.values()]
      .flatMap(expressionsOf)
      .flatMap(({ expr }) => expr.match(/\w+(?::\w+)+/g) ?? []);
    expect(asked).not.to.have.lengthOf(0);
    expect(asked.filter((name) => !recorded.has(name))).to.deep.equal([]);
  });
});
